# The POSIX runner: reads and writes the files of jobs on one machine and handles their processes.  It tells facts;
# what they mean is decided elsewhere.  protocol.py describes the operations, docs/explanation/runner.md the reasons.
#
# Run as
#   . FILE MARKER              by the bootstrap: serve one request from stdin, reply on stdout
#   sh FILE become|watch|ended|expire JOB ...  the life of one job
#   sh FILE host get|tail|stop ...                    for people on the machine
#
# Every name begins with rj_, so that no variable of the caller's environment, which the job inherits, is touched.
# A shell reads a script command by command: what comes first here never parses the rest.  What stays for the life of a
# job, the supervisor, is a text of its own (in start.sh): it needs no file, and little memory.

# Facts of process $1: rj_state, rj_start (when it began, in whatever unit the system has), rj_sid.  Fails if there is none.
rj_proc() {
	rj_state='' rj_start='' rj_sid=''
	if [ -r "/proc/$$/stat" ]; then
		rj_line=''
		{ while IFS= read -r rj_part; do rj_line="$rj_line $rj_part"; done <"/proc/$1/stat"; } 2>/dev/null
		[ "$rj_line" ] || return 1
		# The name may hold blanks and parentheses: what counts begins after the last one.
		# shellcheck disable=SC2086
		set -- ${rj_line##*") "}
		rj_state=$1 rj_sid=$4 rj_start=${20}
	elif rj_line=$(LC_ALL=C TZ=UTC0 ps -o stat= -o lstart= -p "$1" 2>/dev/null) && [ "$rj_line" ]; then
		rj_sid=$1
		# shellcheck disable=SC2086
		set -- $rj_line
		rj_state=$1 rj_start=$2_$3_$4_$5_$6
	else
		# Neither /proc nor ps: a living pid is all that can be known.
		kill -0 "$1" 2>/dev/null || return 1
		rj_state='?' rj_start=- rj_sid=$1
	fi
}

# Which boot of the machine this is: rj_boot.
rj_read_boot() {
	rj_boot=''
	{ IFS= read -r rj_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null ||
		rj_boot=$(sysctl -n kern.bootsessionuuid 2>/dev/null) ||
		rj_boot=$(sysctl -n kern.boottime 2>/dev/null | tr -cd '0-9,')
	rj_boot=${rj_boot:--}
}

if [ "${1-}" = become ]; then
	# become JOB UMASK RUNG TOOL BEGIN TOKEN SUPERVISOR: turn this process into the job's command, a session's leader.
	rj_job=$2 rj_umask=$3 rj_rung=$4 rj_tool=$5
	rj_proc "$8" || exit 0
	rj_read_boot
	# The claim, for the supervisor: whoever creates the file runs the job.  It is complete or absent but for an instant.
	set -C
	{ printf '%s\n' "$8 ${rj_start:--} $rj_boot $4 $6 $7" >"$rj_job/identity"; } 2>/dev/null || exit 0
	set +C
	rj_proc $$
	RJOB_INSTANCE=${rj_job##*/}
	IFS= read -r RJOB_ID <"$rj_job/id"
	export RJOB_INSTANCE RJOB_ID
	unset RJOB_SUPERVISES OLDPWD
	if ! { printf '%s\n' "$$ ${rj_start:--}" >"$rj_job/main"; } 2>/dev/null; then
		echo "no space left to start in" >"$rj_job/error"
		exit 126
	fi
	echo started
	rj_dir='' rj_merge='' rj_login='' rj_line='' rj_home_shell=${SHELL:-/bin/sh}
	set --
	. "$rj_job/spec"
	if [ $# -eq 0 ] && [ -z "$rj_line" ]; then
		echo "sh cannot read the command here: a locale such as C.UTF-8 must be set (LANG)" >"$rj_job/error"
		exit 126
	fi
	if [ -e "$rj_job/stdin" ]; then exec <"$rj_job/stdin"; fi
	if [ "$rj_merge" ]; then exec >>"$rj_job/out" 2>&1; else exec >>"$rj_job/out" 2>>"$rj_job/err"; fi
	if ! CDPATH= cd -- "${rj_dir:-${HOME:-/}}" 2>/dev/null; then
		printf 'cannot change to the directory %s\n' "${rj_dir:-${HOME:-/}}" >"$rj_job/error"
		exit 126
	fi
	umask "$rj_umask"
	if [ "$rj_login" ]; then
		case ${rj_home_shell##*/} in
		csh | tcsh) rj_own='if (-r ~/.login) source ~/.login; exec $argv:q' rj_flag=-c rj_name='' ;;
		fish) rj_own='exec $argv' rj_flag=-lc rj_name='' ;;
		*) rj_own='exec "$@"' rj_flag=-lc rj_name=rjob ;;
		esac
		if [ "$rj_line" ]; then
			[ "$rj_flag" != -c ] || rj_line="if (-r ~/.login) source ~/.login; $rj_line"
			set -- "$rj_home_shell" "$rj_flag" "$rj_line"
		else
			set -- "$rj_home_shell" "$rj_flag" "$rj_own" ${rj_name:+"$rj_name"} "$@"
		fi
	fi
	case $rj_rung in
	setsid) exec "$rj_tool" -- "$@" ;;
	perl) exec "$rj_tool" -e 'use POSIX (); POSIX::setsid(); exec { $ARGV[0] } @ARGV;
		my $status = $!{ENOENT} ? 127 : 126; print STDERR "$ARGV[0]: $!\n"; exit $status' -- "$@" ;;
	python3) exec "$rj_tool" -c 'import os, sys
os.setsid()
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(sys.argv[1] + ": " + error.strerror, file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)' "$@" ;;
	*)
		# env runs no builtin or function of some shell's, but takes a word with "=" for a setting.
		case $1 in *=*) exec "$@" ;; *) exec env -- "$@" ;; esac
		;;
	esac
	exit 126
fi

if [ "${1-}" = watch ]; then
	# watch JOB: end the job when its time is up.
	# Nobody waits for this: end the sleep with the watcher.  Not by TERM: a child that has not become sleep yet would
	# note that, as a shell does, and forget it.
	trap 'kill -KILL "$!" 2>/dev/null; exit' TERM
	[ ! -e "$2/exit" ] || exit
	IFS= read -r rj_limit <"$2/limit"
	exec sleep "$rj_limit" &
	wait "$!" && exec sh "$0" expire "$2"
	exit
fi

# What every operation stands on: the machine, the owner's folder, the numbers.

# Whether the process with pid $1, begin $2, boot $3 lives.
rj_alive() {
	[ "$3" = "$rj_boot" ] && rj_proc "$1" && [ "$rj_start" = "$2" ] || return 1
	case $rj_state in Z* | X*) return 1 ;; esac
}

rj_newline='
'

rj_nap() { sleep "$1" 2>/dev/null || sleep 1; }

rj_fail() { # CODE TEXT: the reply is an error, and nothing follows
	printf 'error %s %s\n%s end\n' "$1" "$2" "$rj_marker"
	exit 1
}

rj_read_now() { rj_now=$(date -u +%Y-%m-%dT%H:%M:%SZ); }

