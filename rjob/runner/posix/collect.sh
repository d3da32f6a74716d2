# Operation collect: send what jobs write and how they end, as it happens, for as long as the client listens.
#
# rj_watched has a word UUID:OUT:ERR for each watched job. OUT and ERR tell how far its streams were sent; - is for a stream
# that is not wanted. Descriptor 5 is the reply, where standard output is something else.

# Perform the operation collect. $*: selectors, or "start" and the lines of start. Then standard input brings orders
# (rj_take_orders).
rj_op_collect() {
	if [ "${1-}" = start ]; then
		shift
		rj_start "$@"
	else
		rj_select_jobs "$@"
		# shellcheck disable=SC2086
		[ -z "$rj_all" ] || rj_facts $rj_all
	fi
	cd "$rj_owner/jobs" 2>/dev/null || return 0
	exec 5>&1
	rj_watched=''
	printf '%s ready\n' "$rj_marker"
	while rj_take_orders; do
		if [ "$rj_once" ]; then
			rj_send_watched
			rj_watched=''
			printf '%s ready\n' "$rj_marker"
		elif ! rj_look || [ "$rj_watched" ]; then
			# If all of the jobs have just ended, read the client's next orders at once.
			rj_watched=$(rj_look_on)
		fi
	done
}

# Carry out the client's orders, up to "look" (send what is new as it comes, until the next line, whatever it is) or "once"
# (send what is there now). Sets rj_once (1 or empty). Fails at "end", or if the client has gone.
#   add UUID OUT ERR       watch a job from these places on: N, cursor, tail:N, or - for no bytes
#   drop UUID              stop watching it
#   pause                  do nothing; the line that ends "look"
#   received UUID OUT ERR  move its cursors
rj_take_orders() {
	rj_once='' rj_moves=''
	while IFS=' ' read -r rj_order rj_uuid rj_1 rj_2; do
		case $rj_order in
		add) rj_watch "$rj_uuid" "$rj_1" "$rj_2" ;;
		drop) rj_unwatch "$rj_uuid" ;;
		received) rj_moves="$rj_moves $rj_uuid $rj_1 $rj_2" ;;
		pause) ;;
		*) break ;;
		esac
	done
	# shellcheck disable=SC2086
	[ -z "$rj_moves" ] || rj_received $rj_moves
	case $rj_order in
	look) ;;
	once) rj_once=1 ;;
	*) return 1 ;;
	esac
}

# Watch job $1, its streams from places $2 and $3 on. Follows no link: such a job is reported as gone.
rj_watch() {
	case $1 in '' | *[!0-9a-f-]*) rj_fail cut "the request is broken" ;; esac
	rj_unwatch "$1"
	if [ -h "$1" ]; then
		printf 'gone %s\n' "$1"
		return
	fi
	rj_read_received "$1"
	rj_find_place "$1/out" "$2" "$rj_got_out"
	rj_watched="$rj_watched $1:$rj_from"
	rj_find_place "$1/err" "$3" "$rj_got_err"
	rj_watched="$rj_watched:$rj_from"
}

# Stop watching job $1.
rj_unwatch() {
	rj_rest=$rj_watched rj_watched=''
	for rj_one in $rj_rest; do
		[ "${rj_one%%:*}" = "$1" ] || rj_watched="$rj_watched $rj_one"
	done
}

# Convert place $2 in file $1 to a byte offset. $3: the cursor. Sets rj_from (- for no bytes).
rj_find_place() {
	case $2 in
	-) rj_from=- ;;
	cursor) rj_from=$3 ;;
	tail:*[!0-9]* | tail:) rj_fail cut "the request is broken" ;;
	tail:*) rj_find_tail "$1" "${2#tail:}" ;;
	'' | *[!0-9]*) rj_fail cut "the request is broken" ;;
	*) rj_from=$2 ;;
	esac
}

# Find where the last $2 lines of file $1 begin. Sets rj_from. If the file grows meanwhile, looks again, up to five times.
rj_find_tail() {
	rj_from=0 rj_tries=0
	[ -f "$1" ] || return 0
	rj_size_of "$1"
	while [ "$rj_tries" -lt 5 ]; do
		rj_was=$rj_bytes
		rj_from=$(($(tail -n "$2" "$1" | wc -c)))
		rj_size_of "$1"
		[ "$rj_was" -ne "$rj_bytes" ] || break
		rj_tries=$((rj_tries + 1))
	done
	rj_from=$((rj_bytes > rj_from ? rj_bytes - rj_from : 0))
}

