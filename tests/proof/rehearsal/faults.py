"""What is wrong with a new engine, and what a rehearsal has to say of it."""

from __future__ import annotations

from dataclasses import dataclass

from tests.proof.claims.planting import background, drop, wrap, wrap_any


@dataclass(frozen=True)
class Fault:
    """One way in which an upgrade goes wrong.

    Attributes:
        name: what it is.
        said: a regular expression that a reason of the decision has to match.
        script: run as root on a node when it has its new engine.
        nodes: host names of the nodes where; all if empty.
        settings: what its /etc/docker/daemon.json is before the new engine starts; as it was if empty.
        empty: the node is given an empty volume in place of its engine's state.
        beside: it is planted in the cluster beside the rehearsed one, where nodes are hurt.
        shape: options of the rehearsal: as small a cluster as shows it.
    """

    name: str
    said: str
    script: str = "true"
    nodes: tuple[str, ...] = ()
    settings: str = ""
    empty: bool = False
    beside: bool = False
    shape: str = "--managers 1 --workers 2 --order slave01,workers,leader"


#: A manager is the first to be upgraded.
MANAGERS = "--managers 3 --workers 0 --order slave01,leader,managers"

FAULTS = (
    # The new package's settings replaced the old: the registry is not trusted any more.
    Fault(
        "registry-not-trusted",
        r"step1: slave01 cannot pull registry:5000/hello",
        settings="{}",
        nodes=("slave01",),
    ),
    # What the node sends to others goes to another port than they listen at.
    Fault(
        "another-data-path-port",
        r"step1: .*bodies of every size.* with slave01: ",
        script="nft 'add table ip gremlin; add chain ip gremlin out { type filter hook output priority -350; };"
        " add rule ip gremlin out udp dport 4789 udp dport set 7789'",
        nodes=("slave01",),
    ),
    Fault("empty-volume", r"step1: .*slave01 is inactive with id none after it was given engine", empty=True),
    # Small packets pass, larger ones do not.
    Fault(
        "narrow-link",
        r"step1: .*bodies of every size.* with slave01: ",
        script=drop("udp dport 4789 meta length gt 1200"),
        nodes=("slave01",),
    ),
    # The engine comes back, and forgets the labels of its node.
    Fault(
        "labels-lost",
        r"step1: .*slave01\.labels\.estate is None and was ",
        script="docker node update --label-rm estate slave01",
        nodes=("slave01",),
        shape=MANAGERS,
    ),
    # Now and then a server that runs on the node with the new engine closes the door.
    Fault(
        "requests-lost",
        r"of \d+ requests \d+ were lost: .*through (master|slave0\d) at ",
        script=background(
            "sleep 3; while :; do nft 'add table ip gremlin; "
            "add chain ip gremlin f { type filter hook forward priority -350; }; "
            "add rule ip gremlin f tcp dport 80 reject'; sleep 1; nft delete table ip gremlin; sleep 6; done"
        ),
        nodes=("slave01",),
    ),
    # A command that reads fails on the one manager that has the new engine's command line.
    Fault(
        "reading-fails",
        r"step1: docker service ls on slave01 ended with 1: unknown method",
        script=wrap('"service ls"*) echo unknown method ListServiceStatuses >&2; exit 1'),
        nodes=("slave01",),
        shape=MANAGERS,
    ),
    Fault(
        "volume-lost",
        r"step1: the volume on slave01 holds .*, and was given ",
        script="for data in /var/lib/docker/volumes/swc-estate*/_data; do echo other > $data/born; done",
        nodes=("slave01",),
    ),
    # A leader that was demoted stays a worker.
    Fault(
        "demoted-for-good",
        r"beside the rehearsed one: .*the swarm to be as before (\w+) was demoted and promoted: .*\1 is no manager",
        script=wrap('"node promote"*) exit 0'),
        beside=True,
        shape=MANAGERS,
    ),
    # What a node that was cut off, and is back, says of names reaches nobody.
    Fault(
        "names-lost-after-a-cut",
        r"beside the rehearsed one: .*every name to resolve on every node after (\w+) was cut off: .*\1",
        script=background(
            "until nft list table ip swarmlab_fault >/dev/null 2>&1; do sleep 0.2; done; "
            "nft 'add table ip gremlin; add chain ip gremlin before { type filter hook prerouting priority -350; }; "
            "add rule ip gremlin before tcp dport 7946 drop; add rule ip gremlin before udp dport 7946 drop'"
        ),
        beside=True,
        shape=MANAGERS,
    ),
    # A manager that lost its power has lost what it was.
    Fault(
        "state-lost-with-power",
        r"beside the rehearsed one: .*(\w+) is inactive with id none after it was given engine",
        script=wrap_any("dockerd", "*) rm -rf /var/lib/docker/swarm", folder="/usr/sbin"),
        beside=True,
        shape=MANAGERS,
    ),
    # No node takes a second replica. (Without a constraint the command line of 28.5.2 ends in a panic.)
    Fault(
        "nowhere-else",
        r"beside the rehearsed one: .*replicas to run elsewhere when (\w+) lost its power: .*2 of 3 run elsewhere",
        script=background(
            "until web=$(docker service ls -q --filter name=swc-web) && [ $web ]; do sleep 0.5; done; "
            "docker service update --detach --constraint-add node.id!=none --replicas-max-per-node 1 $web"
        ),
        nodes=("master",),
        beside=True,
        shape=MANAGERS,
    ),
    # What runs of a swarm's own services (likeness.json) does not last on a node with the new engine.
    Fault(
        "copied-service-dies",
        r"step1: .*swc-shop_web-\w+: 2 running, wanted 3: .*@slave01",
        script=background("while :; do docker kill $(docker ps -q --filter name=swc-shop_web); sleep 1; done"),
        nodes=("slave01",),
        shape="--like tests/proof/rehearsal/likeness.json --order slave01,workers,leader",
    ),
)
