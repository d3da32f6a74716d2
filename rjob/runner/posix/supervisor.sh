# The supervisor of one job: waits for its command and records its end.  Its text is what sh is given, so it needs no file, and
# it is short, for it stays in memory as long as the job runs.  It holds no single quotes, for it is quoted in the runner.
# Arguments: JOB UMASK DETACH TOOL BEGIN TOKEN CHECK NAMESPACE SECRETS CGROUP; $0 is the runner.
#
# It catches signals with a handler, for what it ignored the command would inherit.
# The identity names who claimed the run: never record the end of a run that another supervisor claimed.
# 128+n cannot be told from a command's own status, but ksh93 (256+n) and yash (384+n) know better.
# The record's blocks were taken at commit, so a full disk can neither keep the truth out nor let half of it in.
# It leaves a hint in ends/ before it records the end: should it, or what it turns into, be killed, somebody journals that end.
# Where a scribe is at work (ended.sh), that does so, and this is all.
# It ends the watcher of the time limit with its own process group, whose number cannot be anybody else's while it lives;
# a watcher that is at work must finish that.  Where there is no setsid the group is the caller's, and is left alone.
trap : HUP INT TERM
cd /
if [ -s "$1/limit" ]; then exec sh "$0" watch "$1" "$7" </dev/null >/dev/null 2>&1 & fi
sh "$0" become "$1" "$2" "$3" "$4" "$5" "$6" "$8" "$$" "$9" "${10}"
set -- "$1" "$?" "$3" "$6" "$7" "${!-}" "$8"
exec </dev/null >/dev/null 2>&1
# Whether there is a watcher $1 of a time limit, in a process group (detach method $2) of this supervisor's own.
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
