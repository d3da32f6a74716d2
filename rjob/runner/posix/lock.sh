# The lock of an owner: held only while an operation runs, carries its holder's identity.

# One file, made by link(2), whose text is its holder's identity.
rj_lock() {
	rj_proc $$
	rj_me="$$ ${rj_start:--} $rj_boot"
	rj_mine=$rj_owner/lock.$$.$rj_start
	{ printf '%s\n' "$rj_me" >"$rj_mine"; } 2>/dev/null || rj_fail no-space "$rj_owner"
	rj_round=0
	until [ ! -e "$rj_owner/lock" ] && ln "$rj_mine" "$rj_owner/lock" 2>/dev/null; do
		rj_held=''
		{ IFS= read -r rj_held <"$rj_owner/lock"; } 2>/dev/null
		# shellcheck disable=SC2086
		if [ "$rj_held" ] && ! rj_alive $rj_held; then
			rj_break
		elif [ "$rj_round" -gt 600 ]; then
			rm -f "$rj_mine"
			rj_fail locked "${rj_held:-somebody}"
		else
			rj_beat
			# Not in step with the others who wait.
			rj_nap "0.0$((2 + (rj_round < 7 ? rj_round : 7) - ($$ + rj_round) % 3))"
		fi
		rj_round=$((rj_round + 1))
	done
	if [ -s "$rj_owner/pending" ]; then
		rj_recover || {
			rj_unlock
			rj_fail no-space "$rj_owner"
		}
	fi
}

rj_unlock() { # also takes away $1
	rm -rf "$rj_owner/lock" "$rj_mine" ${1:+"$1"}
}

# The holder $rj_held is dead.  Only one process may take its lock away, or a living successor's could be hit: each
# who would shows its identity as a file name, then looks; whoever sees another living one steps back.
rj_break() {
	# shellcheck disable=SC2086
	set -- $rj_me
	rj_claim=$rj_owner/breaking.$1.$2.$3
	: >"$rj_claim"
	for rj_other in "$rj_owner"/breaking.*; do
		[ "$rj_other" != "$rj_claim" ] || continue
		rj_word=${rj_other##*/breaking.}
		rj_pid=${rj_word%%.*} rj_word=${rj_word#*.}
		if rj_alive "$rj_pid" "${rj_word%%.*}" "${rj_word#*.}"; then
			rm -f "$rj_claim"
			rj_nap "0.0$((1 + $$ % 9))"
			return
		fi
		rm -f "$rj_other"
	done
	# What the dead one had started (a mv, say) is given the time to end.
	rj_nap 0.1
	rj_word=''
	{ IFS= read -r rj_word <"$rj_owner/lock"; } 2>/dev/null
	if [ "$rj_word" = "$rj_held" ]; then
		# shellcheck disable=SC2086
		set -- $rj_held
		rm -f "$rj_owner/lock" "$rj_owner/lock.$1.$2"
	fi
	rm -f "$rj_claim"
}
