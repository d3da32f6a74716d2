# op: start.  Commit and launch jobs.

# The bytes of a request: parts of known sizes, one behind the other.  Nothing is done before all of them are there.
rj_stage() { # SIZE
	cat >"$rj_new/body" 2>/dev/null || { rm -rf "$rj_new"; rj_fail no-space "$rj_owner"; }
	if [ "$(($(wc -c <"$rj_new/body")))" -ne "$1" ]; then
		rm -rf "$rj_new"
		rj_fail cut "the request ended early"
	fi
}

# UUID COPY PARTS...: lay out a job's folder in $rj_new from the body, or from job COPY's.
rj_lay_out() {
	rj_dir=$rj_new/$1
	mkdir -p "$rj_dir" 2>/dev/null || return 1
	if [ "$2" != - ]; then
		for rj_file in spec env job.json script stdin limit; do
			[ ! -e "$rj_owner/jobs/$2/$rj_file" ] || cp "$rj_owner/jobs/$2/$rj_file" "$rj_dir/$rj_file" || return 1
		done
		[ -e "$rj_dir/spec" ] || return 1
	fi
	shift 2
	while [ $# -gt 1 ]; do
		if [ "$rj_at" -eq 0 ] && [ "$2" -eq "$rj_size" ]; then
			mv "$rj_new/body" "$rj_dir/$1"
		else
			tail -c "+$((rj_at + 1))" "$rj_new/body" | head -c "$2" >"$rj_dir/$1"
			[ "$(($(wc -c <"$rj_dir/$1")))" -eq "$2" ] || return 1
		fi
		rj_at=$((rj_at + $2))
		shift 2
	done
	[ ! -e "$rj_dir/script" ] || chmod 700 "$rj_dir/script"
	# What has to be written on a full disk has its place from the beginning.
	{
		true >"$rj_dir/out" && true >"$rj_dir/err" && printf '%-63s\n' '' >"$rj_dir/exit.new" &&
			printf '%-63s\n' '' >"$rj_dir/mark.new" && printf '%-31s %-31s\n' 0 0 >"$rj_dir/received"
	} 2>/dev/null || return 1
	#@ laid-out
}

rj_make_owner() {
	[ -d "$rj_owner/jobs" ] && [ -d "$rj_owner/ids" ] && [ -d "$rj_owner/new" ] && [ -d "$rj_owner/live" ] ||
		mkdir -p "$rj_owner/jobs" "$rj_owner/ids" "$rj_owner/new" "$rj_owner/live" 2>/dev/null || rj_fail read-only "$rj_owner"
	# Never empty: on a full disk there is room left in what it has.
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

# COUNT [NOW], then for each job its UUID, COPY, PARTS, SPEC and ENV (escaped; empty if a part or copied), LIMIT, the rest of its
# start line, SECRETS and so many KEY=VALUE lines (VALUE escaped).
rj_op_start() { rj_start "$@"; }

rj_start() {
	rj_make_owner
	rj_new=$rj_owner/new/$rj_token
	if [ "$rj_size" -gt 0 ]; then
		mkdir -p "$rj_new" 2>/dev/null || rj_fail read-only "$rj_owner"
		rj_stage "$rj_size"
	fi
	rj_at=0 rj_jobs='' rj_total=$1 rj_count=${1%% *} rj_now=${1#* }
	# A client on this very machine has told the time already.
	[ "$rj_now" != "$1" ] || rj_read_now
	shift
	while [ "$rj_count" -gt 0 ]; do
		rj_jobs="$rj_jobs $1"
		# shellcheck disable=SC2086
		rj_lay_out "$1" "$2" $3 || { rm -rf "$rj_new"; rj_fail no-space "$rj_owner"; }
		{
			rj_stage_text spec "$1" "$4" && rj_stage_text env "$1" "$5" &&
				{ [ -z "$6" ] || printf '%s\n' "$6" >"$rj_new/$1/limit"; } &&
				printf '%s\n' "$7" >"$rj_new/$1/start"
		} 2>/dev/null || { rm -rf "$rj_new"; rj_fail no-space "$rj_owner"; }
		rj_left=$8 rj_text=''
		shift 8
		while [ "$rj_left" -gt 0 ]; do
			rj_unescape "${1#*=}"
			rj_quote "$rj_plain"
			rj_text="${rj_text}export ${1%%=*}=$rj_quoted$rj_newline"
			rj_left=$((rj_left - 1))
			shift
		done
		# Kept in a variable of this job's: the environment of the runner would hand secrets to every job.
		eval "rj_secrets_$rj_count=\$rj_text"
		rj_count=$((rj_count - 1))
	done
	rj_find_detach
	printf 'machine %s %s\n' "$rj_machine" "$rj_host"
	rj_lock
	rj_commit
	rj_pick_cgroups
	rj_published='' rj_count=${rj_total%% *}
	for rj_uuid in $rj_jobs; do
		IFS= read -r rj_id <"$rj_owner/jobs/$rj_uuid/id"
		printf 'job %s %s\n' "$rj_uuid" "$rj_id"
		eval "rj_plain=\$rj_secrets_$rj_count"
		rj_launch "$rj_uuid" "$rj_plain"
		rj_published=1 rj_count=$((rj_count - 1))
	done
}

# Write the escaped text $3 as file $1 of the staged job $2, unless it is empty.
rj_stage_text() {
	[ "$3" ] || return 0
	rj_unescape "$3"
	printf %s "$rj_plain" >"$rj_new/$2/$1"
}

# Journal what was committed and let go of the lock.  The jobs exist already; this happens while the first one starts.
rj_publish() {
	[ -z "$rj_published" ] || return 0
	# Should the process that took the lock be dead, whoever takes it next is doing this.
	# shellcheck disable=SC2086
	rj_alive $rj_me || return 0
	[ -z "$rj_lines" ] || rj_append "${rj_lines%?}" 2>/dev/null || :
	rj_settle_live
	#@ published
	rj_unlock "$rj_new"
}

# Newlines and percent signs travel as %0A and %25.  Nothing but expansions: the value may be secret: rj_plain.
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

# Write $1 in single quotes, for eval: rj_quoted.
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

# With the lock: give every staged job that is not there yet its number, move it in, journal it.
rj_commit() {
	rj_read_next
	rj_check_next
	rj_lines='' rj_moves='' rj_first=$rj_next
	for rj_uuid in $rj_jobs; do
		[ ! -d "$rj_owner/jobs/$rj_uuid" ] || continue
		rj_dir=$rj_new/$rj_uuid
		IFS= read -r rj_line <"$rj_dir/start"
		rj_is_count "$rj_next" || {
			rm -rf "$rj_new"
			rj_unlock
			rj_fail numbers "$rj_owner"
		}
		rj_line='{"v":1,"event":"start","id":'$rj_next',"instance":"'$rj_uuid'","time":"'$rj_now'",'$rj_line
		{ printf '%s\n' "$rj_line" >"$rj_dir/start" && printf '%s\n' "$rj_next" >"$rj_dir/id"; } 2>/dev/null || rj_full
		rj_lines=$rj_lines$rj_line$rj_newline rj_moves="$rj_moves $rj_uuid"
		rj_next=$((rj_next + 1))
	done
	[ "$rj_moves" ] || return 0
	#@ numbered
	# The number is spent before anything bears it.
	{ rj_write_next && rj_intend "${rj_lines%?}"; } 2>/dev/null || rj_full
	for rj_uuid in $rj_moves; do
		{ printf '%s\n' "$rj_uuid" >"$rj_owner/ids/$rj_first" && printf '%s\n' "$rj_uuid" >"$rj_owner/live/$rj_first"; } 2>/dev/null || rj_full
		#@ listed
		mv "$rj_new/$rj_uuid" "$rj_owner/jobs/$rj_uuid" 2>/dev/null || rj_full
		#@ moved-in
		rj_first=$((rj_first + 1))
	done
	#@ committed
}

# next may be an old copy: what ids/ and the end of the registry tell counts more, or a number would be given twice.
# Reads rj_next, and sets it where it was wrong; sets rj_tail.
rj_check_next() {
	rj_read_tail
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

# Read the end of the registry, with a dot behind: rj_tail.  rj_write takes from it whether the last line is whole.
rj_read_tail() {
	{ rj_tail=$(tail -c 4096 "$rj_owner/registry.jsonl" && echo .); } 2>/dev/null
	case $rj_tail in
	*.) ;;
	# yash reads no further than the first byte that is no character here.
	*) { rj_tail=$(tail -c 4096 "$rj_owner/registry.jsonl" | LC_ALL=C tr -c '\012\040-\176' '[?*]' && echo .); } 2>/dev/null ;;
	esac
}

# Give up: nothing of what was staged stays.
rj_full() {
	rm -rf "$rj_new"
	rj_unlock
	[ ! -d "$rj_owner/next" ] || rj_fail broken "$rj_owner/next"
	rj_fail no-space "$rj_owner"
}

# What can give a process a session of its own here: rj_detach, rj_tool.
rj_find_detach() {
	rj_detach=setsid rj_tool=/usr/bin/setsid
	[ ! -x "$rj_tool" ] || case :$PATH: in *:/usr/bin:*) return ;; esac
	for rj_detach in setsid perl python3; do
		rj_tool=$(command -v "$rj_detach" 2>/dev/null) && case $rj_tool in /*) return ;; esac
	done
	rj_detach=none rj_tool=-
}

# Where jobs can get cgroups of their own: rj_cgroups, empty if nowhere; rj_nested is 1 where this is a job's own cgroup.
# A job that starts another must not take it along, so a job's cgroup is never below another's.
rj_pick_cgroups() {
	rj_cgroups=${RJOB_CGROUP-} rj_nested=''
	if [ "$rj_cgroups" = none ]; then rj_cgroups=''; fi
	if [ -z "${RJOB_CGROUP-}" ] && [ -r /proc/self/cgroup ]; then
		while IFS= read -r rj_line; do
			case $rj_line in 0::/*) rj_cgroups=${rj_line#0::} ;; esac
		done </proc/self/cgroup
		case $rj_cgroups in */rjob-????????-*) rj_cgroups=${rj_cgroups%%/rjob-*} rj_nested=1 ;; esac
		for rj_file in /sys/fs/cgroup /sys/fs/cgroup/unified; do
			[ ! -e "$rj_file/cgroup.controllers" ] || break
		done
		rj_cgroups=$rj_file${rj_cgroups%/}
	fi
	[ -w "$rj_cgroups" ] && [ -w "$rj_cgroups/cgroup.procs" ] || rj_cgroups=''
}

