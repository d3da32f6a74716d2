# ops: follow, wait.  Operations that last as long as their client.

# Note child process $1, to be killed later: adds to rj_children.
rj_note_child() { ! rj_proc "$1" || rj_children="$rj_children $1:$rj_start"; }

# Kill the noted children that still are what they were: a pid may be somebody else's by now.
# KILL, for a child that has not become tail yet would note TERM, as a shell does, and forget it.
rj_kill_children() {
	for rj_word in $rj_children; do
		! rj_proc "${rj_word%%:*}" || [ "$rj_start" != "${rj_word#*:}" ] || kill -KILL "${rj_word%%:*}"
	done 2>/dev/null
	rj_children=''
}

# Whoever waits here must go when its client does: end this process when stdin ends.  Sets rj_children, rj_me and traps.
rj_watch_client() {
	rj_proc $$
	rj_me="$$ ${rj_start:--} $rj_boot" rj_children=''
	exec 3<&0
	(
		trap - TERM
		while read -r rj_line; do :; done
		# shellcheck disable=SC2086
		! rj_alive $rj_me || kill -TERM $$
	) <&3 >/dev/null 2>&1 &
	exec 3<&-
	rj_note_child $!
	trap 'rj_kill_children; exit 1' TERM HUP INT PIPE
}

# Whether job $1 has ended, one way or another.  Looks for life only every twentieth time.
rj_over() {
	[ ! -e "$rj_owner/jobs/$1/exit" ] || return 0
	[ -d "$rj_owner/jobs/$1" ] || return 0
	[ $((rj_round % 20)) -eq 19 ] || return 1
	rj_read_identity "$1"
	[ "$rj_pid" ] || return 1
	! rj_alive "$rj_pid" "$rj_begin" "$rj_booted" "$rj_place" || return 1
	[ "$rj_booted" = "$rj_boot" ] || return 0
	rj_seen=''
	rj_list_pids "$1" "${rj_main:-0}" "${rj_main_begin:--}"
	[ -z "$rj_pids" ]
}

# UUID OUT ERR LIFE: send what is written from those bytes on, as it is written, until the job, LIFE seconds or stdin end.
# One side of a pipe writes to it whenever there may be something new, the other looks.  Nothing but frames comes of that:
# what a tool says, or shows after a file was cut short, never passes for the job's output.
rj_op_follow() {
	rj_uuid=$1 rj_at_out=$2 rj_at_err=$3 rj_round=0 rj_life=$(($4 * 10))
	cd "$rj_owner/jobs/$1" 2>/dev/null || return 0
	rj_ticks=10
	# Every other tail -f looks itself only once a second.
	case $(tail --version 2>/dev/null; uname) in *GNU* | *Darwin* | *BSD*) ;; *) rj_ticks=1 ;; esac
	rj_wake 2>/dev/null | rj_send_news
}

# Write to stdout when there may be news of $rj_uuid; at least every $rj_ticks tenths of a second.
rj_wake() {
	rj_children=''
	if [ "$rj_ticks" -gt 1 ]; then
		# exec, for not every shell runs a background command in the process that it names.
		exec tail -c "+$((rj_at_out + 1))" -f out &
		rj_note_child $!
		exec tail -c "+$((rj_at_err + 1))" -f err &
		rj_note_child $!
	fi
	(
		trap - PIPE
		until rj_over "$rj_uuid" || [ "$rj_round" -ge "$rj_life" ]; do
			rj_nap 0.1
			rj_round=$((rj_round + 1))
			[ $((rj_round % rj_ticks)) -ne 0 ] || printf . || break
		done
	) &
	rj_clock=$!
	rj_note_child $!
	exec 3<&0
	(
		while read -r rj_line; do :; done
		rj_kill_children
	) <&3 >/dev/null &
	exec 3<&-
	rj_note_child $!
	wait "$rj_clock"
	rj_kill_children
}

# Read from stdin when to look; send what is new of the followed job, and a beat when nothing was for about a second.
rj_send_news() {
	rj_lag=0 rj_quiet=0
	#@ streaming
	while :; do
		if rj_send_new; then
			rj_quiet=0
			continue
		fi
		if [ "$rj_quiet" -ge 10 ]; then
			printf '%s beat\n' "$rj_marker"
			rj_quiet=0
		fi
		# What was sent already, tail is still writing: take more of that at a time, but never wait long for it.
		rj_reads=$((rj_lag / 65536))
		[ "$rj_reads" -lt 16 ] || rj_reads=16
		[ "$rj_reads" -gt 0 ] || rj_reads=1
		rj_lag=$((rj_lag > rj_reads * 65536 ? rj_lag - rj_reads * 65536 : 0))
		case $(LC_ALL=C dd bs=65536 count="$rj_reads" 2>&1 >/dev/null) in 0+0*) break ;; esac
		rj_quiet=$((rj_quiet + rj_ticks))
	done
	while rj_send_new; do :; done
}

# Send what is new since rj_at_out and rj_at_err; fails if there is nothing.
rj_send_new() {
	rj_read_sizes out err || return 1
	[ "$rj_size_out" -ge "$rj_at_out" ] || { rj_tell_shrunk "$rj_uuid" out "$rj_at_out" "$rj_size_out"; rj_at_out=0; }
	[ "$rj_size_err" -ge "$rj_at_err" ] || { rj_tell_shrunk "$rj_uuid" err "$rj_at_err" "$rj_size_err"; rj_at_err=0; }
	rj_lag=$((rj_lag + rj_size_out - rj_at_out + rj_size_err - rj_at_err))
	[ "$rj_size_out $rj_size_err" != "$rj_at_out $rj_at_err" ] || return 1
	[ "$rj_size_out" -eq "$rj_at_out" ] || rj_send_frame out out "$rj_at_out" "$rj_size_out"
	[ "$rj_size_err" -eq "$rj_at_err" ] || rj_send_frame err err "$rj_at_err" "$rj_size_err"
	rj_at_out=$rj_size_out rj_at_err=$rj_size_err
}

# any|all LIFE UUIDS: wait until they have ended, or LIFE tenths of a second passed; tell the facts of those that are there.
rj_op_wait() {
	rj_mode=$1 rj_life=$2 rj_round=0 rj_waited=$3
	rj_watch_client
	rj_describe_owner
	rj_pending=$3
	#@ looking-on
	while [ "$rj_pending" ]; do
		rj_rest=''
		for rj_uuid in $rj_pending; do
			rj_over "$rj_uuid" || rj_rest="$rj_rest $rj_uuid"
		done
		[ "$rj_mode" = all ] || [ "$rj_rest" = " $rj_pending" ] || [ "$rj_rest" = "$rj_pending" ] || break
		rj_pending=$rj_rest
		[ "$rj_pending" ] && [ "$rj_round" -lt "$rj_life" ] || break
		if [ "$rj_round" -lt 1 ]; then rj_nap 0.03; else rj_nap 0.1; fi
		rj_round=$((rj_round + 1))
		rj_beat "$rj_round"
	done
	rj_kill_children
	rj_there=''
	for rj_uuid in $rj_waited; do
		[ ! -d "$rj_owner/jobs/$rj_uuid" ] || rj_there="$rj_there $rj_uuid"
	done
	# shellcheck disable=SC2086
	[ -z "$rj_there" ] || rj_facts $rj_there
}