# The machine's own id, never its name: rj_machine.
rj_read_machine() {
	rj_machine=${RJOB_MACHINE-}
	[ "$rj_machine" ] || { IFS= read -r rj_machine </etc/machine-id; } 2>/dev/null || :
	if [ -z "$rj_machine" ] && command -v ioreg >/dev/null 2>&1; then
		rj_machine=$(ioreg -rd1 -c IOPlatformExpertDevice | sed -n 's/.*IOPlatformUUID" = "\(.*\)"/\1/p')
	fi
	if [ -z "$rj_machine" ]; then
		# A folder that several machines may share cannot hold it.
		rj_file=/var/tmp/rjob-machine-$(id -u)
		[ -s "$rj_file" ] || { set -C; { printf '%s\n' "$rj_marker" >"$rj_file"; } 2>/dev/null; set +C; }
		[ -O "$rj_file" ] && [ ! -h "$rj_file" ] || rj_fail foreign "$rj_file"
		IFS= read -r rj_machine <"$rj_file"
	fi
	case $rj_machine in '' | .* | *[!A-Za-z0-9._-]*) rj_fail machine "$rj_machine" ;; esac
	rj_owner=$rj_home/$rj_machine
}

rj_read_host() {
	rj_host=''
	{ IFS= read -r rj_host </proc/sys/kernel/hostname; } 2>/dev/null || rj_host=$(uname -n)
}

# next holds the next id and how many jobs were removed, in a line of fixed width that is overwritten in place.
rj_read_next() {
	rj_next='' rj_removed=''
	{ IFS=' ' read -r rj_next rj_removed <"$rj_owner/next"; } 2>/dev/null || :
	case $rj_next$rj_removed in
	*[!0-9]*) rj_next='' ;;
	esac
	if [ -z "$rj_next" ] || [ -z "$rj_removed" ]; then
		rj_removed=0
		rj_highest
	fi
}

# After next was lost: one more than the highest id that anything tells of.
rj_highest() {
	rj_next=$({
		sed -n 's/^{"v":[0-9]*,"event":"[a-z]*","id":\([0-9]\{1,15\}\),.*/\1/p' "$rj_owner/registry.jsonl" 2>/dev/null
		for rj_file in "$rj_owner"/ids/[0-9]*; do printf '%s\n' "${rj_file##*/}"; done | sed -n '/^[0-9]*$/p'
		find "$rj_owner/jobs" -name id -type f -exec cat {} + 2>/dev/null | sed -n '/^[0-9]\{1,15\}$/p'
	} | sort -n | tail -n 1)
	rj_next=$((${rj_next:-0} + 1))
}

rj_write_next() { printf '%-15s %-15s\n' "$rj_next" "$rj_removed" 1<>"$rj_owner/next"; }

# The lock of an owner: held only while an operation runs, carries its holder's identity.

# One file, made by link(2), whose text is its holder's identity.
rj_lock() {
	rj_proc $$
	rj_me="$$ ${rj_start:--} $rj_boot"
	rj_mine=$rj_owner/lock.$$.$rj_start
	{ printf '%s\n' "$rj_me" >"$rj_mine"; } 2>/dev/null || rj_fail no-space "$rj_owner"
	rj_round=0
	until [ ! -e "$rj_owner/lock" ] && ln "$rj_mine" "$rj_owner/lock" 2>/dev/null; do
		rj_held=''
		{ IFS= read -r rj_held <"$rj_owner/lock"; } 2>/dev/null
		# shellcheck disable=SC2086
		if [ "$rj_held" ] && ! rj_alive $rj_held; then
			rj_break
		elif [ "$rj_round" -gt 600 ]; then
			rm -f "$rj_mine"
			rj_fail locked "${rj_held:-somebody}"
		else
			# Not in step with the others who wait.
			rj_nap "0.0$((2 + (rj_round < 7 ? rj_round : 7) - ($$ + rj_round) % 3))"
		fi
		rj_round=$((rj_round + 1))
	done
	if [ -s "$rj_owner/pending" ]; then
		rj_recover || {
			rj_unlock
			rj_fail no-space "$rj_owner"
		}
	fi
}

rj_unlock() { # also takes away $1
	rm -rf "$rj_owner/lock" "$rj_mine" ${1:+"$1"}
}

# The holder $rj_held is dead.  Only one process may take its lock away, or a living successor's could be hit: each
# who would shows its identity as a file name, then looks; whoever sees another living one steps back.
rj_break() {
	# shellcheck disable=SC2086
	set -- $rj_me
	rj_claim=$rj_owner/breaking.$1.$2.$3
	: >"$rj_claim"
	for rj_other in "$rj_owner"/breaking.*; do
		[ "$rj_other" != "$rj_claim" ] || continue
		rj_word=${rj_other##*/breaking.}
		rj_pid=${rj_word%%.*} rj_word=${rj_word#*.}
		if rj_alive "$rj_pid" "${rj_word%%.*}" "${rj_word#*.}"; then
			rm -f "$rj_claim"
			rj_nap "0.0$((1 + $$ % 9))"
			return
		fi
		rm -f "$rj_other"
	done
	# What the dead one had started (a mv, say) is given the time to end.
	rj_nap 0.1
	rj_word=''
	{ IFS= read -r rj_word <"$rj_owner/lock"; } 2>/dev/null
	if [ "$rj_word" = "$rj_held" ]; then
		# shellcheck disable=SC2086
		set -- $rj_held
		rm -f "$rj_owner/lock" "$rj_owner/lock.$1.$2"
	fi
	rm -f "$rj_claim"
}

# The registry: a journal that is only appended to, by the holder of the lock.

# Append the lines $1.  They stand in pending from before the first change that they tell of until they are written.
rj_append() {
	if [ -s "$rj_owner/registry.jsonl" ] && [ "$(tail -c 1 "$rj_owner/registry.jsonl")" ]; then
		# A torn line costs nothing but itself.
		printf '\n' >>"$rj_owner/registry.jsonl"
	fi
	printf '%s\n' "$1" >>"$rj_owner/registry.jsonl" && : >"$rj_owner/pending"
}

rj_intend() { printf '%s\n' "$1" >"$rj_owner/pending"; }

# A holder died between its changes and its lines.
rj_recover() {
	rj_missing=''
	while IFS= read -r rj_line; do
		case $rj_line in '{"v":1,"event":"'*'}') ;; *) continue ;; esac
		rj_event=${rj_line#*'"event":"'} rj_event=${rj_event%%'"'*}
		rj_id=${rj_line#*'"id":'} rj_id=${rj_id%%,*}
		rj_uuid=${rj_line#*'"instance":"'} rj_uuid=${rj_uuid%%'"'*}
		case $rj_event in
		start)
			if [ ! -d "$rj_owner/jobs/$rj_uuid" ]; then
				rm -f "$rj_owner/ids/$rj_id" "$rj_owner/live/$rj_id"
				continue
			fi
			;;
		remove)
			[ ! -e "$rj_owner/jobs/$rj_uuid" ] || continue
			rm -f "$rj_owner/ids/$rj_id" "$rj_owner/live/$rj_id"
			;;
		end) rm -f "$rj_owner/live/$rj_id" ;;
		esac
		grep -qxF -e "$rj_line" "$rj_owner/registry.jsonl" 2>/dev/null || rj_missing=$rj_missing$rj_line$rj_newline
	done <"$rj_owner/pending"
	if [ "$rj_missing" ]; then rj_append "${rj_missing%?}"; else : >"$rj_owner/pending"; fi
}

