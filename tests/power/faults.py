"""The faults: what breaks a cluster, which claims have to fail then, and what the reason has to say.

A fault is a shell script that runs as root on every node as soon as the node is up, before there is a swarm. `wrap`
puts a script in the place of the docker command, to which the real one is known as docker.real; what goes on in the
background begins with `background`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One way to break a cluster.

    Attributes:
        name: what it is.
        fails: by claim, a regular expression that the reason of its verdict has to match.
        script: what is run on the nodes.
        nodes: the host names of the nodes where; all if empty.
        offers: features that the lab is said to have, so that the test runs and meets that they are missing.
        lab: the kind of lab that it is planted in.
        run: faults of one number are planted together, as a lab of machines takes long to be made; 0: alone.
        answers: by path of the API, what to replace in its answers: the only way to have managers that lie.
    """

    name: str
    fails: dict[str, str]
    script: str = "true"
    nodes: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    lab: str = "dind"
    run: int = 0
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)


def wrap(*cases: str) -> str:
    """A docker command that treats some calls in its own way, each "PATTERN) COMMANDS", and passes the others on."""
    return wrap_any("docker", *cases)


def wrap_any(program: str, *cases: str) -> str:
    """`wrap` of any program below /usr/bin."""
    arms = "\n".join(f"    {case};;" for case in cases)
    return (
        f"mv /usr/bin/{program} /usr/bin/{program}.real\n"
        f"cat > /usr/bin/{program} <<'WRAPPER'\n"
        f'#!/bin/sh\ncase "$*" in\n{arms}\nesac\nexec {program}.real "$@"\n'
        "WRAPPER\n"
        f"chmod +x /usr/bin/{program}\n"
    )


def at_boot(command: str, *, before: str = "") -> str:
    """A unit that runs a command once at every boot of a machine, if wanted before another unit."""
    order = f"Before={before}" if before else "After=multi-user.target"
    return (
        "cat > /etc/systemd/system/gremlin.service <<'UNIT'\n"
        f"[Unit]\n{order}\n[Service]\nType=oneshot\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
        "UNIT\n"
        "systemctl enable gremlin.service\n"
    )


def background(loop: str) -> str:
    """A script that goes on after the one that starts it has ended."""
    return f"cat > /run/gremlin <<'GREMLIN'\n{loop}\nGREMLIN\nsetsid sh /run/gremlin >/run/gremlin.log 2>&1 &\n"


def drop(what: str) -> str:
    """Drop packets that come in, in a table that is asked before the engine's own."""
    return (
        "nft 'add table ip gremlin; add chain ip gremlin in { type filter hook prerouting priority -350; };"
        f" add rule ip gremlin in {what} drop'"
    )


