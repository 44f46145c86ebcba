"""Faults of a new engine, each with the reason of the no-go, or the conditions, that the rehearsal must end in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.proof.planting import Fault, background, drop, filtering, wrap, wrap_any


@dataclass(frozen=True)
class UpgradeFault(Fault):
    """One way in which an upgrade goes wrong.

    The script runs on a node when the node has its new engine.

    Attributes:
        claim: Id of the claim that the decision's first reason comes from; empty where there is to be none.
        reason: A regular expression that this reason must match.
        conditions: By claim, a regular expression that a condition from it must match. The decision is then go with
            conditions, unless there is to be a reason.
        settings: Content of the node's /etc/docker/daemon.json when the new engine starts; unchanged if empty.
        empty: The node's engine finds no state of its swarm.
        control: The fault is planted when the node's engine is restarted as it is, before the first step.
        beside: The fault is planted in the cluster beside the rehearsed one, where nodes are hurt.
        shape: Options of the rehearsal: as small a cluster as shows the fault.
    """

    claim: str = ""
    reason: str = ""
    conditions: Mapping[str, str] = field(default_factory=dict)
    settings: str = ""
    empty: bool = False
    control: bool = False
    beside: bool = False
    shape: str = "--managers 1 --workers 2 --order slave01,workers,leader"


#: A manager is the first to be upgraded.
MANAGERS = "--managers 3 --workers 0 --order slave01,leader,managers"

FAULTS = (
    # The new package replaces the settings, so the engine no longer trusts the registry.
    UpgradeFault(
        "registry-not-trusted",
        "upgrade/pulls",
        r"step1: slave01 cannot pull registry:5000/hello",
        settings="{}",
        nodes=("slave01",),
    ),
    # The node sends VXLAN packets to a port at which the others do not listen.
    UpgradeFault(
        "another-data-path-port",
        "upgrade/names-and-bodies",
        r"step1: .*bodies of every size.* with slave01: ",
        script=filtering("udp dport 4789 udp dport set 7789", hook="output", chain="out"),
        nodes=("slave01",),
    ),
    UpgradeFault(
        "empty-volume",
        "upgrade/step",
        r"step1: .*slave01 is inactive with id none after it was given engine",
        empty=True,
    ),
    # No upgrade, but a plain restart loses the node.
    UpgradeFault(
        "empty-after-restart",
        "upgrade/restart",
        r"slave01 is inactive with id none after ",
        empty=True,
        control=True,
        nodes=("slave01",),
    ),
    # Small packets pass, larger ones do not.
    UpgradeFault(
        "narrow-link",
        "upgrade/names-and-bodies",
        r"step1: .*bodies of every size.* with slave01: ",
        script=drop("udp dport 4789 meta length gt 1200"),
        nodes=("slave01",),
    ),
    # Interfaces of overlay networks are left on the node, where its engine does not see them.
    UpgradeFault(
        "interfaces-left",
        "upgrade/step",
        r"step1: .*error creating vxlan interface: file exists",
        script="ip netns add gremlin; for id in $(seq 4096 4120); do "
        "ip link add left$id type vxlan id $id dstport 4789 && ip link set left$id netns gremlin; done",
        nodes=("slave01",),
    ),
    # The same for some seconds, and not for the ingress network: tasks are refused, and then run.
    UpgradeFault(
        "interfaces-left-for-a-while",
        conditions={"known/vxlan-file-exists": r"drain, stop the engine, .*slave01: .*file exists"},
        script="ip netns add gremlin; for id in $(seq 4097 4120); do "
        "ip link add left$id type vxlan id $id dstport 4789 && ip link set left$id netns gremlin; done\n"
        + background("sleep 20; ip netns delete gremlin"),
        nodes=("slave01",),
    ),
    # Services are not pinned to a digest, and an update of the image is not carried out.
    UpgradeFault(
        "tags-not-followed",
        conditions={
            "known/tag-moved": r"Pin the images .*(master|slave0\d) runs release 2, wanted release 1",
            "known/update-keeps-tag": r"Give docker service update --image .* runs release 1, wanted release 2",
        },
        script=wrap(
            '"service create --detach=true --mode global"*) '
            'shift 2; exec docker.real service create --no-resolve-image "$@"',
            '"service update --detach --image"*) exit 0',
        ),
        nodes=("master",),
    ),
    # The node comes back without its labels.
    UpgradeFault(
        "labels-lost",
        "upgrade/identity-kept",
        r"step1: .*slave01\.labels\.estate is None and was ",
        script="docker node update --label-rm estate slave01",
        nodes=("slave01",),
        shape=MANAGERS,
    ),
    # A server on the node with the new engine refuses connections for a second, again and again.
    UpgradeFault(
        "requests-lost",
        "upgrade/no-request-lost",
        r"of \d+ requests \d+ were lost: .*through (master|slave0\d) at ",
        script=background(
            "sleep 3; while :; do nft 'add table ip gremlin; "
            "add chain ip gremlin f { type filter hook forward priority -350; }; "
            "add rule ip gremlin f tcp dport 80 reject'; sleep 1; nft delete table ip gremlin; sleep 6; done"
        ),
        nodes=("slave01",),
    ),
    # A command that only reads fails on the manager with the new engine's command line.
    UpgradeFault(
        "reading-fails",
        "upgrade/history",
        r"step1: docker service ls on slave01 ended with 1: unknown method",
        script=wrap('"service ls"*) echo unknown method ListServiceStatuses >&2; exit 1'),
        nodes=("slave01",),
        shape=MANAGERS,
    ),
    UpgradeFault(
        "volume-lost",
        "upgrade/data-kept",
        r"step1: the volume on slave01 holds .*, and was given ",
        script="for data in /var/lib/docker/volumes/swc-estate*/_data; do echo other > $data/born; done",
        nodes=("slave01",),
    ),
    # A demoted leader stays a worker.
    UpgradeFault(
        "demoted-for-good",
        "known/demote-and-promote",
        r"beside the rehearsed one: .*the swarm to be as before (\w+) was demoted and promoted: .*\1 is no manager",
        script=wrap('"node promote"*) exit 0'),
        beside=True,
        shape=MANAGERS,
    ),
    # A node that was cut off is back, and its gossip about names reaches nobody.
    UpgradeFault(
        "names-lost-after-a-cut",
        "known/names-after-disconnect",
        r"beside the rehearsed one: .*every name to resolve on every node after (\w+) was cut off: .*\1",
        script=background(
            "until nft list table ip swarmlab_fault >/dev/null 2>&1; do sleep 0.2; done; "
            "nft 'add table ip gremlin; add chain ip gremlin before { type filter hook prerouting priority -350; }; "
            "add rule ip gremlin before tcp dport 7946 drop; add rule ip gremlin before udp dport 7946 drop'"
        ),
        beside=True,
        shape=MANAGERS,
    ),
    # A manager loses its state with its power.
    UpgradeFault(
        "state-lost-with-power",
        "known/wal-after-power-loss",
        r"beside the rehearsed one: .*(\w+) is inactive with id none after it was given engine",
        script=wrap_any("dockerd", "*) rm -rf /var/lib/docker/swarm", folder="/usr/sbin"),
        beside=True,
        shape=MANAGERS,
    ),
    # No node takes a second replica. (Without a constraint the command line of 28.5.2 panics.)
    UpgradeFault(
        "nowhere-else",
        "known/down-but-running",
        r"beside the rehearsed one: .*replicas to run elsewhere when (\w+) lost its power: .*2 of 3 run elsewhere",
        script=background(
            "until web=$(docker service ls -q --filter name=swc-web) && [ $web ]; do sleep 0.5; done; "
            "docker service update --detach --constraint-add node.id!=none --replicas-max-per-node 1 $web"
        ),
        nodes=("master",),
        beside=True,
        shape=MANAGERS,
    ),
    # The node comes back with settings by which its tasks may do less.
    UpgradeFault(
        "tasks-may-do-less",
        conditions={
            "upgrade/task-limits": r"open files \(soft\): \d+ before, 512 after on slave01[;.)]",
            "upgrade/task-rights": r"no_new_privs: 0 before, 1 after on slave01[;.)]",
            "upgrade/task-names": r"of the node, nameserver: .+ before, 192\.0\.2\.1 after on slave01[;.)]",
            "upgrade/task-mounts": r"mount /dev/shm: .*size=65536k.* before, .*size=16384k.* after on slave01[;.)]",
        },
        settings="""{
            "insecure-registries": ["registry:5000"],
            "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 512, "Hard": 1024}},
            "no-new-privileges": true,
            "default-shm-size": "16M"
        }""",
        script="echo nameserver 192.0.2.1 > /etc/resolv.conf",
        nodes=("slave01",),
    ),
    # The only manager is away from names for longer than after a plain restart.
    UpgradeFault(
        "names-lost-for-long",
        "upgrade/names-and-bodies",
        r"step1: .*every name to resolve on every node: .*on master \S+ leads to nothing",
        script="".join(
            f"{filtering(f'{protocol} dport 7946 drop', hook=hook, chain=hook)}\n"
            for protocol in ("udp", "tcp")
            for hook in ("prerouting", "output")
        ),
        nodes=("master",),
        shape="--managers 1 --workers 2 --order leader,workers",
    ),
    # Tasks of the swarm's own services (likeness.json) do not last on a node with the new engine.
    UpgradeFault(
        "copied-service-dies",
        "upgrade/step",
        r"step1: .*swc-shop_web-\w+: 2 running, wanted 3: .*@slave01",
        script=background("while :; do docker kill $(docker ps -q --filter name=swc-shop_web); sleep 1; done"),
        nodes=("slave01",),
        shape="--like tests/proof/rehearsal/likeness.json --order slave01,workers,leader",
    ),
)

#: Claims of an upgrade for which nothing is planted, and why.
UNPLANTED = {
    "upgrade/objects-kept": "compared as upgrade/identity-kept is, which has a fault",
    "upgrade/writes": "chapter 8.1.1 has the faults of writes (tests/proof/claims)",
    "upgrade/scheduling": "chapters 7.2 and 8.2 have the faults of services (tests/proof/claims)",
    "upgrade/published-ports": "needs IPVS; the mesh has faults of its own (tests/proof/mesh)",
    "upgrade/encrypted-overlay": "judged as upgrade/names-and-bodies is, which has faults",
    "upgrade/ca-rotation": "chapter 8.3.1 has the faults of rotations (tests/proof/claims)",
    "upgrade/token-rotation": "chapter 6 has the faults of join tokens (tests/proof/claims)",
    "upgrade/no-write-lost": "chapter 8.1.1 has the faults of writes (tests/proof/claims)",
    "upgrade/streams-kept": "what cuts a download also loses requests: upgrade/no-request-lost has the fault",
    "upgrade/datagrams-kept": "the mesh has the fault of datagrams (tests/proof/mesh)",
    "upgrade/restore": "tried on a node beside the cluster; test_ways_back has the fault, on machines",
    "upgrade/back-in-place": "tried on a node beside the cluster; test_ways_back has the fault, on machines",
}
