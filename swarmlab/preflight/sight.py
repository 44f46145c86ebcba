"""Reads a cluster for the checks: each node once, all nodes at the same time.

It reads the engines' APIs, and /proc and /sys with one shell script for each node. It changes nothing that lasts.
Beside reading, it counts packets in a table of each node's packet filter (see `swarmlab.preflight.packets`), has nodes
send each other packets and ask their name servers, and has engines ask registries.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from statistics import median
from typing import Any, TypeVar

import docker

from swarmlab import signals
from swarmlab.cluster import deadline, quotes
from swarmlab.cluster.clocks import Clock, seconds_of
from swarmlab.cluster.node import DATA_ROOT, Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked, LabError, Overdue, SwarmlabError
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.preflight import (
    ahead,
    balancers,
    held,
    last_words,
    networks,
    packets,
    plugins,
    rules,
    secrecy,
    stopped,
    strays,
    tunnels,
    unlike,
)
from swarmlab.preflight.model import CALLS, GATEWAY_BRIDGE, MODULES, Arrivals, NodeView, Sight
from swarmlab.wait import State, scaled, wait

T = TypeVar("T")

#: Seconds at reference speed: for all together; for an engine; that packets wait for an engine while others have
#: answered; for what a manager tells; after which the next manager is asked too; that a node's shell waits for its
#: engine to tell its folder; for one question.
_LONGEST, _ANSWER, _SOON, _MANAGER, _NEXT, _HESITATES, _QUESTION = 15.0, 10.0, 4.0, 4.0, 1.5, 3.0, 5.0
#: Seconds in which an engine answers at reference speed, on a busy machine; and by how much the times above are longer
#: at most where all engines are slower.
_USUAL, _SLOWEST = 0.5, 4.0
#: The most nodes whose shells one machine runs at the same time without making each other late.
_FEW = 10
#: Seconds after which a line tells who is waited for.
_PROGRESS = 3.0
_MARK = "=== swarmlab"
#: A question of DNS: the address of localhost.
_QUERY = r"SW\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x09localhost\x00\x00\x01\x00\x01"
#: How many reads and writes each disk has done, how long they took, and how many are under way; and the time.
_DISKS = "grep -vE ' (loop|ram|sr)[0-9]' /proc/diskstats; cut -d' ' -f1 /proc/uptime"
#: Shell commands that read a node and change nothing, by name. {root} is the engine's data folder.
QUESTIONS = {
    "modules": (
        'K=$(uname -r); echo "folder $(ls -d /lib/modules/$K 2>/dev/null)"; '
        '{ zcat /proc/config.gz || cat /boot/config-$K; } 2>/dev/null | grep -E "^CONFIG_({options}|NET)="; '
        "for M in {modules}; do "
        '[ -d /sys/module/$M ] && echo "loaded $M"; '
        'grep -qs "/$M\\.ko" /lib/modules/$K/modules.builtin && echo "builtin $M"; '
        'grep -qsE "^[^:]*/$M\\.ko[^:]*:" /lib/modules/$K/modules.dep && echo "loadable $M"; '
        # What keeps modprobe from a module: a file of its configuration, or the kernel, which loads none any more. One
        # that is on a blacklist can be loaded by its name, as engines do; the kernel asks for these two by another.
        "B=; case $M in vxlan|esp4) B='blacklist[[:space:]]+'$M'|';; esac; "
        'for D in /etc /run /usr/local/lib; do grep -lsE "^[[:space:]]*(${B}install[[:space:]]+$M[[:space:]]+'
        '[^ ]*/(false|true))[[:space:]]*\\$" $D/modprobe.d/*.conf | sed "s/^/kept $M /"; done; '
        "done; grep -qsx 1 /proc/sys/kernel/modules_disabled && echo disabled; "
        "ls -d /proc/net/ip_vs /proc/sys/net/bridge 2>/dev/null; grep -w overlay /proc/filesystems; true"
    ),
    "disks before": _DISKS,
    "ipsec before": secrecy.QUESTION,
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
    **ahead.QUESTIONS,
    "rules": rules.QUESTION,
    "mesh rules": rules.MESH_QUESTION,
    "balancers": balancers.QUESTION,
    "tunnels": tunnels.QUESTION,
    "packets": unlike.QUESTION,
    "routes": "cat /proc/net/route",
    "addresses": "ip -o address show",
    "member": (
        "F={root}/swarm/docker-state.json; cat $F >/dev/null || exit; "
        'grep -oE \'"(LocalAddr|RemoteAddr|ListenAddr|AdvertiseAddr|DataPathAddr)": *"[^"]*"\' $F; true'
    ),
    "listening": "cat /proc/net/tcp >/dev/null || exit; "
    "cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -iE ':1F0A [0-9A-F]+:[0-9A-F]+ 0A'; true",
    # The TCP ports on which programs listen, and which of these sockets are the engine's, and which are sshd's.
    "listeners": (
        f"ls /proc/1/fd >/dev/null || exit; {ahead.PID}; "
        "of() { N=$1; shift; [ $# = 0 ] || { cd /proc && for X; do ls -l $X/fd 2>/dev/null; done; } | "
        'sed -n "s/.*socket:\\[\\([0-9]*\\)\\].*/$N \\1/p"; }; '
        # Its proxies are children of it, unless it was started again. They come and go, so they are asked for twice.
        "own() { of engine $P $(pidof docker-proxy) "
        '$(grep -lsx "PPid:[[:space:]]*$P" /proc/[0-9]*/status | cut -d/ -f3); }; own; '
        "for F in /proc/net/tcp /proc/net/tcp6; do [ ! -e $F ] || "
        # Those that listen come first.
        'awk \'NR > 1 { if ($4 == "0A") print "listen", $2, $10; else if ($4 != "03") exit }\' $F; done; '
        "own; of sshd $(pidof sshd); true"
    ),
    "machine": (
        "cat /proc/sys/kernel/random/boot_id >/dev/null || exit; "
        'echo "id $(cat /etc/machine-id 2>/dev/null)"; '
        "{ [ -e /.dockerenv ] || grep -qszE '^container=' /proc/1/environ; } && echo container; "
        'for L in /sys/class/net/*; do echo "link ${L##*/} $(cat $L/address 2>/dev/null)"; done; true'
    ),
    "links": "for L in $(ls /sys/class/net); do D=/sys/class/net/$L; "
    'echo "$L $(cat $D/mtu) $(basename "$(readlink $D/device/driver)")"; done',
    "offload": (
        "for L in $(ls /sys/class/net); do "
        '[ "$(basename "$(readlink /sys/class/net/$L/device/driver)")" = vmxnet3 ] || continue; '
        'echo "$L $(ethtool -k $L | grep tx-checksum-ip-generic)" || exit; done'
    ),
    "resolvers": "[ ! -e /etc/resolv.conf ] || cat /etc/resolv.conf",
    "resolved": "F=/run/systemd/resolve/resolv.conf; [ ! -e $F ] || cat $F",
    # Asks each name server of the node and of its containers for localhost, which every server answers by itself, with
    # an address or without.
    "name servers": (
        "for S in $({ grep -hs ^nameserver /etc/resolv.conf /run/systemd/resolve/resolv.conf | tr -s '\\t' ' ' | "
        f"cut -d' ' -f2; {ahead.NAME_SERVERS}; }} 2>/dev/null | sort -u | head -n 8); do "
        '[ "$S" = 127.0.0.11 ] && continue; '
        f'{packets.HAS_LIMITS} || {{ echo "$S untried"; continue; }}; '
        '{ for T in 1 2; do N=$(timeout 3 bash -c \'exec 3<>"/dev/udp/$0/53" && printf "{query}" >&3 && '
        'timeout $1 head -c 12 <&3\' "$S" $T 2>/dev/null | wc -c); [ $N -gt 0 ] && break; done; '
        '[ $N -gt 0 ] && echo "$S answers" || echo "$S silent"; } & '
        "done; wait"
    ),
    "certificate": "cat {root}/swarm/certificates/swarm-node.crt",
    # With containerd's image store the images are in containerd's own folder.
    "disk": "C=/var/lib/containerd; [ -d $C ] || C=; df -Pk {root} $C /run",
    "disk number": "stat -c %d {root}",
    "inodes": "C=/var/lib/containerd; [ -d $C ] || C=; df -Pi {root} $C",
    # Where the engine's data is mounted, and the options; of several mounts at one place the last is in force.
    "mounted": "M=$(df -P {root} | awk 'NR > 1 { print $NF }'); "
    "awk -v M=\"$M\" '$2 == M { O = $4 } END { print M, O }' /proc/self/mounts",
    "inotify": "cd /proc/sys/fs/inotify && cat max_user_instances max_user_watches",
    # Each user has a limit of its own: those of the engine's, which are root's, count.
    "inotify used": (
        'ls /proc/1/fd >/dev/null || exit; L=; for P in /proc/[0-9]*; do [ -O $P ] && L="$L $P/fd"; done; '
        "ls -l $L 2>/dev/null | grep -c 'anon_inode:.*inotify'; true"
    ),
    "files": "cat /proc/sys/fs/file-nr",
    # The files that the engine has open, and its limit; nothing of an engine that does not run.
    "engine files": (
        f"{ahead.PID}; [ -e /proc/$P/limits ] || {{ echo 0; exit 0; }}; "
        'N=$(ls /proc/$P/fd) || exit; echo "$N" | wc -l; awk "/^Max open files/ { print \\$4 }" /proc/$P/limits'
    ),
    # In KiB.
    "memory": "grep -E '^Mem(Total|Available):' /proc/meminfo",
    # All threads, and the limits of their numbers and of how many there are.
    "threads": "cut -d' ' -f4 /proc/loadavg | cut -d/ -f2; cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max",
    # The most neighbours, how many there are, and for each processor how often there was no room. Only the kernel's
    # first namespace shows them: in a container they are none.
    "neighbours": (
        "D=/proc/sys/net/ipv4/neigh/default/gc_thresh3; F=/proc/net/stat/arp_cache; "
        "[ -e $D ] || { echo 0 0; exit 0; }; cat $D && grep -q table_fulls $F || { echo 0; exit 0; }; "
        "E=$(sed -n 2p $F); echo $((0x${E%% *})); tail -n +2 $F | while read -r L; do echo $((0x${L##* })); done"
    ),
    # How strictly each interface takes packets whose sender is reached by another one, and how many it has dropped.
    "reverse path": (
        'cd /proc/sys/net/ipv4/conf || exit; for L in *; do echo "$L $(cat $L/rp_filter)"; done; '
        'awk \'$1 == "TcpExt:" { if (N) print "dropped", $N; '
        'for (I = 1; I <= NF; I++) if ($I == "IPReversePathFilter") N = I }\' /proc/net/netstat'
    ),
    "last words": last_words.QUESTION,
    "stopped": stopped.QUESTION,
    "connections": "cd /proc/sys/net/netfilter && cat nf_conntrack_count nf_conntrack_max",
    "ipsec after": secrecy.QUESTION,
    "disks after": _DISKS,
}

#: The questions that hang where a disk does not answer.
_LAST = ("certificate", "disk", "inodes", "mounted")


def gather(
    swarm: Swarm, *, probe: bool = True, registries: bool = True, progress: Callable[[str], None] = lambda _: None
) -> Sight:
    """Read everything that the checks judge.

    All nodes are asked at once. Packets are sent once the engines have answered, without those that take much longer
    than the others. What has not answered in its time is not known: together that is `_LONGEST` seconds, and more where
    all engines are slow, or so many nodes are asked at once that all shells are, and in a swarm of more than nine nodes
    whose gossip does not arrive (see `swarmlab.preflight.packets`).

    Args:
        swarm: the cluster.
        probe: whether to send packets from every node to every other.
        registries: whether engines ask registries what they have of the images of services.
        progress: called with a line where nodes let others wait.
    """
    pairs = [(node, NodeView(node.name)) for node in swarm.nodes]
    sight = Sight([view for _, view in pairs])
    start, table = time.monotonic(), packets.table()
    counts: list[Future[packets.Counting]] = []
    with _Together(7 * len(pairs) + 6) as together:
        try:
            with deadline.within(scaled(_ANSWER)):
                asked = [together.begin(_ask, *pair) for pair in pairs]
            with deadline.within(scaled(_LONGEST)):
                counts = [together.begin(packets.count, table, node) for node, _ in pairs if probe]
            begun: list[Future[None]] = [
                together.begin(_read_once_asked, *pair, asked[place], counts[place : place + 1], counts)
                for place, pair in enumerate(pairs)
            ]
            pace = _wait(asked, pairs, progress)
            factor = max(pace, _pace(counts))
            answering = [(place, pair) for place, pair in enumerate(pairs) if pair[1].info]
            begun += _read_swarm(sight, [pair for _, pair in answering], together, factor)
            _list_hesitating(sight, pairs)
            hesitating = [(place, pair) for place, pair in enumerate(pairs) if pair[1].listed and not pair[1].info]
            active = [
                (node, view, counts[place])
                for place, (node, view) in [*answering, *hesitating]
                if probe and view.takes_part
            ]
            rest = start + scaled(_LONGEST) * factor + max(len(active) - 9, 0) - time.monotonic()
            with deadline.within(rest):
                begun.append(
                    together.begin(_deepen, sight, dict(map(_named, pairs)), [*begun], counts, pace, registries)
                )
            if len(active) > 1:
                with deadline.within(rest):
                    until = start + scaled(_SOON) * factor
                    # Nodes tell in their answers to which address the data of overlay networks goes.
                    futures.wait(begun[: len(pairs)], timeout=max(until - time.monotonic(), 0.0))
                    counted = [(node, view, _counting(count, until)) for node, view, count in active]
                    packets.send(sight, table, counted, factor)
            for _, view, _ in active if len(active) == 1 else []:
                if len(pairs) == 1:
                    view.arrived = Arrivals()  # there is nobody to hear from
                view.alone = "no packets were sent to it, as no other node of the swarm answers"
        finally:
            counting = [node for (node, _), count in zip(pairs, counts, strict=False) if not count.result().unseen]
            packets.forget(table, counting)
    for one in begun:
        one.result()
    return sight


def _read_swarm(
    sight: Sight, pairs: Sequence[tuple[Node, NodeView]], together: _Together, factor: float
) -> list[Future[None]]:
    """Take what a manager tells of the swarm, and judge the swarm, without nodes that are not of it.

    Args:
        sight: gets the answers.
        pairs: the nodes whose engines answer.
        together: what takes place at the same time.
        factor: by how much times are longer.

    Returns:
        What goes on then.
    """
    with deadline.within(scaled(_ANSWER) * factor):
        judged = together.begin(_judge, sight, [node for node, _ in pairs])
        begun = [judged, *(together.begin(_list_volumes, *pair) for pair in pairs)]
        managers = [pair for pair in pairs if pair[1].manages]
        told = [together.begin(_list_members, *pair) for pair in managers]
        _ask_managers(sight, managers, together, factor)
    futures.wait(told, timeout=scaled(_NEXT) * factor)
    with deadline.within(scaled(_MANAGER) * factor):
        _find_strays(sight, pairs, together, factor)
    if sight.strays:
        futures.wait([judged])
        with deadline.within(scaled(_MANAGER) * factor):
            _judge(sight, [node for node, view in pairs if view.name not in sight.strays])
    return begun


def _deepen(
    sight: Sight,
    nodes: Mapping[str, Node],
    begun: Sequence[Future[Any]],
    counts: Sequence[Future[packets.Counting]],
    pace: float,
    registries: bool,
) -> None:
    """Read what follows from what managers and nodes tell, once they have told it, and note how slow they were."""
    futures.wait(begun)
    sight.pace = max(pace, _pace(counts))
    networks.complete(sight)
    plugins.complete(sight)
    held.deepen(sight, nodes, registries=registries)


def _named(pair: tuple[Node, NodeView]) -> tuple[str, Node]:
    node, view = pair
    return view.name, node


def _list_hesitating(sight: Sight, pairs: Sequence[tuple[Node, NodeView]]) -> None:
    """Note the managers' entries for nodes whose engines hesitate, so that the ways to them are looked at all the same.

    A manager that looks for a leader answers GET /info only once it has found one or given up, after some 20 s. Often
    the reason is a way to it that is closed.
    """
    for node, view in pairs:
        if view.version and not view.info:
            alike = [
                member
                for member in sight.members
                if node.address in (member["Status"].get("Addr"), NodeView("", listed=member).address)
            ]
            view.listed = alike[0] if len(alike) == 1 else {}


def _counting(count: Future[packets.Counting], until: float) -> packets.Counting:
    """Return the count of gossip on a node; if its shell has not begun it by then, that it hangs."""
    try:
        return count.result(max(until - time.monotonic(), 0.1))
    except futures.TimeoutError:
        return packets.Counting(time.monotonic(), "its shell does not answer in time", hangs=True)


class _Together:
    """Actions that take place at the same time; at the end of the context all have ended."""

    def __init__(self, most: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=most)

    def begin(self, action: Callable[..., T], *args: Any) -> Future[T]:
        """Begin an action, with a copy of this context."""
        return self._pool.submit(copy_context().run, action, *args)

    def __enter__(self) -> _Together:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error and issubclass(error, KeyboardInterrupt):
            with signals.giving_up():
                self._pool.shutdown()
        self._pool.shutdown()


def _ask(node: Node, view: NodeView) -> float | None:
    """Ask an engine; return how many seconds it took, None if it does not answer."""
    start = time.monotonic()
    try:
        view.version = node.ask("GET", "/version")
        before = time.time()
        info = node.info()
        after = time.time()
        view.clock = Clock(seconds_of(info["SystemTime"]) - (before + after) / 2, (after - before) / 2)
        view.info = info
    except (SwarmlabError, docker.errors.DockerException) as failed:
        within = f" within {time.monotonic() - start:.0f} s" if "timed out" in str(failed) else ""
        view.silent = f"{failed}{within}"
        if view.version:
            view.silent += ", though it answers GET /version: a manager that looks for a leader does that"
            view.remedy = (
                "wait until it has found a leader, or given up (20 s), and look again; else on {nodes}: systemctl "
                "restart docker"
            )
        return None
    return time.monotonic() - start


def _wait(
    asked: Sequence[Future[float | None]],
    pairs: Sequence[tuple[Node, NodeView]],
    progress: Callable[[str], None],
) -> float:
    """Wait until the engines have answered, but not long for those that take much longer than others.

    Returns:
        How many times slower than they should be the engines are that have answered: all further times are longer by
        that factor, so that nobody on a busy machine is taken for silent.
    """
    start, factor, told = time.monotonic(), 1.0, False
    while True:
        took = [seconds for one in asked if one.done() and (seconds := one.result()) is not None]
        factor = min(max(median(took) / _USUAL, 1.0), _SLOWEST) if took else 1.0
        waited = time.monotonic() - start
        limit = scaled(_SOON) * factor if took else scaled(_ANSWER)
        notice = limit if told else min(_PROGRESS, limit)
        pending = [one for one in asked if not one.done()]
        if not pending or waited >= limit:
            return factor
        if waited >= _PROGRESS and not told:
            told = True
            names = few(view.name for one, (_, view) in zip(asked, pairs, strict=True) if one in pending)
            progress(f"waiting for the engines of {names}, at most {scaled(_ANSWER):.0f} s")
        futures.wait(pending, timeout=max(notice - waited, 0.01), return_when=futures.FIRST_COMPLETED)


def _pace(counts: Sequence[Future[packets.Counting]]) -> float:
    """Return how many times slower than usual the nodes' shells are by what most of them took; the most if they go on.

    Many nodes on one machine, or many connections from it, make each other late. None of them hangs then.
    """
    if len(counts) <= _FEW:
        return 1.0
    took = [one.result().took for one in counts if one.done()]
    return min(max(median(took) / _USUAL, 1.0), _SLOWEST) if 2 * len(took) > len(counts) else _SLOWEST


def _ask_managers(sight: Sight, managers: Sequence[tuple[Node, NodeView]], together: _Together, factor: float) -> None:
    """Take what the first manager tells that answers. One that hesitates does not keep the next from being asked."""
    start = time.monotonic()
    until = start + scaled(_MANAGER) * factor
    left, asked, turn = list(managers), dict[Future[list[Any]], tuple[Node, NodeView]](), start
    reasons: list[str] = []
    if not managers and (silent := [view.name for view in sight.nodes if not view.info]):
        sight.unasked = f"no node that answers is a manager, and {few(silent)} does not answer"
    while (left or asked) and (now := time.monotonic()) < until:
        if left and (not asked or now >= turn):
            pair = left.pop(0)
            turn = now + scaled(_NEXT) * factor
            with deadline.within(until - now):
                asked[together.begin(_all_of_manager, pair[0])] = pair
        timeout = min(turn if left else until, until) - now
        done, _ = futures.wait(asked, timeout=max(timeout, 0.01), return_when=futures.FIRST_COMPLETED)
        for one in done:
            node, view = asked.pop(one)
            try:
                answers = one.result()
            except SwarmlabError as failed:
                reasons.append(str(failed))
                continue
            sight.swarm, sight.members, sight.services, sight.tasks, sight.networks = answers
            sight.asked = view.name
            if node.discretion:
                node.discretion.quote(sight.tasks)
            return
    if asked:
        names = few(view.name for _, view in asked.values())
        reasons.append(f"{names} did not tell of the swarm within {time.monotonic() - start:.0f} s")
    if reasons:
        sight.unasked = "; ".join(dict.fromkeys(reasons[-2:]))  # managers mostly give the same reason


def _all_of_manager(node: Node) -> list[Any]:
    paths = ["/swarm", "/nodes", "/services", "/tasks", "/networks"]
    return parallel(functools.partial(node.ask, "GET"), paths, at_once=len(paths))


def _list_members(node: Node, view: NodeView) -> None:
    """Read the nodes that a manager tells, which shows whose swarm it is of."""
    with contextlib.suppress(SwarmlabError):
        view.told = node.ask("GET", "/nodes")


def _find_strays(sight: Sight, pairs: Sequence[tuple[Node, NodeView]], together: _Together, factor: float) -> None:
    """Note which nodes are not of the swarm. Where there are several, the manager that is asked is one of the largest.

    Nodes that seem to be of another swarm are asked twice: somebody may just have moved one.

    Args:
        sight: what was read so far.
        pairs: the nodes whose engines answer.
        together: what takes place at the same time.
        factor: by how much times are longer.
    """
    largest = {view.name for view in next(iter(strays.groups(sight)), [])}
    if sight.asked and largest and sight.asked not in largest:
        _ask_managers(sight, [pair for pair in pairs if pair[1].name in largest], together, factor)
    if strays.astray(sight):
        parallel(lambda pair: _ask_again(sight, *pair), pairs)
        sight.strays = strays.astray(sight)


def _ask_again(sight: Sight, node: Node, view: NodeView) -> None:
    with contextlib.suppress(SwarmlabError, docker.errors.DockerException):
        view.info = node.info()
        view.told = None
        if view.manages:
            _list_members(node, view)
        if view.name == sight.asked and view.told:
            sight.members = view.told


def _judge(sight: Sight, nodes: list[Node]) -> None:
    if nodes:
        try:
            sight.conditions = Swarm(nodes).conditions()
        except SwarmlabError as failed:
            sight.conditions = {"managers answer": State(False, str(failed))}


def _read_once_asked(
    node: Node,
    view: NodeView,
    asked: Future[float | None],
    count: Sequence[Future[packets.Counting]],
    counts: Sequence[Future[packets.Counting]],
) -> None:
    """Read a node's own state, as soon as its engine has told its folder or seems to be silent.

    It comes after the beginning of the count: an SSH server takes no more than ten commands at once.
    """
    start = time.monotonic()
    first: list[Future[Any]] = [asked, *count]
    futures.wait(first, timeout=scaled(_HESITATES))
    view.early = not asked.done()
    took = None if view.early else asked.result()
    factor = max(min(max((took or 0.0) / _USUAL, 1.0), _SLOWEST), _pace(counts))
    with deadline.within(scaled(_LONGEST) * factor - (time.monotonic() - start) - 1):
        _read(node, view, limit=scaled(_QUESTION) * factor)


def _read(node: Node, view: NodeView, *, limit: float = 60.0) -> None:
    """Put the `QUESTIONS` to a node.

    Args:
        node: the node.
        view: gets the answers.
        limit: seconds that each question may take.
    """
    if view.info.get("Swarm", {}).get("LocalNodeState") == "active":
        # An engine makes the bridge a moment after it joins.
        with contextlib.suppress(SwarmlabError):
            wait(lambda: _has_bridge(node), f"{node} to have {GATEWAY_BRIDGE}", deadline=5, error=LabError)
    try:
        done = node.run(script(view, _in_order(), limit), shown=shown)
    except Overdue as late:
        view.answers = _in_time(parse_answers(late.printed), limit)
        hanging = next((name for name in _in_order() if name not in view.answers), "")
        view.unread = f"{late}: it hangs where it is asked for {hanging}"
        view.hangs = True
        view.access = (
            "on {nodes}: see what hangs (ps -eo pid,stat,wchan:20,args | grep ' D'), such as a mount whose server is "
            "gone: umount -fl FOLDER"
        )
    except SwarmlabError as failed:
        view.unread = str(failed)
        view.access = (
            "let preflight be root on {nodes}: in the inventory, user: root or sudo: true"
            if isinstance(failed, Blocked)
            else "let commands run on {nodes}: over SSH, see that ssh NODE true works"
        )
    else:
        view.answers = _in_time(parse_answers(done.out), limit)
        if not view.answers:
            view.unread = f"the shell of {view.name} gave no answer: {done.output[-200:] or f'exit code {done.code}'}"
            view.access = "on {nodes}: see what sh -c 'echo here' prints"
    if view.info:
        held.contents(node, view)


def answers(node: Node, view: NodeView, names: Iterable[str], *, limit: float = 60.0) -> Mapping[str, tuple[int, str]]:
    """Ask a node some of `QUESTIONS` with one shell script; return exit code and text by name.

    Args:
        node: the node.
        view: what is known of it so far.
        names: names of the questions.
        limit: seconds that each question may take.
    """
    asked = list(names)
    try:
        done = node.run(script(view, asked, limit), shown=shown)
    except SwarmlabError as failed:
        return dict.fromkeys(asked, (1, str(failed)))
    return _in_time(parse_answers(done.out), limit)


def _in_order() -> list[str]:
    """Return the names of the questions, those last that hang on a disk that does not answer."""
    return sorted(QUESTIONS, key=lambda name: name in _LAST)


def script(view: NodeView, names: Iterable[str], limit: float) -> str:
    """Return the script that puts questions to a node, each with a time limit where the node has `timeout`.

    Args:
        view: what is known of the node so far.
        names: names of `QUESTIONS`.
        limit: seconds that each question may take.
    """
    values = {
        "{root}": view.info.get("DockerRootDir", DATA_ROOT),
        "{modules}": " ".join(MODULES),
        "{options}": "|".join(option for option, _ in MODULES.values()),
        "{calls}": " ".join(CALLS),
        "{query}": _QUERY,
    }
    parts = ["export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin", ahead.FIND_NAMESPACES]
    parts += [f"T='timeout -k 1 {math.ceil(limit)}'", "$T true 2>/dev/null || T="]
    for name in names:
        question = QUESTIONS[name]
        for placeholder, value in values.items():
            question = question.replace(placeholder, value)
        asked = f"$T sh -c {shlex.quote(question)} 2>&1 </dev/null"
        parts.append(f"echo '{_MARK} {name}'; {asked}; CODE=$?; echo; echo \"{_MARK}. $CODE\"")
    return "\n".join(parts)


def _in_time(answers: Mapping[str, tuple[int, str]], limit: float) -> dict[str, tuple[int, str]]:
    """Return answers, with the reason where a question did not end in its time."""
    late = f"it did not end within {math.ceil(limit)} s"
    return {name: (code, late) if code in packets.TIMED_OUT else (code, text) for name, (code, text) in answers.items()}


def _list_volumes(node: Node, view: NodeView) -> None:
    """Read a node's volumes beside all else: a driver that hangs holds up nothing but this."""
    with contextlib.suppress(SwarmlabError):
        view.volumes = node.ask("GET", "/volumes")["Volumes"] or []


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
    "balancers": quotes.rules,
    "packets": quotes.rules,
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
