# What every operation needs: the machine, the owner's folder, the ids.

# Succeed if an identity is of another machine, or of another pid namespace of this boot: from here nobody can tell whether
# that process lives. $1: its boot; $2: its namespace; $3: its machine; $2 and $3 are - or empty if unknown.
rj_is_apart() {
	case ${3:--} in - | "$rj_machine") ;; *) [ "$rj_machine" = - ] || return 0 ;; esac
	[ "$1" = "$rj_boot" ] || return 1
	case ${2:--} in - | "$rj_namespace") return 1 ;; esac
	[ "$rj_namespace" != - ]
}

# Succeed if the process with pid $1, begin $2, boot $3, namespace $4, machine $5 lives, or may live (rj_is_apart). Sets
# what rj_proc sets.
rj_alive() {
	! rj_is_apart "$3" "${4-}" "${5-}" || return 0
	[ "$3" = "$rj_boot" ] && rj_proc "$1" && [ "$rj_start" = "$2" ] || return 1
	case $rj_state in Z* | X*) return 1 ;; esac
}

# Sleep $1 seconds; one second if `sleep` knows no fractions.
rj_nap() { sleep "$1" 2>/dev/null || sleep 1; }

# Reply with error $1 and text $2, and exit with status 1: nothing follows.
rj_fail() {
	if [ "$rj_marker" = host ]; then
		# A person reads this, not a client that knows the protocol.
		printf 'rjob: %s: %s\n' "$1" "$2" >&2
		exit 1
	fi
	printf 'error %s %s\n%s end\n' "$1" "$2" "$rj_marker"
	exit 1
}

# Tell the client that the runner lives (`beat`), in every tenth round of a loop that may last. $1: the number of the round.
# Does nothing if no request is being served (rj_op).
rj_beat() { [ $(($1 % 10)) -ne 9 ] || [ -z "${rj_op-}" ] || printf '%s beat\n' "$rj_marker"; }

# Wake the runners that follow jobs, because a job has ended or is gone: append a byte to `bell`. If that fails, they find
# out by themselves later.
rj_ring() { { printf . >>"$rj_owner/bell"; } 2>/dev/null || :; }

# Read the current time. Sets rj_now.
rj_read_now() { rj_now=$(date -u +%Y-%m-%dT%H:%M:%SZ); }