# The line that says how job $1 ended, once its exit record is there: rj_line.  Fails if there is none.
rj_end_line() {
	rj_status='' rj_id=''
	{
		IFS=' ' read -r rj_word rj_status rj_signal rj_when <"$rj_owner/jobs/$1/exit"
		IFS= read -r rj_id <"$rj_owner/jobs/$1/id"
	} 2>/dev/null
	case $rj_id in '' | *[!0-9]*) return 1 ;; esac
	case $rj_status in '' | *[!0-9a-z-]*) return 1 ;; esac
	case $rj_status in *[!0-9]*) rj_status='"'$rj_status'"' ;; esac
	rj_line='{"v":1,"event":"end","id":'$rj_id',"instance":"'$1'","time":"'${rj_when%% *}'","status":'$rj_status'}'
}

# Journal the ends whose own runner was killed before it could.
rj_settle_live() {
	set --
	for rj_file in "$rj_owner"/live/[0-9]*; do
		rj_uuid=''
		{ IFS= read -r rj_uuid <"$rj_file"; } 2>/dev/null || continue
		[ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] || set -- "$@" "$rj_uuid"
	done
	[ $# -eq 0 ] || [ -s "$rj_owner/pending" ] || rj_settle "$@"
}

# Journal the ends of jobs $* that are still listed as unfinished.  Called with the lock.
rj_settle() {
	rj_lines='' rj_done=''
	for rj_uuid; do
		rj_end_line "$rj_uuid" && [ -e "$rj_owner/live/$rj_id" ] || continue
		rj_lines=$rj_lines$rj_line$rj_newline rj_done="$rj_done live/$rj_id"
	done
	[ "$rj_lines" ] || return 0
	rj_intend "${rj_lines%?}"
	# shellcheck disable=SC2086
	(cd "$rj_owner" && rm -f $rj_done)
	rj_append "${rj_lines%?}"
}

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
		for rj_file in spec job.json script stdin limit; do
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
	: >"$rj_dir/out" && : >"$rj_dir/err" && printf '%-63s\n' '' >"$rj_dir/exit.new"
}

rj_make_owner() {
	[ -d "$rj_owner/live" ] && [ -d "$rj_owner/ids" ] || mkdir -p "$rj_owner/jobs" "$rj_owner/ids" "$rj_owner/new" "$rj_owner/live" 2>/dev/null ||
		rj_fail read-only "$rj_owner"
	rj_read_host
	rj_word=''
	{ IFS= read -r rj_word <"$rj_owner/host"; } 2>/dev/null
	[ "$rj_word" = "$rj_host" ] || printf '%s\n' "$rj_host" >"$rj_owner/host"
	rj_word=''
	{ { read -r rj_word; IFS= read -r rj_word; } <"$rj_home/rjob"; } 2>/dev/null
	rj_line="exec sh \"\${0%/*}/runner/${rj_self##*/}\" host \"\$@\""
	[ "$rj_word" = "$rj_line" ] ||
		{ printf '%s\n' '#!/bin/sh' "$rj_line" >"$rj_home/rjob.$$" && chmod 700 "$rj_home/rjob.$$" && mv -f "$rj_home/rjob.$$" "$rj_home/rjob"; }
}

