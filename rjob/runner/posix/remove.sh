# Operation remove: delete jobs.


# Perform the operation remove: delete finished jobs and all of their files. $1: for how long to stop unfinished jobs first,
# in tenths of a second, or -; $2...: selectors.
rj_op_remove() {
	rj_grace=$1
	shift
	rj_choose "$@" || return 0
	# shellcheck disable=SC2086
	[ "$rj_grace" = - ] || rj_stop TERM "$rj_grace" stop $rj_chosen
	# As many at a time as a command takes arguments.
	rj_batch='' rj_busy=''
	for rj_uuid in $rj_chosen; do
		rj_batch="$rj_batch $rj_uuid"
		[ "${#rj_batch}" -lt 37000 ] || { rj_remove "$rj_batch"; rj_batch=''; }
	done
	[ -z "$rj_batch" ] || rj_remove "$rj_batch"
	# Removed jobs have no facts any more.
	# shellcheck disable=SC2086
	[ -z "$rj_busy" ] || rj_facts $rj_busy
}

# Remove those of jobs $1 (words) that are finished and have no survivors; add the others to rj_busy. Takes the lock.
rj_remove() {
	rj_lines='' rj_paths='' rj_gone='' rj_count=0
	rj_lock
	rj_read_next
	rj_read_now
	for rj_uuid in $1; do
		if [ -h "$rj_owner/jobs/$rj_uuid" ] || [ ! -d "$rj_owner/jobs/$rj_uuid" ]; then
			printf 'absent %s\n' "$rj_uuid"
		elif [ ! -e "$rj_owner/jobs/$rj_uuid/exit" ] || rj_find_survivors "$rj_uuid"; then
			printf 'busy %s\n' "$rj_uuid"
			rj_busy="$rj_busy $rj_uuid"
		else
			rj_paths="$rj_paths $rj_uuid" rj_count=$((rj_count + 1))
			rj_read_cgroup "$rj_uuid"
			rj_drop_cgroup
			# An earlier job had this instance id, and its removal was killed.
			[ ! -e "$rj_owner/new/$rj_uuid" ] || rm -rf "$rj_owner/new/${rj_uuid:?}"
			rj_read_id "$rj_uuid" || continue
			rj_gone="$rj_gone ids/$rj_id live/$rj_id"
			rj_lines="$rj_lines"'{"v":1,"event":"remove","id":'$rj_id',"instance":"'$rj_uuid'","time":"'$rj_now'"}'$rj_newline
		fi
	done
	[ -z "$rj_paths" ] || rj_take_out
	rj_unlock
	rj_ring
	# Delete the files after the lock is released: there may be many.
	[ -z "$rj_paths" ] || rj_delete_removed
}

# Move jobs rj_paths to new/, delete the entries rj_gone of ids/ and live/, journal rj_lines. The caller holds the lock.
# Only the journal needs disk space: on a full disk its lines are written when the deleted files have made room.
rj_take_out() {
	rj_noted=1
	[ -z "$rj_lines" ] || rj_write_ahead "${rj_lines%?}" || rj_noted=''
	[ -d "$rj_owner/new" ] || mkdir "$rj_owner/new" 2>/dev/null
	# shellcheck disable=SC2086
	if ! (cd "$rj_owner/jobs" && mv -f $rj_paths ../new/) 2>/dev/null; then
		rj_recover
		rj_unlock
		rj_fail read-only "$rj_owner"
	fi
	#@ moved-out
	# shellcheck disable=SC2086
	[ -z "$rj_gone" ] || (cd "$rj_owner" && rm -f $rj_gone)
	#@ unlisted
	rj_removed=$((rj_removed + rj_count))
	rj_write_next
	printf 'removed %s\n' "${rj_paths# }"
	if [ "$rj_lines" ] && { [ -z "$rj_noted" ] || ! rj_append "${rj_lines%?}"; }; then
		rj_delete_removed
		[ "$rj_noted" ] || rj_write_ahead "${rj_lines%?}"
		rj_recover
	fi
	# From time to time, when the lines about removed jobs outgrow the rest.
	rj_left=$((rj_next - 1 - rj_removed + 1000))
	if [ "$((rj_removed / rj_left))" -gt "$(((rj_removed - rj_count) / rj_left))" ]; then rj_compact; fi
}

# Delete removed jobs, and those that a killed `remove` has left (rjob 0.1 put them elsewhere). Staged jobs are safe: their
# folder is named after a marker, which has no hyphen.
rj_delete_removed() {
	rm -rf "${rj_owner:?}"/new/*-* "${rj_owner:?}"/gone.*
	#@ removed-deleted
}
