. "$(dirname "$0")/lib.sh"
# Two are lost, one comes back, and the two work.
returns() {
    story "$@"
    docker start "$NETWORK-${VICTIMS[0]}" >/dev/null
    works "${VICTIMS[1]}" -- "${LEFT[@]}" "${VICTIMS[0]}"
}
at_once returns a 3 "follower follower"
at_once returns b 3 "leader follower"
all_of_them
down {a,b}{1..3}
