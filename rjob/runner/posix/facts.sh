# Operation facts: what files and processes say about jobs.

# List the living processes of job $1. $2, $3: pid and begin of its main process (0 and - if there is none). Reads rj_known
# (the number of a session that the caller has seen the main process lead) and rj_seen (the PID:BEGIN words of earlier
# scans: such a process stays the job's while both are the same). Sets rj_pids, rj_living (as PID:BEGIN words), rj_session
# (the job's, or none) and what rj_read_cgroup sets; adds to rj_seen.
#
# A process is the job's if it is the main process or in the session that this leads; if it carries the job's cookie, and
# neither its session leader nor its parent carries another job's; if it was seen before; if it is in the job's cgroup; or
# if its parent is one of these, and it is neither a supervisor nor carries another job's cookie. Without /proc, it is the
# job's if it is in the main process's group.
rj_list_pids() {
	rj_pids='' rj_living='' rj_folder='' rj_session=none
	if [ ! -r "/proc/$$/stat" ]; then
		rj_alive "$2" "$3" "$rj_boot" || return 0
		rj_pids=$(LC_ALL=C ps -A -o pid= -o pgid= -o stat= 2>/dev/null |
			LC_ALL=C awk -v group="$2" '$2 == group && $3 !~ /^Z/ { printf "%s ", $1 }')
		rj_pids=${rj_pids:-$2}
		return
	fi
	# A session has its leader's pid as its number. Without the leader the number proves nothing, unless the leader was
	# seen, and no other process has that pid now.
	if rj_alive "$2" "$3" "$rj_boot" || { [ "${rj_known-}" = "$2" ] && ! rj_proc "$2"; }; then
		rj_session=$2
	fi
	rj_read_cgroup "$1"
	rj_proc $$
	rj_living=$({
		LC_ALL=C grep -zsx -e 'RJOB_INSTANCE=[0-9a-f-]*' -e 'RJOB_SUPERVISES=[0-9a-f-]*' /dev/null /proc/[0-9]*/environ |
			tr '\000' '\n'
		LC_ALL=C grep -s '' /proc/[0-9]*/stat
	} | LC_ALL=C awk -v job="$1" -v session="$rj_session" -v mine="$rj_sid" -v seen="${rj_seen-}" -v group="$rj_group" "$rj_belongs")
	for rj_word in $rj_living; do
		rj_pids="$rj_pids ${rj_word%:*}"
		case " ${rj_seen-} " in *" $rj_word "*) ;; *) rj_seen="${rj_seen-} $rj_word" ;; esac
	done
}

# The awk program that finds the processes of a job, and prints PID:BEGIN words in the order of /proc. It skips those of the
# session "mine", the operation's own: the job itself may have requested it.
# shellcheck disable=SC2016
rj_belongs='
	BEGIN {
		count = split(seen, list, " "); for (i = 1; i <= count; i++) before[list[i]] = 1
		count = split(group, list, " "); for (i = 1; i <= count; i++) within[list[i]] = 1
	}
	function led(pid) { return pid in cookie && cookie[pid] != job }
	{ pid = substr($0, 7); sub(/\/.*/, "", pid) }
	/^\/proc\/[0-9]+\/environ:RJOB_INSTANCE=/ { sub(/^[^=]*=/, ""); cookie[pid] = $0; next }
	/^\/proc\/[0-9]+\/environ:/ { keeper[pid] = 1; next }
	# A name may hold newlines: the fields are in the last line.
	{ if (!(pid in last)) order[++total] = pid; last[pid] = $0 }
	END {
		for (i = 1; i <= total; i++) {
			pid = order[i]
			sub(/^.*\) /, "", last[pid])
			split(last[pid], field, " ")
			if (pid + 0 <= 1 || field[1] ~ /^[ZX]/ || field[4] == mine) continue
			parent[pid] = field[2]; sid = field[4]; begin[pid] = field[20]
			# While it becomes the command, the main process does not lead a session yet.
			if (pid "" == session "" || sid "" == session "" || pid in within || pid ":" begin[pid] in before) ours[pid] = 1
			else if (pid in cookie && cookie[pid] == job && !led(sid) && !led(field[2])) ours[pid] = 1
			else if (pid in cookie ? cookie[pid] != job : pid in keeper) other[pid] = 1
		}
		do {
			grown = 0
			for (i = 1; i <= total; i++) {
				pid = order[i]
				if (pid in begin && !(pid in ours) && !(pid in other) && parent[pid] in ours) ours[pid] = grown = 1
			}
		} while (grown)
		for (i = 1; i <= total; i++) if (order[i] in ours) printf "%s:%s ", order[i], begin[order[i]]
	}'

