# ops: signal, tree, stop, conclude.  Signals, and the end of jobs.

# Before a signal may go to job $1: prove that the pids are its own.  rj_pids is its tree.
rj_find_tree() {
	rj_tries=0
	while :; do
		rj_read_identity "$1"
		[ -z "$rj_main" ] && [ "$rj_pid" ] && rj_alive "$rj_pid" "$rj_begin" "$rj_booted" && [ "$rj_tries" -lt 50 ] || break
		rj_nap 0.05
		rj_tries=$((rj_tries + 1))
	done
	rj_pids=''
	[ "$rj_booted" = "$rj_boot" ] || return 0
	rj_tree "$1" "${rj_main:-0}" "${rj_main_begin:--}"
}

# SIGNAL UUIDS: to the main process, as kill(1) would.
rj_op_signal() {
	for rj_uuid in $2; do
		rj_find_tree "$rj_uuid"
		if [ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] && [ "$rj_main" ] && rj_alive "$rj_main" "$rj_main_begin" "$rj_booted"; then
			printf '%s\n' "$1" >>"$rj_owner/jobs/$rj_uuid/signals"
			kill -"$1" "$rj_main" 2>/dev/null && printf 'signalled %s\n' "$rj_uuid"
		else
			printf 'ended %s\n' "$rj_uuid"
		fi
	done
}

# STOP|CONT UUIDS: to the whole tree.
rj_op_tree() {
	for rj_uuid in $2; do
		rj_find_tree "$rj_uuid"
		if [ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] && [ "$rj_pids" ]; then
			# Twice, for what was forked between the look and the signal.
			# shellcheck disable=SC2086
			kill -"$1" $rj_pids 2>/dev/null
			rj_find_tree "$rj_uuid"
			# shellcheck disable=SC2086
			[ -z "$rj_pids" ] || kill -"$1" $rj_pids 2>/dev/null
			printf 'signalled %s\n' "$rj_uuid"
		else
			printf 'ended %s\n' "$rj_uuid"
		fi
	done
}

# SIGNAL GRACE(tenths) MARK UUIDS: signal, grace, kill, proof; MARK is the file that says why.
rj_op_stop() {
	rj_read_now
	rj_signalled=''
	for rj_one in $4; do
		if [ -e "$rj_owner/jobs/$rj_one/exit" ]; then
			printf 'ended %s\n' "$rj_one"
			continue
		fi
		{ printf '%s\n' "$1 $rj_now" >"$rj_owner/jobs/$rj_one/$3"; } 2>/dev/null || :
		# A job that nobody launched is taken, so that nobody will.
		set -C
		if { printf '%s\n' "0 - never none $rj_now" >"$rj_owner/jobs/$rj_one/identity"; } 2>/dev/null; then
			set +C
			rj_conclude "$rj_one" never
			printf 'stopped %s\n' "$rj_one"
			continue
		fi
		set +C
		rj_find_tree "$rj_one"
		# shellcheck disable=SC2086
		[ -z "$rj_pids" ] || { kill -"$1" $rj_pids; kill -CONT $rj_pids; } 2>/dev/null
		rj_signalled="$rj_signalled $rj_one:$rj_session"
	done
	rj_round=0
	for rj_one in $rj_signalled; do
		# From here on the session is known to be the job's, even when its leader goes first.
		rj_known=${rj_one##*:}
		rj_finish "${rj_one%:*}" "$2"
	done
	rj_known=''
}

# Give job $1 until $2 tenths of a second after the signal, then kill what is left until nothing is; see that its end is
# recorded; name the survivors.
rj_finish() {
	rj_read_identity "$1"
	while rj_find_tree_now "$1" && [ "$rj_round" -lt "$2" ]; do
		rj_beat
		if [ "$rj_round" -lt 1 ]; then rj_nap 0.02; else rj_nap 0.1; fi
		rj_round=$((rj_round + 1))
	done
	rj_tries=0
	while rj_find_tree_now "$1" && [ "$rj_tries" -lt 50 ]; do
		# shellcheck disable=SC2086
		kill -KILL $rj_pids 2>/dev/null
		rj_nap 0.05
		rj_tries=$((rj_tries + 1))
	done
	if [ "$rj_pids" ]; then
		printf 'survivors %s %s\n' "$1" "$rj_pids"
		return
	fi
	rj_tries=0
	while [ ! -e "$rj_owner/jobs/$1/exit" ] && [ "$rj_tries" -lt 200 ]; do
		if ! rj_alive "${rj_pid:-0}" "${rj_begin:--}" "${rj_booted:--}"; then
			[ -e "$rj_owner/jobs/$1/exit" ] || rj_conclude "$1" killed
			break
		fi
		rj_nap 0.03
		rj_tries=$((rj_tries + 1))
	done
	printf 'stopped %s\n' "$1"
}

rj_find_tree_now() {
	rj_pids=''
	[ "$rj_booted" != "$rj_boot" ] || rj_tree "$1" "${rj_main:-0}" "${rj_main_begin:--}"
	[ "$rj_pids" ]
}

# Nobody else will ever record the end of job $1: record it, with the word $2 in place of a status.
rj_conclude() {
	rj_lock
	if [ ! -e "$rj_owner/jobs/$1/exit" ]; then
		rj_read_now
		{ printf '%-63s\n' "1 $2 - $rj_now" 1<>"$rj_owner/jobs/$1/exit.new" && mv -f "$rj_owner/jobs/$1/exit.new" "$rj_owner/jobs/$1/exit"; } 2>/dev/null
	fi
	rj_settle "$1"
	rj_unlock
}

# WORD UUIDS: what was found out about jobs that ended without a record.
rj_op_conclude() {
	for rj_one in $2; do
		rj_read_identity "$rj_one"
		rj_over_now "$rj_one" || continue
		rj_conclude "$rj_one" "$1"
	done
}

# The finding may be old: it is final, so it is looked at once more.
rj_over_now() {
	[ "$rj_pid$rj_booted" ] || [ -e "$rj_owner/jobs/$1/identity" ] || return 1
	! rj_alive "${rj_pid:-0}" "${rj_begin:--}" "${rj_booted:--}" || return 1
	! rj_find_tree_now "$1"
}