# The supervisor, JOB UMASK DETACH TOOL BEGIN TOKEN CHECK NAMESPACE SECRETS CGROUP: waits for the command and records its end.
# It catches signals with a handler, for what it ignored the command would inherit.
# The identity names who claimed the run: never record the end of a run that another supervisor claimed.
# 128+n cannot be told from a command's own status, but ksh93 (256+n) and yash (384+n) know better.
# The record's blocks were taken at commit, so a full disk can neither keep the truth out nor let half of it in.
# It ends the watcher of the time limit with its own process group, whose number cannot be anybody else's while it lives;
# a watcher that is at work must finish that.  Where there is no setsid the group is the caller's, and is left alone.
rj_supervisor='trap : HUP INT TERM
cd /
if [ -s "$1/limit" ]; then exec sh "$0" watch "$1" "$7" </dev/null >/dev/null 2>&1 & fi
sh "$0" become "$1" "$2" "$3" "$4" "$5" "$6" "$8" "$$" "$9" "${10}"
set -- "$1" "$?" "$3" "$6" "$7" "${!-}"
exec </dev/null >/dev/null 2>&1
rj_watched() { [ "$1" ] && [ "$1" != 0 ] && [ "$2" != none ]; }
rj_pid= rj_token= rj_signal=- rj_status=$2 rj_tries=0
IFS=" " read -r rj_pid rj_1 rj_2 rj_3 rj_4 rj_token rj_5 <"$1/identity"
[ "$rj_pid $rj_token" = "$$ $4" ] || { rj_watched "$6" "$3" && kill -TERM 0; exit; }
[ "$2" -le 256 ] || rj_signal=$(($2 - 256)) rj_status=$(($2 - 128))
[ "$2" -le 384 ] || rj_signal=$(($2 - 384)) rj_status=$(($2 - 256))
#@ command-ended
rj_line="1 $rj_status $rj_signal $(date -u +%Y-%m-%dT%H:%M:%SZ)"
until printf "%-63s\n" "$rj_line" 1<>"$1/exit.new" && mv -f "$1/exit.new" "$1/exit"; do
	rj_tries=$((rj_tries + 1))
	[ "$rj_tries" -lt 60 ] && [ -d "$1" ] || exit 1
	sleep 1
