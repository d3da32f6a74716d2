# The POSIX runner: reads and writes the files of jobs on one machine and handles their processes.  It tells facts;
# what they mean is decided elsewhere.  protocol.py describes the operations, docs/explanation/runner.md the reasons.
#
# Run as
#   . FILE                     by the bootstrap: serve one request from stdin, reply on stdout
#   sh FILE become|watch|ended|expire JOB ...         the life of one job
#   sh FILE host get|tail|stop ...                    for people on the machine
#
# Every name begins with rj_, so that no variable of the caller's environment, which the job inherits, is touched.
# A shell reads a script command by command: what comes first here never parses the rest.  What stays for the life of a
# job, the supervisor, is a text of its own (in launch.sh): it needs no file, and little memory.

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

# What the machine says that it is: rj_machine; empty if it does not.
rj_read_machine_id() {
	rj_machine=${RJOB_MACHINE-}
	[ "$rj_machine" ] || { IFS= read -r rj_machine </etc/machine-id; } 2>/dev/null || :
}

rj_newline='
'
