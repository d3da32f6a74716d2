# Operation start: stage jobs from the lines of a request, commit them, launch them.
#
# The lines of a request, each a key and a value:
#   now TIME             the current time, from a client on the same machine
#   jobs UUID...         jobs of the lines below: one process makes the folders of all
#   job UUID             a job; the lines up to the next one are about it
#   copy UUID            it takes over the files of that job
#   text NAME ESCAPED    a short file of it
#   part NAME SIZE       a file of it that is in the body, in the order of these lines
#   limit SECONDS        its time limit
#   record REST          its start event, without the fields up to the time, which rj_number_job adds
#   secret KEY=ESCAPED   a variable that is written to no disk

# Create the owner's folders and files that are missing; abort the request if that is impossible. Sets rj_host.
rj_make_owner() {
	[ -d "$rj_owner/jobs" ] && [ -d "$rj_owner/ids" ] && [ -d "$rj_owner/new" ] && [ -d "$rj_owner/live" ] && [ -d "$rj_owner/ends" ] ||
		mkdir -p "$rj_owner/jobs" "$rj_owner/ids" "$rj_owner/new" "$rj_owner/live" "$rj_owner/ends" 2>/dev/null || rj_fail read-only "$rj_owner"
	# Never leave it empty: on a full disk there is room left in the block that it has.
	[ -s "$rj_owner/bell" ] || rj_ring
	rj_read_host
	rj_word=''
	{ IFS= read -r rj_word <"$rj_owner/host"; } 2>/dev/null
	[ "$rj_word" = "$rj_host" ] || { { printf '%s\n' "$rj_host" >"$rj_owner/host.$$" && mv -f "$rj_owner/host.$$" "$rj_owner/host"; } 2>/dev/null ||
		rm -f "$rj_owner/host.$$"; }
	rj_word=''
	{ { read -r rj_word; IFS= read -r rj_word; } <"$rj_home/rjob"; } 2>/dev/null
	rj_line="exec sh \"\${0%/*}/runner/${rj_self##*/}\" host \"\$@\""
	[ "$rj_word" = "$rj_line" ] ||
		{ printf '%s\n' '#!/bin/sh' "$rj_line" >"$rj_home/rjob.$$" && chmod 700 "$rj_home/rjob.$$" && mv -f "$rj_home/rjob.$$" "$rj_home/rjob"; } 2>/dev/null ||
		rm -f "$rj_home/rjob.$$"
	#@ owner-made
}

# Stage, commit and launch the jobs of the request whose lines are $*. Reads the rj_size bytes of its body from standard
# input and nothing behind them. Reads rj_token (names the folder in which it stages).
rj_start() {
	rj_begin_start
	for rj_value; do rj_take_line "$rj_value"; done
	rj_finish_start
}

# Perform the operation start: read the rj_count lines of the request and `go`, then do what rj_start does. One by one,
# because a shell takes ever longer to append to its arguments. Until all is there, only this request's folder changes.
rj_op_start() {
	rj_begin_start
	while [ "$rj_count" -gt 0 ]; do
		IFS= read -r rj_value || rj_abort cut "the request ended early"
		rj_take_line "$rj_value"
		rj_count=$((rj_count - 1))
	done
	IFS=' ' read -r rj_value || rj_abort cut "the request ended early"
	[ "$rj_value" = go ] || rj_abort cut "the request is broken"
	rj_finish_start
}

# Prepare for the lines of a request. Sets what rj_take_line adds to: rj_new (its folder), rj_jobs, rj_number (how many),
# rj_parts, rj_sum (their bytes), rj_now and rj_dir.
rj_begin_start() {
	rj_make_owner
	rj_new=$rj_owner/new/$rj_token
	rj_jobs='' rj_number=0 rj_parts='' rj_sum=0 rj_now='' rj_dir=''
}

# Store what line $1 of a request brings in the folder of its job, rj_dir. Aborts if the line is malformed.
rj_take_line() {
	rj_value=${1#* }
	case $1 in
	'now '*) rj_now=$rj_value ;;
	'jobs '*) rj_make_folders "$rj_value" ;;
	'job '*) rj_begin_job "$rj_value" ;;
	'copy '* | 'text '* | 'part '* | 'limit '* | 'record '* | 'secret '*)
		[ "$rj_dir" ] || rj_abort cut "the request is broken"
		rj_take_field "${1%% *}" "$rj_value"
		;;
	*) rj_abort unknown-line "${1%% *}" ;;
	esac
}

