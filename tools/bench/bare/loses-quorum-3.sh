. "$(dirname "$0")/lib.sh"
# Quorum is lost, a service is refused, and the managers of the last round come back.
returned() {
    story "$@"
    ! serve "${LEFT[0]}" refused idle --replicas 2 2>/dev/null || :
    docker start "${VICTIMS[@]/#/$NETWORK-}" >/dev/null
    patience 120 led "${LEFT[@]}" "${VICTIMS[@]}"
    for name in "${LEFT[@]}" "${VICTIMS[@]}"; do api "$name" GET /configs >/dev/null; api "$name" GET /services >/dev/null; done
}
at_once returned a 3 "follower follower"
at_once returned b 3 "leader follower"
at_once returned c 3 leader leader
all_of_them
down {a,b,c}{1..3}
