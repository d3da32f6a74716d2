# Serve one request with the runner NAME that is cached in the home. Arguments: the text of check.sh, NAME.
eval "$1";
rj_open "$2" && if [ -f "$rj_self" ] && [ -z "$rj_spoilt" ]; then . "$rj_self"; else echo "$rj_marker absent"; fi