# Find the machine's own id, which is never its name, and the owner's folder. Sets rj_machine and rj_owner; makes rj_home
# and rj_self absolute.
rj_read_machine() {
	# A relative home is below the folder in which the runner was started.
	case $rj_home in /*) ;; *) rj_self=$PWD/$rj_self rj_home=$PWD/$rj_home ;; esac
	rj_read_machine_id
	if [ -z "$rj_machine" ] && command -v ioreg >/dev/null 2>&1; then
		rj_machine=$(ioreg -rd1 -c IOPlatformExpertDevice | sed -n 's/.*IOPlatformUUID" = "\(.*\)"/\1/p')
	fi
	# Several machines may share the home, so it cannot hold the id of one.
	[ "$rj_machine" ] || rj_read_random_machine "/var/tmp/rjob-machine-$(id -u)"
	case $rj_machine in '' | .* | *[!A-Za-z0-9._-]*) rj_fail machine "$rj_machine" ;; esac
	rj_owner=$rj_home/$rj_machine
}

# Switch to the space rj_space: an owner of its own, shown only to a client that names it. Sets rj_owner.
rj_enter_space() {
	case $rj_space in *[!A-Za-z0-9]*) rj_fail cut "the request is broken" ;; esac
	for rj_file in "$rj_owner" "$rj_owner/spool"; do
		if [ -h "$rj_file" ] || { [ -e "$rj_file" ] && [ ! -O "$rj_file" ]; }; then rj_fail foreign "$rj_file"; fi
	done
	rj_owner=$rj_owner/spool/$rj_space
}

# Read the random id of a machine that has none of its own from file $1; create that file if it is missing. Sets rj_machine.
rj_read_random_machine() {
	if [ ! -e "$1" ] && [ ! -h "$1" ]; then
		rj_word=$(od -An -tx1 -N16 /dev/urandom 2>/dev/null | tr -cd '0-9a-f')
		[ "${#rj_word}" -eq 32 ] || rj_fail machine-file "$1"
		set -C
		{ printf '%s\n' "$rj_word" >"$1"; } 2>/dev/null
		set +C
	fi
	# Everybody may write to that folder: trust only a file of this user.
	[ -O "$1" ] && [ -f "$1" ] && [ ! -h "$1" ] || rj_fail machine-file "$1"
	rj_tries=0
	# Another process may still be writing it.
	until { IFS= read -r rj_machine <"$1"; } 2>/dev/null && [ "$rj_machine" ]; do
		[ "$rj_tries" -lt 20 ] || rj_fail machine-file "$1"
		rj_nap 0.05
		rj_tries=$((rj_tries + 1))
	done
}

# Read the host's own name. Sets rj_host.
rj_read_host() {
	rj_host=''
	{ IFS= read -r rj_host </proc/sys/kernel/hostname; } 2>/dev/null || rj_host=$(uname -n)
}

# Succeed if $1 can be a job's id: at most 15 digits.
rj_is_id() { case $1 in '' | 0* | *[!0-9]* | ????????????????*) return 1 ;; esac }

# Succeed if $1 can be given to a job, or be counted from: at most nine digits, because some shells calculate with 32 bits.
rj_is_count() { case $1 in '' | 0?* | *[!0-9]* | ??????????*) return 1 ;; esac }

# Read the id of job $1. Sets rj_id. `id` and ids/ must agree, else the start record decides. Fails if there is none.
rj_read_id() {
	rj_id='' rj_word=''
	{ IFS= read -r rj_id <"$rj_owner/jobs/$1/id"; } 2>/dev/null
	rj_is_id "$rj_id" && { IFS= read -r rj_word <"$rj_owner/ids/$rj_id"; } 2>/dev/null
	[ "$rj_word" = "$1" ] || rj_read_start_id "$1"
}

# Read the id of job $1 from its start record, else from `id`. Sets rj_id. Fails if both lack it.
rj_read_start_id() {
	rj_id='' rj_word=''
	{ IFS= read -r rj_id <"$rj_owner/jobs/$1/id"; } 2>/dev/null
	{ IFS= read -r rj_word <"$rj_owner/jobs/$1/start"; } 2>/dev/null
	case $rj_word in
	'{"v":'*',"event":"start","id":'*)
		rj_word=${rj_word#*'"id":'} rj_word=${rj_word%%,*}
		! rj_is_id "$rj_word" || rj_id=$rj_word
		;;
	esac
	rj_is_id "$rj_id"
}

# Read the next id, and how many jobs were removed. Sets rj_next and rj_removed. `next` is one line of fixed width, which is
# overwritten in place; values that make no sense are computed again.
rj_read_next() {
	rj_next='' rj_removed=''
	{ IFS=' ' read -r rj_next rj_removed <"$rj_owner/next"; } 2>/dev/null || :
	if ! rj_is_count "$rj_next" || ! rj_is_count "$rj_removed" || [ "$rj_next" = 0 ]; then
		rj_highest
		rj_removed=$rj_next
	fi
	[ "$rj_removed" -lt "$rj_next" ] || rj_count_removed
}

# Compute the next id: one more than the highest id that any file tells. Sets rj_next.
rj_highest() {
	rj_next=0
	[ -d "$rj_owner" ] && rj_next=$({
		sed -n 's/^{"v":[0-9]*,"event":"[a-z]*","id":\([0-9]*\),.*/\1/p' "$rj_owner/registry.jsonl" "$rj_owner/pending" 2>/dev/null
		rj_list_ids
		find "$rj_owner/jobs" -name id -type f -exec cat {} + 2>/dev/null
		find "$rj_owner/jobs" -name start -type f -exec sed -n 's/^{"v":[0-9]*,"event":"start","id":\([0-9]*\),.*/\1/p' {} + 2>/dev/null
	} | LC_ALL=C sed -n '/^[1-9][0-9]\{0,8\}$/p' | sort -n | tail -n 1)
	rj_next=$((${rj_next:-0} + 1))
}

# Count the ids that were given and have no job any more. Reads rj_next. Sets rj_removed.
rj_count_removed() {
	rj_removed=0
	for rj_file in "$rj_owner"/jobs/*-*; do
		[ ! -d "$rj_file" ] || rj_removed=$((rj_removed + 1))
	done
	rj_removed=$((rj_next > rj_removed ? rj_next - 1 - rj_removed : 0))
}

# Write rj_next and rj_removed to `next`, in place: that needs no disk space. The caller holds the lock.
rj_write_next() {
	# Nobody uses an empty folder in its place: delete it.
	[ ! -d "$rj_owner/next" ] || rmdir "$rj_owner/next" 2>/dev/null || return 1
	{ printf '%-15s %-15s\n' "$rj_next" "$rj_removed" 1<>"$rj_owner/next"; } 2>/dev/null
	#@ next-written
}
