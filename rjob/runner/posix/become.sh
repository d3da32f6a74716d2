# The life of a job, in its own process: claim the run, become the command. And the watcher of its time limit.

# Claim the run of job rj_job for the supervisor with pid $1 (detach method $2, time $3, token $4): create the file
# `identity` exclusively, so only one process succeeds. Its last words are the machine, what launched the job (`process`)
# and the launcher's handle for it (none: `-`). Fails if the run is already claimed, or if the disk is full.
rj_claim() {
	rj_proc "$1" || return 1
	rj_read_boot
	set -C
	{ true >"$rj_job/identity"; } 2>/dev/null || return 1
	set +C
	#@ claimed
	rj_read_machine_id
	{ printf '%s\n' "$1 ${rj_start:--} $rj_boot $2 $3 $4 $rj_namespace ${rj_machine:--} process -" >"$rj_job/identity"; } 2>/dev/null && return
	rm -f "$rj_job/identity"
	return 1
}

# Write reason $2 to the job's file `error`, and exit with status $1.
rj_refuse() {
	printf '%s\n' "$2" >"$rj_job/error"
	exit "$1"
}

# Read the secrets, a shell text, from standard input up to the line "#end TOKEN". $1: TOKEN. Sets rj_secrets. Fails if that
# line is missing: the secrets are incomplete.
rj_read_secrets() {
	rj_secrets=''
	while IFS= read -r rj_part; do
		[ "$rj_part" != "#end $1" ] || return 0
		rj_secrets=$rj_secrets$rj_part$rj_newline
	done
	return 1
}

# Change to the directory $1. A relative path begins at the home directory, as ~ does; empty is the home directory itself.
# Exits with status 126 if that fails.
rj_change_directory() {
	case $1 in
	'' | '~') rj_dir=${HOME:-/} ;;
	'~/'*) rj_dir=${HOME:-}/${1#??} ;;
	/*) rj_dir=$1 ;;
	*) rj_dir=${HOME:-}/$1 ;;
	esac
	CDPATH='' cd -- "$rj_dir" 2>/dev/null || rj_refuse 126 "cannot change to the directory $rj_dir"
}

# Find the file that execvp would run for the word $1. Sets rj_file (empty if there is none) and rj_denied (a file of that
# name that cannot be executed).
rj_find_command() {
	rj_file='' rj_denied=''
	case $1 in */*) rj_file=$1; return ;; esac
	rj_rest=${PATH-/usr/bin:/bin}:
	while [ "$rj_rest" ]; do
		rj_part=${rj_rest%%:*}/$1 rj_rest=${rj_rest#*:}
		case $rj_part in /$1) rj_part=./$1 ;; esac
		[ -f "$rj_part" ] || continue
		rj_denied=$rj_part
		[ -x "$rj_part" ] || continue
		rj_file=$rj_part
		return
	done
}