# COUNT [NOW], then for each job its UUID, COPY, PARTS, SPEC (escaped; empty if it is a part or copied), LIMIT, the rest of its
# start line, SECRETS and those lines.
rj_op_start() {
	rj_make_owner
	rj_new=$rj_owner/new/$rj_marker
	if [ "$rj_size" -gt 0 ]; then
		mkdir -p "$rj_new" 2>/dev/null || rj_fail read-only "$rj_owner"
		rj_stage "$rj_size"
	fi
	rj_at=0 rj_jobs='' rj_count=${1%% *} rj_now=${1#* }
	# A client on this very machine has told the time already.
	[ "$rj_now" != "$1" ] || rj_read_now
	shift
	while [ "$rj_count" -gt 0 ]; do
		rj_jobs="$rj_jobs $1"
		# shellcheck disable=SC2086
		rj_lay_out "$1" "$2" $3 || { rm -rf "$rj_new"; rj_fail no-space "$rj_owner"; }
		rj_unescape "$4"
		{
			{ [ -z "$4" ] || printf %s "$rj_plain" >"$rj_new/$1/spec"; } &&
				{ [ -z "$5" ] || printf '%s\n' "$5" >"$rj_new/$1/limit"; } &&
				printf '%s\n' "$6" >"$rj_new/$1/start"
		} 2>/dev/null || { rm -rf "$rj_new"; rj_fail no-space "$rj_owner"; }
		rj_secrets=$7
		shift 7
		while [ "$rj_secrets" -gt 0 ]; do
			rj_unescape "${1#*=}"
			export "${1%%=*}=$rj_plain"
			rj_secrets=$((rj_secrets - 1))
			shift
		done
		rj_count=$((rj_count - 1))
	done
	rj_pick_rung
	printf 'machine %s %s\n' "$rj_machine" "$rj_host"
	rj_lock
	rj_commit
	rj_published=''
	for rj_uuid in $rj_jobs; do
		IFS= read -r rj_id <"$rj_owner/jobs/$rj_uuid/id"
		printf 'job %s %s\n' "$rj_uuid" "$rj_id"
		rj_launch "$rj_uuid"
		rj_published=1
	done
}

# Journal what was committed and let go of the lock.  The jobs exist already; this happens while the first one starts.
rj_publish() {
	[ -z "$rj_published" ] || return 0
	# Should the process that took the lock be dead, somebody else is doing this.
	rj_held=''
	{ IFS= read -r rj_held <"$rj_owner/lock"; } 2>/dev/null
	[ "$rj_held" = "$rj_me" ] || return 0
	[ -z "$rj_lines" ] || rj_append "${rj_lines%?}" 2>/dev/null || :
	rj_settle_live
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

# With the lock: give every staged job that is not there yet its number, move it in, journal it.
rj_commit() {
	rj_read_next
	rj_lines='' rj_moves='' rj_first=$rj_next
	for rj_uuid in $rj_jobs; do
		[ ! -d "$rj_owner/jobs/$rj_uuid" ] || continue
		rj_dir=$rj_new/$rj_uuid
		IFS= read -r rj_line <"$rj_dir/start"
		rj_line='{"v":1,"event":"start","id":'$rj_next',"instance":"'$rj_uuid'","time":"'$rj_now'",'$rj_line
		{ printf '%s\n' "$rj_line" >"$rj_dir/start" && printf '%s\n' "$rj_next" >"$rj_dir/id"; } 2>/dev/null || rj_full
		rj_lines=$rj_lines$rj_line$rj_newline rj_moves="$rj_moves $rj_uuid"
		rj_next=$((rj_next + 1))
	done
	[ "$rj_moves" ] || return 0
	# The number is spent before anything bears it.
	{ rj_write_next && rj_intend "${rj_lines%?}"; } 2>/dev/null || rj_full
	for rj_uuid in $rj_moves; do
		{ printf '%s\n' "$rj_uuid" >"$rj_owner/ids/$rj_first" && printf '%s\n' "$rj_uuid" >"$rj_owner/live/$rj_first"; } 2>/dev/null || rj_full
		mv "$rj_new/$rj_uuid" "$rj_owner/jobs/$rj_uuid" || rj_full
		rj_first=$((rj_first + 1))
	done
}

rj_full() {
	rm -rf "$rj_new"
	rj_unlock
	rj_fail no-space "$rj_owner"
}

# What can give a process a session of its own here: rj_rung, rj_tool.
rj_pick_rung() {
	rj_rung=setsid rj_tool=/usr/bin/setsid
	[ ! -x "$rj_tool" ] || case :$PATH: in *:/usr/bin:*) return ;; esac
	for rj_rung in setsid perl python3; do
		rj_tool=$(command -v "$rj_rung" 2>/dev/null) && case $rj_tool in /*) return ;; esac
	done
	rj_rung=none rj_tool=-
}

# The supervisor, JOB UMASK RUNG TOOL BEGIN TOKEN: waits for the command and records its end.
# It catches signals with a handler, for what it ignored the command would inherit.
# The identity names who claimed the run: another one's end is not this one's to tell.
# 128+n cannot be told from a command's own status, but ksh93 (256+n) and yash (384+n) know better.
# The record's blocks were taken at commit, so a full disk can neither keep the truth out nor let half of it in.
# A watcher that is at work must finish it; one that does not listen yet will see the record.
rj_supervisor='trap : HUP INT TERM
cd /
if [ -s "$1/limit" ]; then exec sh "$0" watch "$1" </dev/null >/dev/null 2>&1 & fi
sh "$0" become "$@" "$$"
set -- "$1" "$?" "$6" "${!-}"
exec </dev/null >/dev/null 2>&1
rj_pid= rj_token= rj_signal=- rj_status=$2 rj_tries=0
IFS=" " read -r rj_pid rj_1 rj_2 rj_3 rj_4 rj_token <"$1/identity"
[ "$rj_pid $rj_token" = "$$ $3" ] || { [ "${4:-0}" = 0 ] || kill "$4"; exit; }
[ "$2" -le 256 ] || rj_signal=$(($2 - 256)) rj_status=$(($2 - 128))
[ "$2" -le 384 ] || rj_signal=$(($2 - 384)) rj_status=$(($2 - 256))
set -- "$1" "1 $rj_status $rj_signal $(date -u +%Y-%m-%dT%H:%M:%SZ)" "" "$4"
until printf "%-63s\n" "$2" 1<>"$1/exit.new" && mv -f "$1/exit.new" "$1/exit"; do
	rj_tries=$((rj_tries + 1))
	[ "$rj_tries" -lt 60 ] && [ -d "$1" ] || exit 1
	sleep 1
done
[ "${4:-0}" = 0 ] || [ -e "$1/expired" ] || kill "$4"
exec sh "$0" ended "$1"'

# Start the supervisor of job $1, unless there was one, and wait until the command is about to run.
rj_launch() {
	if [ -e "$rj_owner/jobs/$1/identity" ]; then
		rj_publish
		printf 'started %s\n' "$1"
		return
	fi
	{
		# A cookie is what exec was given: none of an outer job's may be seen on this one's supervisor.
		unset RJOB_INSTANCE RJOB_ID
		RJOB_SUPERVISES=$1
		export RJOB_SUPERVISES
		set -- sh -c "$rj_supervisor" "$rj_self" "$rj_owner/jobs/$1" "$rj_umask" "$rj_rung" "$rj_tool" "$rj_now" "$rj_marker"
		exec </dev/null 2>/dev/null
		case $rj_rung in
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
	} | {
		rj_publish
		rj_word=''
		IFS= read -r rj_word || :
		if [ "$rj_word" = started ] || [ -e "$rj_owner/jobs/$1/identity" ]; then
			printf 'started %s\n' "$1"
		else
			printf 'unstarted %s\n' "$1"
		fi
	}
}

# Which jobs a selector names.

# A selector becomes the jobs that it names, in rj_found.
rj_select() {
	rj_found='' rj_text=${1#name }
	set -f
	# shellcheck disable=SC2086
	set -- $1
	set +f
	rj_kind=${1-}
	[ $# -eq 0 ] || shift
	case $rj_kind in
	id) rj_by_id "$1" ;;
	range)
		rj_n=$1
		[ "$2" -lt "$rj_next" ] || set -- "$1" "$((rj_next - 1))"
		while [ "$rj_n" -le "$2" ]; do
			rj_by_id "$rj_n"
			rj_n=$((rj_n + 1))
		done
		;;
	instance)
		for rj_file in "$rj_owner/jobs/$1"*; do
			[ ! -d "$rj_file" ] || rj_found="$rj_found ${rj_file##*/}"
		done
		;;
	all)
		for rj_file in "$rj_owner"/jobs/*-*; do
			[ ! -d "$rj_file" ] || rj_found="$rj_found ${rj_file##*/}"
		done
		;;
	live)
		for rj_file in "$rj_owner"/live/[0-9]*; do
			[ ! -e "$rj_file" ] || rj_by_id "${rj_file##*/}"
		done
		;;
	newest) rj_newest "$1" "${2-}" ;;
	name)
		# Newest first; the line of a job that is gone leads nowhere.
		for rj_n in $(LC_ALL=C grep -F -e "$rj_text" "$rj_owner/registry.jsonl" 2>/dev/null |
			sed -n 's/^{"v":[0-9]*,"event":"start","id":\([0-9]\{1,15\}\),.*/\1/p' | sort -rn); do
			rj_by_id "$rj_n"
			[ -z "$rj_found" ] || break
		done
		;;
	esac
}

# Tell of the owner, and what selectors $* name: all of it is in rj_all.
rj_select_jobs() {
	rj_all=''
	rj_describe_owner
	[ -d "$rj_owner/jobs" ] || return 0
	for rj_selector; do
		rj_select_more "$rj_selector"
	done
}

# Tell what selector $1 names; add to rj_all what is not there yet.
rj_select_more() {
	rj_select "$1"
	printf 'selected%s\n' "$rj_found"
	if [ -z "$rj_all" ]; then
		rj_all=$rj_found
		return
	fi
	for rj_uuid in $rj_found; do
		case $rj_all in *"$rj_uuid"*) ;; *) rj_all="$rj_all $rj_uuid" ;; esac
	done
}

rj_by_id() {
	rj_uuid=''
	{ IFS= read -r rj_uuid <"$rj_owner/ids/$1"; } 2>/dev/null || return 0
	case $rj_uuid in '' | *[!0-9a-f-]*) return 0 ;; esac
	[ ! -d "$rj_owner/jobs/$rj_uuid" ] || rj_found="$rj_found $rj_uuid"
}