# Follow the watched jobs until the client sends a line. Prints the new rj_watched.
rj_look_on() {
	# Any other tail -f polls, once a second.
	case $(tail --version 2>/dev/null; uname) in
	*GNU* | *Darwin* | *BSD*) rj_wake 2>/dev/null 5>&- | rj_send_when_woken ;;
	*) rj_send_from_time_to_time 3<&0 ;;
	esac
}

# Write to stdout whenever there may be something new, until the client sends a line. What tail prints is ignored. It prints
# the last byte of each file first: when that has arrived, no later change of any file goes unnoticed.
rj_wake() {
	rj_children=''
	rj_list_streams
	# exec, because not every shell runs a background command in the process that $! names.
	# shellcheck disable=SC2086
	exec tail -q -c 1 -f $rj_streams ../registry.jsonl ../bell &
	rj_note_child $!
	rj_tick &
	rj_note_child $!
	#@ looking-on
	IFS= read -r rj_line
	rj_kill_children
}

# Write to stdout after 1, 2, 4, 8, 16, 16, ... seconds, so that a job that ended without a record is found.
rj_tick() {
	rj_pause=1
	# The sleep may outlive this process, and must not hold its stdout open.
	while rj_nap "$rj_pause" >/dev/null && printf .; do
		[ "$rj_pause" -ge 16 ] || rj_pause=$((rj_pause * 2))
	done
}

# Send what is new each time that standard input brings something, until that ends. Prints the new rj_watched.
rj_send_when_woken() {
	rj_lag=0 rj_supervisors='' rj_quick=0
	{
		rj_await_wake && { rj_look || :; }
		rj_lag=0
		#@ streaming
		# What is written after a look causes another wake.
		while rj_await_wake; do rj_look || rj_find_dead; done
	} >&5
	printf %s "$rj_watched"
}

# Read what standard input holds, and discard it. Fails at its end. Takes what it reads off rj_lag (how many bytes that were
# already sent tail may still print).
rj_await_wake() {
	# tail is still printing what was sent already: take more of that at a time, but never wait for what may not come.
	rj_reads=$((rj_lag / 65536))
	[ "$rj_reads" -lt 16 ] || rj_reads=16
	[ "$rj_reads" -gt 0 ] || rj_reads=1
	rj_lag=$((rj_lag > rj_reads * 65536 ? rj_lag - rj_reads * 65536 : 0))
	case $(LC_ALL=C dd bs=65536 count="$rj_reads" 2>&1 >/dev/null) in 0+0*) return 1 ;; esac
}

# Send what is new by polling, often while there is output and once a second when there is none, until the client sends a
# line on descriptor 3. Prints the new rj_watched.
rj_send_from_time_to_time() {
	(IFS= read -r rj_line) <&3 >/dev/null 2>&1 5>&- &
	rj_proc $!
	rj_listener="$! ${rj_start:--} $rj_boot" rj_lag=0 rj_round=0 rj_pauses='0.05 0.1 0.2 0.5 1' rj_supervisors='' rj_quick=0
	#@ polling
	# shellcheck disable=SC2086
	while rj_alive $rj_listener; do
		if rj_look; then
			rj_pauses='0.05 0.1 0.2 0.5 1'
		else
			rj_round=$((rj_round + 1))
			[ $((rj_round % 5)) -ne 4 ] || rj_find_dead
			rj_nap "${rj_pauses%% *}"
			rj_pauses=${rj_pauses#* }
		fi
	done >&5
	printf %s "$rj_watched"
}

# Send what is new of the watched jobs; report those that have ended or are gone, and stop watching them. Sets rj_over,
# rj_gone and rj_sent. Fails if there was nothing.
rj_look() {
	rj_over='' rj_gone=''
	for rj_one in $rj_watched; do
		rj_uuid=${rj_one%%:*}
		if [ -e "$rj_uuid/exit" ]; then
			rj_over="$rj_over $rj_uuid"
		elif [ ! -d "$rj_uuid" ]; then
			rj_gone="$rj_gone $rj_uuid"
		fi
	done
	# Read sizes after ends: then all that an ended job has written is there.
	rj_send_watched
	rj_tell_ends
	[ "$rj_sent$rj_over$rj_gone" ]
}

# Report watched jobs that ended without a record; if there are none, send a heartbeat.
rj_find_dead() {
	rj_over='' rj_gone=''
	rj_supervisors_live || rj_look_at_all
	if [ "$rj_over" ]; then
		rj_send_watched
		rj_tell_ends
	else
		printf '%s beat\n' "$rj_marker"
	fi
}

# Succeed if all supervisors rj_supervisors (pids) live, as far as one test for each can tell: a zombie has no cwd. Each
# fourth call fails, so that a reused pid is noticed all the same.
rj_supervisors_live() {
	rj_quick=$(((rj_quick + 1) % 4))
	[ "$rj_quick" -ne 0 ] && [ "$rj_supervisors" ] || return 1
	for rj_word in $rj_supervisors; do
		[ -e "/proc/$rj_word/cwd" ] || return 1
	done
}

# Find watched jobs that have died. Sets rj_over, and rj_supervisors for rj_supervisors_live.
rj_look_at_all() {
	rj_supervisors=''
	for rj_one in $rj_watched; do
		! rj_has_died "${rj_one%%:*}" || rj_over="$rj_over ${rj_one%%:*}"
		rj_supervisors="$rj_supervisors $rj_supervisor_pid"
	done
}

# Report that jobs rj_over have ended and that jobs rj_gone are gone; stop watching them.
rj_tell_ends() {
	# shellcheck disable=SC2086
	[ -z "$rj_over" ] || rj_facts $rj_over
	for rj_uuid in $rj_over; do printf 'ended %s\n' "$rj_uuid"; done
	for rj_uuid in $rj_gone; do printf 'gone %s\n' "$rj_uuid"; done
	for rj_uuid in $rj_over $rj_gone; do rj_unwatch "$rj_uuid"; done
}

# List the files of the watched streams. Sets rj_streams.
rj_list_streams() {
	rj_streams=''
	for rj_one in $rj_watched; do
		case $rj_one in *:-:*) ;; *) rj_streams="$rj_streams ${rj_one%%:*}/out" ;; esac
		case $rj_one in *:-) ;; *) rj_streams="$rj_streams ${rj_one%%:*}/err" ;; esac
	done
}