# Check that the word $2 can be executed here; if not, write the reason for job folder $1, and exit with status 127 or 126.
# Without this check, the tool that starts it would say so in its own words, in the job's standard error.
rj_check_command() {
	rj_job=$1
	rj_find_command "$2"
	if [ -z "$rj_file" ] && [ "$rj_denied" ]; then rj_refuse 126 "$2: $rj_denied cannot be executed"; fi
	if [ -z "$rj_file" ]; then
		[ ! -f "./$2" ] || rj_refuse 127 "$2: not found; ./$2 is there"
		rj_refuse 127 "$2: not found"
	fi
	[ -e "$rj_file" ] || rj_refuse 127 "$2: not found"
	[ ! -d "$rj_file" ] || rj_refuse 126 "$2: is a directory"
	[ -x "$rj_file" ] || rj_refuse 126 "$2: cannot be executed"
	case $rj_file in /usr/bin/* | /bin/*) return ;; esac
	rj_line=''
	{ IFS= read -r rj_line <"$rj_file"; } 2>/dev/null
	case $rj_line in '#!'*) ;; *) return 0 ;; esac
	# The first word after #! and blanks: the interpreter.
	rj_line=${rj_line#??} rj_line=${rj_line#"${rj_line%%[! 	]*}"} rj_line=${rj_line%%[ 	]*}
	case $rj_line in /*) [ -e "$rj_line" ] || rj_refuse 127 "$2: its interpreter $rj_line is not there" ;; esac
}

# Create the cgroup $1. Sets rj_cgroup. Its path is written to the job's file `cgroup` first, so none is left behind.
rj_make_cgroup() {
	{ printf '%s\n' "$1" >"$rj_job/cgroup" && mkdir "$1"; } 2>/dev/null || return
	rj_cgroup=$1
}

if [ "${1-}" = become ]; then
	# become JOB UMASK DETACH TOOL TIME TOKEN NAMESPACE SUPERVISOR SECRETS CGROUP: turn this process into the job's command,
	# a session leader. SUPERVISOR is a pid. SECRETS is 1 if standard input brings secrets, else empty. CGROUP is the cgroup
	# in which to create the job's own, or -.
	rj_job=$2 rj_umask=$3 rj_detach=$4 rj_tool=$5 rj_namespace=$8
	# A reply that nobody reads any more must not end the job: with a handler, SIGPIPE becomes a write error.
	trap : PIPE
	rj_claim "$9" "$4" "$6" "$7" || exit 0
	rj_secrets='' rj_cut=''
	[ -z "${10}" ] || rj_read_secrets "$7" || rj_cut=1
	rj_proc $$
	IFS= read -r rj_id <"$rj_job/id"
	unset RJOB_SUPERVISES OLDPWD
	{ printf '%s\n' "$$ ${rj_start:--}" >"$rj_job/main"; } 2>/dev/null || rj_refuse 126 "no space left to start in"
	#@ main-written
	rj_cgroup=''
	[ "${11}" = - ] || rj_make_cgroup "${11}/rjob-${rj_job##*/}"
	echo started 2>/dev/null
	#@ started
	# The kernel takes some 10 ms to move a process, so `start` does not wait: this process already counts as the job's.
	[ -z "$rj_cgroup" ] || { echo $$ >"$rj_cgroup/cgroup.procs"; } 2>/dev/null || rmdir "$rj_cgroup" 2>/dev/null
	[ -z "$rj_cut" ] || rj_refuse 126 "its secrets did not arrive whole"
	rj_dir='' rj_merge='' rj_login='' rj_line='' rj_home_shell=${SHELL:-/bin/sh}
	set --
	. "$rj_job/spec"
	if [ $# -eq 0 ] && [ -z "$rj_line" ]; then
		rj_refuse 126 "sh cannot read the command here: a locale such as C.UTF-8 must be set (LANG)"
	fi
	if [ -e "$rj_job/stdin" ]; then exec <"$rj_job/stdin"; else exec </dev/null; fi
	if [ "$rj_merge" ]; then exec >>"$rj_job/out" 2>&1; else exec >>"$rj_job/out" 2>>"$rj_job/err"; fi
	rj_change_directory "$rj_dir"
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
	if [ -e "$rj_job/env" ] || [ "$rj_secrets" ]; then
		set -- "$rj_job" "$rj_secrets" "$1" "$@"
		(
			[ ! -e "$1/env" ] || . "$1/env"
			eval "$2"
			rj_check_command "$1" "$3"
		) || exit
		shift 3
	else
		rj_check_command "$rj_job" "$1"
	fi
	case $rj_detach in
	setsid) set -- "$rj_tool" -- "$@" ;;
	perl) set -- "$rj_tool" -e 'use POSIX (); POSIX::setsid(); exec { $ARGV[0] } @ARGV;
		my $status = $!{ENOENT} ? 127 : 126; print STDERR "$ARGV[0]: $!\n"; exit $status' -- "$@" ;;
	python3) set -- "$rj_tool" -c 'import os, sys
os.setsid()
try:
    os.execvp(sys.argv[1], sys.argv[1:])
except OSError as error:
    print(sys.argv[1] + ": " + error.strerror, file=sys.stderr)
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)' "$@" ;;
	*)
		# Unlike exec in some shells, env runs no builtin or function; but it takes a word with "=" for a variable.
		case $1 in *=*) ;; *) set -- env -- "$@" ;; esac
		;;
	esac
	set -- "$rj_job" "$rj_secrets" "$rj_id" "$@"
	# Only positional parameters from here on: the variables that are read now may have any name, even rj_job or IFS.
	[ ! -e "$1/env" ] || . "$1/env"
	eval "$2"
	# Set the cookie last, whatever variables the job was given: `stop` finds the job's processes by it.
	RJOB_INSTANCE=${1##*/} RJOB_ID=$3
	export RJOB_INSTANCE RJOB_ID
	shift 3
	exec "$@"
	exit 126
fi

if [ "${1-}" = watch ]; then
	# watch JOB CHECK: end the job when its time limit has passed. CHECK is the text of check.sh. The supervisor ends this
	# process by signalling its process group.
	[ ! -e "$2/exit" ] || exit
	IFS= read -r rj_limit <"$2/limit"
	sleep "$rj_limit" || exit
	# Somebody may have deleted the cached runner; the next request brings it back.
	until [ -f "$0" ] || [ -e "$2/exit" ]; do sleep 1; done
	eval "$3"
	rj_self=$0 rj_spoilt=''
	rj_check "${0%/runner/*}"
	[ -z "$rj_problem$rj_spoilt" ] || exit
	exec sh "$0" expire "$2" "$rj_namespace"
fi
