# ops: read, received, save.  What jobs have written, and how much of it was received.

rj_size_of() { # FILE: rj_bytes
	rj_bytes=$(stat -c %s "$1" 2>/dev/null || stat -f %z "$1" 2>/dev/null || ls -ln "$1" | awk '{ print $5 }')
	rj_bytes=${rj_bytes:-0}
}

# Where to begin in stream file $1: at byte N ("N"), at the cursor ("cursor N"), at the last N lines ("tail N"): rj_from.
rj_begin_at() {
	rj_size_of "$1"
	case $2 in
	tail)
		rj_tries=0
		while :; do
			rj_seen=$rj_bytes
			rj_from=$(($(tail -n "$3" "$1" | wc -c)))
			rj_size_of "$1"
			rj_tries=$((rj_tries + 1))
			[ "$rj_seen" -ne "$rj_bytes" ] && [ "$rj_tries" -lt 5 ] || break
		done
		rj_from=$((rj_bytes > rj_from ? rj_bytes - rj_from : 0))
		;;
	cursor) rj_from=$3 ;;
	*) rj_from=$2 ;;
	esac
	[ "$rj_from" -le "$rj_bytes" ] || rj_from=$rj_bytes
}

rj_send() { # STREAM FILE WHERE...
	rj_stream=$1
	shift
	rj_begin_at "$@"
	printf 'data %s %s %s\n' "$rj_stream" "$rj_from" "$((rj_bytes - rj_from))"
	if [ "$rj_bytes" -gt "$rj_from" ]; then
		if [ "$rj_from" -gt 0 ]; then
			tail -c "+$((rj_from + 1))" "$1" | head -c "$((rj_bytes - rj_from))"
		else
			head -c "$rj_bytes" "$1"
		fi
	fi
}

rj_read_received() { # UUID: rj_got_out rj_got_err
	rj_got_out=0 rj_got_err=0
	{ IFS=' ' read -r rj_got_out rj_got_err <"$rj_owner/jobs/$1/received"; } 2>/dev/null || :
	case $rj_got_out$rj_got_err in '' | *[!0-9]*) rj_got_out=0 rj_got_err=0 ;; esac
	rj_got_err=${rj_got_err:-0}
}

# out|err|both cursor|tail N|OUT ERR, ack|keep, SELECTOR...: facts and bytes; with ack, cursors move as stdin then says.
rj_op_read() {
	rj_streams=$1 rj_where=$2 rj_ack=$3
	shift 3
	rj_select_jobs "$@"
	[ "$rj_all" ] || return 0
	# shellcheck disable=SC2086
	rj_facts $rj_all
	for rj_uuid in $rj_all; do
		[ ! -h "$rj_uuid" ] || continue
		printf 'bytes %s\n' "$rj_uuid"
		rj_read_received "$rj_uuid"
		# shellcheck disable=SC2086
		set -- $rj_where
		case $1 in
		cursor) rj_w1="cursor $rj_got_out" rj_w2="cursor $rj_got_err" ;;
		tail) rj_w1="tail $2" rj_w2="tail $2" ;;
		*) rj_w1=$1 rj_w2=${2-0} ;;
		esac
		# shellcheck disable=SC2086
		[ "$rj_streams" = err ] || rj_send out "$rj_uuid/out" $rj_w1
		# shellcheck disable=SC2086
		[ "$rj_streams" = out ] || rj_send err "$rj_uuid/err" $rj_w2
	done
	[ "$rj_ack" = ack ] || return 0
	printf '%s ready\n' "$rj_marker"
	rj_moves=''
	while IFS= read -r rj_line && [ "$rj_line" != end ]; do
		rj_moves="$rj_moves $rj_line"
	done
	if [ "$rj_line" = end ] && [ "$rj_moves" ]; then
		# shellcheck disable=SC2086
		rj_received $rj_moves
	fi
}

# UUID OUT ERR ...: move cursors, only ever forward.
rj_received() {
	rj_lock
	while [ $# -gt 2 ]; do
		rj_moved=''
		rj_read_received "$1"
		[ "$2" -le "$rj_got_out" ] || rj_got_out=$2 rj_moved=1
		[ "$3" -le "$rj_got_err" ] || rj_got_err=$3 rj_moved=1
		if [ "$rj_moved" ] && [ -d "$rj_owner/jobs/$1" ]; then
			rj_write_received "$1" || {
				rj_unlock
				rj_fail no-space "$rj_owner"
			}
			#@ cursor-moved
			rj_read_id "$1" &&
				rj_append '{"v":1,"event":"received","id":'"$rj_id"',"instance":"'"$1"'","out":'"$rj_got_out"',"err":'"$rj_got_err"'}'
		fi
		shift 3
	done
	rj_unlock
}

# Write rj_got_out and rj_got_err as the cursor of job $1: replaced whole, or in place where a full disk has no room.
rj_write_received() {
	set -- "$rj_owner/jobs/$1/received"
	{ printf '%-31s %-31s\n' "$rj_got_out" "$rj_got_err" >"$1.new" && mv -f "$1.new" "$1"; } 2>/dev/null && return
	rm -f "$1.new"
	[ -s "$1" ] && { printf '%-31s %-31s\n' "$rj_got_out" "$rj_got_err" 1<>"$1"; } 2>/dev/null
}

rj_op_received() {
	# shellcheck disable=SC2086
	rj_received $1
}

# out|err|both, FILE, SELECTOR...: append what is new to a file on this machine, and move the cursors behind it.
rj_op_save() {
	rj_streams=$1 rj_path=$2
	case $rj_path in
	/*) ;;
	"~/"*) rj_path=$HOME/${rj_path#??} ;;
	*) rj_path=${HOME:-}/$rj_path ;;
	esac
	shift 2
	rj_select_jobs "$@"
	[ "$rj_all" ] || return 0
	rj_moves=''
	for rj_uuid in $rj_all; do
		rj_read_received "$rj_uuid"
		rj_end_out=$rj_got_out rj_end_err=$rj_got_err
		if [ "$rj_streams" != err ]; then
			rj_save_from "$rj_owner/jobs/$rj_uuid/out" "$rj_got_out"
			rj_end_out=$rj_bytes
		fi
		if [ "$rj_streams" != out ]; then
			rj_save_from "$rj_owner/jobs/$rj_uuid/err" "$rj_got_err"
			rj_end_err=$rj_bytes
		fi
		rj_moves="$rj_moves $rj_uuid $rj_end_out $rj_end_err"
	done
	# shellcheck disable=SC2086
	rj_received $rj_moves
	# shellcheck disable=SC2086
	rj_facts $rj_all
}

# Append what is in stream file $1 from byte $2 on to $rj_path; rj_bytes is how far that went.  What a full disk there
# took is received; then the operation fails.
rj_save_from() {
	rj_size_of "$rj_path" 2>/dev/null
	rj_length=$rj_bytes
	rj_begin_at "$1" "$2"
	[ "$rj_bytes" -gt "$rj_from" ] || return 0
	(
		umask "$rj_umask"
		tail -c "+$((rj_from + 1))" "$1" | head -c "$((rj_bytes - rj_from))" >>"$rj_path"
	) 2>/dev/null && return
	if [ -f "$rj_path" ]; then
		rj_size_of "$rj_path"
		rj_from=$((rj_from + rj_bytes - rj_length))
	fi
	case $1 in */out) rj_end_out=$rj_from ;; *) rj_end_err=$rj_from ;; esac
	# shellcheck disable=SC2086
	rj_received $rj_moves "$rj_uuid" "$rj_end_out" "$rj_end_err"
	rj_fail no-space "$rj_path"
}