# Store value $2 of key $1 for the job that is being staged; abort if the line is malformed or the disk full.
rj_take_field() {
	case $1 in
	copy) rj_copy_job "$2" ;;
	text)
		rj_check_name "${2%% *}"
		rj_unescape "${2#* }"
		{ printf %s "$rj_plain" >"$rj_dir/${2%% *}"; } 2>/dev/null
		;;
	part)
		rj_check_name "${2%% *}"
		case ${2#* } in '' | *[!0-9]*) rj_abort cut "the request is broken" ;; esac
		rj_parts="$rj_parts ${rj_dir##*/}/$2" rj_sum=$((rj_sum + ${2#* }))
		;;
	limit) { printf '%s\n' "$2" >"$rj_dir/limit"; } 2>/dev/null ;;
	record) { printf '%s\n' "$2" >"$rj_dir/start"; } 2>/dev/null ;;
	secret)
		rj_unescape "${2#*=}"
		rj_quote "$rj_plain"
		# In a shell variable for each job: through the runner's environment, every job would get all secrets.
		eval "rj_secrets_$rj_number=\${rj_secrets_$rj_number}\"export \${2%%=*}=\$rj_quoted\$rj_newline\""
		;;
	esac || rj_abort no-space "$rj_owner"
}

# Check that a client may bring a file called $1; abort if not.
rj_check_name() { case $1 in spec | spec.json | env | job.json | script | stdin) ;; *) rj_abort unknown-line "$1" ;; esac; }

# Create the folders of jobs $1 (words), which are to be staged.
rj_make_folders() {
	case $1 in *[!0-9a-f\ -]*) rj_abort cut "the request is broken" ;; esac
	[ -d "$rj_new" ] || mkdir -p "$rj_new" 2>/dev/null || rj_abort read-only "$rj_owner"
	# shellcheck disable=SC2086
	(cd "$rj_new" && mkdir -p $1) 2>/dev/null || rj_abort no-space "$rj_owner"
}

# Create the folder of job $1, with the files that each job has. Sets rj_dir. Adds to rj_jobs and rj_number.
rj_begin_job() {
	case $1 in '' | *[!0-9a-f-]*) rj_abort cut "the request is broken" ;; esac
	rj_dir=$rj_new/$1 rj_jobs="$rj_jobs $1" rj_number=$((rj_number + 1))
	eval "rj_secrets_$rj_number=''"
	[ -d "$rj_dir" ] || mkdir -p "$rj_dir" 2>/dev/null || rj_abort no-space "$rj_owner"
	# Reserve the space for what must be written even on a full disk.
	{
		true >"$rj_dir/out" && true >"$rj_dir/err" && printf '%-63s\n' '' >"$rj_dir/exit.new" &&
			printf '%-63s\n' '' >"$rj_dir/mark.new" && printf '%-31s %-31s\n' 0 0 >"$rj_dir/received"
	} 2>/dev/null || rj_abort no-space "$rj_owner"
	#@ laid-out
}

# Copy the files of job $1 that say what to run to rj_dir. A job of rjob 0.1 has no spec.json.
rj_copy_job() {
	case $1 in '' | *[!0-9a-f-]*) rj_abort cut "the request is broken" ;; esac
	rj_file=$rj_owner/jobs/$1
	set --
	for rj_word in spec spec.json env job.json script stdin limit; do
		[ ! -e "$rj_file/$rj_word" ] || set -- "$@" "$rj_file/$rj_word"
	done
	[ -e "$rj_file/spec" ] || rj_abort missing "$rj_file/spec"
	cp "$@" "$rj_dir/" 2>/dev/null
}

# Read the body, then commit and launch the jobs: all lines are there.
rj_finish_start() {
	[ "$rj_sum" -eq "$rj_size" ] || rj_abort cut "the request is broken"
	# shellcheck disable=SC2086
	rj_read_parts $rj_parts
	# A client on this very machine has sent the time already.
	[ "$rj_now" ] || rj_read_now
	rj_find_detach
	printf 'machine %s %s\n' "$rj_machine" "$rj_host"
	# Now, because it costs processes, and others may wait for the lock.
	rj_read_tail
	rj_lock
	rj_commit
	rj_pick_cgroups
	rj_launch_all
}

