# The supervisor of one job: waits for its command and records its end. sh gets its text as an argument, so it needs no
# file. It is short, because it stays in memory as long as the job runs. It holds no single quotes, because the runner
# quotes it. Arguments: JOB UMASK DETACH TOOL TIME TOKEN CHECK NAMESPACE SECRETS CGROUP; $0 is the runner.
#
# It catches signals with a no-op handler: the command would inherit "ignored".
# The identity names who claimed the run: never record the end of a run that another supervisor claimed.
# 128+N may also be a status of the command itself; but ksh93 (256+N) and yash (384+N) show that it was a signal.
# The blocks of the exit record were reserved at staging: a full disk can neither prevent it nor cut it short.
# It creates a hint in ends/ before the exit record: if it, or what it becomes, is killed, another runner journals the end.
# If a scribe is at work (ended.sh), the scribe journals the end, and the supervisor exits.
# It ends the watcher of the time limit by signalling its own process group: no other one can have that number while it
# lives. A watcher that is already stopping the job must finish that. Without setsid it is the group of the caller, and left
# alone.
trap : HUP INT TERM
cd /
if [ -s "$1/limit" ]; then exec sh "$0" watch "$1" "$7" </dev/null >/dev/null 2>&1 & fi
sh "$0" become "$1" "$2" "$3" "$4" "$5" "$6" "$8" "$$" "$9" "${10}"
set -- "$1" "$?" "$3" "$6" "$7" "${!-}" "$8"
exec </dev/null >/dev/null 2>&1
# Succeed if there is a watcher $1 of a time limit, in a process group that is led by this supervisor (detach method $2).
rj_watched() { [ "$1" ] && [ "$1" != 0 ] && [ "$2" != none ]; }
rj_pid= rj_token= rj_signal=- rj_status=$2 rj_tries=0
IFS=" " read -r rj_pid rj_1 rj_2 rj_3 rj_4 rj_token rj_5 <"$1/identity"
[ "$rj_pid $rj_token" = "$$ $4" ] || { rj_watched "$6" "$3" && kill -TERM 0; exit; }
[ "$2" -le 256 ] || rj_signal=$(($2 - 256)) rj_status=$(($2 - 128))
[ "$2" -le 384 ] || rj_signal=$(($2 - 384)) rj_status=$(($2 - 256))
#@ command-ended
{ true >"${1%/jobs/*}/ends/${1##*/}"; } 2>/dev/null
rj_line="1 $rj_status $rj_signal $(date -u +%Y-%m-%dT%H:%M:%SZ)"
until printf "%-63s\n" "$rj_line" 1<>"$1/exit.new" && mv -f "$1/exit.new" "$1/exit"; do
	rj_tries=$((rj_tries + 1))
	[ "$rj_tries" -lt 60 ] && [ -d "$1" ] || exit 1
	sleep 1
done
printf . >>"${1%/jobs/*}/bell"
#@ end-recorded
[ -e "$1/expired" ] || { rj_watched "$6" "$3" && kill -TERM 0; }
rj_pid= rj_2= rj_3= rj_4=-
IFS=" " read -r rj_pid rj_1 rj_2 rj_3 <"${1%/jobs/*}/scribe"
IFS= read -r rj_4 </proc/sys/kernel/random/boot_id
[ "$rj_pid" ] && [ "$rj_2 $rj_3" = "$rj_4 $7" ] && kill -0 "$rj_pid" && exit
eval "$5"
rj_self=$0 rj_spoilt=
rj_check "${0%/runner/*}"
[ "$rj_problem$rj_spoilt" ] || exec sh "$0" ended "$1" "$rj_namespace"