done
printf . >>"${1%/jobs/*}/bell"
#@ end-recorded
[ -e "$1/expired" ] || { rj_watched "$6" "$3" && kill -TERM 0; }
eval "$5"
rj_self=$0 rj_spoilt=
rj_check "${0%/runner/*}"
[ "$rj_problem$rj_spoilt" ] || exec sh "$0" ended "$1" "$rj_namespace"'

# Start the supervisor of job $1 in a session of its own; $2 is 1 where standard input brings its secrets.
# Its standard output tells when the command is about to run.
rj_start_supervisor() {
	# The cookie is what exec was given: none of an outer job's may be seen on this one's supervisor.
	unset RJOB_INSTANCE RJOB_ID
	RJOB_SUPERVISES=$1
	export RJOB_SUPERVISES
	[ -z "$rj_cgroups" ] || [ -z "$rj_nested" ] || { echo 0 >"$rj_cgroups/cgroup.procs"; } 2>/dev/null
	set -- sh -c "$rj_supervisor" "$rj_self" "$rj_owner/jobs/$1" "$rj_umask" "$rj_detach" "$rj_tool" "$rj_now" "$rj_token" \
		"$rj_check_text" "$rj_namespace" "$2" "${rj_cgroups:--}"
	exec 2>/dev/null
	case $rj_detach in
	# Not every setsid can be told to fork.  But where the first one leads a session, a second one has to, and
	# returns: unlike "&", that leaves SIGINT alone.
	setsid) "$rj_tool" -f "$@" || "$rj_tool" "$rj_tool" "$@" ;;
	perl) "$rj_tool" -e 'use POSIX (); fork and exit; POSIX::setsid(); exec @ARGV' -- "$@" ;;
	python3) "$rj_tool" -c 'import os, sys
