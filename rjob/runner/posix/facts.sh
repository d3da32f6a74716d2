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
