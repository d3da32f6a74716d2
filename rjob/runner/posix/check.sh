# rj_check HOME: check that nobody else can put files into HOME, or another folder in its place. Trusted are this user and,
# above HOME, the owner of /. Others may write to a folder above HOME only if it is sticky. Sets rj_problem ("exposed PATH",
# "foreign PATH" or "link PATH"; empty if all is well), rj_namespace (the pid namespace; - if unknown), and rj_spoilt (set
# if others may have made the runner rj_self; this alone is no rj_problem: it is sent again, to a folder that is safe). Sent
# as one line of the bootstrap, which any login shell must pass on: no single quote, backslash, exclamation mark.
rj_check() {
	rj_problem= rj_namespace=- rj_nl=${IFS#??} rj_top=$1 rj_up=$1;
	set -- "$1" "$1"/* "$1"/*/jobs "$1"/runner/posix-*;
	while case $rj_up in */*) ;; *) false ;; esac; do
		rj_up=${rj_up%/*};
		set -- "${rj_up:-/}" "$@";
	done;
	rj_list=$(QUOTING_STYLE=literal LC_ALL=C ls -dln /proc/self/ns/pid "$@" 2>/dev/null);
	rj_line=${rj_list%%"$rj_nl"*};
	set -f;
	set -- $rj_line;
	rj_root=$3 rj_link=;
	case $rj_list in
	*" /proc/self/ns/pid -> pid:"*)
		rj_line=${rj_list%%" /proc/self/ns/pid -> "*};
		set -- ${rj_line##*"$rj_nl"};
		rj_uid=$3 rj_line=${rj_list#*" /proc/self/ns/pid -> pid:"?};
		rj_namespace=${rj_line%%]*};
		;;
	*) rj_uid=$(id -u) ;;
	esac;
	while [ "$rj_list" ] && [ -z "$rj_problem" ]; do
		rj_line=${rj_list%%"$rj_nl"*};
		rj_list=${rj_list#"$rj_line"};
		rj_list=${rj_list#"$rj_nl"};
		rj_check_entry $rj_line;
	done;
	set +f;
	if [ "$rj_link" ] && [ -z "$rj_problem" ]; then
		rj_up=$rj_top;
		until rj_line=$(CDPATH= cd "${rj_up:-/}" 2>/dev/null && pwd -P); do
			rj_up=${rj_up%/*};
		done;
		rj_line=${rj_line%/}${rj_top#"$rj_up"};
		[ "$rj_line" = "$rj_top" ] || rj_check "$rj_line";
	fi;
};

# rj_check_entry MODE LINKS UID GID ...: check the words of a line of ls, rj_line. Sets rj_problem, rj_spoilt, and rj_link (to 1
# for a symbolic link).
rj_check_entry() {
	rj_path=/${rj_line#*" /"} rj_within=;
	case $rj_line in
	*" /proc/self/ns/pid -> "*) return ;;
	l*) rj_path=${rj_path%" -> "*} rj_link=1 ;;
	*" $rj_top" | *" $rj_top/"*) rj_within=1 ;;
	esac;
	case $1$rj_within in
	l*) case $rj_path in "$rj_top"/runner*) rj_problem="link $rj_path" ;; esac ;;
	?????????[tT] | ?????????[tT][.+@] | [bcps]?????????) ;;
	????????w*) rj_problem="exposed $rj_path" ;;
	?????w????*1) rj_problem="exposed $rj_path" ;;
	?????w*) [ "$3" = "$rj_uid" ] && rj_is_private "$4" || rj_problem="exposed $rj_path" ;;
	esac;
	case $3:$rj_within in
	"$rj_uid":*|"$rj_root":) ;;
	*) rj_problem="foreign $rj_path" ;;
	esac;
	case $rj_problem in
	*" $rj_top/runner/posix-"*)
		[ "$rj_path" = "$rj_self" ] && rj_spoilt=1;
		rj_problem=;
		;;
	esac;
};

# rj_is_private GID: succeed if this ordinary user is the group's only member, as where each user has a group of that name.
rj_is_private() {
	[ "$rj_uid" -gt 0 ] && [ "$1" = "$(id -g)" ] && rj_line=$(id -un) && [ "$rj_line" = "$(id -gn)" ] &&
		case $(getent group "$1") in *: | *:"$rj_line") ;; *) false ;; esac;
};

# rj_open NAME: read MARKER and HOME from standard input, and check that HOME is safe; if not, reply with an error and fail.
# Sets rj_marker, rj_home and rj_self (the file of the runner NAME).
rj_open() {
	unset rj_marker rj_home;
	IFS= read -r rj_marker && IFS= read -r rj_home || exit 1;
	case $rj_home in
	"") rj_home=${HOME:?}/.local/state/rjob ;;
	"~/"*) rj_home=$HOME/${rj_home#??} ;;
	/*) ;;
	*) rj_home=$PWD/$rj_home ;;
	esac;
	rj_self=$rj_home/runner/$1 rj_spoilt=;
	rj_check "$rj_home";
	[ -z "$rj_problem" ] || { echo "$rj_marker error $rj_problem"; false; };
};
