# The modes: serve one request, stop a job at its time limit, serve people on the machine. This part comes last.

# Print the unfinished and the newest finished jobs, for people: raw facts.
rj_host_get() {
	rj_read_next
	rj_select live
	rj_all=$rj_found
	rj_found=''
	rj_newest 20
	[ "$rj_all$rj_found" ] || { echo 'no jobs'; return; }
	for rj_uuid in $rj_all $rj_found; do
		rj_read_id "$rj_uuid" || rj_id='?'
		rj_text="exit $(awk '{ print $2 }' "$rj_owner/jobs/$rj_uuid/exit" 2>/dev/null)"
		if [ "$rj_text" = 'exit ' ]; then
			rj_text=running
			! rj_has_died "$rj_uuid" || rj_text=lost
		fi
		printf '%6s  %-10s  %s\n' "$rj_id" "$rj_text" \
			"$(sed -n 's/^.*"command":"\(\([^"\\]\|\\.\)*\)".*$/\1/p' "$rj_owner/jobs/$rj_uuid/start" | cut -c 1-100)"
	done | sort -n
}

# Serve people who are on the machine without rjob. $1: get, tail or stop; $2: the id for tail and stop.
rj_host() {
	rj_home=${rj_self%/runner/*} rj_marker=host
	rj_namespace=$(LC_ALL=C ls -l /proc/self/ns/pid 2>/dev/null)
	case $rj_namespace in *'pid:['*) rj_namespace=${rj_namespace##*\[} rj_namespace=${rj_namespace%]} ;; *) rj_namespace=- ;; esac
	rj_read_machine
	rj_read_next
	case ${2-} in '' | *[!0-9]*) rj_found='' ;; *) rj_select "id $2" ;; esac
	rj_uuid=${rj_found# }
	case ${1-}:$rj_uuid in
	get:*) rj_host_get ;;
	tail:?*) exec tail -n 20 -f "$rj_owner/jobs/$rj_uuid/out" "$rj_owner/jobs/$rj_uuid/err" ;;
	stop:?*) rj_stop TERM 100 stop "$rj_uuid" | sed "s/$rj_uuid/job $2/" ;;
	tail: | stop:)
		echo "rjob: no job ${2:-given}" >&2
		exit 1
		;;
	*)
		echo 'usage: rjob get | rjob tail ID | rjob stop ID' >&2
		exit 2
		;;
	esac
}

# Serve one request: "OPERATION LINES SIZE [SPACE]", as many lines, as many bytes. $1: the text of check.sh.
rj_serve() {
	# Only a part of the marker, because it shows in the names of files and of processes.
	rj_check_text=$1 rj_token=${rj_marker%????????????????????}
	rj_umask=''
	# If the kernel tells the umask, that costs no process.
	{ read -r rj_word && IFS=':	 ' read -r rj_word rj_umask; } 2>/dev/null </proc/self/status
	case $rj_word:$rj_umask in Umask:0*) ;; *) rj_umask=$(umask) ;; esac
	umask 077
	# Complete what was begun, even if nobody listens any more. A no-op handler, because a job would inherit "ignored".
	trap : PIPE HUP
	printf '%s begin\n' "$rj_marker"
	IFS=' ' read -r rj_op rj_count rj_size rj_space || rj_fail cut "the request ended early"
	case $rj_count$rj_size in '' | *[!0-9]*) rj_fail cut "the request is broken" ;; esac
	set --
	# `start` reads its lines itself: there may be thousands.
	if [ "$rj_op" != start ]; then
		while [ "$rj_count" -gt 0 ]; do
			IFS= read -r rj_value || rj_fail cut "the request ended early"
			set -- "$@" "$rj_value"
			rj_count=$((rj_count - 1))
		done
		IFS=' ' read -r rj_value || rj_fail cut "the request ended early"
		[ "$rj_value" = go ] || rj_fail cut "the request is broken"
	fi
	rj_read_machine
	if [ "$rj_space" ]; then rj_enter_space; fi
	if [ -h "$rj_owner" ] || { [ -e "$rj_owner" ] && [ ! -O "$rj_owner" ]; }; then rj_fail foreign "$rj_owner"; fi
	case $rj_op in
	start | facts | collect | received | save | remove | compact | rebuild | signal | tree | stop | info)
		"rj_op_$rj_op" "$@"
		;;
	record-lost) rj_op_record_lost "$@" ;;
	*) rj_fail unknown-operation "$rj_op" ;;
	esac
	printf '%s end\n' "$rj_marker"
}

rj_read_boot
case ${1-} in
expire)
	umask 077
	rj_marker=$1 rj_self=$0 rj_owner=${2%/jobs/*} rj_namespace=$3
	rj_read_machine_id
	rj_stop TERM 100 expired "${2##*/}"
	;;
host)
	umask 077
	rj_self=$0
	shift
	rj_host "$@"
	;;
*) rj_serve "$@" ;;
esac
