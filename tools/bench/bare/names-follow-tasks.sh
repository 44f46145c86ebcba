. "$(dirname "$0")/lib.sh"
engine master network create --driver overlay --attachable net >/dev/null
serve master client client --mode global --network net
patience 90 running master client 3
serve master web web:1 --replicas 3 --network net
follows() { # COUNT: twice in a row, each client resolves the name, and as many tasks as run
    for _ in 1 2; do
        for name in master slave01 slave02; do patience 60 resolves "$name" "$1"; done
    done
}
resolves() {
    local client
    client=$(engine "$1" ps -q --filter name=client. | head -1)
    inside "$1" docker exec "$client" sh -c "drill web A >/dev/null; drill tasks.web A || :" |
        awk -v wanted="$2" '/^tasks\.web/ { found++ } END { exit found + 0 != wanted }'
}
patience 90 running master web 3
follows 3
for name in master slave01 slave02; do
    killed=$(engine "$name" ps -q --filter name=web. | head -1)
    [ -z "$killed" ] || { engine "$name" kill "$killed" >/dev/null; break; }
done
patience 60 running master web 3
follows 3
engine master service scale --detach web=5 >/dev/null
patience 90 running master web 5
follows 5
engine master service scale --detach web=1 >/dev/null
patience 90 running master web 1
follows 1
engine master service update --detach --no-resolve-image --constraint-add node.hostname==slave02 --force web >/dev/null
patience 90 running master web 1
follows 1
engine master service rm web >/dev/null
follows 0
engine master service rm client >/dev/null
engine master network rm net >/dev/null || :
