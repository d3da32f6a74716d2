# The POSIX runner: reads and writes the files of jobs on one machine, and handles their processes. It reports facts; the
# client decides what they mean. docs/reference/runner-protocol.md describes the operations, docs/explanation/runner.md
# gives the reasons.
#
# Run as
#   . FILE                     by the bootstrap: serve one request from stdin, reply on stdout
#   sh FILE become|watch|ended|expire JOB ...         one step in the life of one job
#   sh FILE host get|tail|stop ...                    for people on the machine
#
# Every name begins with rj_, so that the runner overwrites no variable of the caller's environment, which the job inherits.
# A shell parses a script command by command, so a mode that an early part handles never parses the later parts. The
# supervisor stays in memory as long as the job runs, so it is a text of its own (supervisor.sh, run by launch.sh): it needs
# no file, and little memory.

# Read the facts of process $1. Sets rj_state, rj_start (when it began, in the system's own unit) and rj_sid (its session;
# without /proc, $1 itself). Fails if there is no such process.
rj_proc() {
	rj_state='' rj_start='' rj_sid=''
	if [ -r "/proc/$$/stat" ]; then
		rj_line=''
		{ while IFS= read -r rj_part; do rj_line="$rj_line $rj_part"; done <"/proc/$1/stat"; } 2>/dev/null
		[ "$rj_line" ] || return 1
		# The process's name may hold blanks and parentheses: the next fields begin after the last parenthesis.
		# shellcheck disable=SC2086
		set -- ${rj_line##*") "}
		rj_state=$1 rj_sid=$4 rj_start=${20}
	elif rj_line=$(LC_ALL=C TZ=UTC0 ps -o stat= -o lstart= -p "$1" 2>/dev/null) && [ "$rj_line" ]; then
		rj_sid=$1
		# shellcheck disable=SC2086
		set -- $rj_line
		rj_state=$1 rj_start=$2_$3_$4_$5_$6
	else
		# Neither /proc nor such a ps: only whether the pid lives can be known.
		kill -0 "$1" 2>/dev/null || return 1
		rj_state='?' rj_start=- rj_sid=$1
	fi
}

# Read the id of the machine's current boot. Sets rj_boot (- if unknown).
rj_read_boot() {
	rj_boot=''
	{ IFS= read -r rj_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null ||
		rj_boot=$(sysctl -n kern.bootsessionuuid 2>/dev/null) ||
		rj_boot=$(sysctl -n kern.boottime 2>/dev/null | tr -cd '0-9,')
	rj_boot=${rj_boot:--}
}

# Read the id that the machine states, from RJOB_MACHINE or /etc/machine-id. Sets rj_machine (empty if there is none).
rj_read_machine_id() {
	rj_machine=${RJOB_MACHINE-}
	[ "$rj_machine" ] || { IFS= read -r rj_machine </etc/machine-id; } 2>/dev/null || :
}

rj_newline='
'