# Send what is new of the watched streams, up to their sizes now. Updates rj_watched. Sets rj_sent if there was anything.
rj_send_watched() {
	rj_sent=''
	rj_list_streams
	[ "$rj_streams" ] || return 0
	# shellcheck disable=SC2046,SC2086
	set -- $(rj_print_sizes $rj_streams)
	rj_rest=$rj_watched rj_watched=''
	for rj_one in $rj_rest; do
		rj_uuid=${rj_one%%:*} rj_at_err=${rj_one##*:} rj_at_out=${rj_one#*:}
		rj_at_out=${rj_at_out%:*}
		if [ "${1-}" = "$rj_uuid/out" ]; then
			rj_send_new out "$rj_at_out" "$2"
			rj_at_out=$rj_from
			shift 2
		fi
		if [ "${1-}" = "$rj_uuid/err" ]; then
			rj_send_new err "$rj_at_err" "$2"
			rj_at_err=$rj_from
			shift 2
		fi
		rj_watched="$rj_watched $rj_uuid:$rj_at_out:$rj_at_err"
	done
}

# Send stream $1 of job rj_uuid from byte $2 up to its size $3. Sets rj_from (how far it came), and rj_sent if there was
# anything; adds the bytes to rj_lag.
rj_send_new() {
	rj_from=$2
	if [ "$2" -gt "$3" ]; then
		rj_tell_shrunk "$rj_uuid" "$1" "$2" "$3"
		rj_from=0
	fi
	[ "$rj_from" -lt "$3" ] || return 0
	rj_lag=$((${rj_lag:-0} + $3 - rj_from)) rj_sent=1
	rj_send_frame "$rj_uuid/$1" "$rj_from" "$3"
	rj_from=$3
}

# Succeed if job $1, which has no exit record, has ended. Sets rj_supervisor_pid (0 if that is dead or unknown), and what
# rj_read_identity sets.
rj_has_died() {
	rj_read_identity "$1"
	rj_supervisor_pid=${rj_pid:-0}
	[ "$rj_pid" ] || return 1
	! rj_alive "$rj_pid" "$rj_begin" "$rj_booted" "$rj_place" "$rj_site" || return 1
	rj_supervisor_pid=0
	[ "$rj_booted" = "$rj_boot" ] || return 0
	rj_seen=''
	rj_list_pids "$1" "${rj_main:-0}" "${rj_main_begin:--}"
	[ -z "$rj_pids" ]
}

# Add child process $1 to rj_children, to be killed later.
rj_note_child() { ! rj_proc "$1" || rj_children="$rj_children $1:$rj_start"; }

# Kill the children rj_children, unless their pids were reused. SIGKILL, because a child that has not become tail yet is a
# shell: it would only note SIGTERM, and lose it at exec.
rj_kill_children() {
	for rj_word in $rj_children; do
		! rj_proc "${rj_word%%:*}" || [ "$rj_start" != "${rj_word#*:}" ] || kill -KILL "${rj_word%%:*}"
	done 2>/dev/null
	rj_children=''
}