# Read the parts of the body into files of rj_new. $*: NAME SIZE for each, where NAME includes the job's folder.
rj_read_parts() {
	while [ $# -gt 1 ]; do
		rj_read_bytes "$2" "$rj_new/$1"
		case $1 in */script) chmod 700 "$rj_new/$1" ;; esac
		shift 2
	done
}

# Move exactly $1 bytes from standard input to file $2, and leave what follows for other readers. dd does that; the head of
# some systems reads ahead.
rj_read_bytes() {
	{ true >"$2"; } 2>/dev/null || rj_abort no-space "$rj_owner"
	[ "$1" -gt 0 ] || return 0
	rj_blocks=$(($1 / 65536)) rj_rest=$(($1 % 65536))
	{
		{ [ "$rj_blocks" -eq 0 ] || dd bs=65536 "count=$rj_blocks" iflag=fullblock; } &&
			{ [ "$rj_rest" -eq 0 ] || dd "bs=$rj_rest" count=1 iflag=fullblock; }
	} >>"$2" 2>/dev/null || {
		# A dd that does not know that flag has read nothing.
		! dd count=0 iflag=fullblock </dev/null >/dev/null 2>&1 || rj_abort no-space "$rj_owner"
		rj_read_pieces "$1" "$2"
	}
	[ "$(($(wc -c <"$2")))" -eq "$1" ] || rj_abort cut "the request ended early"
}

# Move exactly $1 bytes to file $2 like rj_read_bytes, but with one dd for each piece that arrives.
rj_read_pieces() {
	rj_got=0
	while [ "$rj_got" -lt "$1" ]; do
		rj_rest=$(($1 - rj_got)) rj_was=$rj_got
		[ "$rj_rest" -le 65536 ] || rj_rest=65536
		dd "bs=$rj_rest" count=1 >>"$2" 2>/dev/null || rj_abort no-space "$rj_owner"
		rj_got=$(($(wc -c <"$2")))
		[ "$rj_got" -gt "$rj_was" ] || return 0
	done
}

# Give up before anything was committed: delete what was staged, reply with error $1 and text $2.
rj_abort() {
	rm -rf "$rj_new"
	rj_fail "$1" "$2"
}

# Decode %0A (a newline) and %25 (a percent sign) in $1. Sets rj_plain. Uses only expansions: the value may be secret.
rj_unescape() {
	rj_rest=$1 rj_plain=''
	while :; do
		case $rj_rest in
		*%*) ;;
		*) break ;;
		esac
		rj_plain=$rj_plain${rj_rest%%%*}
		rj_rest=${rj_rest#*%}
		case $rj_rest in
		0A*) rj_plain=$rj_plain$rj_newline ;;
		25*) rj_plain="$rj_plain%" ;;
		esac
		rj_rest=${rj_rest#??}
	done
	rj_plain=$rj_plain$rj_rest
}

# Put $1 in single quotes, for eval. Sets rj_quoted.
rj_quote() {
	rj_rest=$1 rj_quoted=''
	while :; do
		case $rj_rest in
		*"'"*) ;;
		*) break ;;
		esac
		rj_quoted="$rj_quoted${rj_rest%%"'"*}'\\''"
		rj_rest=${rj_rest#*"'"}
	done
	rj_quoted="'$rj_quoted$rj_rest'"
}

# Give each staged job that does not exist yet its id, move it to jobs/, journal it. Fifty at a time, because a shell takes
# ever longer to append to a text. Leaves the lines of the last ones in rj_lines, for rj_publish. The caller holds the lock.
rj_commit() {
	rj_read_next
	rj_check_next
	rj_lines='' rj_moves='' rj_first=$rj_next
	for rj_one in $rj_jobs; do
		[ ! -d "$rj_owner/jobs/$rj_one" ] || continue
		if [ $((rj_next - rj_first)) -ge 50 ]; then
			rj_move_in || return 0
			rj_append "${rj_lines%?}" 2>/dev/null || :
			rj_lines='' rj_moves='' rj_first=$rj_next
		fi
		rj_number_job "$rj_one" || { rj_keep_moved; return 0; }
	done
	[ -z "$rj_moves" ] || rj_move_in || return 0
	#@ committed
}

