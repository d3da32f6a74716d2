# Operations compact and rebuild: maintain the registry.

# Drop the registry's lines about removed jobs, and all `received` lines of a job but the last. Lines that it does not
# understand stay, and the line with the highest id, so that this id is never given again. The caller holds the lock.
rj_compact() {
	[ -s "$rj_owner/registry.jsonl" ] && [ ! -s "$rj_owner/pending" ] || return 0
	# Names without a folder: awk interprets escapes in a value that it is given, and a = in a file's name as an assignment.
	# Not every awk reports a full disk, so count the lines that arrived.
	rj_kept=$(cd "$rj_owner" && LC_ALL=C awk '
		function id_of(line) { line = substr(line, 1, 80); sub(/^[^,]*,[^,]*,"id":/, "", line); sub(/,.*/, "", line); return line }
		NR == FNR {
			if (!/^\{"v":1,"event":"(start|end|remove|received)","id":[0-9]+,/) next
			id = id_of($0)
			if (length(id) < 10 && id + 0 > top + 0) top = id
			if (/^\{"v":1,"event":"remove"/) removed[id] = FNR
			else if (/^\{"v":1,"event":"received"/) last[id] = FNR
			next
		}
		/^\{"v":1,"event":"(start|end|remove|received)","id":[0-9]+,.*\}$/ {
			id = id_of($0)
			if (id in removed && !(id == top && removed[id] == FNR)) next
			if (/^\{"v":1,"event":"received"/ && last[id] != FNR) next
		}
		{ print > "registry.new"; kept++ }
		END { print kept + 0 }' registry.jsonl registry.jsonl 2>/dev/null)
	#@ compacted
	if [ "${rj_kept:-0}" -gt 0 ] && [ "$(($(wc -l <"$rj_owner/registry.new")))" -eq "$rj_kept" ]; then
		mv -f "$rj_owner/registry.new" "$rj_owner/registry.jsonl"
	else
		rm -f "$rj_owner/registry.new"
	fi
	rj_tail=''
	# Delete what killed runners have left.
	find "$rj_owner"/new/* "$rj_owner"/gone.* "$rj_owner"/lock.* "$rj_owner"/breaking.* "$rj_owner"/scribe.* -prune -mtime +0 -exec rm -rf {} + 2>/dev/null || :
}

# Perform the operation compact: drop the registry's lines about removed jobs.
rj_op_compact() {
	[ -d "$rj_owner/jobs" ] || return 0
	rj_lock
	rj_compact
	rj_unlock
}

# Perform the operation rebuild: write the registry, ids/, live/ and `next` again from the job folders, and keep the lines
# that do not come from there. If it is killed at any step, no job is worse off than before: ids/ and live/ are repaired
# entry by entry, the registry is replaced as a whole.
rj_op_rebuild() {
	rj_make_owner
	rj_lock
	rj_read_next
	rj_was=$rj_next
	rj_highest
	[ "$rj_next" -ge "$rj_was" ] || rj_next=$rj_was
	rj_count=0 rj_bad=''
	if rj_rewrite && [ -z "$rj_bad" ] && mv -f "$rj_owner/registry.new" "$rj_owner/registry.jsonl" 2>/dev/null; then
		#@ registry-replaced
		rj_drop_strays ids
		rj_drop_strays live
		#@ strays-dropped
		rj_tail=''
		[ -z "$rj_backlog" ] || rj_recover || :
		rj_removed=$((rj_next > rj_count ? rj_next - 1 - rj_count : 0))
		rj_write_next
		rj_unlock
		printf 'rebuilt %s\n' "$rj_count"
	else
		rm -f "$rj_owner/registry.new"
		rj_unlock
		rj_fail no-space "$rj_owner"
	fi
}

# Write registry.new, and the entries that are missing or wrong in ids/ and live/. Sets rj_count (jobs), and rj_bad if
# something cannot be written. Fails if registry.new cannot be created.
rj_rewrite() {
	[ -e "$rj_owner/registry.jsonl" ] || { true >"$rj_owner/registry.jsonl"; } 2>/dev/null || return 1
	{
		LC_ALL=C awk '!/^\{"v":1,"event":"(start|end|received)","id":[0-9]+,.*\}$/ && length($0)' <"$rj_owner/registry.jsonl" |
			cat >"$rj_owner/registry.new"
	} 2>/dev/null || return 1
	# A loop, because there may be more jobs than a command takes arguments.
	for rj_file in $(rj_list_jobs | sort -n); do
		rj_id=${rj_file%%:*} rj_uuid=${rj_file#*:}
		rj_list_as ids
		cat "$rj_owner/jobs/$rj_uuid/start" || rj_bad=1
		if rj_end_line "$rj_uuid"; then
			printf '%s\n' "$rj_line" || rj_bad=1
		else
			rj_list_as live
		fi
		rj_read_received "$rj_uuid"
		if [ "$rj_got_out$rj_got_err" != 00 ]; then
			printf '%s\n' '{"v":1,"event":"received","id":'"$rj_id"',"instance":"'"$rj_uuid"'","out":'"$rj_got_out"',"err":'"$rj_got_err"'}' || rj_bad=1
		fi
		rj_count=$((rj_count + 1))
		#@ job-listed
	done >>"$rj_owner/registry.new" 2>/dev/null
	#@ registry-rewritten
}

# Print ID:UUID of every job that has a start record.
rj_list_jobs() {
	for rj_file in "$rj_owner"/jobs/*-*; do
		rj_uuid=${rj_file##*/}
		case $rj_uuid in *[!0-9a-f-]*) continue ;; esac
		[ -s "$rj_file/start" ] && [ ! -h "$rj_file" ] && rj_read_start_id "$rj_uuid" && printf '%s:%s\n' "$rj_id" "$rj_uuid"
	done
}

# Check that $1 (ids or live) names job rj_uuid under rj_id, and that `id` in its folder does; write what is wrong again.
# Sets rj_bad if that fails.
rj_list_as() {
	for rj_other in "$1/$rj_id=$rj_uuid" "jobs/$rj_uuid/id=$rj_id"; do
		rj_word=''
		{ IFS= read -r rj_word <"$rj_owner/${rj_other%%=*}"; } 2>/dev/null
		[ "$rj_word" != "${rj_other#*=}" ] || continue
		[ ! -d "$rj_owner/${rj_other%%=*}" ] || rm -rf "$rj_owner/${rj_other%%=*}"
		printf '%s\n' "${rj_other#*=}" >"$rj_owner/${rj_other%%=*}" || rj_bad=1
	done
}

# Delete entries of $1 (ids or live) that have no job, and in live/ those of finished jobs.
rj_drop_strays() {
	for rj_file in "$rj_owner/$1"/*; do
		rj_uuid=''
		{ IFS= read -r rj_uuid <"$rj_file"; } 2>/dev/null
		case $rj_uuid in
		'' | *[!0-9a-f-]*) ;;
		*)
			if [ -d "$rj_owner/jobs/$rj_uuid" ] && rj_read_start_id "$rj_uuid" && [ "$rj_id" = "${rj_file##*/}" ]; then
				[ "$1" = live ] && [ -e "$rj_owner/jobs/$rj_uuid/exit" ] || continue
			fi
			;;
		esac
		rm -rf "$rj_file"
	done
}
