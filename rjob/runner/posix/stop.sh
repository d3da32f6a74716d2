# Operations signal, tree, stop and record-lost: signals, and the end of jobs.

# List the processes of the unfinished job $1 that are proved to be its own. Sets what rj_scan_again and rj_read_identity
# set, and rj_seen. Waits up to 2.5 s for a job that is just being started. Fails if there is no process.
rj_scan() {
	rj_tries=0 rj_known=''
	while :; do
		rj_read_identity "$1"
		[ -z "$rj_main" ] && [ "$rj_pid" ] && rj_alive "$rj_pid" "$rj_begin" "$rj_booted" && [ "$rj_tries" -lt 50 ] || break
		rj_nap 0.05
		rj_tries=$((rj_tries + 1))
	done
	rj_seen=''
	rj_scan_again "$1"
}

# List the processes of job $1 once more, without reading its identity again. Sets rj_pids, rj_session and rj_known; adds to
# rj_seen. Fails if no process is left.
rj_scan_again() {
	rj_pids='' rj_session=none
	[ "$rj_booted" != "$rj_boot" ] || rj_list_pids "$1" "${rj_main:-0}" "${rj_main_begin:--}"
	# From now on the session is known to be the job's, even if its leader ends first.
	[ "$rj_session" = none ] || rj_known=$rj_session
	[ "$rj_pids" ]
}

# Send signal $2 to all processes of job $1 at once: halt them, signal them, continue them. One by one, a shell whose child
# had ended would run its next command before its own signal came. Sets rj_pids.
rj_signal_tree() {
	rj_halted='' rj_rounds=0
	while rj_scan_again "$1" && [ "$rj_pids" != "$rj_halted" ] && [ "$rj_rounds" -lt 20 ]; do
		# Scan again, for what was forked between the scan and the signal.
		# shellcheck disable=SC2086
		kill -STOP $rj_pids 2>/dev/null
		rj_halted=$rj_pids rj_rounds=$((rj_rounds + 1))
	done
	#@ halted
	[ "$rj_pids" ] && [ "$2" != STOP ] || return 0
	# shellcheck disable=SC2086
	{ kill -"$2" $rj_pids; kill -CONT $rj_pids; } 2>/dev/null
}

# Succeed, and report it, if job $1 cannot be handled from here: it is unfinished, and in another pid namespace or on
# another machine.
rj_tell_apart() {
	rj_read_identity "$1"
	[ ! -e "$rj_owner/jobs/$1/exit" ] && rj_is_apart "$rj_booted" "$rj_place" "$rj_site" || return 1
	printf 'apart %s\n' "$1"
}

# Perform the operation signal: send signal $1 to the main process of each chosen job, as kill(1) would. $2...: selectors.
rj_op_signal() { rj_signal_chosen rj_signal_main "$@"; }

# Perform the operation tree: send signal $1, STOP or CONT, to all processes of each chosen job. $2...: selectors.
rj_op_tree() { rj_signal_chosen rj_signal_all "$@"; }

# Call function $1 with each chosen job that has not ended and signal $2, and report what it sets rj_outcome to; `ended` if
# nothing of the job was there. $3...: selectors.
rj_signal_chosen() {
	rj_way=$1 rj_sig=$2
	shift 2
	rj_choose "$@" || return 0
	for rj_uuid in $rj_chosen; do
		! rj_tell_apart "$rj_uuid" || continue
		rj_scan "$rj_uuid"
		rj_outcome=ended
		[ -e "$rj_owner/jobs/$rj_uuid/exit" ] || "$rj_way" "$rj_uuid" "$rj_sig"
		printf '%s %s\n' "$rj_outcome" "$rj_uuid"
	done
	# shellcheck disable=SC2086
	rj_facts $rj_chosen
}