FAULTS = [
    # 6.1
    Fault(
        "init advertises another address",
        {
            "6.1/init": "master advertises 172.17.0.1",
            "6.1/join-command-printed": "worker leads to 172.17.0.1:2377",
        },
        wrap('"swarm init"*) exec docker.real swarm init --advertise-addr 172.17.0.1'),
    ),
    Fault(
        "init listens on every address",
        {"6.1/listen-address": r"master listens for managers on \['\*'\]"},
        wrap('"swarm init"*) exec docker.real "$@" --listen-addr 0.0.0.0:2377'),
    ),
    Fault(
        "init chooses one of several addresses",
        {"6.1/several-interfaces": "init chose an address by itself"},
        wrap('"swarm init") exec docker.real swarm init --advertise-addr eth0'),
    ),
    Fault(
        "init locks",
        {"6.1/autolock-off": "made with autolock"},
        wrap('"swarm init"*) exec docker.real "$@" --autolock=true'),
    ),
    Fault(
        "init in a swarm makes a new one",
        {"6.1/second-init-refused": "in a swarm, and init was accepted"},
        wrap('"swarm init"*) docker.real swarm leave --force >/dev/null 2>&1'),
    ),
    Fault(
        "tokens of another form",
        {"6.1/token-form": "another form"},
        answers={"/swarm": ('"Manager":"SWMTKN-1-', '"Manager":"SWMTKN-9-')},
    ),
    Fault(
        "one token for both roles",
        {"6.1/two-tokens": "same secret"},
        answers={"/swarm": (r'("Worker":")([^"]*)(","Manager":")[^"]*', r"\1\2\3\2")},
    ),
    Fault(
        "quiet is not quiet",
        {"6.1/quiet-token": "-q printed more or other"},
        wrap('"swarm join-token -q"*) echo "Your token:"'),
    ),
    Fault(
        "join-token prints the other role's command",
        {"6.1/worker-token": "manager", "6.1/manager-token": "worker"},
        wrap(
            '"swarm join-token worker") exec docker.real swarm join-token manager',
            '"swarm join-token manager") exec docker.real swarm join-token worker',
        ),
    ),
    Fault(
        "a worker is drained for ever",
        {"6.1/many-of-each": "no task on slave03"},
        background("while sleep 0.3; do docker node update --availability drain slave03; done"),
        nodes=("master",),
    ),
    Fault(
        "rotation does nothing",
        {"6.1/rotate-changes": "the old one", "6.1/rotated-token-refused": "let in with the token from before"},
        wrap('"swarm join-token --rotate"*) exit 0'),
    ),
    Fault(
        "rotation throws members out",
        {"6.1/rotate-keeps-members": "slave01"},
        wrap('"swarm join-token --rotate"*) docker.real node rm --force slave01'),
    ),
    Fault(
        "leave does nothing",
        {"6.1/leave-and-rejoin": "slave01 left and is still active"},
        wrap('"swarm leave") exit 0'),
    ),
    # 7.1 and 7.2
    Fault(
        "the ingress network has another name",
        {"7.1/ingress-network": "has no network ingress"},
        background(
            "until docker.real network ls 2>/dev/null | grep -q ingress || docker network ls | grep -q ingress; do\n"
            "    sleep 0.2\ndone\n"
            "yes | docker network rm ingress\n"
            "until docker network create --driver overlay --ingress mesh; do sleep 0.2; done"
        ),
        nodes=("master",),
    ),
    Fault(
        "data path closed on a node",
        {"7.1/overlay-spans-nodes": "with slave02:", "7.2/dns-round-robin": "with slave02:"},
        drop("udp dport 4789"),
        nodes=("slave02",),
    ),
    Fault(
        "large packets are lost on the way to a node",
        {"7.1/overlay-spans-nodes": "with slave01: .* (1400|65536) bytes"},
        drop("udp dport 4789 ip length gt 1460"),
        nodes=("slave01",),
    ),
    Fault(
        "gossip closed on a node",
        {
            "7.2/service-name-resolves": "wrong with slave01:",
            "7.2/names-follow-tasks": "wrong with slave01:",
            "7.2/dns-round-robin": "wrong with slave01:",
        },
        drop("meta l4proto { tcp, udp } th dport 7946"),
        nodes=("slave01",),
    ),
    Fault(
        "the kernel has no IPVS",
        {
            "7.1/ingress-balances": "master to pass requests",
            "7.2/virtual-address-balances": "requests from master",
            "7.2.1/reachable-on-any-node": "with master",
            "7.2.3/reachable-while-scaling": "every node to route",
            "7.2.5/no-request-lost": "every node to answer",
            "8.1.2/drain-keeps-serving": "every node to answer",
            "8.2.1/three-http-listeners": "requests to .* to be shared",
        },
        offers=("ipvs",),
    ),
    Fault(
        "docker service scale takes containers",
        {"7.2/run-does-not-scale": "took a container of docker run"},
        wrap('"service scale"*) exit 0'),
    ),
    Fault(
        "nothing is replaced",
        {"7.2/failure-management": "2 running tasks .* 1 running"},
        wrap(
            "kill*) for node in master slave01 slave02; do"
            ' su - hadoop -c "ssh master docker node update --availability pause $node"; done'
        ),
    ),
    # 7.2.1 to 7.2.4
    Fault(
        "create publishes nothing",
        {"7.2.1/create-with-port": "not attached to the routing mesh"},
        wrap('"service create --detach -p "*) shift 5; exec docker.real service create --detach "$@"'),
    ),
    Fault(
        "a port is closed on a node",
        {"7.2.1/host-mode-port": "task on slave02 to answer"},
        drop("tcp dport 8888-8988"),
        nodes=("slave02",),
    ),
    Fault(
        "every node forwards the port",
        {"7.2.1/host-mode-port": "master answers on port"},
        "sysctl -qw net.ipv4.ip_forward=1; iptables -t nat -A PREROUTING -p tcp --dport 8888:8988"
        " -j DNAT --to-destination $(getent hosts slave01 | cut -d ' ' -f 1);"
        " iptables -t nat -A POSTROUTING -p tcp -j MASQUERADE;"
        " iptables -P FORWARD ACCEPT; iptables -I FORWARD -p tcp --dport 8888:8988 -j ACCEPT",
        nodes=("master",),
    ),
    Fault(
        "ls has other columns",
        {"7.2.2/ls-columns": "ID"},
        wrap('"service ls") docker.real service ls | sed "s/REPLICAS/TASKS   /"; exit'),
    ),
    Fault(
        "inspect shows something else",
        {"7.2.2/inspect": "Replicas"},
        wrap('"service inspect"*) docker.real "$@" | sed "s/\\"Replicas\\": 1/\\"Replicas\\": 7/"; exit'),
    ),
    Fault(
        "a worker takes service commands",
        {"7.2.2/managers-only": "slave01, a worker, accepted docker service ls"},
        wrap('"service ls"*) exit 0'),
        nodes=("slave01",),
    ),
    Fault(
        "scaling does nothing",
        {
            "7.2.3/scale-up": r"3 running tasks .* 1 running",
            "7.2.3/scale-down": r"1 running tasks .* 3 running",
            "7.2.3/scale-command": r"3 running tasks .* 1 running",
        },
        wrap('"service update"*) exit 0', '"service scale"*) exit 0'),
    ),
    Fault(
        "a node does not reach the registry",
        {"7.2.3/missing-image-pulled": "every node to pull .*slave02"},
        "iptables -I OUTPUT -p tcp --dport 5000 -j REJECT",
        nodes=("slave02",),
    ),
    Fault(
        "rm removes nothing",
        {"7.2.4/rm": "is still there"},
        wrap('"service rm"*) exit 0'),
    ),
    Fault(
        "a node keeps containers of removed services",
        {"7.2.4/rm": "containers of .* on slave01"},
        wrap(
            '"service rm"*) su - hadoop -c "ssh slave01 docker run -d --label com.docker.swarm.service.id=$('
            "docker.real service inspect --format '{{.ID}}' $3"
            ') registry:5000/client"'
        ),
        nodes=("master",),
    ),
    # On machines
    Fault(
        "the way out leads over the cluster network",
        {"1.1/two-interfaces": r"slave01 reaches the outside by \['eth1'"},
        "ip route replace default via 192.168.56.1 dev eth1 metric 1",
        nodes=("slave01",),
        lab="vagrant",
        run=1,
    ),
    Fault(
        "a disk is too small",
        {"1.1/disks": "master is to have a disk of 100 GB"},
        wrap_any("lsblk", '*) lsblk.real "$@" | sed s/107374182400/53687091200/; exit'),
        nodes=("master",),
        lab="vagrant",
        run=1,
    ),
    Fault(
        "another address after a reboot",
        {"1.1/addresses-survive-reboot": "master lost 192.168.56.101 in the reboot.*192.168.56.111"},
        "sed -i s/192.168.56.101/192.168.56.111/ /etc/systemd/network/10-eth1.network",
        lab="vagrant",
        run=2,
    ),
    Fault(
        "another name after a reboot",
        {"1.1/hostname-survives-reboot": "after the reboot its name is imposed"},
        at_boot("hostname imposed"),
        lab="vagrant",
        run=2,
    ),
    Fault(
        "the engine is not enabled",
        {"1.3.2/starts-at-boot": "the docker service of master is disabled"},
        "systemctl disable docker.service",
        lab="vagrant",
        run=2,
    ),
    Fault(
        "the engine does not start at boot",
        {"1.3.2/starts-at-boot": "after the reboot of master the docker service is"},
        at_boot("mount -o bind /dev/null /usr/sbin/dockerd", before="docker.service"),
        lab="vagrant",
        run=3,
    ),
    Fault(
        "enable --now only enables",
        {"1.3.2/enable-now": "the docker service of master is enabled and inactive"},
        wrap_any("systemctl", '"enable --now docker.service") exec systemctl.real enable docker.service'),
        lab="vagrant",
        run=2,
    ),
    Fault(
        "restart does nothing",
        {"1.3.2/service-verbs": "was restarted, and the engine is still"},
        wrap_any("systemctl", '"restart docker.service") exit 0'),
        lab="vagrant",
        run=3,
    ),
    Fault(
        "disable does nothing",
        {"1.3.2/service-verbs": r"\('enabled', 'active'\)"},
        wrap_any("systemctl", '"disable docker.service") exit 0'),
        lab="vagrant",
        run=4,
    ),
    Fault(
        "a node's routing mesh is empty",
        {
            "7.1/ingress-balances": "slave02",
            "7.2.1/reachable-on-any-node": "no way between nodes, with slave02",
            "8.2.1/three-http-listeners": "requests to slave02 to be shared",
        },
        background("while :; do nsenter --net=/run/docker/netns/ingress_sbox ipvsadm -C; sleep 0.2; done"),
        nodes=("slave02",),
        lab="vagrant",
        run=5,
    ),
    Fault(
        "a virtual address leads to one node only",
        {"7.2/virtual-address-balances": "requests from slave01 to the virtual address"},
        drop("udp dport 4789 ip saddr 192.168.56.101"),
        nodes=("slave01",),
        lab="vagrant",
        run=6,
    ),
    Fault(
        "a node's mesh refuses one connection of ten",
        {
            "7.2.3/reachable-while-scaling": r"were lost: \d+ at slave02 \(",
            "7.2.5/no-request-lost": r"were lost: \d+ at slave02 \(",
            "8.1.2/drain-keeps-serving": r"were lost: \d+ at slave02 \(",
        },
        "nft 'add table ip gremlin; add chain ip gremlin way { type filter hook forward priority -350; };"
        " add rule ip gremlin way tcp dport 8888-8987 tcp flags & (syn|ack) == syn numgen random mod 10 == 0"
        " reject with tcp reset'",
        nodes=("slave02",),
        lab="vagrant",
        run=1,
    ),
]
