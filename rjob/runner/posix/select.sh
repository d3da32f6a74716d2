# Selectors: which jobs they name.

# Find the jobs that selector $1 names. Sets rj_found. Reads rj_next.
rj_select() {
	rj_found='' rj_text=${1#name }
	set -f
	# shellcheck disable=SC2086
	set -- $1
	set +f
	rj_kind=${1-}
	[ $# -eq 0 ] || shift
	case $rj_kind in
	id) rj_by_id "$1" ;;
	range)
		rj_n=$1
		[ "$2" -lt "$rj_next" ] || set -- "$1" "$((rj_next - 1))"
		if [ "$(($2 - rj_n))" -lt 1000 ]; then
			while [ "$rj_n" -le "$2" ]; do
				rj_by_id "$rj_n"
				rj_n=$((rj_n + 1))
			done
		else
			# Most ids of so long a range may have no job.
			for rj_n in $(rj_list_ids | awk -v from="$rj_n" -v to="$2" '$1 + 0 >= from + 0 && $1 + 0 <= to + 0' | sort -n); do
				rj_by_id "$rj_n"
			done
		fi
		;;
	instance)
		for rj_file in "$rj_owner/jobs/$1"*; do
			[ ! -d "$rj_file" ] || rj_found="$rj_found ${rj_file##*/}"
		done
		;;
	all)
		for rj_file in "$rj_owner"/jobs/*-*; do
			[ ! -d "$rj_file" ] || rj_found="$rj_found ${rj_file##*/}"
		done
		;;
	live)
		for rj_file in "$rj_owner"/live/[0-9]*; do
			[ ! -e "$rj_file" ] || rj_by_file "$rj_file"
		done
		;;
	newest) rj_newest "$1" "${2-}" ;;
	name)
		# Newest first. rj_by_id skips the line of a removed job.
		for rj_n in $(LC_ALL=C grep -F -e "$rj_text" "$rj_owner/registry.jsonl" 2>/dev/null |
			sed -n 's/^{"v":[0-9]*,"event":"start","id":\([0-9]\{1,15\}\),.*/\1/p' | sort -rn); do
			rj_by_id "$rj_n"
			[ -z "$rj_found" ] || break
		done
		;;
	esac
}

# Print the facts of the owner, and what selectors $* name. Sets rj_all (all of these jobs).
rj_select_jobs() {
	rj_all=''
	rj_describe_owner
	[ -d "$rj_owner/jobs" ] || return 0
	for rj_selector; do
		rj_select_more "$rj_selector"
	done
}

# Print which jobs selector $1 names; add those that are not there yet to rj_all.
rj_select_more() {
	rj_select "$1"
	printf 'selected%s\n' "$rj_found"
	if [ -z "$rj_all" ]; then
		rj_all=$rj_found
		return
	fi
	for rj_uuid in $rj_found; do
		case $rj_all in *"$rj_uuid"*) ;; *) rj_all="$rj_all $rj_uuid" ;; esac
	done
}

# Print the facts of the jobs that selectors $* name, and let the client choose. Sets rj_chosen. Fails if there are none.
rj_choose() {
	rj_chosen=''
	rj_select_jobs "$@"
	[ "$rj_all" ] || return 1
	# shellcheck disable=SC2086
	rj_facts $rj_all
	printf '%s ready\n' "$rj_marker"
	while IFS= read -r rj_line && [ "$rj_line" != end ]; do
		case $rj_all in *"$rj_line"*) rj_chosen="$rj_chosen $rj_line" ;; esac
	done
	[ "$rj_line" = end ] || rj_fail cut "the request ended early"
	[ "$rj_chosen" ]
}

# Print the ids that have jobs.
rj_list_ids() {
	for rj_file in "$rj_owner"/ids/[0-9]*; do printf '%s\n' "${rj_file##*/}"; done
}

# Add the job with id $1 to rj_found.
rj_by_id() { rj_by_file "$rj_owner/ids/$1"; }

# Add the job that file $1 names to rj_found.
rj_by_file() {
	rj_uuid=''
	{ IFS= read -r rj_uuid <"$1"; } 2>/dev/null || return 0
	case $rj_uuid in '' | *[!0-9a-f-]*) return 0 ;; esac
	[ ! -d "$rj_owner/jobs/$rj_uuid" ] || rj_found="$rj_found $rj_uuid"
}

# Add the $1 newest jobs to rj_found: only those that are not in live/, unless $2 is given. Reads rj_next.
rj_newest() {
	rj_n=$((rj_next - 1)) rj_left=$1 rj_gaps=0
	while [ "$rj_n" -gt 0 ] && [ "$rj_left" -gt 0 ]; do
		if [ -e "$rj_owner/ids/$rj_n" ]; then
			if [ "${2-}" ] || [ ! -e "$rj_owner/live/$rj_n" ]; then
				rj_was=$rj_found
				rj_by_id "$rj_n"
				[ "$rj_was" = "$rj_found" ] || rj_left=$((rj_left - 1))
			fi
		elif [ "$rj_gaps" -ge 1000 ]; then
			# Too many were removed to count down one by one.
			rj_gaps=0
			rj_n=$(rj_list_ids |
				awk -v n="$rj_n" '$1 + 0 < n + 0 && $1 + 0 > m { m = $1 + 0 } END { print m + 1 }')
		else
			rj_gaps=$((rj_gaps + 1))
		fi
		rj_n=$((rj_n - 1))
	done
}
