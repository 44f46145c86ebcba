"""Chapters 7 and 8: networks, services, updates and drain."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, drop, wrap

FAULTS = [
    ClaimFault(
        "the ingress network has another name",
        {"7.1/ingress-network": "has no network ingress"},
        script="yes | docker network rm ingress\n"
        "until docker network create --driver overlay --ingress mesh; do sleep 0.2; done",
        formed=True,
        nodes=("master",),
    ),
    ClaimFault(
        "an engine has no end of the mesh",
        {"7.1/ingress-network": "the engine of master to have its end of the network ingress.*it has the ends none"},
        script="until docker network disconnect -f ingress ingress-endpoint; do sleep 0.2; done",
        formed=True,
        nodes=("master",),
    ),
    ClaimFault(
        "data path closed on a node",
        {"7.1/overlay-spans-nodes": "with slave02:", "7.2/dns-round-robin": "with slave02:"},
        script=drop("udp dport 4789"),
        nodes=("slave02",),
    ),
    ClaimFault(
        "large packets are lost on the way to a node",
        {"7.1/overlay-spans-nodes": "with slave01: .* a packet of 1450 bytes"},
        script=drop("udp dport 4789 ip length gt 1460"),
        nodes=("slave01",),
    ),
    ClaimFault(
        "a node's link takes smaller packets than the overlay network sends",
        {
            "7.1/overlay-spans-nodes": "with slave01: .* a packet of 1450 bytes does not pass",
            "7.3/attachable": "with slave01: .* a packet of 1450 bytes does not pass",
        },
        script="ip link set $(ip route get 192.0.2.1 | sed 's/.* dev \\([^ ]*\\) .*/\\1/;q') mtu 1300",
        nodes=("slave01",),
        run="ch7 links",
    ),
    ClaimFault(
        "gossip closed on a node",
        {
            "7.2/service-name-resolves": "wrong with slave01:",
            "7.2/names-follow-tasks": "wrong with slave01:",
            "7.2/dns-round-robin": "wrong with slave01:",
        },
        script=drop("meta l4proto { tcp, udp } th dport 7946"),
        nodes=("slave01",),
    ),
    ClaimFault(
        "the kernel has no IPVS",
        {
            "7.1/ingress-balances": "every node to pass requests.* master: no answer",
            "7.2/virtual-address-balances": "requests from every node.* a container on master: no answer",
            "7.2.1/reachable-on-any-node": "with master",
            "7.2.3/reachable-while-scaling": "every node to route",
            "7.2.5/no-request-lost": "every node to answer",
            "8.1.2/drain-keeps-serving": "every node to answer",
            "8.2.1/three-http-listeners": "requests to every node to be shared",
        },
        offers=("ipvs",),
    ),
    ClaimFault(
        "docker service scale takes containers",
        {"7.2/run-does-not-scale": "took a container of docker run"},
        script=wrap('"service scale"*) exit 0'),
    ),
    ClaimFault(
        "nothing is replaced",
        {"7.2/failure-management": "3 running tasks .* 2 running"},
        script=wrap(
            "kill*) for node in master slave01 slave02; do"
            ' su - hadoop -c "ssh master docker node update --availability pause $node"; done'
        ),
    ),
    ClaimFault(
        "create publishes nothing",
        {"7.2.1/create-with-port": "not attached to the routing mesh"},
        script=wrap('"service create --detach -p "*) shift 5; exec docker.real service create --detach "$@"'),
    ),
    ClaimFault(
        "a port is closed on a node",
        {"7.2.1/host-mode-port": "task on slave02 to answer"},
        script=drop("tcp dport 8888-8988"),
        nodes=("slave02",),
    ),
    ClaimFault(
        "every node forwards the port",
        {"7.2.1/host-mode-port": "master answers on port"},
        script="sysctl -qw net.ipv4.ip_forward=1; iptables -t nat -A PREROUTING -p tcp --dport 8888:8988"
        " -j DNAT --to-destination $(getent hosts slave01 | cut -d ' ' -f 1);"
        " iptables -t nat -A POSTROUTING -p tcp -j MASQUERADE;"
        " iptables -P FORWARD ACCEPT; iptables -I FORWARD -p tcp --dport 8888:8988 -j ACCEPT",
        nodes=("master",),
    ),
    ClaimFault(
        "ls has other columns",
        {"7.2.2/ls-columns": "ID"},
        script=wrap('"service ls") docker.real service ls | sed "s/REPLICAS/TASKS   /"; exit'),
    ),
    ClaimFault(
        "inspect shows something else",
        {"7.2.2/inspect": "Replicas"},
        script=wrap('"service inspect"*) docker.real "$@" | sed "s/\\"Replicas\\": 1/\\"Replicas\\": 7/"; exit'),
    ),
    ClaimFault(
        "a worker takes service commands",
        {"7.2.2/managers-only": "slave01, a worker, accepted docker service ls"},
        script=wrap('"service ls"*) exit 0'),
        nodes=("slave01",),
    ),
    ClaimFault(
        "scaling does nothing",
        {
            "7.2.3/scale-up": r"3 running tasks .* 1 running",
            "7.2.3/scale-down": r"1 running tasks .* 3 running",
            "7.2.3/scale-command": r"3 running tasks .* 1 running",
        },
        script=wrap('"service update"*) exit 0', '"service scale"*) exit 0'),
    ),
    ClaimFault(
        "a node does not reach the registry",
        {"7.2.3/missing-image-pulled": "every node to pull .*slave02"},
        script="iptables -I OUTPUT -p tcp --dport 5000 -j REJECT",
        nodes=("slave02",),
    ),
    ClaimFault(
        "rm removes nothing",
        {"7.2.4/rm": "is still there"},
        script=wrap('"service rm"*) exit 0'),
    ),
    ClaimFault(
        "a node keeps the port of a removed service",
        {"7.2.4/rm": r"port \d+, which .* had, to be free on every node.*slave02"},
        script=wrap(
            '"service rm"*) '
            'port=$(docker.real service inspect -f "{{(index .Endpoint.Ports 0).PublishedPort}}" "$3"); '
            "su - hadoop -c \"ssh slave02 'nc -l -k $port >/dev/null 2>&1 </dev/null &'\"; "
            'exec docker.real "$@"'
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "a node keeps containers of removed services",
        {"7.2.4/rm": "containers of .* on slave01"},
        script=wrap(
            '"service rm"*) su - hadoop -c "ssh slave01 docker run -d --label com.docker.swarm.service.id=$('
            "docker.real service inspect --format '{{.ID}}' $3"
            ') registry:5000/client"'
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "a node keeps ended containers of removed services",
        {"7.2.4/rm": "containers of .* on slave02"},
        script=wrap(
            '"service rm"*) su - hadoop -c "ssh slave02 docker run --label com.docker.swarm.service.id=$('
            "docker.real service inspect --format '{{.ID}}' $3"
            ') registry:5000/client true"'
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "a node's routing mesh is empty",
        {
            "7.1/ingress-balances": "slave02",
            "7.2.1/reachable-on-any-node": "no way between nodes, with slave02:",
            "8.2.1/three-http-listeners": "to be shared.*: slave02: of the replicas",
        },
        script=background("while :; do nsenter --net=/run/docker/netns/ingress_sbox ipvsadm -C; sleep 0.2; done"),
        nodes=("slave02",),
        lab="vagrant",
        run="machines 5",
    ),
    ClaimFault(
        "a virtual address leads to one node only",
        {"7.2/virtual-address-balances": "virtual address.* a container on (master|slave01): no answer"},
        script=drop("udp dport 4789 ip saddr 192.168.56.101"),
        nodes=("slave01",),
        lab="vagrant",
        run="machines 6",
    ),
]
