# After the supervisor has recorded the end of a job: journal that end, and note which processes live on.

# Journal the end of job $1, and of all other jobs with hints in ends/, until none has one. Runners that wait for the lock
# find their hints gone, and exit. If several jobs have hints, this runner is the scribe: a supervisor that finds its
# identity in `scribe` starts no runner at all. So that no end is missed, a supervisor creates its hint before it reads
# `scribe`, and the scribe looks for hints once more after it has deleted `scribe`.
rj_journal_ends() {
	# On a full disk there may be no hint.
	rj_word=$rj_owner/ends/$1
	[ -e "$rj_word" ] || rj_word=''
	rj_lock ${rj_word:+"$rj_word"} || return 0
	rj_list_waiting "$1"
	rj_scribes=''
	# Renamed into place: a supervisor that reads an empty file would start a runner of its own.
	case $rj_ending in
	*' '*) { printf '%s\n' "$rj_me" >"$rj_owner/scribe.$$" && mv -f "$rj_owner/scribe.$$" "$rj_owner/scribe" && rj_scribes=1; } 2>/dev/null ;;
	esac
	while rj_journal_waiting; do
		rj_note_all_survivors
		[ "$rj_scribes" ] || return 0
		# Each round scans all processes, so let it serve many ends.
		rj_nap 0.2
		rj_list_waiting
		if [ -z "$rj_ending" ]; then
			rm -f "$rj_owner/scribe"
			# From now on another runner's.
			rj_scribes=''
			#@ scribe-gone
			rj_list_waiting
			[ "$rj_ending" ] || return 0
		fi
		rj_lock
	done
	rj_ending=$1
	rj_note_all_survivors
}

# Journal the ends of jobs rj_ending, delete their hints, and release the lock, which the caller holds. If that cannot be
# done, deletes `scribe` instead of the hints, and fails.
rj_journal_waiting() {
	set --
	for rj_uuid in $rj_ending; do set -- "$@" "$rj_owner/ends/$rj_uuid"; done
	# shellcheck disable=SC2086
	rj_journal_ended $rj_ending || set -- "$rj_owner/scribe"
	rj_unlock "$@"
	#@ hints-gone
	[ "$1" != "$rj_owner/scribe" ] && [ ! -e "$1" ]
}

# Note which processes of jobs rj_ending, whose commands have just ended, live on; delete the cgroups of jobs without any.
rj_note_all_survivors() {
	# One check for all of them; most often nothing lives on.
	# shellcheck disable=SC2086
	if rj_may_live $rj_ending; then rj_some_live=1; else rj_some_live=''; fi
	for rj_one in $rj_ending; do
		[ -e "$rj_owner/jobs/$rj_one/exit" ] || continue
		if [ "$rj_some_live" ] && rj_may_live "$rj_one"; then
			rj_note_survivors "$rj_one"
		else
			rj_read_cgroup "$rj_one"
			rj_drop_cgroup
		fi
	done
}

# Succeed if a process of any of jobs $* may live. Fails only if rj_list_pids would find none: none with their cookies, in
# their sessions or in their cgroups, and so none with such a parent either.
rj_may_live() {
	[ -r "/proc/$$/stat" ] || return 0
	rj_cookies='' rj_sessions=''
	for rj_uuid; do
		rj_read_cgroup "$rj_uuid"
		[ -z "$rj_group" ] || return 0
		rj_main=''
		{ IFS=' ' read -r rj_main rj_part <"$rj_owner/jobs/$rj_uuid/main"; } 2>/dev/null
		rj_cookies="$rj_cookies|$rj_uuid" rj_sessions="$rj_sessions|${rj_main:-0}"
	done
	# grep is silent about files that may not be read, or are gone by now; rj_list_pids skips them too. If it knows its
	# options, it finds this very process.
	rj_word=$(LC_ALL=C grep -zslE -e "^RJOB_INSTANCE=(${rj_cookies#?})\$" -e "^$$ \\(" \
		-e "\\) [A-Z] [0-9]+ [0-9]+ (${rj_sessions#?}) " /proc/[0-9]*/environ /proc/[0-9]*/stat)
	[ "$rj_word" != "/proc/$$/stat" ]
}

# Write the processes of job $1, whose command has just ended, that live on to the file `survivors`. If there are none,
# delete its cgroup.
rj_note_survivors() {
	rj_read_identity "$1"
	rj_known=$rj_main rj_seen=''
	rj_list_pids "$1" "${rj_main:-0}" "${rj_main_begin:--}"
	if [ "$rj_pids" ]; then
		{ printf '%s\n' "$rj_living" >"$rj_owner/jobs/$1/survivors"; } 2>/dev/null
	else
		rj_drop_cgroup
	fi
}

if [ "${1-}" = ended ]; then
	# ended JOB NAMESPACE: what a job's supervisor becomes when it has recorded the end.
	umask 077
	rj_marker=$1 rj_self=$0 rj_owner=${2%/jobs/*} rj_namespace=$3
	rj_read_boot
	rj_read_machine_id
	rj_journal_ends "${2##*/}"
	exit
fi
