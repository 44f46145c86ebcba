"""The nodes' kernels and their limits: modules, forwarding, disk, inotify, files, connections."""

from __future__ import annotations

import re
from collections.abc import Iterator

from swarmlab.preflight.finding import Finding, Level, Untold
from swarmlab.preflight.sight import MODULES, Seen, Sight, by_node

#: MiB free below which there is trouble, and below which an engine stops working, by what is measured.
_ROOM = {"root": (2048, 256), "run": (16, 2)}
#: Part of a limit that may be used.
_FULL = 0.8
#: What a kernel sets by itself where nobody sets anything; less than that was set by somebody.
_INSTANCES, _WATCHES = 128, 8192


@by_node
def modules(sight: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether the kernel has what a swarm uses: as a loaded module, built in, or to be loaded."""
    text = seen.read("modules")
    states = {name: _state(text, name) for name in MODULES}
    if not sight.encrypted:
        del states["esp4"]
    lacking = [name for name, state in states.items() if state == "lacking"]
    if "ip_vs" in lacking and "ip_vs_rr" in lacking:
        lacking.remove("ip_vs_rr")  # a part of it
    for name in lacking:
        level = Level.ERROR if name in ("vxlan", "esp4") else Level.WARNING
        risk = f"{MODULES[name][1]}; boot a kernel that has it, or install its modules (linux-modules-extra)"
        yield Finding(level, f"kernel has no {name}", risk)
    unknown = [name for name, state in states.items() if state == "unknown"]
    if unknown:
        raise Untold(f"neither its modules nor its configuration tell of {', '.join(unknown)}")
    if not lacking:
        yield Finding(Level.OK, ", ".join(f"{name} {state}" for name, state in states.items()))


def _state(text: str, module: str) -> str:
    """What is known of a module: loaded, builtin, loadable, lacking or unknown."""
    for state in ("loaded", "builtin", "loadable"):
        if re.search(rf"^{state} {module}$", text, re.MULTILINE):
            return state
    signs = {"overlay": r"^nodev\s+overlay$", "br_netfilter": "^/proc/sys/net/bridge$", "ip_vs": "^/proc/net/ip_vs$"}
    if module in signs and re.search(signs[module], text, re.MULTILINE):
        return "loaded"
    option = MODULES[module][0]
    if re.search(rf"^CONFIG_{option}=y$", text, re.MULTILINE):
        return "builtin"
    # With a configuration that can be read: it is not built, or as a module that is not on the disk (any more).
    known = re.search(r"^folder /|^CONFIG_NET=y$", text, re.MULTILINE)
    return "lacking" if known else "unknown"


@by_node
def forwarding(_: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether the kernel passes packets on, and lets the firewall see those of bridges."""
    if seen.numbers("forwarding")[0] != 1:
        risk = (
            "published ports and containers' ways out are dead; sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d"
        )
        yield Finding(Level.ERROR, "net.ipv4.ip_forward is 0", risk)
    try:
        if seen.numbers("bridge calls")[0] != 1:
            risk = "the engine's rules do not hold between containers; sysctl -w net.bridge.bridge-nf-call-iptables=1"
            yield Finding(Level.WARNING, "net.bridge.bridge-nf-call-iptables is 0", risk)
    except Untold:
        return  # no bridge module is loaded: a finding of its own


@by_node
def disk(_: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether there is room for the engine's data, its raft log and its sockets."""
    inodes = seen.read("inodes")
    for line in seen.read("disk").splitlines()[1:]:
        free, share, folder = line.split()[-3:]
        least, stop = _ROOM["run" if folder == "/run" else "root"]
        mib = int(free) // 1024
        full = int(share.rstrip("%")) if share.rstrip("%").isdigit() else 0
        told = f"{mib} MiB free on {folder}, {full} % used"
        if mib < least or (full > 95 and mib < 10 * least):
            level = Level.ERROR if mib < stop else Level.WARNING
            risk = "a full disk stops tasks, and a manager's raft log; make room: docker system prune, larger disk"
            yield Finding(level, told, risk)
        else:
            yield Finding(Level.OK, f"room on {folder}")
    for line in inodes.splitlines()[1:]:
        if (share := line.split()[-2]).rstrip("%").isdigit() and int(share.rstrip("%")) > 95:
            yield Finding(
                Level.WARNING, f"{share} of inodes used on {line.split()[-1]}", "files cannot be made; make room"
            )


@by_node
def limits(_: Sight, seen: Seen) -> Iterator[Finding]:
    """Whether inotify, open files and tracked connections are far from their limits."""
    instances, watches = seen.numbers("inotify")
    used = seen.numbers("inotify used")[0]
    if instances < _INSTANCES or watches < _WATCHES or used > _FULL * instances:
        told = f"inotify: {used} of {instances} instances used, {watches} watches"
        risk = "containers fail with 'too many open files'; raise fs.inotify.max_user_instances and max_user_watches"
        yield Finding(Level.WARNING, told, risk)
    opened, *_free, most = seen.numbers("files")
    if opened > _FULL * most:
        yield Finding(
            Level.WARNING, f"{opened} of {most} files are open", "nothing can be opened then; raise fs.file-max"
        )
    tracked, room = seen.numbers("connections")
    if tracked > _FULL * room:
        risk = "new connections are dropped then, also those of the mesh; raise net.netfilter.nf_conntrack_max"
        yield Finding(Level.WARNING, f"{tracked} of {room} connections are tracked", risk)
