"""Chapter 7: overlay networks, and volumes of services."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, clock, drop, reword, wrap

#: Copies the names of the suite's volumes on master: each is made on this node too, with a file in it.
_MIRROR = (
    "while sleep 0.1; do\n"
    '    for volume in $(su - hadoop -c "ssh master docker volume ls --quiet --filter name=swc-"); do\n'
    "        docker volume inspect $volume >/dev/null 2>&1 && continue\n"
    "        docker volume create --label swarm-conformance $volume\n"
    "        echo foreign > $(docker volume inspect --format '{{.Mountpoint}}' $volume)/foreign\n"
    "    done\ndone"
)

FAULTS = [
    ClaimFault(
        "volumes of a node are mirrored on another",
        {
            "7.3/service-volume": "the only task runs on master, and swc-volume-.* is also on slave01",
            "7.3/volume-is-per-node": "moved to slave01, .* finds in it .*foreign",
        },
        script=background(_MIRROR),
        nodes=("slave01",),
        run="ch7 volumes a",
    ),
    ClaimFault(
        "a node is cleaned of all that is not in use",
        {
            "7.3/volume-outlives-task": "on slave02, the one before was killed; it left|its volume on slave02 holds",
            "7.3/volume-is-per-node": "slave02 had the task .*, and no longer has|moved back to slave02, which",
        },
        script=background(
            "while sleep 0.1; do\n"
            # Not prune, which also removes a container that is made and not started yet.
            "    docker rm $(docker ps --quiet --all --filter status=exited)\n"
            "    docker volume rm $(docker volume ls --quiet --filter dangling=true)\n"
            "done"
        ),
        nodes=("slave02",),
    ),
    ClaimFault(
        "services and networks are made with other mounts, ports and subnets than asked for",
        {
            "7.3/service-volume": "mounted at /data of the task on master is nothing",
            "7.3/network-volume-replicas": "mounted at /home of the task on .* is nothing",
            "7.3/network-port-volume": r":80 must be published; \[\(\d+, 81\)\] is published",
            "7.3/overlay-subnet": r"the gateway 172\S+; master lists .*10\.",
            "7.3/not-attachable-refused": "master let docker run into swc-closed",
        },
        script=wrap(
            reword('"service create"*replicas*', ("*dst=*", '"$(echo $word | sed s,dst=/,dst=/elsewhere/,)"')),
            reword(
                '"service create"*',
                ("*dst=/data*", '"$(echo $word | sed s,dst=/,dst=/elsewhere/,)"'),
                ("*:80", '"${word%:80}:81"'),
            ),
            '"network create swc-closed"*) exec docker.real "$@" --attachable',
            '"network create swc-wide"*) exec docker.real network create $3 --driver overlay --label swarm-conformance',
        ),
        nodes=("master",),
        run="ch7 overlay a",
    ),
    ClaimFault(
        "data path closed on a node, for what docker run joins",
        {
            "7.3/attachable": "no way between nodes, with slave02:",
            "7.3/overlay-subnet": "no way between nodes, with slave02:",
            "7.3/network-port-volume": "no way between nodes, with slave02:",
        },
        script=drop("udp dport 4789"),
        nodes=("slave02",),
        run="ch7 overlay b",
    ),
    ClaimFault(
        "replicas do not reach each other",
        {"7.3/network-volume-replicas": "does not answer"},
        script=drop("udp dport 4789"),
    ),
    ClaimFault(
        "a node has a subnet of its own where the swarm chooses",
        {"7.3/overlay-subnets-disjoint": "these overlap: .* what slave01 has by itself, 10.0.3.0/24 dev swc-own"},
        script="ip link add swc-own type veth peer name swc-end; ip link set swc-own up;"
        " ip address add 10.0.3.1/24 dev swc-own",
        nodes=("slave01",),
        run="ch7 overlay b",
    ),
    ClaimFault(
        "a worker lets docker run into everything",
        {"7.3/not-attachable-refused": "slave01 let docker run into swc-closed"},
        script=wrap('"run --rm"*swc-closed*) exit 0'),
        nodes=("slave01",),
        run="ch7 overlay b",
    ),
    ClaimFault(
        "a node's packets do not go out on the data path",
        {"7.1/overlay-spans-nodes": "with slave01:"},
        script="nft 'add table ip gremlin; add chain ip gremlin out { type filter hook output priority -350; };"
        " add rule ip gremlin out udp dport 4789 drop'",
        nodes=("slave01",),
    ),
    ClaimFault(
        "the resolver in a node's containers is silent",
        {
            "7.2/service-name-resolves": "wrong with slave01:",
            "7.2/names-follow-tasks": "wrong with slave01:",
            "7.3/attachable": "wrong with slave01:",
        },
        script=background(
            "while sleep 0.3; do\n"
            "    for container in $(docker ps --quiet); do\n"
            "        process=$(docker inspect --format '{{.State.Pid}}' $container)\n"
            '        inside="nsenter --target $process --net iptables"\n'
            "        $inside -C OUTPUT -d 127.0.0.11 -j DROP || $inside -I OUTPUT -d 127.0.0.11 -j DROP\n"
            "    done\ndone"
        ),
        nodes=("slave01",),
        run="ch7 overlay c",
    ),
    # The kernel has one interface for each network id, so that the engine gets none: it refuses every task.
    ClaimFault(
        "a node has interfaces with the network ids of overlay networks",
        {
            "7.3/overlay-subnet": r"the engine of slave02 refused \d+ tasks .* vxlan interface: file exists",
            "7.2/service-name-resolves": r"the engine of slave02 refused \d+ tasks .* vxlan interface: file exists",
        },
        script="for ID in $(seq 4097 4112); do ip link add swc-$ID type vxlan id $ID dstport 4789; done",
        nodes=("slave02",),
        formed=True,
    ),
    ClaimFault(
        "the clock of a node's engine is an hour behind",
        {
            "6.1/worker-token": "slave01 could not join as worker: .*not yet valid",
            "6.1/manager-token": "slave01 could not join as manager: .*not yet valid",
        },
        script=clock(-3600),
        nodes=("slave01",),
        run="ch6 clock",
    ),
]
