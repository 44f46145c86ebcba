. "$(dirname "$0")/lib.sh"
# One manager is cut off by rules of nft, the others work, it is healed, and then needed for a majority.
apart() { # PREFIX ROLE RULE…: rules with ADDRESS in them are repeated for both others
    local prefix=$1 role=$2 all=("$11" "$12" "$13") alone others=() rules; shift 2
    up "${all[@]}"
    form 3 "${all[@]}"
    writing "${all[@]}"
    alone=$(choose "$role" "${all[@]}")
    rules='add table ip bare; add chain ip bare incoming { type filter hook prerouting priority -350; };'
    rules+='add chain ip bare outgoing { type filter hook output priority -350; };'
    for name in "${all[@]}"; do
        [ "$name" != "$alone" ] || continue
        others+=("$name")
        at=$(address "$name")
        for rule; do rules+="add rule ip bare ${rule//ADDRESS/$at} drop;"; done
    done
    inside "$alone" nft "$rules"
    works "$alone" -- "${others[@]}"
    patience 90 refuse "$alone"
    inside "$alone" nft delete table ip bare
    patience 90 led "${all[@]}"
    for name in "${all[@]}"; do patience 60 write "$name"; done
    patience 60 ready "${others[0]}" 3
    local gone
    gone=$(printf '%s\n' "${others[@]}" | grep -vxF "$(leader "$alone")" | head -1)
    lose "$gone"
    mapfile -t left < <(printf '%s\n' "${all[@]}" | grep -vxF "$gone")
    works "$gone" -- "${left[@]}"
    stop_writing
}
both='incoming ip saddr ADDRESS' out='outgoing ip daddr ADDRESS'
at_once apart a leader "$both" "$out"
at_once apart b follower "$both" "$out"
at_once apart c follower "$both"
at_once apart d follower 'incoming tcp dport 2377'
at_once apart e leader 'incoming ip saddr ADDRESS tcp dport 2377' 'outgoing ip daddr ADDRESS tcp dport 2377'
all_of_them
down {a,b,c,d,e}{1..3}
