# What every operation stands on: the machine, the owner's folder, the numbers.

# Whether an identity is of another machine, or of another pid namespace of this boot: whether it lives cannot be told from here.
# $1: its boot; $2: its namespace; $3: its machine; each of the last two - or nothing if unknown.
rj_is_apart() {
	case ${3:--} in - | "$rj_machine") ;; *) [ "$rj_machine" = - ] || return 0 ;; esac
	[ "$1" = "$rj_boot" ] || return 1
	case ${2:--} in - | "$rj_namespace") return 1 ;; esac
	[ "$rj_namespace" != - ]
}

# Whether the process with pid $1, begin $2, boot $3, namespace $4, machine $5 lives, or may live.
rj_alive() {
	! rj_is_apart "$3" "${4-}" "${5-}" || return 0
	[ "$3" = "$rj_boot" ] && rj_proc "$1" && [ "$rj_start" = "$2" ] || return 1
	case $rj_state in Z* | X*) return 1 ;; esac
}

# Sleep $1 seconds; where sleep knows no fractions, one second.
rj_nap() { sleep "$1" 2>/dev/null || sleep 1; }

rj_fail() { # CODE TEXT: the reply is an error, and nothing follows
	if [ "$rj_marker" = host ]; then
		# Who sits in front of it reads no protocol.
		printf 'rjob: %s: %s\n' "$1" "$2" >&2
		exit 1
	fi
	printf 'error %s %s\n%s end\n' "$1" "$2" "$rj_marker"
	exit 1
}

# In a loop that may last: every tenth round of rj_round, tell the client of this request that the runner lives.
rj_beat() { [ $(($1 % 10)) -ne 9 ] || [ -z "${rj_op-}" ] || printf '%s beat\n' "$rj_marker"; }

# Wake those who look on: a job has ended, or is gone.  They find out by themselves later where this fails.
rj_ring() { { printf . >>"$rj_owner/bell"; } 2>/dev/null || :; }

# What time it is: rj_now.
rj_read_now() { rj_now=$(date -u +%Y-%m-%dT%H:%M:%SZ); }

# Find the machine's own id, never its name, and the owner's folder: rj_machine, rj_owner.
rj_read_machine() {
	# A relative home is one below the folder that the runner began in.
	case $rj_home in /*) ;; *) rj_self=$PWD/$rj_self rj_home=$PWD/$rj_home ;; esac
	rj_read_machine_id
	if [ -z "$rj_machine" ] && command -v ioreg >/dev/null 2>&1; then
		rj_machine=$(ioreg -rd1 -c IOPlatformExpertDevice | sed -n 's/.*IOPlatformUUID" = "\(.*\)"/\1/p')
	fi
	# A folder that several machines may share cannot hold it.
	[ "$rj_machine" ] || rj_read_random_machine "/var/tmp/rjob-machine-$(id -u)"
	case $rj_machine in '' | .* | *[!A-Za-z0-9._-]*) rj_fail machine "$rj_machine" ;; esac
	rj_owner=$rj_home/$rj_machine
}

# Work in the space rj_space: an owner of its own, which the plain one knows nothing of: rj_owner.
rj_enter_space() {
	case $rj_space in *[!A-Za-z0-9]*) rj_fail cut "the request is broken" ;; esac
	for rj_file in "$rj_owner" "$rj_owner/spool"; do
		if [ -h "$rj_file" ] || { [ -e "$rj_file" ] && [ ! -O "$rj_file" ]; }; then rj_fail foreign "$rj_file"; fi
	done
	rj_owner=$rj_owner/spool/$rj_space
}

# The machine has no id of its own: read the random one in file $1, made when first asked for: rj_machine.
rj_read_random_machine() {
	if [ ! -e "$1" ] && [ ! -h "$1" ]; then
		rj_word=$(od -An -tx1 -N16 /dev/urandom 2>/dev/null | tr -cd '0-9a-f')
		[ "${#rj_word}" -eq 32 ] || rj_fail machine-file "$1"
		set -C
		{ printf '%s\n' "$rj_word" >"$1"; } 2>/dev/null
		set +C
	fi
	# Everybody may write to that folder: what others put there is not believed.
	[ -O "$1" ] && [ -f "$1" ] && [ ! -h "$1" ] || rj_fail machine-file "$1"
	rj_tries=0
	# Somebody else may be writing it.
	until { IFS= read -r rj_machine <"$1"; } 2>/dev/null && [ "$rj_machine" ]; do
		[ "$rj_tries" -lt 20 ] || rj_fail machine-file "$1"
		rj_nap 0.05
		rj_tries=$((rj_tries + 1))
	done
}

# The host's own name: rj_host.
rj_read_host() {
	rj_host=''
	{ IFS= read -r rj_host </proc/sys/kernel/hostname; } 2>/dev/null || rj_host=$(uname -n)
}

# Whether $1 is a job's number.
rj_is_id() { case $1 in '' | 0* | *[!0-9]* | ????????????????*) return 1 ;; esac }

# Whether $1 is a number that may be given to a job, or counted from: nine digits, for some shells count in 32 bits.
rj_is_count() { case $1 in '' | 0?* | *[!0-9]* | ??????????*) return 1 ;; esac }

# Read the number of job $1: rj_id.  id and ids/ have to agree, or its start record says it.  Fails if nothing does.
rj_read_id() {
	rj_id='' rj_word=''
	{ IFS= read -r rj_id <"$rj_owner/jobs/$1/id"; } 2>/dev/null
	rj_is_id "$rj_id" && { IFS= read -r rj_word <"$rj_owner/ids/$rj_id"; } 2>/dev/null
	[ "$rj_word" = "$1" ] || rj_read_start_id "$1"
}

# Read the number of job $1 from its start record, else from id: rj_id.
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

# Read the next id and how many jobs were removed: rj_next, rj_removed.  The file is one line of fixed width, which is
# overwritten in place; what makes no sense is found again.
rj_read_next() {
	rj_next='' rj_removed=''
	{ IFS=' ' read -r rj_next rj_removed <"$rj_owner/next"; } 2>/dev/null || :
	if ! rj_is_count "$rj_next" || ! rj_is_count "$rj_removed" || [ "$rj_next" = 0 ]; then
		rj_highest
		rj_removed=$rj_next
	fi
	[ "$rj_removed" -lt "$rj_next" ] || rj_count_removed
}

# Find the next id: one more than the highest that anything tells of: rj_next.
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

# Count how many of the numbers that were given have no job any more: rj_removed.
rj_count_removed() {
	rj_removed=0
	for rj_file in "$rj_owner"/jobs/*-*; do
		[ ! -d "$rj_file" ] || rj_removed=$((rj_removed + 1))
	done
	rj_removed=$((rj_next > rj_removed ? rj_next - 1 - rj_removed : 0))
}

# Write rj_next and rj_removed, in place: that needs no space.  Called with the lock.
rj_write_next() {
	# An empty folder in its place is in nobody's use.
	[ ! -d "$rj_owner/next" ] || rmdir "$rj_owner/next" 2>/dev/null || return 1
	{ printf '%-15s %-15s\n' "$rj_next" "$rj_removed" 1<>"$rj_owner/next"; } 2>/dev/null
	#@ next-written
}