# The $1 newest jobs, of those that are not listed as unfinished unless $2 is given.
rj_newest() {
	rj_n=$((rj_next - 1)) rj_left=$1 rj_gaps=0
	while [ "$rj_n" -gt 0 ] && [ "$rj_left" -gt 0 ]; do
		if [ -e "$rj_owner/ids/$rj_n" ]; then
			if [ "${2-}" ] || [ ! -e "$rj_owner/live/$rj_n" ]; then
				rj_was=$rj_found
				rj_by_id "$rj_n"
				[ "$rj_was" = "$rj_found" ] || rj_left=$((rj_left - 1))
			fi
		elif [ "$rj_gaps" -ge 1000 ]; then
			# Too many were removed to go on counting down.
			rj_gaps=0
			rj_n=$(for rj_file in "$rj_owner"/ids/[0-9]*; do printf '%s\n' "${rj_file##*/}"; done |
				awk -v n="$rj_n" '$1 + 0 < n + 0 && $1 + 0 > m { m = $1 + 0 } END { print m + 1 }')
		else
			rj_gaps=$((rj_gaps + 1))
		fi
		rj_n=$((rj_n - 1))
	done
}

# op: facts.  What files and processes tell of jobs.

# The processes of job $1 that live, given its main process's pid $2 and begin $3: rj_pids.
rj_tree() {
	rj_pids='' rj_session=none
	if [ -r "/proc/$$/stat" ]; then
		# A session bears its leader's pid.  Where the leader is gone the number proves nothing by itself, unless this
		# operation has seen the leader, and nobody else bears it now.
		if rj_alive "$2" "$3" "$rj_boot" || { [ "${rj_known-}" = "$2" ] && ! rj_proc "$2"; }; then
			rj_session=$2
		fi
		rj_proc $$
		rj_cookies=$(grep -ls "RJOB_INSTANCE=$1" /proc/[0-9]*/environ 2>/dev/null | tr -c '0-9' ' ')
		# Not the processes of this very operation, should the job have asked for it.
		rj_pids=$(LC_ALL=C grep -s '' /proc/[0-9]*/stat |
			LC_ALL=C awk -v session="$rj_session" -v mine="$rj_sid" -v cookies="$rj_cookies" '
				BEGIN { count = split(cookies, list, " "); for (i = 1; i <= count; i++) marked[list[i]] = 1 }
				# A name may hold newlines: what counts stands in the last line.
				{ pid = substr($0, 7); sub(/\/.*/, "", pid); last[pid] = $0 }
				END {
					for (pid in last) {
						sub(/^.*\) /, "", last[pid])
						split(last[pid], field, " ")
						if (pid + 0 <= 1 || field[1] == "Z" || field[1] == "X" || field[4] == mine) continue
						if (field[4] "" == session "" || pid in marked) printf "%s ", pid
					}
				}')
	elif rj_alive "$2" "$3" "$rj_boot"; then
		rj_pids=$(LC_ALL=C ps -A -o pid= -o pgid= -o stat= 2>/dev/null |
			LC_ALL=C awk -v group="$2" '$2 == group && $3 !~ /^Z/ { printf "%s ", $1 }')
		rj_pids=${rj_pids:-$2}
	fi
}

# identity and main of job $1: rj_pid rj_begin rj_booted, rj_main rj_main_begin; empty where not written yet.
rj_read_identity() {
	rj_pid='' rj_begin='' rj_booted='' rj_main='' rj_main_begin=''
	{ IFS=' ' read -r rj_pid rj_begin rj_booted rj_word <"$rj_owner/jobs/$1/identity"; } 2>/dev/null || :
	{ IFS=' ' read -r rj_main rj_main_begin <"$rj_owner/jobs/$1/main"; } 2>/dev/null || :
	case $rj_pid$rj_main in
	*[!0-9]*) rj_pid=0 rj_begin=- rj_booted=broken rj_main='' ;;
	esac
}

# What lives of the unfinished job $1.  The files are read after this, so an end that falls between is seen there.
rj_liveness() {
	rj_read_identity "$1"
	if [ -z "$rj_pid" ] && [ -e "$rj_owner/jobs/$1/identity" ]; then
		# Claimed this instant, or its supervisor died within that instant.
		rj_nap 0.2
		rj_read_identity "$1"
		[ "$rj_pid" ] || rj_booted=none
	fi
	[ "$rj_pid$rj_booted" ] || { printf 'alive %s none - -\n' "$1"; return; }
	rj_keeper=- rj_leader=- rj_count=-
	if rj_alive "$rj_pid" "$rj_begin" "$rj_booted"; then rj_keeper=$rj_state; fi
	if [ "$rj_main" ] && rj_alive "$rj_main" "$rj_main_begin" "$rj_booted"; then rj_leader=$rj_state; fi
	if [ "$rj_keeper" = - ] && [ "$rj_booted" = "$rj_boot" ]; then
		rj_tree "$1" "${rj_main:-0}" "${rj_main_begin:--}"
		# shellcheck disable=SC2086
		set -- "$1" $rj_pids
		rj_count=$(($# - 1))
	fi
	# A claim that tells nothing is no sign of another boot.
	case $rj_booted in "$rj_boot" | none | broken | never) rj_word=same ;; *) rj_word=other ;; esac
	printf 'alive %s %s %s %s %s\n' "$1" "$rj_keeper" "$rj_leader" "$rj_count" "$rj_word"
}

# The small files and the sizes of jobs $*, as grep and stat print them.
rj_files() {
	rj_small='' rj_big=''
	for rj_uuid; do
		if [ -h "$rj_base/$rj_uuid" ]; then
			printf 'symlink %s\n' "$rj_uuid"
			continue
		fi
		rj_u=$rj_base/$rj_uuid
		rj_small="$rj_small $rj_u/start $rj_u/job.json $rj_u/identity $rj_u/main $rj_u/stop $rj_u/expired $rj_u/signals $rj_u/error $rj_u/received $rj_u/exit"
		rj_big="$rj_big $rj_u/out $rj_u/err"
	done
	# shellcheck disable=SC2086
	[ -z "$rj_small" ] || LC_ALL=C grep -s '' /dev/null $rj_small
	# shellcheck disable=SC2086
	[ -z "$rj_big" ] || stat -c 'size %s %n' $rj_big 2>/dev/null || stat -f 'size %z %N' $rj_big 2>/dev/null ||
		ls -ln $rj_big 2>/dev/null | awk '{ print "size", $5, $NF }'
}

