# ops: follow, wait.  Operations that last as long as their client.

# Whoever waits here must go when its client does: end this process when stdin ends.
rj_watch_client() {
	exec 3<&0
	(
		trap - TERM
		while read -r rj_line; do :; done
		kill -TERM $$
	) <&3 >/dev/null 2>&1 &
	rj_watcher=$!
	exec 3<&-
	rj_tails=''
	# KILL, for a child that has not become tail yet would note TERM, as a shell does, and forget it.
	trap '{ kill "$rj_watcher"; kill -KILL $rj_tails $!; } 2>/dev/null; exit 1' TERM HUP INT PIPE
}

# Whether job $1 has ended, one way or another.  Looks for life only every twentieth time.
rj_over() {
	[ ! -e "$rj_owner/jobs/$1/exit" ] || return 0
	[ -d "$rj_owner/jobs/$1" ] || return 0
	[ $((rj_round % 20)) -eq 19 ] || return 1
	rj_read_identity "$1"
	[ "$rj_pid" ] || return 1
	! rj_alive "$rj_pid" "$rj_begin" "$rj_booted" || return 1
	[ "$rj_booted" = "$rj_boot" ] || return 0
	rj_tree "$1" "${rj_main:-0}" "${rj_main_begin:--}"
	[ -z "$rj_pids" ]
}

# UUID OUT ERR LIFE: what is written from those bytes on, as it is written, to stdout and stderr, until the job ends.
rj_op_follow() {
	rj_uuid=$1 rj_at=$2 rj_at_err=$3 rj_round=0 rj_life=$(($4 * 10))
	rj_watch_client
	cd "$rj_owner/jobs/$1" || return
	printf '%s stream\n' "$rj_marker"
	printf '%s stream\n' "$rj_marker" >&2
	case $(tail --version 2>/dev/null; uname) in
	*GNU* | *Darwin* | *BSD*)
		# exec, for not every shell runs a background command in the process that it names.
		exec tail -c "+$((rj_at + 1))" -f out &
		rj_tails=$!
		exec tail -c "+$((rj_at_err + 1))" -f err >&2 &
		rj_tails="$rj_tails $!"
		until rj_over "$rj_uuid" || [ "$rj_round" -ge "$rj_life" ]; do
			rj_beat
			rj_nap 0.1
			rj_round=$((rj_round + 1))
		done
		# shellcheck disable=SC2086
		{ kill -KILL $rj_tails; wait $rj_tails; } 2>/dev/null
		rj_tails=''
		;;
	*)
		until rj_over "$rj_uuid" || [ "$rj_round" -ge "$rj_life" ]; do
			rj_grow out "$rj_at" && rj_at=$rj_bytes
			rj_grow err "$rj_at_err" >&2 && rj_at_err=$rj_bytes
			rj_beat
			rj_nap 0.1
			rj_round=$((rj_round + 1))
		done
		;;
	esac
	# What is left the client reads by offset: it alone knows what reached it.
	printf '%s over\n' "$rj_marker" >&2
	printf '%s over\n' "$rj_marker"
	kill "$rj_watcher" 2>/dev/null
}

rj_grow() { # FILE FROM: print what is there from that byte on; rj_bytes is how far that went
	rj_size_of "$1"
	[ "$rj_bytes" -gt "$2" ] || return 1
	tail -c "+$(($2 + 1))" "$1" | head -c "$((rj_bytes - $2))"
}

# any|all LIFE UUIDS: wait until they have ended, or LIFE tenths of a second passed; tell the facts.
rj_op_wait() {
	rj_mode=$1 rj_life=$2 rj_round=0 rj_all=$3
	rj_watch_client
	rj_pending=$3
	while [ "$rj_pending" ]; do
		rj_rest=''
		for rj_uuid in $rj_pending; do
			rj_over "$rj_uuid" || rj_rest="$rj_rest $rj_uuid"
		done
		[ "$rj_mode" = all ] || [ "$rj_rest" = " $rj_pending" ] || [ "$rj_rest" = "$rj_pending" ] || break
		rj_pending=$rj_rest
		[ "$rj_pending" ] && [ "$rj_round" -lt "$rj_life" ] || break
		rj_beat
		if [ "$rj_round" -lt 1 ]; then rj_nap 0.03; else rj_nap 0.1; fi
		rj_round=$((rj_round + 1))
	done
	kill "$rj_watcher" 2>/dev/null
	# shellcheck disable=SC2086
	rj_facts $rj_all
}
