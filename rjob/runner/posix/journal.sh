# The registry: a journal that is only appended to, by the holder of the lock.  pending is its write-ahead log: it is
# only appended to as well, and emptied when all of it is in the registry.  rj_backlog is set while something in it is
# not: on a full disk nothing is lost, and the lines are written when there is space again.

# Note lines $1 in pending, before the first change that they tell of.  Fails on a full disk.
rj_write_ahead() {
	# Behind a torn line, on a line of its own.
	if { printf "${rj_backlog:+\n}%s\n" "$1" >>"$rj_owner/pending"; } 2>/dev/null; then
		#@ pending-written
		return
	fi
	rj_backlog=1
	return 1
}

# Append lines $1 to the registry; empty pending when everything in it is there.  Fails on a full disk.
rj_append() {
	if ! rj_write "$1"; then
		rj_backlog=1
		return 1
	fi
	#@ registry-written
	if [ "$rj_backlog" ]; then rj_recover; else { true >"$rj_owner/pending"; } 2>/dev/null; fi
	#@ pending-emptied
}

# Write lines $1 at the end of the registry.  Reads and sets rj_tail, its end with a dot behind; empty where not known.
rj_write() {
	case $rj_tail in
	. | *"$rj_newline.") ;;
	'') [ ! -s "$rj_owner/registry.jsonl" ] || [ -z "$(tail -c 1 "$rj_owner/registry.jsonl")" ] || rj_tail=torn ;;
	esac
	# A torn line costs nothing but itself.
	case $rj_tail in
	'' | . | *"$rj_newline.") set -- "$1" '' ;;
	*) set -- "$1" "$rj_newline" ;;
	esac
	rj_tail=''
	{ printf '%s%s\n' "$2" "$1" >>"$rj_owner/registry.jsonl"; } 2>/dev/null && rj_tail=.
}

# Finish what stands in pending: a holder died between its changes and its lines, or the disk was full.
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
			# It was asked for, so it is done; not where it cannot be done.
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

# Keep job $1 that a dead holder staged from being moved in later: a mv that it started may be under way.  A staged job is
# renamed once, to its place or to where removed ones go.  What this very request has staged, in rj_new, is asked for again.
rj_hold_back() {
	for rj_file in "$rj_owner"/new/*/"$1"; do
		[ ! -d "$rj_file" ] || [ "$rj_file" = "${rj_new-}/$1" ] || mv -f "$rj_file" "$rj_owner/new/" 2>/dev/null || :
	done
}

# Make the line that says how job $1 ended: rj_line, and rj_id.  Fails if it has no exit record.
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

# With the lock: journal ends that their own runners did not come to, however many jobs run: those that wait in ends/, and
# some of live/.  Where no hint could be written, or an older runner wrote none, that list has to be looked through: 16 numbers
# at each call, so that many calls have seen all of it.  Reads rj_next.  The hints stay, for who does the rest of the end's work.
rj_journal_left() {
	set --
	# A power of two: the rest of a division by it comes round while the numbers grow.
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

# List jobs $*, and those that wait in ends/, a hundred at most, for somebody waits for the lock: rj_ending.
rj_list_waiting() {
	for rj_file in "$rj_owner"/ends/*; do
		[ -e "$rj_file" ] && [ $# -lt 100 ] || break
		rj_uuid=${rj_file##*/}
		case " $* " in *" $rj_uuid "*) continue ;; esac
		# A hint comes before the record: there the supervisor is still at work.
		[ -e "$rj_owner/jobs/$rj_uuid/exit" ] || [ ! -d "$rj_owner/jobs/$rj_uuid" ] || continue
		set -- "$@" "$rj_uuid"
	done
	rj_ending="$*"
}

# With the lock: journal the ends of jobs $* that are still listed as unfinished.  On a full disk they stay listed, and it fails.
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
	# What stays listed is journalled by whoever takes the lock next, from pending: not twice.
	rm -f "$@" || { rj_backlog=1; return 1; }
	#@ ends-unlisted
	rj_append "${rj_lines%?}"
}

# With the lock: take away the identity of a scribe (ended.sh) that is dead, or nobody would be one again.
rj_drop_scribe() {
	rj_word=''
	{ IFS= read -r rj_word <"$rj_owner/scribe"; } 2>/dev/null || return 0
	# shellcheck disable=SC2086
	rj_alive $rj_word || rm -f "$rj_owner/scribe"
}
