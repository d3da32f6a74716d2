# The lock of an owner: held only while an operation runs, carries its holder's identity.

# Take the lock, and finish what a dead holder left in pending.  Sets rj_me (this process's identity) and rj_backlog.
# Fails if the lock was not free at once and file $1, if it is given, is gone: others have done what it was wanted for.
# The lock is a symbolic link whose target is that identity: atomic, and made without a free block as long as it is short, so
# of the boot's id only the first 18 characters are told: ext4 has room for 59 bytes in the inode.
rj_lock() {
	rj_proc $$
	rj_me="$$ ${rj_start:--} $rj_boot ${rj_namespace:--}"
	rj_brief=$rj_boot
	case $rj_boot in ???????????????????*) rj_brief=${rj_boot%"${rj_boot#??????????????????}"} ;; esac
	rj_brief="$$ ${rj_start:--} $rj_brief ${rj_namespace:--}"
	rj_waits=0 rj_tail=''
	until ! rj_is_locked && ln -s "$rj_brief" "$rj_owner/lock" 2>/dev/null; do
		if [ "${1-}" ] && [ ! -e "$1" ]; then
			return 1
		elif ! rj_is_locked; then
			rj_try_link
		elif [ "$rj_waits" -gt 400 ]; then
			rj_fail locked "$(rj_tell_holder)"
		elif [ $((rj_waits % 4)) -eq 1 ] && rj_is_orphaned; then
			# Reading a link costs a process: not in every round.
			rj_break
		else
			rj_beat "$rj_waits"
			# Back off, for each look costs processes and a crowd may wait; not in step with the others; longer, if others may do
			# the work.
			rj_ticks=$((${1:+10} + 12 + (rj_waits < 17 ? rj_waits : 17) - ($$ + rj_waits) % 3))
			rj_nap "0.$((rj_ticks / 10 - 1))$((rj_ticks % 10))"
			#@ waiting
		fi
		rj_waits=$((rj_waits + 1))
	done
	#@ locked
	rj_backlog=''
	# On a full disk it stays there.
	[ ! -s "$rj_owner/pending" ] || rj_recover || :
}

# Let go of the lock, and take away the files and folders $*.
rj_unlock() {
	rm -rf "$rj_owner/lock" "$@"
	#@ unlocked
}

# Whether anything stands in the lock's place; the target of a link does not exist.
rj_is_locked() { [ -h "$rj_owner/lock" ] || [ -e "$rj_owner/lock" ]; }

# Nobody holds the lock and it cannot be made: say why, unless somebody held it for a moment.
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

# Read the identity in the lock: rj_held, empty if there is none; its words rj_held_pid, rj_held_begin, rj_held_boot and
# rj_held_space (the pid namespace; 0.1 knew none).
rj_read_holder() {
	rj_held=''
	if [ -h "$rj_owner/lock" ]; then
		rj_held=$(QUOTING_STYLE=literal LC_ALL=C ls -ldn "$rj_owner/lock" 2>/dev/null)
		rj_held=${rj_held##*" -> "}
	else
		# rjob 0.1 makes a file.
		{ IFS= read -r rj_held <"$rj_owner/lock"; } 2>/dev/null
	fi
	set -f
	# shellcheck disable=SC2086
	set -- $rj_held
	set +f
	rj_held_pid=${1:-0} rj_held_begin=${2:--} rj_held_boot=${3:-none} rj_held_space=${4-}
	case $rj_boot in "$rj_held_boot"*) rj_held_boot=$rj_boot ;; esac
}

# Read the lock's holder and say whether it is dead.
rj_is_orphaned() {
	rj_read_holder
	# A file of 0.1 is complete when it appears: an empty one is what a power cut left.
	[ "$rj_held" ] || { [ -f "$rj_owner/lock" ] && [ ! -s "$rj_owner/lock" ]; } || return 1
	! rj_alive "$rj_held_pid" "$rj_held_begin" "$rj_held_boot" ${rj_held_space:+"$rj_held_space"}
}

# Print who holds the lock, for a message.
rj_tell_holder() {
	rj_read_holder
	case ${rj_held:+${rj_held_space:--}} in
	'') printf %s "what is no lock, $rj_owner/lock" ;;
	- | "${rj_namespace:--}") printf 'process %s' "$rj_held_pid" ;;
	*) printf 'process %s of another container (if that is gone, remove %s)' "$rj_held_pid" "$rj_owner/lock" ;;
	esac
}

# The holder $rj_held is dead: take its lock away.  Only one process may do that, or a living successor's could be hit:
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
	# What the dead one had started (a mv, say) is given the time to end.
	rj_nap 0.1
	# rjob 0.1 does not know a claim with a pid namespace, and takes it away.
	if [ -e "$rj_claim" ] && rj_is_orphaned && [ "$rj_held" = "$rj_dead" ]; then
		# 0.1 has its file under a name of its own, too.
		case $rj_held_pid$rj_held_begin in */*) rj_held_pid=0 ;; esac
		rm -f "$rj_owner/lock" "$rj_owner/lock.$rj_held_pid.$rj_held_begin"
		#@ broken
	fi
	rm -f "$rj_claim"
}

# Whether the process whose identity is $1, with dots for blanks, lives.
rj_is_contender() {
	rj_word=$1
	rj_held_pid=${rj_word%%.*} rj_word=${rj_word#*.}
	rj_held_begin=${rj_word%%.*} rj_word=${rj_word#*.}
	rj_held_boot=${rj_word%%.*} rj_word=${rj_word#"$rj_held_boot"}
	rj_alive "$rj_held_pid" "$rj_held_begin" "$rj_held_boot" ${rj_word:+"${rj_word#.}"}
}