# Give the staged job $1 the id rj_next. Adds to rj_next, rj_lines and rj_moves. Fails on a full disk.
rj_number_job() {
	rj_is_count "$rj_next" || {
		rm -rf "$rj_new"
		rj_unlock
		rj_fail numbers "$rj_owner"
	}
	rj_line=''
	IFS= read -r rj_line <"$rj_new/$1/start"
	rj_line='{"v":1,"event":"start","id":'$rj_next',"instance":"'$1'","time":"'$rj_now'",'$rj_line
	{ printf '%s\n' "$rj_line" >"$rj_new/$1/start" && printf '%s\n' "$rj_next" >"$rj_new/$1/id"; } 2>/dev/null || return 1
	rj_lines=$rj_lines$rj_line$rj_newline rj_moves="$rj_moves $1"
	rj_next=$((rj_next + 1))
}

# Move the staged jobs rj_moves to jobs/, under the ids from rj_first on. Fails, after rj_keep_moved, if that is impossible.
rj_move_in() {
	#@ numbered
	# `next` grows before any job has the id, so no id is used twice.
	{ rj_write_next && rj_write_ahead "${rj_lines%?}"; } 2>/dev/null || { rj_keep_moved; return 1; }
	set --
	for rj_uuid in $rj_moves; do
		{ printf '%s\n' "$rj_uuid" >"$rj_owner/ids/$rj_first" && printf '%s\n' "$rj_uuid" >"$rj_owner/live/$rj_first"; } 2>/dev/null ||
			{ rj_keep_moved; return 1; }
		#@ listed
		set -- "$@" "$rj_new/$rj_uuid"
		rj_first=$((rj_first + 1))
	done
	mv "$@" "$rj_owner/jobs/" 2>/dev/null || { rj_keep_moved; return 1; }
	#@ moved-in
}

# Handle a full disk, or folders that cannot be moved: the jobs of this request that are in jobs/ are launched all the same,
# and `pending` tells of them. If there are none, give up.
rj_keep_moved() {
	rj_lines='' rj_backlog=1
	for rj_uuid in $rj_jobs; do
		[ ! -d "$rj_owner/jobs/$rj_uuid" ] || return 0
	done
	rj_abort_no_space
}

# Journal what was committed, and release the lock, once. The jobs exist already; this happens while the first one starts.
rj_publish() {
	[ -z "$rj_published" ] || return 0
	# If the process that took the lock is dead, the next holder does this.
	# shellcheck disable=SC2086
	rj_alive $rj_me || return 0
	if [ "$rj_lines" ]; then rj_append "${rj_lines%?}"; elif [ "$rj_backlog" ]; then rj_recover; fi 2>/dev/null || :
	rj_journal_left
	rj_drop_scribe
	#@ published
	rj_unlock "$rj_new"
}

# Check rj_next against ids/ and the end of the registry: `next` may be an old copy, and an id would be given twice.
# Corrects rj_next (and rj_removed). Reads rj_tail: ids that were given since it was read are in `next`.
rj_check_next() {
	case $rj_tail in *"$rj_newline.") ;; *) rj_read_tail ;; esac
	rj_told=0
	set -f
	IFS=$rj_newline
	for rj_line in $rj_tail; do
		case $rj_line in '{"v":'*',"event":"'*'","id":'*'}') ;; *) continue ;; esac
		rj_word=${rj_line#*'","id":'} rj_word=${rj_word%%,*}
		rj_is_count "$rj_word" && [ "$rj_word" -gt "$rj_told" ] && rj_told=$rj_word
	done
	unset IFS
	set +f
	if [ -e "$rj_owner/ids/$rj_next" ] || [ "$rj_told" -ge "$rj_next" ]; then
		rj_highest
		rj_count_removed
	fi
}

# Read the end of the registry, with a dot added. Sets rj_tail, from which rj_write sees whether the last line is complete.
rj_read_tail() {
	{ rj_tail=$(tail -c 4096 "$rj_owner/registry.jsonl" && echo .); } 2>/dev/null
	case $rj_tail in
	*.) ;;
	# yash stops at the first byte that is no character in this locale.
	*) { rj_tail=$(tail -c 4096 "$rj_owner/registry.jsonl" | LC_ALL=C tr -c '\012\040-\176' '[?*]' && echo .); } 2>/dev/null ;;
	esac
}

# Give up with the lock held: delete what was staged, release the lock, reply with an error.
rj_abort_no_space() {
	rm -rf "$rj_new"
	rj_unlock
	[ ! -d "$rj_owner/next" ] || rj_fail broken "$rj_owner/next"
	rj_fail no-space "$rj_owner"
}
