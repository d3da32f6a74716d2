# The registry: a journal that only the lock holder appends to. `pending` is its write-ahead log: runners append to it, and
# empty it when all of it is in the registry. rj_backlog is set while some of it is not: on a full disk nothing is lost, and
# the lines are written when there is space again.

# Append lines $1 to `pending`, before the first change that they tell of. Fails, and sets rj_backlog, on a full disk.
rj_write_ahead() {
	# Begin a new line if the last one may be torn.
	if { printf "${rj_backlog:+\n}%s\n" "$1" >>"$rj_owner/pending"; } 2>/dev/null; then
		#@ pending-written
		return
	fi
	rj_backlog=1
	return 1
}

# Append lines $1 to the registry; empty `pending` if all of it is there. Fails, and sets rj_backlog, on a full disk.
rj_append() {
	if ! rj_write "$1"; then
		rj_backlog=1
		return 1
	fi
	#@ registry-written
	if [ "$rj_backlog" ]; then rj_recover; else { true >"$rj_owner/pending"; } 2>/dev/null; fi
	#@ pending-emptied
}

# Append lines $1 to the registry. Reads and sets rj_tail (its end, with a dot added; empty if unknown). Fails on a full
# disk.
rj_write() {
	case $rj_tail in
	. | *"$rj_newline.") ;;
	'') [ ! -s "$rj_owner/registry.jsonl" ] || [ -z "$(tail -c 1 "$rj_owner/registry.jsonl")" ] || rj_tail=torn ;;
	esac
	# Begin a new line after a torn one, so that no other line is damaged.
	case $rj_tail in
	'' | . | *"$rj_newline.") set -- "$1" '' ;;
	*) set -- "$1" "$rj_newline" ;;
	esac
	rj_tail=''
	{ printf '%s%s\n' "$2" "$1" >>"$rj_owner/registry.jsonl"; } 2>/dev/null && rj_tail=.
}

# Complete the changes in `pending`: a lock holder died between its changes and their lines, or the disk was full. Sets
# rj_backlog. Fails on a full disk.
rj_recover() {
	rj_missing='' rj_backlog=''
	while IFS= read -r rj_line; do
		case $rj_line in '{"v":1,"event":"'*'","id":'*',"instance":"'*'}') ;; *) continue ;; esac
		rj_event=${rj_line#*'"event":"'} rj_event=${rj_event%%'"'*}
		rj_id=${rj_line#*'"id":'} rj_id=${rj_id%%,*}
		rj_uuid=${rj_line#*'"instance":"'} rj_uuid=${rj_uuid%%'"'*}
		case $rj_uuid in '' | *[!0-9a-f-]*) continue ;; esac
		rj_is_id "$rj_id" || continue
		case $rj_event in
		start)
			rj_hold_back "$rj_uuid"
			if [ ! -d "$rj_owner/jobs/$rj_uuid" ]; then
				rm -f "$rj_owner/ids/$rj_id" "$rj_owner/live/$rj_id"
				continue
			fi
			;;
		remove)
			# The removal was requested, so complete it; if that is impossible, drop its line.
			[ ! -e "$rj_owner/jobs/$rj_uuid" ] || mv -f "$rj_owner/jobs/$rj_uuid" "$rj_owner/new/" 2>/dev/null || :
			[ ! -e "$rj_owner/jobs/$rj_uuid" ] || continue
			rm -f "$rj_owner/ids/$rj_id" "$rj_owner/live/$rj_id"
			;;
		end) rm -f "$rj_owner/live/$rj_id" ;;
		esac
		case $rj_newline$rj_missing in *"$rj_newline$rj_line$rj_newline"*) continue ;; esac
		grep -qxF -e "$rj_line" "$rj_owner/registry.jsonl" 2>/dev/null || rj_missing=$rj_missing$rj_line$rj_newline
	done <"$rj_owner/pending"
	#@ recovering
	if [ "$rj_missing" ] && ! rj_write "${rj_missing%?}"; then
		rj_backlog=1
		return 1
	fi
	#@ recovered
	{ true >"$rj_owner/pending"; } 2>/dev/null
}

