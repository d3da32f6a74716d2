# Operation info: what the doctor asks.

# Perform the operation info: print what this machine is like, for `rjob doctor`.
rj_op_info() {
	rj_find_detach
	rj_describe_owner
	printf 'info home %s\ninfo detach %s\ninfo system %s\n' "$rj_home" "$rj_detach" "$(uname -sr)"
	printf 'info login-shell %s\n' "${SHELL-}"
	rj_word=none
	if [ -r "/proc/$$/stat" ]; then rj_word=proc; elif ps -o lstart= -p $$ >/dev/null 2>&1; then rj_word='ps'; fi
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