if os.fork() == 0:
    os.setsid()
    os.execvp(sys.argv[1], sys.argv[1:])' "$@" ;;
	*) (trap '' HUP; exec "$@") & ;;
	esac
}

# Publish what was committed, and tell whether the command of job $1 is about to run, as standard input says.
rj_await() {
	rj_publish
	rj_word=''
	IFS= read -r rj_word || :
	if [ "$rj_word" = started ] || [ -e "$rj_owner/jobs/$1/identity" ]; then
		printf 'started %s\n' "$1"
	else
		printf 'unstarted %s\n' "$1"
	fi
}

# Print the secrets $1 for the job's own process.  A printf that is a program of its own would show them in its arguments.
rj_print_secrets() {
	if [ "$(command -v print)" = print ]; then print -r -- "$1#end $rj_token"; else printf '%s#end %s\n' "$1" "$rj_token"; fi
}

# Start the supervisor of job $1, unless there was one, and wait until the command is about to run.  $2: its secrets.
rj_launch() {
	if [ -e "$rj_owner/jobs/$1/identity" ]; then
		rj_publish
		printf 'started %s\n' "$1"
	elif [ "$2" ]; then
		rj_print_secrets "$2" | rj_start_supervisor "$1" 1 | rj_await "$1"
	else
		rj_start_supervisor "$1" '' </dev/null | rj_await "$1"
	fi
}
