# Launch committed jobs: start a supervisor for each, in a session of its own, and report that its command is about to run.

# Find a tool that gives a process a session of its own. Sets rj_detach (its name, or none) and rj_tool (its path, or -).
rj_find_detach() {
	rj_detach=setsid rj_tool=/usr/bin/setsid
	[ ! -x "$rj_tool" ] || case :$PATH: in *:/usr/bin:*) return ;; esac
	for rj_detach in setsid perl python3; do
		rj_tool=$(command -v "$rj_detach" 2>/dev/null) && case $rj_tool in /*) return ;; esac
	done
	rj_detach=none rj_tool=-
}

# Find the cgroup below which jobs can have their own. Sets rj_cgroups (empty if there is none) and rj_nested (1 if this
# process is in a job's own cgroup). A job's cgroup is never below another's, so that a job that ends does not take the jobs
# that it started with it.
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

# Start the supervisor of job $1 in a session of its own. $2: 1 if standard input brings its secrets, else empty. Its
# standard output tells when the command is about to run.
rj_start_supervisor() {
	# /proc/PID/environ shows the environment at exec: no outer job's cookie may be seen on this supervisor.
	unset RJOB_INSTANCE RJOB_ID
	RJOB_SUPERVISES=$1
	export RJOB_SUPERVISES
	[ -z "$rj_cgroups" ] || [ -z "$rj_nested" ] || { echo 0 >"$rj_cgroups/cgroup.procs"; } 2>/dev/null
	# The first line of the text shows in ps what this is.
	set -- sh -c ": rjob supervisor ${rj_id:-}
$rj_supervisor" "$rj_self" "$rj_owner/jobs/$1" "$rj_umask" "$rj_detach" "$rj_tool" "$rj_now" "$rj_token" \
		"$rj_check_text" "$rj_namespace" "$2" "${rj_cgroups:--}"
	exec 2>/dev/null
	case $rj_detach in
	# Not every setsid knows -f. But if the first setsid is a session leader, the second one has to fork, and returns at
	# once. Unlike "&", that does not leave SIGINT ignored.
	setsid)
		[ -z "$rj_forks" ] || exec "$rj_tool" -f "$@"
		"$rj_tool" -f "$@" || "$rj_tool" "$rj_tool" "$@"
		;;
	perl) "$rj_tool" -e 'use POSIX (); fork and exit; POSIX::setsid(); exec @ARGV' -- "$@" ;;
	python3) "$rj_tool" -c 'import os, sys
if os.fork() == 0:
    os.setsid()
    os.execvp(sys.argv[1], sys.argv[1:])' "$@" ;;
	*) (trap '' HUP; exec "$@") & ;;
	esac
}

# Publish what was committed, then report whether the command of job $1 is about to run, as standard input tells.
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

# Print the secrets $1 for the job's own process. A printf that is no builtin would show them in its arguments.
rj_print_secrets() {
	if [ "$(command -v print)" = print ]; then print -r -- "$1#end $rj_token"; else printf '%s#end %s\n' "$1" "$rj_token"; fi
}

# Start the supervisor of job $1, unless there was one, and wait until the command is about to run. $2: its secrets.
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

# Launch the jobs rj_jobs, which are committed, and release the lock meanwhile. Reads their secrets from rj_secrets_1, ...
# Several are started at a time, in shares; replies of different shares may come in any order. Sets rj_shares (how many) and
# rj_forks (1 if setsid is known to have -f).
rj_launch_all() {
	rj_published='' rj_shares=$rj_number rj_forks=''
	[ "$rj_shares" -le 8 ] || rj_shares=8
	# The check costs a process, but saves one for each job.
	[ "$rj_number" -lt 3 ] || [ "$rj_detach" != setsid ] || ! "$rj_tool" -f true </dev/null >/dev/null 2>&1 || rj_forks=1
	case $rj_shares in
	0) rj_publish ;;
	1) rj_launch_share 1 ;;
	*) rj_launch_shares "$rj_shares" 4>&1 ;;
	esac
}

# Launch shares $1, $1 - 1, ..., 1 side by side, and return when all are done. Descriptor 4 is the reply. A pipeline,
# because `&` would leave SIGINT ignored in everything that the jobs run; a line through it tells that a share is done.
rj_launch_shares() {
	if [ "$1" -gt 1 ]; then
		{
			# Share 1 publishes.
			rj_published=1
			rj_launch_share "$1" >&4 4>&-
			echo 'done'
		} | rj_launch_shares $(($1 - 1))
	else
		rj_publish 4>&-
		rj_published=1
		rj_launch_share 1 >&4 4>&-
	fi
	# Standard input is the pipe from the next share; the last one has none.
	[ "$1" -eq "$rj_shares" ] || IFS= read -r rj_word || :
}

# Launch share $1 of the jobs rj_jobs: each rj_shares-th.
rj_launch_share() {
	rj_each=0
	for rj_one in $rj_jobs; do
		rj_each=$((rj_each + 1)) rj_id=''
		[ $((rj_each % rj_shares + 1)) -eq "$1" ] || continue
		# Missing if the disk was full.
		{ IFS= read -r rj_id <"$rj_owner/jobs/$rj_one/id"; } 2>/dev/null || continue
		printf 'job %s %s\n' "$rj_one" "$rj_id"
		eval "rj_plain=\$rj_secrets_$rj_each"
		rj_launch "$rj_one" "$rj_plain"
		rj_published=1
	done
	# In case there was nothing to launch.
	rj_publish
}
