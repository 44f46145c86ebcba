"""Checks of the nodes' kernels and limits: modules, forwarding, disk, inotify, open files, neighbours, connections."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import (
    MODULES,
    WAYS,
    Arrivals,
    NodeView,
    Sight,
    addresses_of_others,
    by_node,
    data_addresses_of_others,
)

#: MiB of free space, by folder: less than the first is a warning; less than the second is an error, as measurements
#: showed that it stops an engine.
_ROOM = {"root": (2048, 256), "run": (16, 2)}
#: Mean seconds for a read, a write or a flush after which a disk is slow. A healthy one takes hundredths.
_SLOW = 0.5
#: Seconds that it has to lose in all: one short wait is no slow disk.
_LOST = 1.0
#: What a disk does, and the places of its count and of its milliseconds behind the name in /proc/diskstats.
_KINDS = {"a read from": (0, 3), "a write to": (4, 7), "a flush of": (15, 16)}
#: Share of a limit that may be used, and that means that it is reached now and then.
_FULL, _SPENT = 0.8, 0.95
#: KiB of available memory of which a node of any size can do with more.
_LITTLE = 1024 * 1024
#: The setting with which a kernel loads no module any more.
_KERNEL = "kernel.modules_disabled"
#: The kernel's defaults for inotify. Smaller values were set by somebody.
_INSTANCES, _WATCHES = 128, 8192


@by_node
def modules(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the kernel has the modules of a swarm: loaded, built in, or loadable."""
    text = view.read("modules")
    states = {name: _state(text, name) for name in MODULES}
    if not sight.encrypted:
        del states["esp4"]
    for name, state in tuple(states.items()):
        where = kept_out(view, name)
        # A kernel that loads no more has what is loaded.
        loaded = state == "loaded" and where != _KERNEL and _is_file(text, name)
        if not where or not (loaded or state == "loadable"):
            continue
        summary = f"{where} keeps {name} from being loaded{' at the next boot' if loaded else ''}"
        mend = f"on {{nodes}}: take {name} out of {where}{'' if loaded else f', and modprobe {name}'}"
        if where == _KERNEL:
            mend = f"on {{nodes}}: have {name} in /etc/modules-load.d, before {_KERNEL} is set, and boot"
        yield Finding(Level.WARNING, summary, MODULES[name][1], mend=mend)
        states[name] = "kept out"
    lacking = [name for name, state in states.items() if state == "lacking"]
    if "ip_vs" in lacking and "ip_vs_rr" in lacking:
        lacking.remove("ip_vs_rr")  # it is a part of ip_vs
    for name in lacking:
        level = Level.ERROR if name in ("vxlan", "esp4") else Level.WARNING
        mend = (
            "on {nodes}: install the modules of the kernel that runs (apt-get install linux-modules-extra-$(uname -r)) "
            f"and modprobe {name}, or boot a kernel that has it"
        )
        yield Finding(level, f"kernel has no {name}", MODULES[name][1], mend=mend)
    unknown = [name for name, state in states.items() if state == "unknown"]
    if unknown:
        raise Unknown(
            f"neither its modules nor its configuration mention {', '.join(unknown)}",
            f"on {{nodes}}: modprobe {unknown[0]}, or have /boot/config-$(uname -r) or /proc/config.gz there",
        )
    if not lacking and "kept out" not in states.values():
        yield Finding(Level.OK, ", ".join(f"{name} {state}" for name, state in states.items()))


def kept_out(view: NodeView, module: str) -> str:
    """Return what keeps a module from being loaded on a node: a file of modprobe's, or the kernel; empty if nothing."""
    text = view.answers.get("modules", (1, ""))[1]
    found = re.search(rf"^kept {module} (\S+)$", text, re.MULTILINE)
    return found[1] if found else _KERNEL if re.search("^disabled$", text, re.MULTILINE) else ""


def _is_file(text: str, module: str) -> bool:
    """Whether a module is a file that is loaded, and not a part of the kernel."""
    listed = {state for state in ("builtin", "loadable") if re.search(rf"^{state} {module}$", text, re.MULTILINE)}
    return listed == {"loadable"}