# Succeed if rj_main, the main process of a job, lives and may not be signalled: it belongs to another user.
rj_is_denied() {
	[ "$rj_main" ] && ! kill -0 "$rj_main" 2>/dev/null && rj_alive "$rj_main" "$rj_main_begin" "$rj_booted"
}

# Send signal $2 to the main process of job $1, rj_main. Sets rj_outcome; notes the signal in the job's `signals`.
rj_signal_main() {
	[ "$rj_main" ] && rj_alive "$rj_main" "$rj_main_begin" "$rj_booted" || return 0
	rj_outcome=denied
	! rj_is_denied || return 0
	printf '%s\n' "$2" >>"$rj_owner/jobs/$1/signals"
	kill -"$2" "$rj_main" 2>/dev/null
	rj_outcome=signalled
}

# Send signal $2 to all processes of job $1, rj_pids. Sets rj_outcome.
rj_signal_all() {
	[ "$rj_pids" ] || return 0
	rj_outcome=denied
	! rj_is_denied || return 0
	rj_signal_tree "$1" "$2"
	[ "$2" != STOP ] || rj_await_halt "$1"
	rj_outcome=signalled
}

# Wait until job $1, whose processes got SIGSTOP, is seen to have stopped: on a busy machine that takes a moment, and the facts
# in the reply would say Running. Gives up after a second.
rj_await_halt() {
	rj_tries=0
	while [ "$rj_main" ] && [ "$rj_tries" -lt 50 ] && rj_alive "$rj_main" "$rj_main_begin" "$rj_booted"; do
		case $rj_state in
		T* | t*) return ;;
		D*) ! rj_others_halted "$1" || return ;;
		esac
		rj_nap 0.02
		rj_tries=$((rj_tries + 1))
	done
}

# Perform the operation stop. $1: the signal; $2: the grace period in tenths of a second; $3...: selectors.
rj_op_stop() {
	rj_sig=$1 rj_grace=$2
	shift 2
	rj_choose "$@" || return 0
	# shellcheck disable=SC2086
	rj_stop "$rj_sig" "$rj_grace" stop $rj_chosen
	# shellcheck disable=SC2086
	rj_facts $rj_chosen
}

# Stop jobs $4...: send signal $1, wait up to $2 tenths of a second, kill what is left, check that nothing lives. $3: the
# file that says why, `stop` or `expired`. A job whose command has ended keeps its state, but its survivors are ended too.
rj_stop() {
	rj_sig=$1 rj_grace=$2 rj_mark=$3
	shift 3
	rj_read_now
	rj_signalled='' rj_number=0
	for rj_one; do
		! rj_tell_apart "$rj_one" || continue
		if [ -e "$rj_owner/jobs/$rj_one/exit" ]; then
			rj_known=''
			rj_find_survivors "$rj_one" || { printf 'ended %s\n' "$rj_one"; continue; }
		else
			rj_take_or_scan "$rj_one" "$rj_sig" "$rj_mark" || continue
		fi
		rj_signal_tree "$rj_one" "$rj_sig"
		# Keep what is known of this job now for rj_finish, which runs when all have been signalled.
		rj_number=$((rj_number + 1)) rj_signalled="$rj_signalled $rj_one"
		eval "rj_known_$rj_number=\$rj_known rj_seen_$rj_number=\$rj_seen"
	done
	rj_round=0 rj_number=0
	for rj_one in $rj_signalled; do
		rj_number=$((rj_number + 1))
		eval "rj_known=\$rj_known_$rj_number rj_seen=\$rj_seen_$rj_number"
		rj_finish "$rj_one" "$rj_grace"
	done
	rj_known=''
}

