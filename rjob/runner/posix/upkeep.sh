# ops: remove, compact, rebuild, info.

# UUIDS: take finished jobs away, and everything of theirs.
rj_op_remove() {
	rj_lines='' rj_paths='' rj_gone='' rj_count=0
	mkdir -p "$rj_owner/gone" 2>/dev/null || rj_fail read-only "$rj_owner"
	rj_lock
	rj_read_next
	rj_read_now
	for rj_uuid in $1; do
		rj_id=''
		{ IFS= read -r rj_id <"$rj_owner/jobs/$rj_uuid/id"; } 2>/dev/null
		if [ -h "$rj_owner/jobs/$rj_uuid" ] || [ -z "$rj_id" ]; then
			printf 'absent %s\n' "$rj_uuid"
		elif [ ! -e "$rj_owner/jobs/$rj_uuid/exit" ]; then
			printf 'busy %s\n' "$rj_uuid"
		else
			rj_lines="$rj_lines"'{"v":1,"event":"remove","id":'$rj_id',"instance":"'$rj_uuid'","time":"'$rj_now'"}'$rj_newline
			rj_paths="$rj_paths $rj_uuid" rj_gone="$rj_gone ids/$rj_id live/$rj_id" rj_count=$((rj_count + 1))
		fi
	done
	if [ "$rj_paths" ]; then
		rj_intend "${rj_lines%?}" 2>/dev/null || :
		# shellcheck disable=SC2086
		(cd "$rj_owner/jobs" && mv -f $rj_paths ../gone/ && cd .. && rm -f $rj_gone)
		rj_removed=$((rj_removed + rj_count))
		rj_write_next
		rj_append "${rj_lines%?}" 2>/dev/null || :
		printf 'removed %s\n' "${rj_paths# }"
	fi
	rj_waste=$((rj_next - 1 - rj_removed))
	if [ "$((rj_removed / (rj_waste + 1000)))" -gt "$(((rj_removed - rj_count) / (rj_waste + 1000)))" ]; then rj_compact; fi
	rj_unlock
	rm -rf "$rj_owner/gone"
}

# With the lock: drop what is told of jobs that were removed, and every place in their output but the last.  Lines that
# are not understood stay.
rj_compact() {
	[ -s "$rj_owner/registry.jsonl" ] || return 0
	LC_ALL=C awk '
		function id_of(line) { sub(/^[^,]*,[^,]*,"id":/, "", line); sub(/,.*/, "", line); return line }
		NR == FNR {
			if (/^\{"v":1,"event":"remove","id":[0-9]+,/) removed[id_of(substr($0, 1, 80))] = 1
			else if (/^\{"v":1,"event":"received","id":[0-9]+,/) last[id_of(substr($0, 1, 80))] = FNR
			next
		}
		/^\{"v":1,"event":"(start|end|remove|received)","id":[0-9]+,.*\}$/ {
			id = id_of(substr($0, 1, 80))
			if (id in removed) next
			if (/^\{"v":1,"event":"received"/ && last[id] != FNR) next
		}
		{ print }' "$rj_owner/registry.jsonl" "$rj_owner/registry.jsonl" >"$rj_owner/registry.new" &&
		mv -f "$rj_owner/registry.new" "$rj_owner/registry.jsonl"
}

rj_op_compact() {
	[ -d "$rj_owner/jobs" ] || return 0
	rj_lock
	rj_compact
	rj_unlock
}

# Write the registry, ids, live and next again from the job folders; keep the lines that do not come from there.
rj_op_rebuild() {
	rj_make_owner
	rj_lock
	rj_read_next
	rj_highest_seen=$rj_next
	[ ! -s "$rj_owner/registry.jsonl" ] || rj_highest
	[ "$rj_next" -ge "$rj_highest_seen" ] || rj_next=$rj_highest_seen
	cd "$rj_owner" || return
	rm -rf ids.new live.new
	mkdir ids.new live.new
	LC_ALL=C awk '!/^\{"v":1,"event":"(start|end|received)","id":[0-9]+,.*\}$/ && length($0)' registry.jsonl >registry.new 2>/dev/null
	rj_count=0
	for rj_word in $(grep -s '' /dev/null jobs/*/id | sed 's/^jobs\/\(.*\)\/id:\(.*\)$/\2:\1/' | sort -n); do
		rj_id=${rj_word%%:*} rj_uuid=${rj_word#*:}
		case $rj_id in '' | *[!0-9]*) continue ;; esac
		[ -s "jobs/$rj_uuid/start" ] && [ ! -h "jobs/$rj_uuid" ] || continue
		printf '%s\n' "$rj_uuid" >"ids.new/$rj_id"
		cat "jobs/$rj_uuid/start"
		if rj_end_line "$rj_uuid"; then printf '%s\n' "$rj_line"; else printf '%s\n' "$rj_uuid" >"live.new/$rj_id"; fi
		rj_read_received "$rj_uuid"
		[ "$rj_got_out$rj_got_err" = 00 ] ||
			printf '%s\n' '{"v":1,"event":"received","id":'"$rj_id"',"instance":"'"$rj_uuid"'","out":'"$rj_got_out"',"err":'"$rj_got_err"'}'
		[ "$rj_id" -lt "$rj_next" ] || rj_next=$((rj_id + 1))
		rj_count=$((rj_count + 1))
	done >>registry.new
	rj_removed=$((rj_next - 1 - rj_count))
	rj_write_next
	rm -rf ids live
	mv ids.new ids && mv live.new live && mv -f registry.new registry.jsonl
	rj_unlock
	printf 'rebuilt %s\n' "$rj_count"
}

rj_op_info() {
	rj_pick_rung
	rj_describe_owner
	printf 'info home %s\ninfo detach %s\ninfo system %s\n' "$rj_home" "$rj_rung" "$(uname -sr)"
	printf 'info login-shell %s\n' "${SHELL-}"
	rj_word=none
	if [ -r "/proc/$$/stat" ]; then rj_word=proc; elif ps -o lstart= -p $$ >/dev/null 2>&1; then rj_word=ps; fi
	printf 'info identity %s\n' "$rj_word"
	rj_word=polling
	case $(tail --version 2>/dev/null; uname) in *GNU* | *Darwin* | *BSD*) rj_word=events ;; esac
	printf 'info follow %s\n' "$rj_word"
	printf 'info free-kib %s\n' "$(df -kP "$rj_home" 2>/dev/null | awk 'NR == 2 { print $4 }')"
	if command -v loginctl >/dev/null 2>&1; then
		printf 'info linger %s\n' "$(loginctl show-user "$(id -un)" -p Linger --value 2>/dev/null)"
	fi
}
