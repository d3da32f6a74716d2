# ops: remove, compact, rebuild, info.

# UUIDS: take finished jobs away, and everything of theirs.
rj_op_remove() {
	rj_lines='' rj_paths='' rj_gone='' rj_count=0
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
	# The files themselves go after the lock: there may be many.
	rj_bin=$rj_owner/gone.$rj_marker
	[ -z "$rj_paths" ] || rj_take_out
	rj_unlock
	rm -rf "$rj_bin"
}

rj_take_out() {
	# On a full disk the journal may have to wait: what is removed makes room.
	rj_intend "${rj_lines%?}" 2>/dev/null || :
	# shellcheck disable=SC2086
	if ! (mkdir "$rj_bin" && cd "$rj_owner/jobs" && mv -f $rj_paths "$rj_bin/" && cd .. && rm -f $rj_gone) 2>/dev/null; then
		rj_recover
		rj_unlock
		rj_fail read-only "$rj_owner"
	fi
	# What a killed remove has left goes with it.
	for rj_file in "$rj_owner"/gone.*; do
		[ "$rj_file" = "$rj_bin" ] || mv -f "$rj_file" "$rj_bin/" 2>/dev/null
	done
	rj_removed=$((rj_removed + rj_count))
	rj_write_next
	rj_append "${rj_lines%?}" 2>/dev/null || :
	printf 'removed %s\n' "${rj_paths# }"
	# From time to time, as what is told of removed jobs outgrows the rest.
	rj_left=$((rj_next - 1 - rj_removed + 1000))
	if [ "$((rj_removed / rj_left))" -gt "$(((rj_removed - rj_count) / rj_left))" ]; then rj_compact; fi
}

# With the lock: drop what is told of jobs that were removed, and every place in their output but the last.  Lines that
# are not understood stay.
rj_compact() {
	[ -s "$rj_owner/registry.jsonl" ] && [ ! -s "$rj_owner/pending" ] || return 0
	# Not every awk says that a disk is full: count what arrived.
	rj_kept=$(LC_ALL=C awk -v new="$rj_owner/registry.new" '
		function id_of(line) { line = substr(line, 1, 80); sub(/^[^,]*,[^,]*,"id":/, "", line); sub(/,.*/, "", line); return line }
		NR == FNR {
			if (/^\{"v":1,"event":"remove","id":[0-9]+,/) removed[id_of($0)] = 1
			else if (/^\{"v":1,"event":"received","id":[0-9]+,/) last[id_of($0)] = FNR
			next
		}
		/^\{"v":1,"event":"(start|end|remove|received)","id":[0-9]+,.*\}$/ {
			id = id_of($0)
			if (id in removed) next
			if (/^\{"v":1,"event":"received"/ && last[id] != FNR) next
		}
		{ print > new; kept++ }
		END { print kept + 0 }' "$rj_owner/registry.jsonl" "$rj_owner/registry.jsonl" 2>/dev/null)
	if [ "${rj_kept:-0}" -gt 0 ] && [ "$(($(wc -l <"$rj_owner/registry.new")))" -eq "$rj_kept" ]; then
		mv -f "$rj_owner/registry.new" "$rj_owner/registry.jsonl"
	else
		rm -f "$rj_owner/registry.new"
	fi
	# What killed runners have left.
	find "$rj_owner"/new/* "$rj_owner"/gone.* "$rj_owner"/lock.* -prune -mtime +0 -exec rm -rf {} + 2>/dev/null || :
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
	rj_was=$rj_next
	rj_highest
	[ "$rj_next" -ge "$rj_was" ] || rj_next=$rj_was
	rj_count=0 rj_bad=''
	if cd "$rj_owner" && rm -rf ids.new live.new registry.new && mkdir ids.new live.new 2>/dev/null && rj_rewrite && [ -z "$rj_bad" ]; then
		rj_removed=$((rj_next - 1 - rj_count))
		rj_write_next
		rm -rf ids live
		mv ids.new ids && mv live.new live && mv -f registry.new registry.jsonl
		rj_unlock
		printf 'rebuilt %s\n' "$rj_count"
	else
		rm -rf ids.new live.new registry.new
		rj_unlock
		rj_fail no-space "$rj_owner"
	fi
}

rj_rewrite() {
	[ -e registry.jsonl ] || : >registry.jsonl
	LC_ALL=C awk '!/^\{"v":1,"event":"(start|end|received)","id":[0-9]+,.*\}$/ && length($0)' registry.jsonl |
		cat >registry.new || return 1
	# A loop, for there may be more of them than a command takes arguments.
	for rj_word in $(for rj_file in jobs/*/id; do
		rj_id='' rj_uuid=${rj_file#jobs/}
		{ IFS= read -r rj_id <"$rj_file"; } 2>/dev/null
		printf '%s:%s\n' "$rj_id" "${rj_uuid%/id}"
	done | sort -n); do
		rj_id=${rj_word%%:*} rj_uuid=${rj_word#*:}
		case $rj_id in '' | *[!0-9]*) continue ;; esac
		[ -s "jobs/$rj_uuid/start" ] && [ ! -h "jobs/$rj_uuid" ] || continue
		printf '%s\n' "$rj_uuid" >"ids.new/$rj_id" || rj_bad=1
		cat "jobs/$rj_uuid/start" || rj_bad=1
		if rj_end_line "$rj_uuid"; then
			printf '%s\n' "$rj_line" || rj_bad=1
		else
			printf '%s\n' "$rj_uuid" >"live.new/$rj_id" || rj_bad=1
		fi
		rj_read_received "$rj_uuid"
		if [ "$rj_got_out$rj_got_err" != 00 ]; then
			printf '%s\n' '{"v":1,"event":"received","id":'"$rj_id"',"instance":"'"$rj_uuid"'","out":'"$rj_got_out"',"err":'"$rj_got_err"'}' || rj_bad=1
		fi
		[ "$rj_id" -lt "$rj_next" ] || rj_next=$((rj_id + 1))
		rj_count=$((rj_count + 1))
	done >>registry.new 2>/dev/null
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
	rj_pick_cgroups
	printf 'info cgroup %s\n' "${rj_cgroups:-none}"
	if command -v loginctl >/dev/null 2>&1; then
		printf 'info linger %s\n' "$(loginctl show-user "$(id -un)" -p Linger --value 2>/dev/null)"
	fi
}