# The facts of jobs $*, some hundreds at a time.
rj_facts() {
	rj_base=.
	cd "$rj_owner/jobs" || return
	for rj_uuid; do
		[ -e "$rj_uuid/exit" ] || [ -h "$rj_uuid" ] || rj_liveness "$rj_uuid"
	done
	while [ $# -gt 200 ]; do
		rj_batch=''
		while [ "${#rj_batch}" -lt 7400 ]; do
			rj_batch="$rj_batch $1"
			shift
		done
		# shellcheck disable=SC2086
		rj_files $rj_batch
	done
	rj_files "$@"
}

# What the files of other machines under the same home tell of their jobs.
rj_facts_of_others() {
	for rj_other in "$rj_home"/*/next; do
		rj_other=${rj_other%/next}
		[ -d "$rj_other/jobs" ] && [ -O "$rj_other" ] && [ "$rj_other" != "$rj_owner" ] || continue
		rj_word=''
		{ IFS= read -r rj_word <"$rj_other/host"; } 2>/dev/null
		printf 'owner %s %s\n' "${rj_other##*/}" "$rj_word"
		rj_save=$rj_owner rj_owner=$rj_other rj_all=''
		rj_read_next
		for rj_selector in $rj_others; do
			rj_select "${rj_selector%%:*} ${rj_selector#*:}"
			rj_all="$rj_all$rj_found"
		done
		rj_base=${rj_other##*/}/jobs
		# shellcheck disable=SC2086
		rj_files $rj_all
		rj_owner=$rj_save
	done
}

# SELECTOR... ("others WORD[:ARGUMENT]" asks for other machines' jobs too)
rj_op_facts() {
	rj_all='' rj_others=''
	rj_describe_owner
	[ -d "$rj_owner/jobs" ] || set --
	for rj_selector; do
		case $rj_selector in "others "*) rj_others="$rj_others ${rj_selector#others }"; continue ;; esac
		rj_select_more "$rj_selector"
	done
	# shellcheck disable=SC2086
	[ -z "$rj_all" ] || rj_facts $rj_all
	[ -z "$rj_others" ] || ! cd "$rj_home" 2>/dev/null || rj_facts_of_others
}

rj_describe_owner() {
	rj_read_next
	rj_read_host
	printf 'machine %s %s\ntotal %s\n' "$rj_machine" "$rj_host" "$((rj_next - 1 - rj_removed))"
}

# ops: read, received, save.  What jobs have written, and how much of it was received.

rj_size_of() { # FILE: rj_bytes
	rj_bytes=$(stat -c %s "$1" 2>/dev/null || stat -f %z "$1" 2>/dev/null || ls -ln "$1" | awk '{ print $5 }')
	rj_bytes=${rj_bytes:-0}
}

# Where to begin in stream file $1: at byte N ("N"), at the cursor ("cursor N"), at the last N lines ("tail N"): rj_from.
rj_begin_at() {
	rj_size_of "$1"
	case $2 in
	tail)
		rj_tries=0
		while :; do
			rj_seen=$rj_bytes
			rj_from=$(($(tail -n "$3" "$1" | wc -c)))
			rj_size_of "$1"
			rj_tries=$((rj_tries + 1))
			[ "$rj_seen" -ne "$rj_bytes" ] && [ "$rj_tries" -lt 5 ] || break
		done
		rj_from=$((rj_bytes > rj_from ? rj_bytes - rj_from : 0))
		;;
	cursor) rj_from=$3 ;;
	*) rj_from=$2 ;;
	esac
	[ "$rj_from" -le "$rj_bytes" ] || rj_from=$rj_bytes
}

rj_send() { # STREAM FILE WHERE...
	rj_stream=$1
	shift
	rj_begin_at "$@"
	printf 'data %s %s %s\n' "$rj_stream" "$rj_from" "$((rj_bytes - rj_from))"
	if [ "$rj_bytes" -gt "$rj_from" ]; then
		if [ "$rj_from" -gt 0 ]; then
			tail -c "+$((rj_from + 1))" "$1" | head -c "$((rj_bytes - rj_from))"
		else
			head -c "$rj_bytes" "$1"
		fi
	fi
}

rj_read_received() { # UUID: rj_got_out rj_got_err
	rj_got_out=0 rj_got_err=0
	{ IFS=' ' read -r rj_got_out rj_got_err <"$rj_owner/jobs/$1/received"; } 2>/dev/null || :
	case $rj_got_out$rj_got_err in '' | *[!0-9]*) rj_got_out=0 rj_got_err=0 ;; esac
	rj_got_err=${rj_got_err:-0}
}

# out|err|both cursor|tail N|OUT ERR, ack|keep, SELECTOR...: facts and bytes; with ack, cursors move as stdin then says.
rj_op_read() {
	rj_streams=$1 rj_where=$2 rj_ack=$3
	shift 3
	rj_select_jobs "$@"
	[ "$rj_all" ] || return 0
	# shellcheck disable=SC2086
	rj_facts $rj_all
	for rj_uuid in $rj_all; do
		[ ! -h "$rj_uuid" ] || continue
		printf 'bytes %s\n' "$rj_uuid"
		rj_read_received "$rj_uuid"
		# shellcheck disable=SC2086
		set -- $rj_where
		case $1 in
		cursor) rj_w1="cursor $rj_got_out" rj_w2="cursor $rj_got_err" ;;
		tail) rj_w1="tail $2" rj_w2="tail $2" ;;
		*) rj_w1=$1 rj_w2=${2-0} ;;
		esac
		# shellcheck disable=SC2086
		[ "$rj_streams" = err ] || rj_send out "$rj_uuid/out" $rj_w1
		# shellcheck disable=SC2086
		[ "$rj_streams" = out ] || rj_send err "$rj_uuid/err" $rj_w2
	done
	[ "$rj_ack" = ack ] || return 0
	printf '%s ready\n' "$rj_marker"
	rj_moves=''
	while IFS= read -r rj_line && [ "$rj_line" != end ]; do
		rj_moves="$rj_moves $rj_line"
	done
	if [ "$rj_line" = end ] && [ "$rj_moves" ]; then
		# shellcheck disable=SC2086
		rj_received $rj_moves
	fi
}

