"""Reads a cluster for the checks: each node once, all nodes at the same time.

It reads the engines' APIs, and /proc and /sys with one shell script for each node. It changes nothing, except for a
table of each node's packet filter that counts arriving packets for a while (see `swarmlab.preflight.packets`).
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

import docker

from swarmlab.cluster import quotes
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.parallel import parallel
from swarmlab.preflight import packets, rules, settings
from swarmlab.preflight.model import CALLS, GATEWAY_BRIDGE, MODULES, NodeView, Sight
from swarmlab.preflight.networks import complete, pools_of
from swarmlab.wait import State, wait

_MARK = "=== swarmlab"
#: Shell commands that read a node and change nothing, by name. {root} is the engine's data folder.
QUESTIONS = {
    "modules": (
        'K=$(uname -r); echo "folder $(ls -d /lib/modules/$K 2>/dev/null)"; '
        '{ zcat /proc/config.gz || cat /boot/config-$K; } 2>/dev/null | grep -E "^CONFIG_({options}|NET)="; '
        "for M in {modules}; do "
        '[ -d /sys/module/$M ] && echo "loaded $M"; '
        'grep -qs "/$M\\.ko" /lib/modules/$K/modules.builtin && echo "builtin $M"; '
        'grep -qsE "^[^:]*/$M\\.ko[^:]*:" /lib/modules/$K/modules.dep && echo "loadable $M"; '
        "done; ls -d /proc/net/ip_vs /proc/sys/net/bridge 2>/dev/null; grep -w overlay /proc/filesystems; true"
    ),
    "forwarding": "cat /proc/sys/net/ipv4/ip_forward",
    "bridge calls": "cat /proc/sys/net/bridge/bridge-nf-call-iptables",
    "iptables": "iptables --version",
    "legacy rules": (
        "F=/proc/net/ip_tables_names; [ -e $F ] || { echo 0; exit; }; T=$(cat $F) || exit 3; N=0; "
        "for X in $T; do R=$(iptables-legacy-save -t $X) || exit 3; "
        'N=$((N + $(echo "$R" | grep -c -e ^-A))); done; echo $N'
    ),
    "firewalld": "grep -lxs firewalld /proc/[0-9]*/comm; true",
    "runc": "for R in docker-runc runc; do command -v $R >/dev/null && exec $R --version; done; true",
    # Where engines up to 17.12, up to 18.06 and since keep what their containers were started with. Profiles that
    # refuse nothing but what they name, or that answer "not implemented" (38), do no harm.
    "seccomp": (
        "ls /run/docker >/dev/null || exit; L=; "
        "for F in /run/docker/libcontainerd/*/config.json "
        "/run/docker/containerd/daemon/io.containerd.runtime.v*/moby/*/config.json "
        "/run/containerd/io.containerd.runtime.v*/moby/*/config.json; do "
        'grep -qsE \'"defaultAction": ?"SCMP_ACT_(ERRNO|KILL|TRAP)\' $F && '
        '! grep -qsE \'"defaultErrnoRet": ?38\' $F && L="$L $F"; done; '
        'echo "containers $(echo $L | wc -w)"; '
        'for C in {calls}; do echo "$C $(grep -ls "\\"$C\\"" $L /dev/null | wc -l)"; done'
    ),
    **settings.QUESTIONS,
    "rules": rules.QUESTION,
    "mesh rules": rules.MESH_QUESTION,
    "routes": "cat /proc/net/route",
    "addresses": "ip -o -4 address show",
    "links": "for L in $(ls /sys/class/net); do D=/sys/class/net/$L; "
    'echo "$L $(cat $D/mtu) $(basename "$(readlink $D/device/driver)")"; done',
    "offload": (
        "for L in $(ls /sys/class/net); do "
        '[ "$(basename "$(readlink /sys/class/net/$L/device/driver)")" = vmxnet3 ] || continue; '
        'echo "$L $(ethtool -k $L | grep tx-checksum-ip-generic)" || exit; done'
    ),
    "resolvers": "cat /etc/resolv.conf",
    "certificate": "cat {root}/swarm/certificates/swarm-node.crt",
    # With containerd's image store the images are in containerd's own folder.
    "disk": "C=/var/lib/containerd; [ -d $C ] || C=; df -Pk {root} $C /run",
    "inodes": "C=/var/lib/containerd; [ -d $C ] || C=; df -Pi {root} $C",
    "inotify": "cd /proc/sys/fs/inotify && cat max_user_instances max_user_watches",
    "inotify used": (
        "ls /proc/1/fd >/dev/null || exit; ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c 'anon_inode:.*inotify'; true"
    ),
    "files": "cat /proc/sys/fs/file-nr",
    "connections": "cd /proc/sys/net/netfilter && cat nf_conntrack_count nf_conntrack_max",
}


def gather(swarm: Swarm, *, probe: bool = True) -> Sight:
    """Read everything that the checks judge.

    Args:
        swarm: the cluster.
        probe: whether to send packets from every node to every other.
    """
    nodes = {node.name: node for node in swarm.nodes}
    sight = Sight(parallel(_ask, swarm.nodes))
    answering = [view for view in sight.nodes if view.info]
    active = [view for view in answering if view.active]
    reading = [functools.partial(_read, nodes[view.name], view) for view in sight.nodes]
    managing = functools.partial(_ask_manager, sight, nodes)
    judging = functools.partial(_judge, sight, [nodes[view.name] for view in answering])
    parallel(lambda action: action(), [managing, judging, *reading])
    complete(sight)
    if probe and len(active) > 1:
        packets.send(sight, [(nodes[view.name], view) for view in active])
    return sight


def _ask(node: Node) -> NodeView:
    view = NodeView(node.name)
    try:
        view.clock = node.clock()
        view.info = node.info()
        view.version = node.ask("GET", "/version")
    except (SwarmlabError, docker.errors.DockerException) as failed:
        view.silent = str(failed)
    return view


def _ask_manager(sight: Sight, nodes: Mapping[str, Node]) -> None:
    managers = [view for view in sight.nodes if view.manages]
    for view in managers:
        ask = functools.partial(nodes[view.name].ask, "GET")
        try:
            answers = parallel(ask, ["/swarm", "/nodes", "/services", "/tasks", "/networks"])
        except SwarmlabError as failed:
            sight.unasked = str(failed)
            continue
        sight.swarm, sight.members, sight.services, sight.tasks, sight.networks = answers
        sight.asked = view.name
        if discretion := nodes[view.name].discretion:
            discretion.quote(sight.tasks)
        return


def _judge(sight: Sight, nodes: list[Node]) -> None:
    if nodes:
        try:
            sight.conditions = Swarm(nodes).conditions()
        except SwarmlabError as failed:
            sight.conditions = {"managers answer": State(False, str(failed))}


def _read(node: Node, view: NodeView) -> None:
    if view.info.get("Swarm", {}).get("LocalNodeState") == "active":
        # An engine makes the bridge a moment after it joins.
        with contextlib.suppress(SwarmlabError):
            wait(lambda: _has_bridge(node), f"{node} to have {GATEWAY_BRIDGE}", deadline=10, error=LabError)
    view.answers = answers(node, view, QUESTIONS)
    if view.info:
        with contextlib.suppress(SwarmlabError):
            view.networks = [_whole(node, network) for network in node.ask("GET", "/networks")]


def answers(node: Node, view: NodeView, names: Iterable[str]) -> Mapping[str, tuple[int, str]]:
    """Ask a node some of `QUESTIONS` with one shell script; return exit code and text by name.

    Args:
        node: the node.
        view: what is known of it so far.
        names: names of the questions.
    """
    values = {
        "{root}": view.info.get("DockerRootDir", "/var/lib/docker"),
        "{modules}": " ".join(MODULES),
        "{options}": "|".join(option for option, _ in MODULES.values()),
        "{calls}": " ".join(CALLS),
    }
    parts = []
    for name in names:
        question = QUESTIONS[name]
        for placeholder, value in values.items():
            question = question.replace(placeholder, value)
        parts.append(f"echo '{_MARK} {name}'; ( {question} ) 2>&1; CODE=$?; echo; echo \"{_MARK}. $CODE\"")
    try:
        done = node.run("export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin\n" + "\n".join(parts), shown=shown)
    except SwarmlabError as failed:
        return dict.fromkeys(names, (1, str(failed)))
    return parse_answers(done.out)


def _whole(node: Node, network: dict[str, Any]) -> dict[str, Any]:
    """Return a network as its node has it, where the node's list lacks its subnet."""
    if network.get("Driver") == "overlay" and not pools_of(network):
        with contextlib.suppress(SwarmlabError):
            whole: dict[str, Any] = node.ask("GET", f"/networks/{network['Id']}")
            return whole
    return network


def _has_bridge(node: Node) -> bool:
    return bool(node.ask("GET", "/networks", filters={"name": [GATEWAY_BRIDGE]}))


#: What a record has of answers that hold values of the settings of others.
_HIDING = {
    "command line": quotes.settings,
    "daemon.json": quotes.settings,
    "unit": quotes.length,
    "paths": quotes.length,
    "validate": quotes.said,
    "rules": quotes.rules,
    "mesh rules": quotes.rules,
}


def shown(text: str) -> str:
    """Return what a record has of the output of a node's script where others have work: no value of their settings."""
    made = []
    for name, (code, answer) in parse_answers(text).items():
        kept = _HIDING[name](answer) if name in _HIDING else answer
        made.append(f"{_MARK} {name}\n{kept}\n{_MARK}. {code}")
    return "\n".join(made)


def parse_answers(text: str) -> Mapping[str, tuple[int, str]]:
    """Return exit code and text by question from the output of a node's script."""
    pattern = rf"^{_MARK} ([^\n]+)\n(.*?)\n?^{_MARK}\. (\d+)$"
    return {
        name: (int(code), answer.strip()) for name, answer, code in re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    }
