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
        answers: by path of the API, what to replace in its answers: the only way to have managers that lie.
    """

    name: str
    fails: dict[str, str]
    script: str = "true"
    nodes: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)


def wrap(*cases: str) -> str:
    """A docker command that treats some calls in its own way, each "PATTERN) COMMANDS", and passes the others on."""
    arms = "\n".join(f"    {case};;" for case in cases)
    return (
        "mv /usr/bin/docker /usr/bin/docker.real\n"
        "cat > /usr/bin/docker <<'WRAPPER'\n"
        '#!/bin/sh\ncase "$*" in\n' + arms + '\nesac\nexec docker.real "$@"\n'
        "WRAPPER\n"
        "chmod +x /usr/bin/docker\n"
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
]