# List the pids in job $1's own cgroup and below it. Sets rj_group (empty if there are none) and rj_folder (the cgroup;
# empty if the job has none).
rj_read_cgroup() {
	rj_group='' rj_folder=''
	{ IFS= read -r rj_folder <"$rj_owner/jobs/$1/cgroup"; } 2>/dev/null || return 0
	case $rj_folder in /sys/fs/cgroup/*"/rjob-$1") ;; *) rj_folder='' ;; esac
	[ -d "$rj_folder" ] || return 0
	for rj_file in "$rj_folder/cgroup.procs" "$rj_folder"/*/cgroup.procs "$rj_folder"/*/*/cgroup.procs; do
		[ ! -e "$rj_file" ] || while read -r rj_word; do rj_group="$rj_group $rj_word"; done <"$rj_file"
	done
}

# Delete the cgroup rj_folder with those below it, if there is one and nothing lives in it.
rj_drop_cgroup() {
	[ -z "$rj_folder" ] || rmdir "$rj_folder"/*/*/ "$rj_folder"/*/ "$rj_folder" 2>/dev/null || :
}

# Read `identity` and `main` of job $1. Sets rj_pid, rj_begin, rj_booted, rj_place (the pid namespace) and rj_site (the
# machine) of the supervisor, rj_main and rj_main_begin; empty if not written yet. A malformed pid makes rj_booted `broken`.
rj_read_identity() {
	rj_pid='' rj_begin='' rj_booted='' rj_place='' rj_site='' rj_main='' rj_main_begin=''
	{ IFS=' ' read -r rj_pid rj_begin rj_booted rj_1 rj_2 rj_3 rj_place rj_site rj_word <"$rj_owner/jobs/$1/identity"; } 2>/dev/null || :
	{ IFS=' ' read -r rj_main rj_main_begin <"$rj_owner/jobs/$1/main"; } 2>/dev/null || :
	case $rj_pid$rj_main in
	*[!0-9]*) rj_pid=0 rj_begin=- rj_booted=broken rj_main='' ;;
	esac
}

# Print which processes of the unfinished job $1 live. Read the job's files after this: they show an end in between.
rj_liveness() {
	rj_read_identity "$1"
	if [ -z "$rj_pid" ] && [ -e "$rj_owner/jobs/$1/identity" ]; then
		# The claim is being written, or its supervisor died just then.
		rj_nap 0.2
		rj_read_identity "$1"
		[ "$rj_pid" ] || rj_booted=none
	fi
	[ "$rj_pid$rj_booted" ] || { printf 'alive %s none - -\n' "$1"; return; }
	if rj_is_apart "$rj_booted" "$rj_place" "$rj_site"; then
		printf 'alive %s ? ? - apart\n' "$1"
		return
	fi
	rj_keeper=- rj_leader=- rj_count=-
	if rj_alive "$rj_pid" "$rj_begin" "$rj_booted"; then rj_keeper=$rj_state; fi
	if [ "$rj_main" ] && rj_alive "$rj_main" "$rj_main_begin" "$rj_booted"; then
		rj_leader=$rj_state
		case $rj_state in D*) rj_seen=''; ! rj_others_halted "$1" || rj_leader=T ;; esac
	fi
	if [ "$rj_keeper" = - ] && [ "$rj_booted" = "$rj_boot" ]; then
		rj_seen=''
		rj_list_pids "$1" "${rj_main:-0}" "${rj_main_begin:--}"
		rj_count_words "$rj_pids"
	fi
	# A claim without a boot id is no sign of another boot.
	case $rj_booted in "$rj_boot" | none | broken | never) rj_word=same ;; *) rj_word=other ;; esac
	printf 'alive %s %s %s %s %s\n' "$1" "$rj_keeper" "$rj_leader" "$rj_count" "$rj_word"
}

# Succeed if all processes of job $1 but its main process, rj_main, have stopped, and there are some. A process that has called
# vfork waits in the kernel until its child calls exec, and does not stop before that: if the child was stopped, so is the job.
# Reads rj_seen (see rj_list_pids).
rj_others_halted() {
	rj_list_pids "$1" "$rj_main" "$rj_main_begin"
	rj_stopped=''
	for rj_word in $rj_pids; do
		[ "$rj_word" != "$rj_main" ] && rj_proc "$rj_word" || continue
		case $rj_state in T* | t*) rj_stopped=1 ;; *) return 1 ;; esac
	done
	[ "$rj_stopped" ]
}

# Count the words of $1. Sets rj_count.
rj_count_words() {
	# shellcheck disable=SC2086
	set -- $1
	rj_count=$#
}

# Find the processes of the ended job $1 that live on. Sets rj_pids. Fails if there are none. The supervisor lists them in
# `survivors` when the command ends; this empties the file when the last one has ended. Reads rj_known.
rj_find_survivors() {
	rj_pids='' rj_seen=''
	[ -s "$rj_owner/jobs/$1/survivors" ] || return 1
	IFS= read -r rj_seen <"$rj_owner/jobs/$1/survivors"
	rj_read_identity "$1"
	[ "$rj_booted" = "$rj_boot" ] && ! rj_is_apart "$rj_booted" "$rj_place" "$rj_site" || return 1
	rj_list_pids "$1" 0 -
	[ "$rj_pids" ] && return
	{ true >"$rj_owner/jobs/$1/survivors"; } 2>/dev/null
	rj_drop_cgroup
	return 1
}

# Print the small files and the sizes of jobs $* and of their children, as grep and stat print them. Reads rj_base (the
# folder of the jobs).
rj_files() {
	rj_small='' rj_big=''
	for rj_uuid; do
		if [ -h "$rj_base/$rj_uuid" ]; then
			printf 'symlink %s\n' "$rj_uuid"
			continue
		fi
		rj_u=$rj_base/$rj_uuid
		rj_small="$rj_small $rj_u/start $rj_u/job.json $rj_u/identity $rj_u/main $rj_u/stop $rj_u/expired $rj_u/signals $rj_u/error $rj_u/received $rj_u/exit"
		if [ -d "$rj_u/1" ]; then
			rj_add_children "$rj_u"
		else
			rj_big="$rj_big $rj_u/out $rj_u/err"
		fi
	done
	rj_print_files
}

# Print the lines of the files rj_small as grep does, and the sizes of the files rj_big as stat does.
rj_print_files() {
	# shellcheck disable=SC2086
	[ -z "$rj_small" ] || LC_ALL=C grep -s '' /dev/null $rj_small
	# shellcheck disable=SC2086
	[ -z "$rj_big" ] || stat -c 'size %s %n' $rj_big 2>/dev/null || stat -f 'size %z %N' $rj_big 2>/dev/null ||
		ls -ln $rj_big 2>/dev/null | awk '{ print "size", $5, $NF }'
}

# Add the files of the children of the job in folder $1, which are numbered without gaps, to rj_small and rj_big. Prints
# what is there after each hundred children, because a command takes only so many arguments.
rj_add_children() {
	rj_child=1
	while [ -d "$1/$rj_child" ] && [ ! -h "$1/$rj_child" ]; do
		rj_u=$1/$rj_child
		rj_small="$rj_small $rj_u/host $rj_u/instance $rj_u/link $rj_u/identity $rj_u/alive $rj_u/stop $rj_u/expired $rj_u/signals $rj_u/error $rj_u/received $rj_u/exit"
		# For a missing file stat would fail, and another tool would be tried.
		[ ! -e "$rj_u/out" ] || rj_big="$rj_big $rj_u/out"
		[ ! -e "$rj_u/err" ] || rj_big="$rj_big $rj_u/err"
		if [ "$((rj_child % 100))" -eq 0 ]; then
			rj_print_files
			rj_small='' rj_big=''
		fi
		rj_child=$((rj_child + 1))
	done
}

# Print the facts of jobs $*, some hundreds at a time. Changes to the folder jobs/.
rj_facts() {
	rj_base=.
	cd "$rj_owner/jobs" || return
	for rj_uuid; do
		if [ -e "$rj_uuid/exit" ]; then
			! rj_find_survivors "$rj_uuid" || {
				rj_count_words "$rj_pids"
				printf 'alive %s - - %s same\n' "$rj_uuid" "$rj_count"
			}
		else
			[ -h "$rj_uuid" ] || rj_liveness "$rj_uuid"
		fi
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

# Print the facts of other machines' jobs under the same home, from their files: of the jobs that the selectors in rj_others
# name, each as WORD:ARGUMENT. The caller has changed to the home.
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

# Perform the operation facts. $*: selectors; "others WORD[:ARGUMENT]" asks for other machines' jobs too.
rj_op_facts() {
	rj_all='' rj_others=''
	rj_describe_owner
	for rj_selector; do
		case $rj_selector in "others "*) rj_others="$rj_others ${rj_selector#others }"; continue ;; esac
		[ ! -d "$rj_owner/jobs" ] || rj_select_more "$rj_selector"
	done
	# shellcheck disable=SC2086
	[ -z "$rj_all" ] || rj_facts $rj_all
	# A space does not show other machines' jobs.
	[ -z "$rj_others" ] || [ "$rj_space" ] || ! cd "$rj_home" 2>/dev/null || rj_facts_of_others
}

# Print which machine this is, and how many jobs it has. Sets rj_host, rj_next and rj_removed.
rj_describe_owner() {
	rj_read_next
	rj_read_host
	printf 'machine %s %s\ntotal %s\n' "$rj_machine" "$rj_host" "$((rj_next - 1 - rj_removed))"
}
