# The end of a job, once its supervisor has recorded it: journal it, note what lives on.

# Journal the end of job $1, and of all others that wait in ends/, until none does.  Whose own runners wait for the lock find their
# hints gone, and go.  Jobs that end meanwhile leave no runner at all if they find this one's identity in scribe; so that none is
# missed, a supervisor leaves its hint before it looks for that, and this looks for hints once more when it has taken it away.
rj_journal_ends() {
	# On a full disk there may be no hint.
	rj_word=$rj_owner/ends/$1
	[ -e "$rj_word" ] || rj_word=''
	rj_lock ${rj_word:+"$rj_word"} || return 0
	rj_list_waiting "$1"
	rj_scribes=''
	# Renamed into place: a supervisor that found it empty would send a runner of its own.
	case $rj_ending in
	*' '*) { printf '%s\n' "$rj_me" >"$rj_owner/scribe.$$" && mv -f "$rj_owner/scribe.$$" "$rj_owner/scribe" && rj_scribes=1; } 2>/dev/null ;;
	esac
	while rj_journal_waiting; do
		rj_note_all_survivors
		[ "$rj_scribes" ] || return 0
		# Each round looks at all processes: the more ends it is for, the better.
		rj_nap 0.2
		rj_list_waiting
		if [ -z "$rj_ending" ]; then
			rm -f "$rj_owner/scribe"
			#@ scribe-gone
			rj_list_waiting
			[ "$rj_ending" ] || return 0
		fi
		rj_lock
	done
	rj_ending=$1
	rj_note_all_survivors
}

# With the lock: journal the ends of jobs rj_ending, take away their hints, let go of the lock.  Fails if that cannot be done.
rj_journal_waiting() {
	set --
	for rj_uuid in $rj_ending; do set -- "$@" "$rj_owner/ends/$rj_uuid"; done
	# shellcheck disable=SC2086
	rj_journal_ended $rj_ending || set -- "$rj_owner/scribe"
	rj_unlock "$@"
	#@ hints-gone
	[ "$1" != "$rj_owner/scribe" ] && [ ! -e "$1" ]
}

# Note which processes of the jobs rj_ending, whose commands have just ended, live on.
rj_note_all_survivors() {
	# One look for all of them; most often there is nothing.
	# shellcheck disable=SC2086
	if rj_may_live $rj_ending; then rj_word=1; else rj_word=''; fi
	for rj_one in $rj_ending; do
		[ -e "$rj_owner/jobs/$rj_one/exit" ] || continue
		if [ "$rj_word" ] && rj_may_live "$rj_one"; then
			rj_note_survivors "$rj_one"
		else
			rj_read_cgroup "$rj_one"
			rj_drop_cgroup
		fi
	done
}

# Whether a process may be left of any of jobs $*.  Fails only if there is none that rj_list_pids would list: none with their
# cookies, in their sessions or in their cgroups, so none that has such a parent either.
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
	# Of files that may not be read, or are gone by now, grep says nothing, as rj_list_pids does; that it knows its options shows in
	# that it finds this process.
	rj_word=$(LC_ALL=C grep -zslE -e "^RJOB_INSTANCE=(${rj_cookies#?})\$" -e "^$$ \\(" \
		-e "\\) [A-Z] [0-9]+ [0-9]+ (${rj_sessions#?}) " /proc/[0-9]*/environ /proc/[0-9]*/stat)
	[ "$rj_word" != "/proc/$$/stat" ]
}

# Note which processes of job $1, whose command has just ended, live on; take its cgroup away if there are none.
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
	# ended JOB NAMESPACE: what the supervisor of a job turns into at last.
	umask 077
	rj_marker=$1 rj_self=$0 rj_owner=${2%/jobs/*} rj_namespace=$3
	rj_read_boot
	rj_read_machine_id
	rj_journal_ends "${2##*/}"
	exit
fi