def _state(text: str, module: str) -> str:
    """Return the state of a module: loaded, builtin, loadable, lacking or unknown."""
    for state in ("loaded", "builtin", "loadable"):
        if re.search(rf"^{state} {module}$", text, re.MULTILINE):
            return state
    signs = {"overlay": r"^nodev\s+overlay$", "br_netfilter": "^/proc/sys/net/bridge$", "ip_vs": "^/proc/net/ip_vs$"}
    if module in signs and re.search(signs[module], text, re.MULTILINE):
        return "loaded"
    option = MODULES[module][0]
    if re.search(rf"^CONFIG_{option}=y$", text, re.MULTILINE):
        return "builtin"
    # If the configuration can be read, the module was not built, or is no longer on the disk.
    known = re.search(r"^folder /|^CONFIG_NET=y$", text, re.MULTILINE)
    return "lacking" if known else "unknown"


@by_node
def forwarding(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the kernel forwards packets, and passes packets of bridges through the firewall."""
    if view.numbers("forwarding")[0] != 1:
        yield Finding(
            Level.ERROR,
            "net.ipv4.ip_forward is 0",
            "published ports and outgoing connections fail",
            mend=_sysctl("net.ipv4.ip_forward=1"),
        ).by_hand(*_by_hand("net.ipv4.ip_forward=1"))
    try:
        if view.numbers("bridge calls")[0] != 1:
            yield Finding(
                Level.WARNING,
                "net.bridge.bridge-nf-call-iptables is 0",
                "the engine's rules are not in force between containers",
                mend=_sysctl("net.bridge.bridge-nf-call-iptables=1"),
            ).by_hand(*_by_hand("net.bridge.bridge-nf-call-iptables=1"))
    except Unknown:
        return  # the bridge module is not loaded, which another check finds


@by_node
def reverse_path(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the kernel drops packets of other nodes, as it would answer them by another interface (rp_filter)."""
    text = view.read("reverse path")
    if view.arrived is None or not view.arrived.leaving:
        return
    settings = dict(re.findall(r"^(\S+) (\d+)$", text, re.MULTILINE))
    dropped = settings.get("dropped", "")
    uplinks = ((view.address, addresses_of_others), (view.data_address, data_addresses_of_others))
    apart: dict[tuple[str, bool], dict[str, list[str]]] = {}
    for own, others in uplinks[: 1 + (view.address != view.data_address)]:
        arrives = view.interface(own)[0]
        if _leads_nowhere(view, arrives):
            continue
        strictly = max(int(settings.get("all", 0)), int(settings.get(arrives, 0))) == 1
        for address, name in others(sight, view).items():
            leaves = view.arrived.answering.get((own, address)) or view.arrived.leaving.get(address, ("", arrives))[1]
            if strictly and leaves != arrives and ":" not in own + address:  # rp_filter is of IPv4 alone
                lost = _lost(view, own, address, dropped)
                apart.setdefault((arrives, lost), {}).setdefault(leaves, []).append(name)
    for (arrives, lost), leaving in apart.items():
        yield _reversed(arrives, leaving, dropped or "?") if lost else _answered_apart(arrives, leaving)


def _lost(view: NodeView, own: str, address: str, dropped: str) -> bool:
    """Whether packets of another node to one of a node's addresses are dropped, as far as it was counted."""
    arrived = view.arrived or Arrivals()
    data = arrived.small | arrived.large
    if own == view.data_address and address in data:
        return False
    if own == view.address != view.data_address and address in arrived.gossip:
        return False
    heard = bool(arrived.unseen) or address in data | arrived.gossip
    return dropped not in ("", "0") or not heard


def _leads_nowhere(view: NodeView, link: str) -> bool:
    """Whether no packet of others comes by an interface: lo or a dummy that holds the address of a routed node."""
    routes = [line.split() for line in view.read("routes").splitlines()[1:]]
    return link == "lo" or not any(fields[0] == link and fields[7] != "FFFFFFFF" for fields in routes)


def _answered_apart(arrives: str, leaving: Mapping[str, Sequence[str]]) -> Finding:
    summary = (
        f"rp_filter is strict on {arrives}, and the node would answer {_ways(leaving)}; what they send is not dropped"
    )
    return Finding(Level.INFO, summary, mend="nothing, while packets arrive; on {nodes}: ip rule; ip route")


def _ways(leaving: Mapping[str, Sequence[str]]) -> str:
    return few(f"{few(names)} by {leaves}" for leaves, names in leaving.items())


def _reversed(arrives: str, leaving: Mapping[str, Sequence[str]], dropped: str) -> Finding:
    return Finding(
        Level.ERROR,
        f"rp_filter is strict on {arrives}, and the node would answer {_ways(leaving)}: what they send to {arrives} is "
        f"dropped ({dropped} packets so far)",
        "no packet of these nodes arrives: neither management nor gossip nor data of overlay networks",
        causes=(*WAYS, "membership", "quorum", "engines-answer", "stuck-tasks: pending"),
        mend=f"{_sysctl(f'{_of_link(arrives)}=2')}; or have one route to each node, by {arrives}",
    ).by_hand(
        "sysctl -a --pattern rp_filter; ip rule; ip route; nstat -az TcpExtIPReversePathFilter",
        f"sysctl -w {_of_link(arrives)}=2 net.ipv4.conf.all.rp_filter=2",
    )


def _of_link(link: str) -> str:
    """Return the name of the setting rp_filter of an interface; names of VLANs have a dot."""
    return f"net/ipv4/conf/{link}/rp_filter" if "." in link else f"net.ipv4.conf.{link}.rp_filter"


def _sysctl(setting: str) -> str:
    """Return the mend that sets a kernel setting now and at every boot."""
    file = setting.partition("=")[0].replace("/", "-")
    return (
        f"on {{nodes}}: sysctl -w {setting} && echo {setting} > /etc/sysctl.d/90-{file}.conf"
        "; take another value out of /etc/sysctl.conf"
    )


def _by_hand(setting: str) -> tuple[str, str]:
    """Return the lines that show a kernel setting, and that set it now."""
    name = setting.partition("=")[0]
    return f"sysctl {name}; grep -rn {name} /etc/sysctl.conf /etc/sysctl.d", f"sysctl -w {setting}"


@by_node
def disk(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether there is free space for the engine's data, Raft log and sockets."""
    inodes, mounted = view.read("inodes"), view.read("mounted").split()
    for line in view.read("disk").splitlines()[1:]:
        free, share, folder = line.split()[-3:]
        least, stop = _ROOM["run" if folder == "/run" else "root"]
        mib = int(free) // 1024
        full = int(share.rstrip("%")) if share.rstrip("%").isdigit() else 0
        summary = f"{mib} MiB free on {folder}, {full} % used"
        if mib < least or (full > 95 and mib < 10 * least):
            level = Level.ERROR if mib < stop else Level.WARNING
            risk = "a full disk stops tasks, the engine and a manager's Raft log"
            mend = (
                "on {nodes}: see what takes the space: du -xh /run | sort -h | tail; or enlarge it: "
                "mount -o remount,size=512m /run"
                if folder == "/run"
                else "on {nodes}: docker system df, then docker system prune; or enlarge the disk"
            )
            stops = ("engines-answer", "quorum", "membership") if level is Level.ERROR else ()
            yield Finding(level, summary, risk, mend=mend, causes=stops)
        else:
            yield Finding(Level.OK, f"room on {folder}")
    for line in inodes.splitlines()[1:]:
        if (share := line.split()[-2]).rstrip("%").isdigit() and int(share.rstrip("%")) > 95:
            yield Finding(
                Level.WARNING,
                f"{share} of inodes used on {line.split()[-1]}",
                "files cannot be created when all are used",
                mend="on {nodes}: docker system prune; where they are: "
                f"du --inodes -x {line.split()[-1]} | sort -n | tail",
            )
    status = [row for row in view.info.get("DriverStatus") or [] if isinstance(row, list)]
    if ["Supports d_type", "false"] in status:
        yield Finding(
            Level.WARNING,
            f"the file system of {view.info.get('DockerRootDir', 'the engine')} has no d_type, which "
            f"{view.info.get('Driver', 'the storage driver')} needs (XFS with ftype=0)",
            "files of images cannot be removed or replaced in containers, and newer engines do not start with it",
            mend="drain the node, make its file system anew (mkfs.xfs -n ftype=1), and have it join the swarm anew",
        ).by_hand("docker info | grep -A 4 'Storage Driver'; xfs_info / | grep ftype", "")
    if "ro" in ",".join(mounted[1:]).split(","):
        yield Finding(
            Level.ERROR,
            f"{mounted[0]}, where the engine's data is, is mounted read-only",
            "no task starts, and a manager writes no change: the engine fails at the next that it has to write",
            causes=("engines-answer", "quorum", "membership", "stuck-tasks"),
            mend="on {nodes}: see why (dmesg | grep -iE 'i/o error|remount|ext4|xfs'); check the file system (fsck, "
            f"xfs_repair) or replace the disk; then mount -o remount,rw {mounted[0]}, and systemctl restart docker",
        ).by_hand("dmesg | grep -iE 'i/o error|remount|ext4|xfs' | tail; grep ' ro[, ]' /proc/mounts", "")


@by_node
def disk_speed(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the disk of the engine's data ends what it was asked for within half a second.

    Reads, writes and flushes are judged apart: the many that a cache ends at once would hide the few that wait.
    """
    # df may have another name for it than the kernel, such as /dev/mapper/vg-root for dm-0, and of some file systems,
    # such as btrfs, only the name leads to it.
    number = view.numbers("disk number")[0]
    device = (str(os.major(number)), str(os.minor(number)))
    name = (view.read("disk").splitlines()[1:] or [""])[0].partition(" ")[0].rpartition("/")[2]
    before, after = (_io(view.read(question), device, name) for question in ("disks before", "disks after"))
    if before is None or after is None:
        return
    span = after.at - before.at
    done = {
        name: (count - before.ended[name][0], took - before.ended[name][1])
        for name, (count, took) in after.ended.items()
    }
    ended = sum(count for count, _ in done.values())
    slowest, (count, took) = max(done.items(), key=lambda item: item[1][1] / max(1, item[1][0]))
    root = view.info.get("DockerRootDir", "the engine's data")
    if count and took > max(count * _SLOW, _LOST):
        summary = f"{slowest} the disk of {root} takes {took / count:.1f} s ({count} of them in {span:.0f} s)"
    elif not ended and before.under_way and after.under_way and span > _LOST:
        summary = f"the disk of {root} has ended none of {after.under_way} reads and writes for {span:.0f} s"
    else:
        return
    yield Finding(
        Level.WARNING,
        summary,
        "a manager writes every change to its disk first: with a slow one, commands take seconds, and leaders are lost",
        causes=("engines-answer", "quorum", "membership", "stuck-tasks"),
        mend="on {nodes}: see what uses the disk (iostat -x 1 5, iotop), and whether it is failing or held back (dmesg "
        "| tail; the limits of the cloud's volume or of the hypervisor)",
    ).by_hand("cat /proc/pressure/io; grep . /sys/class/block/*/stat; dmesg | tail", "")


@dataclass(frozen=True)
class _Io:
    """What a disk has done since the node was started: each kind's count and seconds; those under way; when."""

    ended: Mapping[str, tuple[int, float]]
    under_way: int
    at: float


def _io(text: str, device: tuple[str, str], name: str) -> _Io | None:
    """Return what the disk with a number or else a name has done: reads, writes and, if it is told, flushes."""
    lines = [line.split() for line in text.splitlines()]
    by_number = [line[3:] for line in lines if tuple(line[:2]) == device]
    words = next(iter(by_number or [line[3:] for line in lines if line[2:3] == [name]]), [])
    if len(words) < 11:  # a disk of which the kernel tells nothing, such as one of the network
        return None
    ended = {
        name: (int(words[count]), int(words[milliseconds]) / 1000)
        for name, (count, milliseconds) in _KINDS.items()
        if milliseconds < len(words)
    }
    return _Io(ended, int(words[8]), float(lines[-1][0]))


@by_node
def limits(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether inotify, open files, memory, threads, neighbours and connections are well below their limits."""
    instances, watches = view.numbers("inotify")
    used = view.numbers("inotify used")[0]
    if instances < _INSTANCES or watches < _WATCHES or used > _FULL * instances:
        summary = f"inotify: {used} of {instances} instances used, {watches} watches"
        risk = "containers fail with 'too many open files'"
        setting = f"fs.inotify.max_user_instances={max(1024, 4 * used)}"
        if watches < _WATCHES:
            setting = "fs.inotify.max_user_watches=524288"
        yield Finding(Level.WARNING, summary, risk, mend=_sysctl(setting)).by_hand(*_by_hand(setting))
    opened, *_free, most = view.numbers("files")
    if opened > _FULL * most:
        yield Finding(
            Level.WARNING,
            f"{opened} of {most} files are open",
            "no file and no connection can be opened at the limit",
            causes=("engines-answer", "membership", "quorum") if opened > _SPENT * most else (),
            mend=_sysctl(f"fs.file-max={2 * most}"),
        ).by_hand(*_by_hand(f"fs.file-max={2 * most}"))
    yield from _of_programs(view)
    most, known, *refused = view.numbers("neighbours")
    if sum(refused) and 2 * known > most:  # else it was too small once, and is not any more
        yield Finding(
            Level.WARNING,
            f"the table of neighbours (ARP), of {most} entries, had no room {sum(refused)} times",
            "connections between containers on different nodes time out now and then",
            causes=WAYS,
            mend=_sysctl(f"net.ipv4.neigh.default.gc_thresh3={8 * most}"),
        ).by_hand(*_by_hand(f"net.ipv4.neigh.default.gc_thresh3={8 * most}"))
    tracked, room = view.numbers("connections")
    if tracked > _FULL * room:
        yield Finding(
            Level.WARNING,
            f"{tracked} of {room} connections are tracked",
            "packets of new connections, also of the mesh and of overlay networks, are dropped at the limit",
            # Packets that the table has no room for are lost, whatever the firewall allows.
            causes=(*WAYS, "membership", "quorum", "stuck-tasks: pending") if tracked > _SPENT * room else (),
            mend=_sysctl(f"net.netfilter.nf_conntrack_max={max(4 * room, 262144)}"),
        ).by_hand(*_by_hand(f"net.netfilter.nf_conntrack_max={max(4 * room, 262144)}"))


def _of_programs(view: NodeView) -> Iterator[Finding]:
    """Yield findings where the engine's own files, the node's memory or its threads come to their limits."""
    opened, *most = view.numbers("engine files")
    if most and opened > _SPENT * most[0]:
        yield Finding(
            Level.WARNING,
            f"the engine has {opened} of {most[0]} files open",
            "it takes no more connections, and starts no more containers",
            causes=("engines-answer",),
            mend="on {nodes}: set LimitNOFILE=1048576 for it (systemctl edit docker) and restart it; see what it has "
            "open: ls -l /proc/$(pidof dockerd)/fd",
        ).by_hand("ls -l /proc/$(pidof dockerd)/fd | awk '{print $NF}' | sort | uniq -c | sort -n | tail", "")
    total, *left = view.numbers("memory")  # kernels of old do not tell what is left
    if left and left[0] < (1 - _SPENT) * total and left[0] < _LITTLE:
        yield Finding(
            Level.WARNING,
            f"{left[0] // 1024} of {total // 1024} MiB of memory are available",
            "the kernel soon ends programs to have more: tasks, or the engine",
            causes=("engines-answer",),
            mend="on {nodes}: see what takes it (docker stats --no-stream; ps -eo rss,args --sort -rss | head), limit "
            "the services (docker service update --limit-memory), or give the node more",
        ).by_hand("free -m; ps -eo rss,args --sort -rss | head; dmesg | grep -i 'out of memory' | tail", "")
    running, *limits = view.numbers("threads")
    if running > _SPENT * min(limits):
        setting = "kernel.pid_max=4194304" if limits[0] == min(limits) else f"kernel.threads-max={2 * min(limits)}"
        yield Finding(
            Level.WARNING,
            f"{running} of {min(limits)} threads are there",
            "no program starts, and running ones fail where they need another thread",
            causes=("engines-answer",),
            mend=_sysctl(setting),
        ).by_hand(*_by_hand(setting))