# Prevent job $1, which a dead lock holder has staged, from being moved to jobs/ later: a mv that it started may still run.
# Only one rename of a staged job succeeds, so this renames it to where removed jobs go. What the current request has staged
# (in rj_new) is exempt: it asks for the same job again.
rj_hold_back() {
	for rj_file in "$rj_owner"/new/*/"$1"; do
		[ ! -d "$rj_file" ] || [ "$rj_file" = "${rj_new-}/$1" ] || mv -f "$rj_file" "$rj_owner/new/" 2>/dev/null || :
	done
}

# Build the registry line that tells how job $1 ended. Sets rj_line and rj_id. Fails if it has no exit record.
rj_end_line() {
	rj_status='' rj_when=''
	{ IFS=' ' read -r rj_word rj_status rj_signal rj_when <"$rj_owner/jobs/$1/exit"; } 2>/dev/null
	rj_when=${rj_when%% *}
	case $rj_status in '' | *[!0-9a-z-]*) return 1 ;; esac
	case $rj_when in *[!0-9A-Z:-]*) rj_when='' ;; esac
	case ${rj_status#-} in '' | 0?* | *[!0-9]*) rj_status='"'$rj_status'"' ;; esac
	rj_read_id "$1" || return 1
	rj_line='{"v":1,"event":"end","id":'$rj_id',"instance":"'$1'","time":"'$rj_when'","status":'$rj_status'}'
}

# Journal ends that their own runners have not journalled, at a cost that does not depend on how many jobs run: those with
# hints in ends/, and some of live/. If no hint could be written, or an older runner wrote none, live/ must be searched: 16
# ids in each call, so that many calls check all. The caller holds the lock. Reads rj_next. The hints stay for the runner
# that notes the survivors.
rj_journal_left() {
	set --
	# A power of two: as ids grow, the remainder takes every value in turn.
	rj_step=1
	while [ $((rj_step * 16)) -lt "$rj_next" ]; do rj_step=$((rj_step * 2)); done
	rj_n=$((rj_next % rj_step))
	while [ "$rj_n" -lt "$rj_next" ]; do
		if [ -e "$rj_owner/live/$rj_n" ]; then
			rj_uuid=''
			{ IFS= read -r rj_uuid <"$rj_owner/live/$rj_n"; } 2>/dev/null
			[ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] || set -- "$@" "$rj_uuid"
		fi
		rj_n=$((rj_n + rj_step))
	done
	rj_list_waiting "$@"
	# shellcheck disable=SC2086
	[ -z "$rj_ending" ] || rj_journal_ended $rj_ending
}

# List jobs $*, and those with hints in ends/, at most a hundred, because others wait for the lock. Sets rj_ending.
rj_list_waiting() {
	for rj_file in "$rj_owner"/ends/*; do
		[ -e "$rj_file" ] && [ $# -lt 100 ] || break
		rj_uuid=${rj_file##*/}
		case " $* " in *" $rj_uuid "*) continue ;; esac
		# A supervisor creates its hint before the exit record: until then it is still at work.
		[ -e "$rj_owner/jobs/$rj_uuid/exit" ] || [ ! -d "$rj_owner/jobs/$rj_uuid" ] || continue
		set -- "$@" "$rj_uuid"
	done
	rj_ending="$*"
}

# Journal the ends of those of jobs $* that are still in live/, and delete them there. The caller holds the lock. Fails on a
# full disk: then they stay in live/ or in `pending`.
rj_journal_ended() {
	rj_lines='' rj_done=''
	for rj_uuid; do
		rj_end_line "$rj_uuid" && [ -e "$rj_owner/live/$rj_id" ] || continue
		case "$rj_done " in *" live/$rj_id "*) continue ;; esac
		rj_lines=$rj_lines$rj_line$rj_newline rj_done="$rj_done live/$rj_id"
	done
	[ "$rj_lines" ] || return 0
	rj_write_ahead "${rj_lines%?}" || return 1
	set --
	for rj_word in $rj_done; do set -- "$@" "$rj_owner/$rj_word"; done
	# If this fails, the next lock holder journals them from `pending`, once.
	rm -f "$@" || { rj_backlog=1; return 1; }
	#@ ends-unlisted
	rj_append "${rj_lines%?}"
}

# Delete the identity of a dead scribe (ended.sh): if its pid is reused, supervisors would leave their ends to it. The
# caller holds the lock.
rj_drop_scribe() {
	rj_word=''
	{ IFS= read -r rj_word <"$rj_owner/scribe"; } 2>/dev/null || return 0
	# shellcheck disable=SC2086
	rj_alive $rj_word || rm -f "$rj_owner/scribe"
}