# UUID OUT ERR ...: move cursors, only ever forward.
rj_received() {
	rj_lock
	while [ $# -gt 2 ]; do
		rj_job=$rj_owner/jobs/$1
		rj_read_received "$1"
		[ "$2" -le "$rj_got_out" ] || rj_got_out=$2 rj_moved=1
		[ "$3" -le "$rj_got_err" ] || rj_got_err=$3 rj_moved=1
		if [ "${rj_moved-}" ] && [ -d "$rj_job" ]; then
			rj_moved=''
			{ printf '%s\n' "$rj_got_out $rj_got_err" >"$rj_job/received.new" && mv -f "$rj_job/received.new" "$rj_job/received"; } 2>/dev/null || {
				rj_unlock
				rj_fail no-space "$rj_owner"
			}
			IFS= read -r rj_id <"$rj_job/id"
			rj_append '{"v":1,"event":"received","id":'"$rj_id"',"instance":"'"$1"'","out":'"$rj_got_out"',"err":'"$rj_got_err"'}' 2>/dev/null
		fi
		shift 3
	done
	rj_unlock
}

rj_op_received() {
	# shellcheck disable=SC2086
	rj_received $1
}

# out|err|both, FILE, SELECTOR...: append what is new to a file on this machine, and move the cursors behind it.
rj_op_save() {
	rj_streams=$1 rj_path=$2
	case $rj_path in
	/*) ;;
	"~/"*) rj_path=$HOME/${rj_path#??} ;;
	*) rj_path=${HOME:-}/$rj_path ;;
	esac
	shift 2
	rj_select_jobs "$@"
	[ "$rj_all" ] || return 0
	rj_moves=''
	for rj_uuid in $rj_all; do
		rj_read_received "$rj_uuid"
		rj_end_out=$rj_got_out rj_end_err=$rj_got_err
		if [ "$rj_streams" != err ]; then
			rj_save_from "$rj_owner/jobs/$rj_uuid/out" "$rj_got_out"
			rj_end_out=$rj_bytes
		fi
		if [ "$rj_streams" != out ]; then
			rj_save_from "$rj_owner/jobs/$rj_uuid/err" "$rj_got_err"
			rj_end_err=$rj_bytes
		fi
		rj_moves="$rj_moves $rj_uuid $rj_end_out $rj_end_err"
	done
	# shellcheck disable=SC2086
	rj_received $rj_moves
	# shellcheck disable=SC2086
	rj_facts $rj_all
}

rj_save_from() { # FILE FROM: append what is there from that byte on to $rj_path; rj_bytes is how far that went
	rj_begin_at "$1" "$2"
	[ "$rj_bytes" -gt "$rj_from" ] || return 0
	(
		umask "$rj_umask"
		tail -c "+$((rj_from + 1))" "$1" | head -c "$((rj_bytes - rj_from))" >>"$rj_path"
	) 2>/dev/null || rj_fail no-space "$rj_path"
}

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
		if [ "$rj_round" -lt 1 ]; then rj_nap 0.03; else rj_nap 0.1; fi
		rj_round=$((rj_round + 1))
	done
	kill "$rj_watcher" 2>/dev/null
	# shellcheck disable=SC2086
	rj_facts $rj_all
}

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

# ops: remove, compact, rebuild, info.

# UUIDS: take finished jobs away, and everything of theirs.
rj_op_remove() {
	rj_lines='' rj_paths='' rj_gone='' rj_count=0
	rj_lock
	rj_read_next
	rj_read_now
	for rj_uuid in $1; do
		rj_id=''
		{ IFS= read -r rj_id <"$rj_owner/jobs/$rj_uuid/id"; } 2>/dev/null
		if [ -h "$rj_owner/jobs/$rj_uuid" ] || [ -z "$rj_id" ]; then
			printf 'absent %s\n' "$rj_uuid"
		elif [ ! -e "$rj_owner/jobs/$rj_uuid/exit" ]; then
			printf 'busy %s\n' "$rj_uuid"
		else
			rj_lines="$rj_lines"'{"v":1,"event":"remove","id":'$rj_id',"instance":"'$rj_uuid'","time":"'$rj_now'"}'$rj_newline
			rj_paths="$rj_paths $rj_uuid" rj_gone="$rj_gone ids/$rj_id live/$rj_id" rj_count=$((rj_count + 1))
		fi
	done
	# The files themselves go after the lock: there may be many.
	rj_bin=$rj_owner/gone.$rj_marker
	[ -z "$rj_paths" ] || rj_take_out
	rj_unlock
	rm -rf "$rj_bin"
}

rj_take_out() {
	# On a full disk the journal may have to wait: what is removed makes room.
	rj_intend "${rj_lines%?}" 2>/dev/null || :
	# shellcheck disable=SC2086
	if ! (mkdir "$rj_bin" && cd "$rj_owner/jobs" && mv -f $rj_paths "$rj_bin/" && cd .. && rm -f $rj_gone) 2>/dev/null; then
		rj_recover
		rj_unlock
		rj_fail read-only "$rj_owner"
	fi
	# What a killed remove has left goes with it.
	for rj_file in "$rj_owner"/gone.*; do
		[ "$rj_file" = "$rj_bin" ] || mv -f "$rj_file" "$rj_bin/" 2>/dev/null
	done
	rj_removed=$((rj_removed + rj_count))
	rj_write_next
	rj_append "${rj_lines%?}" 2>/dev/null || :
	printf 'removed %s\n' "${rj_paths# }"
	# From time to time, as what is told of removed jobs outgrows the rest.
	rj_left=$((rj_next - 1 - rj_removed + 1000))
	if [ "$((rj_removed / rj_left))" -gt "$(((rj_removed - rj_count) / rj_left))" ]; then rj_compact; fi
}

# With the lock: drop what is told of jobs that were removed, and every place in their output but the last.  Lines that
# are not understood stay.
rj_compact() {
	[ -s "$rj_owner/registry.jsonl" ] && [ ! -s "$rj_owner/pending" ] || return 0
	# Not every awk says that a disk is full: count what arrived.
	rj_kept=$(LC_ALL=C awk -v new="$rj_owner/registry.new" '
		function id_of(line) { line = substr(line, 1, 80); sub(/^[^,]*,[^,]*,"id":/, "", line); sub(/,.*/, "", line); return line }
		NR == FNR {
			if (/^\{"v":1,"event":"remove","id":[0-9]+,/) removed[id_of($0)] = 1
			else if (/^\{"v":1,"event":"received","id":[0-9]+,/) last[id_of($0)] = FNR
			next
		}
		/^\{"v":1,"event":"(start|end|remove|received)","id":[0-9]+,.*\}$/ {
			id = id_of($0)
			if (id in removed) next
			if (/^\{"v":1,"event":"received"/ && last[id] != FNR) next
		}
		{ print > new; kept++ }
		END { print kept + 0 }' "$rj_owner/registry.jsonl" "$rj_owner/registry.jsonl" 2>/dev/null)
	if [ "${rj_kept:-0}" -gt 0 ] && [ "$(($(wc -l <"$rj_owner/registry.new")))" -eq "$rj_kept" ]; then
		mv -f "$rj_owner/registry.new" "$rj_owner/registry.jsonl"
	else
		rm -f "$rj_owner/registry.new"
	fi
	# What killed runners have left.
	find "$rj_owner"/new/* "$rj_owner"/gone.* "$rj_owner"/lock.* -prune -mtime +0 -exec rm -rf {} + 2>/dev/null || :
}

rj_op_compact() {
	[ -d "$rj_owner/jobs" ] || return 0
	rj_lock
	rj_compact
	rj_unlock
}

# Write the registry, ids, live and next again from the job folders; keep the lines that do not come from there.
rj_op_rebuild() {
	rj_make_owner
	rj_lock
	rj_read_next
	rj_was=$rj_next
	rj_highest
	[ "$rj_next" -ge "$rj_was" ] || rj_next=$rj_was
	rj_count=0 rj_bad=''
	if cd "$rj_owner" && rm -rf ids.new live.new registry.new && mkdir ids.new live.new 2>/dev/null && rj_rewrite && [ -z "$rj_bad" ]; then
		rj_removed=$((rj_next - 1 - rj_count))
		rj_write_next
		rm -rf ids live
		mv ids.new ids && mv live.new live && mv -f registry.new registry.jsonl
		rj_unlock
		printf 'rebuilt %s\n' "$rj_count"
	else
		rm -rf ids.new live.new registry.new
		rj_unlock
		rj_fail no-space "$rj_owner"
	fi
}

rj_rewrite() {
	[ -e registry.jsonl ] || : >registry.jsonl
	LC_ALL=C awk '!/^\{"v":1,"event":"(start|end|received)","id":[0-9]+,.*\}$/ && length($0)' registry.jsonl |
		cat >registry.new || return 1
	# A loop, for there may be more of them than a command takes arguments.
	for rj_word in $(for rj_file in jobs/*/id; do
		rj_id='' rj_uuid=${rj_file#jobs/}
		{ IFS= read -r rj_id <"$rj_file"; } 2>/dev/null
		printf '%s:%s\n' "$rj_id" "${rj_uuid%/id}"
	done | sort -n); do
		rj_id=${rj_word%%:*} rj_uuid=${rj_word#*:}
		case $rj_id in '' | *[!0-9]*) continue ;; esac
		[ -s "jobs/$rj_uuid/start" ] && [ ! -h "jobs/$rj_uuid" ] || continue
		printf '%s\n' "$rj_uuid" >"ids.new/$rj_id" || rj_bad=1
		cat "jobs/$rj_uuid/start" || rj_bad=1
		if rj_end_line "$rj_uuid"; then
			printf '%s\n' "$rj_line" || rj_bad=1
		else
			printf '%s\n' "$rj_uuid" >"live.new/$rj_id" || rj_bad=1
		fi
		rj_read_received "$rj_uuid"
		if [ "$rj_got_out$rj_got_err" != 00 ]; then
			printf '%s\n' '{"v":1,"event":"received","id":'"$rj_id"',"instance":"'"$rj_uuid"'","out":'"$rj_got_out"',"err":'"$rj_got_err"'}' || rj_bad=1
		fi
		[ "$rj_id" -lt "$rj_next" ] || rj_next=$((rj_id + 1))
		rj_count=$((rj_count + 1))
	done >>registry.new 2>/dev/null
}

rj_op_info() {
	rj_pick_rung
	rj_describe_owner
	printf 'info home %s\ninfo detach %s\ninfo system %s\n' "$rj_home" "$rj_rung" "$(uname -sr)"
	printf 'info login-shell %s\n' "${SHELL-}"
	rj_word=none
	if [ -r "/proc/$$/stat" ]; then rj_word=proc; elif ps -o lstart= -p $$ >/dev/null 2>&1; then rj_word=ps; fi
	printf 'info identity %s\n' "$rj_word"
	rj_word=polling
	case $(tail --version 2>/dev/null; uname) in *GNU* | *Darwin* | *BSD*) rj_word=events ;; esac
	printf 'info follow %s\n' "$rj_word"
	printf 'info free-kib %s\n' "$(df -kP "$rj_home" 2>/dev/null | awk 'NR == 2 { print $4 }')"
	if command -v loginctl >/dev/null 2>&1; then
		printf 'info linger %s\n' "$(loginctl show-user "$(id -un)" -p Linger --value 2>/dev/null)"
	fi
}

# The modes: one request, the end of a job, people on the machine.  This part comes last.

rj_host_get() {
	rj_read_next
	rj_select live
	rj_all=$rj_found
	rj_found=''
	rj_newest 20
	[ "$rj_all$rj_found" ] || { echo 'no jobs'; return; }
	for rj_uuid in $rj_all $rj_found; do
		IFS= read -r rj_id <"$rj_owner/jobs/$rj_uuid/id"
		rj_text="exit $(awk '{ print $2 }' "$rj_owner/jobs/$rj_uuid/exit" 2>/dev/null)"
		if [ "$rj_text" = 'exit ' ]; then
			rj_text=running
			rj_round=19
			! rj_over "$rj_uuid" || rj_text=lost
		fi
		printf '%6s  %-10s  %s\n' "$rj_id" "$rj_text" \
			"$(sed -n 's/^.*"command":"\(\([^"\\]\|\\.\)*\)".*$/\1/p' "$rj_owner/jobs/$rj_uuid/start" | cut -c 1-100)"
	done | sort -n
}

# get | tail ID | stop ID: for whoever is on the machine without rjob.
rj_host() {
	rj_home=${rj_self%/runner/*} rj_marker=host
	rj_read_machine
	rj_read_next
	case ${2-} in '' | *[!0-9]*) rj_found='' ;; *) rj_select "id $2" ;; esac
	rj_uuid=${rj_found# }
	case ${1-}:$rj_uuid in
	get:*) rj_host_get ;;
	tail:?*) exec tail -n 20 -f "$rj_owner/jobs/$rj_uuid/out" "$rj_owner/jobs/$rj_uuid/err" ;;
	stop:?*) rj_op_stop TERM 100 stop "$rj_uuid" | sed "s/$rj_uuid/job $2/" ;;
	tail: | stop:)
		echo "rjob: no job ${2:-given}" >&2
		exit 1
		;;
	*)
		echo 'usage: rjob get | rjob tail ID | rjob stop ID' >&2
		exit 2
		;;
	esac
}

# One request: "OP LINES SIZE", as many lines, as many bytes.
rj_serve() {
	rj_marker=$1
	rj_umask=''
	# Where the kernel tells it, that costs no process.
	{ read -r rj_word && IFS=':	 ' read -r rj_word rj_umask; } 2>/dev/null </proc/self/status
	case $rj_word:$rj_umask in Umask:0*) ;; *) rj_umask=$(umask) ;; esac
	umask 077
	# What was begun is done, whether or not anybody listens.  A handler, for what is ignored the job would inherit.
	trap : PIPE HUP
	printf '%s begin\n' "$rj_marker"
	IFS=' ' read -r rj_op rj_count rj_size || rj_fail cut "the request ended early"
	case $rj_count$rj_size in '' | *[!0-9]*) rj_fail cut "the request is broken" ;; esac
	set --
	while [ "$rj_count" -gt 0 ]; do
		IFS= read -r rj_value || rj_fail cut "the request ended early"
		set -- "$@" "$rj_value"
		rj_count=$((rj_count - 1))
	done
	IFS=' ' read -r rj_value || rj_fail cut "the request ended early"
	[ "$rj_value" = go ] || rj_fail cut "the request is broken"
	if [ -e "$rj_home" ] && [ ! -O "$rj_home" ]; then rj_fail foreign "$rj_home"; fi
	rj_read_machine
	if [ -h "$rj_owner" ] || { [ -e "$rj_owner" ] && [ ! -O "$rj_owner" ]; }; then rj_fail foreign "$rj_owner"; fi
	case $rj_op in
	start | facts | read | received | save | follow | wait | signal | tree | stop | conclude | remove | compact | rebuild | info)
		"rj_op_$rj_op" "$@"
		;;
	*) rj_fail unknown-operation "$rj_op" ;;
	esac
	printf '%s end\n' "$rj_marker"
}

rj_read_boot
case ${1-} in
ended | expire)
	umask 077
	rj_marker=$1 rj_self=$0 rj_owner=${2%/jobs/*}
	if [ "$1" = ended ]; then
		rj_lock
		rj_settle "${2##*/}"
		rj_unlock
	else
		rj_op_stop TERM 100 expired "${2##*/}"
	fi
	;;
host)
	umask 077
	rj_self=$0
	shift
	rj_host "$@"
	;;
*) rj_serve "$@" ;;
esac

