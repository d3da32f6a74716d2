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
