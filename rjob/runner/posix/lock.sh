# The lock of an owner: held only while an operation runs; it tells its holder's identity.

# Take the lock, and complete what a dead holder left in `pending`. $1, if given, is a file that others delete when they
# have done the work for which the lock is wanted: fails if the lock was not free at once and the file is gone. Sets rj_me
# (this process's identity) and rj_backlog (whether lines stay in `pending`). Keeps rj_tail, if the registry cannot have got a
# torn line since it was read: then `pending` is not empty.
# The lock is a symbolic link whose target is the identity: creating it is atomic. A short target needs no free block: ext4
# has room for 59 bytes in the inode, so the target holds only the first 18 characters of the boot id.
rj_lock() {
	rj_proc $$
	rj_me="$$ ${rj_start:--} $rj_boot ${rj_namespace:--}"
	rj_brief=$rj_boot
	case $rj_boot in ???????????????????*) rj_brief=${rj_boot%"${rj_boot#??????????????????}"} ;; esac
	rj_brief="$$ ${rj_start:--} $rj_brief ${rj_namespace:--}"
	rj_waits=0
	until ! rj_is_locked && ln -s "$rj_brief" "$rj_owner/lock" 2>/dev/null; do
		if [ "${1-}" ] && [ ! -e "$1" ]; then
			return 1
		elif ! rj_is_locked; then
			rj_try_link
		elif [ "$rj_waits" -gt 600 ]; then
			rj_fail locked "$(rj_tell_holder)"
		elif [ $((rj_waits % 4)) -eq 1 ] && rj_is_orphaned; then
			# Reading a link costs a process, so not in every round.
			rj_break
		else
			rj_beat "$rj_waits"
			# Back off, because each look costs processes and a crowd may wait. Jitter keeps them out of step. Wait longer
			# if others may do the work.
			rj_ticks=$((${1:+10} + 12 + (rj_waits < 9 ? rj_waits : 9) - ($$ + rj_waits) % 3))
			rj_nap "0.$((rj_ticks / 10 - 1))$((rj_ticks % 10))"
			#@ waiting
		fi
		rj_waits=$((rj_waits + 1))
	done
	#@ locked
	rj_backlog=''
	# On a full disk the lines stay in `pending`.
	[ ! -s "$rj_owner/pending" ] || { rj_tail=''; rj_recover || :; }
}

# Release the lock, and delete the files and folders $*.
rj_unlock() {
	rm -rf "$rj_owner/lock" "$@"
	#@ unlocked
}

# Succeed if anything is in the lock's place. -e alone would miss a link, whose target does not exist.
rj_is_locked() { [ -h "$rj_owner/lock" ] || [ -e "$rj_owner/lock" ]; }

# Find out why the lock cannot be created although nobody holds it, and fail with that error. Returns if links can be
# created: then somebody held the lock for a moment.
rj_try_link() {
	rj_claim=$rj_owner/lock.$$.$rj_start
	if ln -s "$rj_brief" "$rj_claim" 2>/dev/null; then
		rm -f "$rj_claim"
		return
	fi
	{ true >"$rj_claim"; } 2>/dev/null || rj_fail no-space "$rj_owner"
	rm -f "$rj_claim"
	rj_fail no-links "$rj_owner"
}

# Read the identity in the lock. Sets rj_held (empty if there is none) and its words rj_held_pid, rj_held_begin,
# rj_held_boot (in full, if it is the current boot) and rj_held_space (the pid namespace; empty in a lock of rjob 0.1).
rj_read_holder() {
	rj_held=''
	if [ -h "$rj_owner/lock" ]; then
		rj_held=$(QUOTING_STYLE=literal LC_ALL=C ls -ldn "$rj_owner/lock" 2>/dev/null)
		rj_held=${rj_held##*" -> "}
	else
		# rjob 0.1 creates a file.
		{ IFS= read -r rj_held <"$rj_owner/lock"; } 2>/dev/null
	fi
	set -f
	# shellcheck disable=SC2086
	set -- $rj_held
	set +f
	rj_held_pid=${1:-0} rj_held_begin=${2:--} rj_held_boot=${3:-none} rj_held_space=${4-}
	case $rj_boot in "$rj_held_boot"*) rj_held_boot=$rj_boot ;; esac
}

# Read the lock's holder, and succeed if it is dead: the lock is stale. Sets what rj_read_holder sets.
rj_is_orphaned() {
	rj_read_holder
	# A file of 0.1 is complete when it appears: only a power failure leaves an empty one.
	[ "$rj_held" ] || { [ -f "$rj_owner/lock" ] && [ ! -s "$rj_owner/lock" ]; } || return 1
	! rj_alive "$rj_held_pid" "$rj_held_begin" "$rj_held_boot" ${rj_held_space:+"$rj_held_space"}
}

# Print who holds the lock, for an error message.
rj_tell_holder() {
	rj_read_holder
	case ${rj_held:+${rj_held_space:--}} in
	'') printf %s "what is no lock, $rj_owner/lock" ;;
	- | "${rj_namespace:--}") printf 'process %s' "$rj_held_pid" ;;
	*) printf 'process %s of another container (if that is gone, remove %s)' "$rj_held_pid" "$rj_owner/lock" ;;
	esac
}

# Break the stale lock of the dead holder rj_held. Only one process at a time may, or a living successor's could be removed:
# each contender creates a file named after its identity, lists all of them, and backs off if another one is alive.
rj_break() {
	rj_dead=$rj_held
	# shellcheck disable=SC2086
	set -- $rj_me
	rj_claim=$rj_owner/breaking.$1.$2.$3.$4
	{ true >"$rj_claim"; } 2>/dev/null || rj_fail no-space "$rj_owner"
	#@ breaking
	for rj_other in "$rj_owner"/breaking.*; do
		[ "$rj_other" != "$rj_claim" ] || continue
		if rj_is_contender "${rj_other##*/breaking.}"; then
			rm -f "$rj_claim"
			rj_nap "0.0$((1 + $$ % 9))"
			return
		fi
		rm -f "$rj_other"
	done
	# Give processes that the dead holder has started (a mv, say) time to end.
	rj_nap 0.1
	# rjob 0.1 does not know a claim with a pid namespace, and deletes it.
	if [ -e "$rj_claim" ] && rj_is_orphaned && [ "$rj_held" = "$rj_dead" ]; then
		# 0.1 keeps its file under a second name as well, lock.PID.BEGIN. Let no slash into that.
		case $rj_held_pid$rj_held_begin in */*) rj_held_pid=0 ;; esac
		rm -f "$rj_owner/lock" "$rj_owner/lock.$rj_held_pid.$rj_held_begin"
		#@ broken
	fi
	rm -f "$rj_claim"
}

# Succeed if the process with identity $1, dots for blanks, lives. Sets rj_held_pid, rj_held_begin and rj_held_boot.
rj_is_contender() {
	rj_word=$1
	rj_held_pid=${rj_word%%.*} rj_word=${rj_word#*.}
	rj_held_begin=${rj_word%%.*} rj_word=${rj_word#*.}
	rj_held_boot=${rj_word%%.*} rj_word=${rj_word#"$rj_held_boot"}
	rj_alive "$rj_held_pid" "$rj_held_begin" "$rj_held_boot" ${rj_word:+"${rj_word#.}"}
}
