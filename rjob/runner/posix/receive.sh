# Operations received and save: what jobs have written, and how much of it was received.

rj_stale_out='' rj_stale_err=''

# Read the size of file $1. Sets rj_bytes.
rj_size_of() {
	rj_bytes=$(stat -c %s "$1" 2>/dev/null || stat -f %z "$1" 2>/dev/null || ls -ln "$1" | awk '{ print $5 }')
	rj_bytes=${rj_bytes:-0}
}

# Print the names and sizes of files $*, as words, in their order. Skips files that are missing.
rj_print_sizes() {
	stat -c '%n %s' "$@" 2>/dev/null || stat -f '%N %z' "$@" 2>/dev/null || ls -ln "$@" 2>/dev/null | awk '{ print $NF, $5 }'
}

# Send the bytes from $2 up to $3 of file $1 (UUID/STREAM), after a line that announces them.
rj_send_frame() {
	printf 'data %s %s %s\n' "$1" "$2" "$(($3 - $2))"
	if [ "$2" -gt 0 ]; then
		tail -c "+$(($2 + 1))" "$1" | head -c "$(($3 - $2))"
	else
		head -c "$3" "$1"
	fi
	# If the file was truncated meanwhile, fewer bytes came than were announced, and whatever followed would be taken for
	# them. So end at once: the client counts what it got, and asks again.
	rj_size_of "$1"
	if [ "$rj_bytes" -lt "$3" ]; then
		kill -KILL $$
		exit 1
	fi
}

# Report that stream $2 of job $1 was sent or received up to byte $3 and has only $4 bytes now. All of it is new, so its
# cursor goes back to 0; if that fails, the next reader finds it again.
rj_tell_shrunk() {
	printf 'shrank %s/%s %s %s\n' "$1" "$2" "$3" "$4"
	(
		rj_read_received "$1"
		case $2 in out) rj_stale_out=$rj_got_out ;; *) rj_stale_err=$rj_got_err ;; esac
		[ "$rj_stale_out$rj_stale_err" -eq 0 ] || rj_received "$1" 0 0
	) >/dev/null 2>&1
}

# Read the cursor of job $1. Sets rj_got_out and rj_got_err (0 if there is none).
rj_read_received() {
	rj_got_out=0 rj_got_err=0
	{ IFS=' ' read -r rj_got_out rj_got_err <"$rj_owner/jobs/$1/received"; } 2>/dev/null || :
	case $rj_got_out$rj_got_err in '' | *[!0-9]*) rj_got_out=0 rj_got_err=0 ;; esac
	rj_got_err=${rj_got_err:-0}
}

# Move cursors, only forward; but back to 0 those that are still at rj_stale_out or rj_stale_err, beyond the end of a
# truncated stream. $*: UUID OUT ERR for each job. Takes the lock.
rj_received() {
	rj_lock
	while [ $# -gt 2 ]; do
		rj_moved=''
		rj_read_received "$1"
		[ "$rj_got_out" != "$rj_stale_out" ] || rj_got_out=0 rj_moved=1
		[ "$rj_got_err" != "$rj_stale_err" ] || rj_got_err=0 rj_moved=1
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

# Write rj_got_out and rj_got_err as the cursor of job $1: replace the file, or, if the disk is full, overwrite it in place.
rj_write_received() {
	set -- "$rj_owner/jobs/$1/received"
	{ printf '%-31s %-31s\n' "$rj_got_out" "$rj_got_err" >"$1.new" && mv -f "$1.new" "$1"; } 2>/dev/null && return
	rm -f "$1.new"
	[ -s "$1" ] && { printf '%-31s %-31s\n' "$rj_got_out" "$rj_got_err" 1<>"$1"; } 2>/dev/null
}

# Perform the operation received: move cursors. $1: UUID OUT ERR ..., all on one line.
rj_op_received() {
	# shellcheck disable=SC2086
	rj_received $1
}

# Perform the operation save: append what is new to a file on this machine, then move the cursors. $1: out, err or both; $2:
# the file; $3...: selectors.
rj_op_save() {
	rj_streams=$1 rj_path=$2
	case $rj_path in
	/*) ;;
	"~/"*) rj_path=$HOME/${rj_path#??} ;;
	*) rj_path=${HOME:-}/$rj_path ;;
	esac
	shift 2
	rj_choose "$@" || return 0
	rj_moves='' rj_unsaved=''
	for rj_uuid in $rj_chosen; do
		[ -d "$rj_owner/jobs/$rj_uuid" ] || continue
		rj_read_received "$rj_uuid"
		rj_end_out=$rj_got_out rj_end_err=$rj_got_err
		if [ "$rj_streams" != err ]; then
			rj_save_from out "$rj_got_out"
			rj_end_out=$rj_saved
		fi
		if [ "$rj_streams" != out ] && [ -z "$rj_unsaved" ]; then
			rj_save_from err "$rj_got_err"
			rj_end_err=$rj_saved
		fi
		rj_moves="$rj_moves $rj_uuid $rj_end_out $rj_end_err"
		[ -z "$rj_unsaved" ] || break
	done
	# shellcheck disable=SC2086
	rj_received $rj_moves
	[ -z "$rj_unsaved" ] || rj_fail no-space "$rj_path"
	# shellcheck disable=SC2086
	rj_facts $rj_chosen
}

# Append stream $1 of job rj_uuid, from byte $2 on, to the file rj_path. Sets rj_saved (how far that went), and rj_unsaved
# if not all of it could be written.
rj_save_from() {
	rj_file=$rj_owner/jobs/$rj_uuid/$1 rj_saved=$2
	[ -e "$rj_file" ] || return 0
	rj_size_of "$rj_file"
	if [ "$rj_saved" -gt "$rj_bytes" ]; then
		rj_tell_shrunk "$rj_uuid" "$1" "$rj_saved" "$rj_bytes"
		rj_saved=0
	fi
	rj_end=$rj_bytes rj_was=0
	[ "$rj_end" -gt "$rj_saved" ] || return 0
	if [ -f "$rj_path" ]; then
		rj_size_of "$rj_path"
		rj_was=$rj_bytes
	fi
	if (
		umask "$rj_umask"
		tail -c "+$((rj_saved + 1))" "$rj_file" | head -c "$((rj_end - rj_saved))" >>"$rj_path"
	) 2>/dev/null; then
		rj_saved=$rj_end
		return
	fi
	# What there was room for is in the file, so it counts as received.
	rj_unsaved=1
	[ -f "$rj_path" ] || return 0
	rj_size_of "$rj_path"
	[ "$rj_bytes" -le "$rj_was" ] || rj_saved=$((rj_saved + rj_bytes - rj_was))
	[ "$rj_saved" -le "$rj_end" ] || rj_saved=$rj_end
}