# Mark the unfinished job $1 as stopped by signal $2 (file $3; reads rj_now), and list its processes. If no supervisor has
# claimed the job, claims it, so that none can, and records its end; then fails, because nothing is left to do.
rj_take_or_scan() {
	# The mark's space was reserved at staging; a job of 0.1 has none. It is never truncated: the disk may be full.
	rj_word=$rj_owner/jobs/$1
	{
		if [ -e "$rj_word/mark.new" ]; then
			printf '%-63s\n' "$2 $rj_now" 1<>"$rj_word/mark.new" && mv -f "$rj_word/mark.new" "$rj_word/$3"
		else
			printf '%-63s\n' "$2 $rj_now" 1<>"$rj_word/$3"
		fi
	} 2>/dev/null || :
	#@ stop-marked
	set -C
	if { true >"$rj_owner/jobs/$1/identity"; } 2>/dev/null; then
		set +C
		{ printf '%s\n' "0 - never none $rj_now" >"$rj_owner/jobs/$1/identity"; } 2>/dev/null
		rj_record_end "$1" never
		printf 'stopped %s\n' "$1"
		return 1
	fi
	set +C
	rj_scan "$1"
	return 0
}

# Give job $1 until $2 tenths of a second after the signal (rj_round counts them), then kill what is left until nothing is.
# Makes sure that its end is recorded; reports processes that it could not end.
rj_finish() {
	rj_read_identity "$1"
	while rj_scan_again "$1" && [ "$rj_round" -lt "$2" ]; do
		rj_beat "$rj_round"
		if [ "$rj_round" -lt 1 ]; then rj_nap 0.02; else rj_nap 0.1; fi
		rj_round=$((rj_round + 1))
	done
	rj_tries=0
	while [ "$rj_pids" ] && [ "$rj_tries" -lt 50 ]; do
		rj_signal_tree "$1" KILL
		rj_nap 0.05
		rj_tries=$((rj_tries + 1))
		rj_scan_again "$1"
	done
	if [ "$rj_pids" ]; then
		printf 'survivors %s %s\n' "$1" "$rj_pids"
		return
	fi
	rj_drop_cgroup
	rj_tries=0
	while [ ! -e "$rj_owner/jobs/$1/exit" ] && [ "$rj_tries" -lt 200 ]; do
		if ! rj_alive "${rj_pid:-0}" "${rj_begin:--}" "${rj_booted:--}"; then
			[ -e "$rj_owner/jobs/$1/exit" ] || rj_record_end "$1" killed
			break
		fi
		rj_nap 0.03
		rj_tries=$((rj_tries + 1))
	done
	printf 'stopped %s\n' "$1"
}

# Record the end of job $1, which nobody else will do, with the word $2 as its status, and journal it. Takes the lock.
rj_record_end() {
	rj_lock
	if [ ! -e "$rj_owner/jobs/$1/exit" ]; then
		rj_read_now
		{ true >"$rj_owner/ends/$1"; } 2>/dev/null
		{ printf '%-63s\n' "1 $2 - $rj_now" 1<>"$rj_owner/jobs/$1/exit.new" && mv -f "$rj_owner/jobs/$1/exit.new" "$rj_owner/jobs/$1/exit"; } 2>/dev/null
	fi
	if rj_journal_ended "$1"; then rj_unlock "$rj_owner/ends/$1"; else rj_unlock; fi
	rj_ring
	rj_read_cgroup "$1"
	rj_drop_cgroup
}

# Perform the operation record-lost for jobs that ended without a record. $1: the word that says how; $2: UUIDs.
rj_op_record_lost() {
	for rj_one in $2; do
		rj_read_identity "$rj_one"
		rj_has_ended "$rj_one" || continue
		rj_record_end "$rj_one" "$1"
	done
}

# Succeed if neither the supervisor of job $1 nor a process of the job lives. The record is irreversible, so check this
# again before it is written. Reads what rj_read_identity sets.
rj_has_ended() {
	[ "$rj_pid$rj_booted" ] || [ -e "$rj_owner/jobs/$1/identity" ] || return 1
	! rj_alive "${rj_pid:-0}" "${rj_begin:--}" "${rj_booted:--}" "$rj_place" "$rj_site" || return 1
	rj_seen='' rj_known=''
	! rj_scan_again "$1"
}
