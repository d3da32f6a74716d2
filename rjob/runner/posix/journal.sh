# The registry: a journal that is only appended to, by the holder of the lock.

# Append the lines $1.  They stand in pending from before the first change that they tell of until they are written.
rj_append() {
	if [ -s "$rj_owner/registry.jsonl" ] && [ "$(tail -c 1 "$rj_owner/registry.jsonl")" ]; then
		# A torn line costs nothing but itself.
		printf '\n' >>"$rj_owner/registry.jsonl"
	fi
	printf '%s\n' "$1" >>"$rj_owner/registry.jsonl" && : >"$rj_owner/pending"
}

rj_intend() { printf '%s\n' "$1" >"$rj_owner/pending"; }

# A holder died between its changes and its lines.
rj_recover() {
	rj_missing=''
	while IFS= read -r rj_line; do
		case $rj_line in '{"v":1,"event":"'*'}') ;; *) continue ;; esac
		rj_event=${rj_line#*'"event":"'} rj_event=${rj_event%%'"'*}
		rj_id=${rj_line#*'"id":'} rj_id=${rj_id%%,*}
		rj_uuid=${rj_line#*'"instance":"'} rj_uuid=${rj_uuid%%'"'*}
		case $rj_event in
		start)
			if [ ! -d "$rj_owner/jobs/$rj_uuid" ]; then
				rm -f "$rj_owner/ids/$rj_id" "$rj_owner/live/$rj_id"
				continue
			fi
			;;
		remove)
			[ ! -e "$rj_owner/jobs/$rj_uuid" ] || continue
			rm -f "$rj_owner/ids/$rj_id" "$rj_owner/live/$rj_id"
			;;
		end) rm -f "$rj_owner/live/$rj_id" ;;
		esac
		grep -qxF -e "$rj_line" "$rj_owner/registry.jsonl" 2>/dev/null || rj_missing=$rj_missing$rj_line$rj_newline
	done <"$rj_owner/pending"
	if [ "$rj_missing" ]; then rj_append "${rj_missing%?}"; else : >"$rj_owner/pending"; fi
}

# The line that says how job $1 ended, once its exit record is there: rj_line.  Fails if there is none.
rj_end_line() {
	rj_status='' rj_id=''
	{
		IFS=' ' read -r rj_word rj_status rj_signal rj_when <"$rj_owner/jobs/$1/exit"
		IFS= read -r rj_id <"$rj_owner/jobs/$1/id"
	} 2>/dev/null
	case $rj_id in '' | *[!0-9]*) return 1 ;; esac
	case $rj_status in '' | *[!0-9a-z-]*) return 1 ;; esac
	case $rj_status in *[!0-9]*) rj_status='"'$rj_status'"' ;; esac
	rj_line='{"v":1,"event":"end","id":'$rj_id',"instance":"'$1'","time":"'${rj_when%% *}'","status":'$rj_status'}'
}

# Journal the ends whose own runner was killed before it could.
rj_settle_live() {
	set --
	for rj_file in "$rj_owner"/live/[0-9]*; do
		rj_uuid=''
		{ IFS= read -r rj_uuid <"$rj_file"; } 2>/dev/null || continue
		[ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] || set -- "$@" "$rj_uuid"
	done
	[ $# -eq 0 ] || [ -s "$rj_owner/pending" ] || rj_settle "$@"
}

# Journal the ends of jobs $* that are still listed as unfinished.  Called with the lock.
rj_settle() {
	rj_lines='' rj_done=''
	for rj_uuid; do
		rj_end_line "$rj_uuid" && [ -e "$rj_owner/live/$rj_id" ] || continue
		rj_lines=$rj_lines$rj_line$rj_newline rj_done="$rj_done live/$rj_id"
	done
	[ "$rj_lines" ] || return 0
	rj_intend "${rj_lines%?}"
	# shellcheck disable=SC2086
	(cd "$rj_owner" && rm -f $rj_done)
	rj_append "${rj_lines%?}"
}
