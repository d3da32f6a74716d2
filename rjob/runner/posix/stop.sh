# ops: signal, tree, stop, record-lost.  Signals, and the end of jobs.

# List the processes of the unfinished job $1, proved to be its own: rj_pids, rj_seen, and what rj_read_identity sets.
# Waits up to 2.5 s for a job that is just being started.
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

# The same once more, without reading the identity again.  Fails if no process is left.
rj_scan_again() {
	rj_pids='' rj_session=none
	[ "$rj_booted" != "$rj_boot" ] || rj_list_pids "$1" "${rj_main:-0}" "${rj_main_begin:--}"
	# From here on the session is known to be the job's, even when its leader goes first.
	[ "$rj_session" = none ] || rj_known=$rj_session
	[ "$rj_pids" ]
}

# Send signal $2 to all of job $1's processes at once: halt them, signal them, let them go on.
# One by one, a shell whose child was ended would go on to its next command before its own signal came.
rj_signal_tree() {
	rj_halted='' rj_rounds=0
	while rj_scan_again "$1" && [ "$rj_pids" != "$rj_halted" ] && [ "$rj_rounds" -lt 20 ]; do
		# Again, for what was forked between the look and the signal.
		# shellcheck disable=SC2086
		kill -STOP $rj_pids 2>/dev/null
		rj_halted=$rj_pids rj_rounds=$((rj_rounds + 1))
	done
	#@ halted
	[ "$rj_pids" ] && [ "$2" != STOP ] || return 0
	# shellcheck disable=SC2086
	{ kill -"$2" $rj_pids; kill -CONT $rj_pids; } 2>/dev/null
}

# Whether nobody can look after job $1 from here, because it is in another pid namespace or on another machine; says so.
rj_tell_apart() {
	rj_read_identity "$1"
	[ ! -e "$rj_owner/jobs/$1/exit" ] && rj_is_apart "$rj_booted" "$rj_place" "$rj_site" || return 1
	printf 'apart %s\n' "$1"
}

# SIGNAL SELECTOR...: to the main process, as kill(1) would.
rj_op_signal() {
	rj_sig=$1
	shift
	rj_choose "$@" || return 0
	for rj_uuid in $rj_chosen; do
		! rj_tell_apart "$rj_uuid" || continue
		rj_scan "$rj_uuid"
		if [ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] && [ "$rj_main" ] && rj_alive "$rj_main" "$rj_main_begin" "$rj_booted"; then
			printf '%s\n' "$rj_sig" >>"$rj_owner/jobs/$rj_uuid/signals"
			kill -"$rj_sig" "$rj_main" 2>/dev/null && printf 'signalled %s\n' "$rj_uuid"
		else
			printf 'ended %s\n' "$rj_uuid"
		fi
	done
	# shellcheck disable=SC2086
	rj_facts $rj_chosen
}

# STOP|CONT SELECTOR...: to the whole tree.
rj_op_tree() {
	rj_sig=$1
	shift
	rj_choose "$@" || return 0
	for rj_uuid in $rj_chosen; do
		! rj_tell_apart "$rj_uuid" || continue
		rj_scan "$rj_uuid"
		if [ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] && [ "$rj_pids" ]; then
			rj_signal_tree "$rj_uuid" "$rj_sig"
			printf 'signalled %s\n' "$rj_uuid"
		else
			printf 'ended %s\n' "$rj_uuid"
		fi
	done
	# shellcheck disable=SC2086
	rj_facts $rj_chosen
}

# SIGNAL GRACE(tenths) SELECTOR...: stop jobs.
rj_op_stop() {
	rj_sig=$1 rj_grace=$2
	shift 2
	rj_choose "$@" || return 0
	# shellcheck disable=SC2086
	rj_stop "$rj_sig" "$rj_grace" stop $rj_chosen
	# shellcheck disable=SC2086
	rj_facts $rj_chosen
}

# Stop jobs $4...: signal $1, grace of $2 tenths of a second, kill, proof; $3 is the file that says why.
# A job whose command has ended keeps its state; what lives on of it is ended all the same.
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
		# What is known of this job now, for rj_finish, which comes when all have been signalled.
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

# Mark the unfinished job $1 as stopped by signal $2 (MARK $3) and list its processes.  Fails if that was all: a job that
# nobody launched is taken, so that nobody will.
rj_take_or_scan() {
	# The mark has its place since the start; a job of 0.1 has none.  Never emptied: the disk may be full.
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

# Give job $1 until $2 tenths of a second after the signal (rj_round is how many have passed), then kill what is left until
# nothing is; see that its end is recorded; name the survivors.
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

# Nobody else will ever record the end of job $1: record it, with the word $2 in place of a status.
rj_record_end() {
	rj_lock
	if [ ! -e "$rj_owner/jobs/$1/exit" ]; then
		rj_read_now
		{ true >"$rj_owner/ends/$1"; } 2>/dev/null
		{ printf '%-63s\n' "1 $2 - $rj_now" 1<>"$rj_owner/jobs/$1/exit.new" && mv -f "$rj_owner/jobs/$1/exit.new" "$rj_owner/jobs/$1/exit"; } 2>/dev/null
	fi
	rj_journal_ended "$1"
	rj_unlock
	rj_ring
	rj_read_cgroup "$1"
	rj_drop_cgroup
}

# WORD UUIDS: what was found out about jobs that ended without a record.
rj_op_record_lost() {
	for rj_one in $2; do
		rj_read_identity "$rj_one"
		rj_has_ended "$rj_one" || continue
		rj_record_end "$rj_one" "$1"
	done
}

# Whether neither job $1's supervisor nor a process of its lives.  The record is irreversible: look again before it is made.
rj_has_ended() {
	[ "$rj_pid$rj_booted" ] || [ -e "$rj_owner/jobs/$1/identity" ] || return 1
	! rj_alive "${rj_pid:-0}" "${rj_begin:--}" "${rj_booted:--}" "$rj_place" "$rj_site" || return 1
	rj_seen='' rj_known=''
	! rj_scan_again "$1"
}
