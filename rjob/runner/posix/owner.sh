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

# In a loop that may last: every tenth round of rj_round, tell the client of this request that the runner lives.
rj_beat() { [ -z "${rj_op-}" ] || [ $((rj_round % 10)) -ne 9 ] || printf '%s beat\n' "$rj_marker"; }

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
