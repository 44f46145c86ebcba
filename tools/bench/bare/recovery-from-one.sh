. "$(dirname "$0")/lib.sh"
# Two are lost for good; the third goes on alone, and one joins it again.
recovers() {
    local prefix=$1 roles=$2 all=("$11" "$12" "$13") lost left
    up "${all[@]}"
    form 3 "${all[@]}"
    engine "${all[0]}" network create --driver overlay --attachable kept >/dev/null
    serve "${all[0]}" kept idle --replicas 3 --network kept
    patience 90 running "${all[0]}" kept 3
    for name in "${all[@]}"; do patience 60 write "$name"; done
    mapfile -t lost < <(choose "$roles" "${all[@]}")
    left=$(printf '%s\n' "${all[@]}" | grep -vxFf <(printf '%s\n' "${lost[@]}"))
    lose "${lost[@]}"
    engine "$left" swarm init --force-new-cluster --advertise-addr "$(address "$left")" >/dev/null
    patience 60 led "$left"
    patience 60 write "$left"
    patience 120 running "$left" kept 3
    docker start "$NETWORK-${lost[0]}" >/dev/null
    patience 60 answers "${lost[0]}"
    engine "${lost[0]}" swarm leave --force >/dev/null
    engine "${lost[0]}" swarm join --advertise-addr "$(address "${lost[0]}")" \
        --token "$(engine "$left" swarm join-token -q manager)" "$(address "$left"):2377" >/dev/null
    patience 90 led "$left" "${lost[0]}"
    serve "$left" more idle --replicas 2 --network kept
    patience 90 running "$left" more 2
}
at_once recovers a "follower follower"
at_once recovers b "leader follower"
all_of_them
down {a,b}{1..3}
