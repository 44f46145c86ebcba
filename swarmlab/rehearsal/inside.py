"""What a task may do, measured inside it: the program runs in a container on every node, and prints JSON.

Containers get this file as a config of the swarm. It needs Python alone, so it imports nothing of the project. What it
prints is compared before and after an upgrade (see `swarmlab.rehearsal.permitted`): texts by group and name.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

#: A name of the world outside, and its address, which `swarmlab.rehearsal.outside` answers for.
OUTSIDE = "world.outside.test"
#: Settings of the kernel that are a container's own, so that its engine may set them.
_SYSCTLS = (
    "fs/mqueue/msg_max",
    "fs/mqueue/msgsize_max",
    "kernel/msgmax",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "net/core/somaxconn",
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/ip_default_ttl",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
    "net/ipv4/tcp_fin_timeout",
    "net/ipv4/tcp_keepalive_intvl",
    "net/ipv4/tcp_keepalive_probes",
    "net/ipv4/tcp_keepalive_time",
    "net/ipv4/tcp_syn_retries",
    "net/ipv4/tcp_tw_reuse",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/conf/default/disable_ipv6",
)
#: The capabilities by their bits.
_CAPABILITIES = """
    chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
"""
#: System calls by name: the number on x86-64 and on 64-bit ARM. The arguments that they get here make them fail, unless
#: a filter refuses them first.
_CALLS = {
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "pivot_root": (155, 41),
    "setns": (308, 268),
    "unshare": (272, 97),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "personality": (135, 92),
    "get_mempolicy": (239, 236),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "kcmp": (312, 272),
    "statx": (332, 291),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "pidfd_open": (434, 434),
    "clone3": (435, 435),
    "close_range": (436, 436),
    "openat2": (437, 437),
    "pidfd_getfd": (438, 438),
    "faccessat2": (439, 439),
    "epoll_pwait2": (441, 441),
    "landlock_create_ruleset": (444, 444),
    "memfd_secret": (447, 447),
    "futex_waitv": (449, 449),
    "cachestat": (451, 451),
    "fchmodat2": (452, 452),
    "mseal": (462, 462),
}
#: Options of a mount of the whole file system that say how much it holds and who may use it.
_SIZES = ("size=", "mode=", "nr_inodes=", "gid=", "ptmxmode=", "hidepid=", "subset=")


def read(path: str) -> str:
    """Return what a file holds, as one line; "none" if it cannot be read."""
    try:
        return " ".join(Path(path).read_text(encoding="utf-8", errors="replace").split()) or "empty"
    except OSError:
        return "none"


def limits() -> Iterator[tuple[str, str]]:
    """Yield the limits of the task's first process, and those of its control group."""
    for line in Path("/proc/1/limits").read_text(encoding="utf-8").splitlines()[1:]:
        name, soft, hard = line[:25].strip(), *line[25:].split()[:2]
        yield f"{name.removeprefix('Max ')} (soft)", soft
        yield f"{name.removeprefix('Max ')} (hard)", hard
    v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    yield "cgroup version", "2" if v2 else "1"
    for name, old, new in (
        ("tasks of the cgroup (pids)", "pids/pids.max", "pids.max"),
        ("memory of the cgroup", "memory/memory.limit_in_bytes", "memory.max"),
        ("processors of the cgroup", "cpu/cpu.cfs_quota_us", "cpu.max"),
    ):
        yield name, read(f"/sys/fs/cgroup/{new if v2 else old}")
    yield "processors", str(len(os.sched_getaffinity(1)))
    yield "oom_score_adj", read("/proc/1/oom_score_adj")
    yield "MTU of its interfaces", " ".join(sorted(read(f"{file}/mtu") for file in Path("/sys/class/net").iterdir()))
    yield from ((f"sysctl {name.replace('/', '.')}", read(f"/proc/sys/{name}")) for name in _SYSCTLS)


def rights() -> Iterator[tuple[str, str]]:
    """Yield the rights of the task's first process, and the system calls that are refused."""
    status = dict(
        line.split(":", 1) for line in Path("/proc/1/status").read_text(encoding="utf-8").splitlines() if ":" in line
    )
    known = dict(enumerate(_CAPABILITIES.split()))
    for key, name in (
        ("CapInh", "inheritable"),
        ("CapPrm", "permitted"),
        ("CapEff", "effective"),
        ("CapBnd", "bounding"),
        ("CapAmb", "ambient"),
    ):
        bits = int(status.get(key, "0"), 16)
        held = [known.get(bit, f"bit{bit}") for bit in range(64) if bits >> bit & 1]
        yield f"capabilities, {name}", " ".join(held) or "none"
    for key, name in (("Uid", "user"), ("Gid", "group"), ("Groups", "groups"), ("Umask", "umask")):
        yield name, " ".join(status.get(key, "").split()) or "none"
    yield "no_new_privs", status.get("NoNewPrivs", "none").strip()
    yield "seccomp", {"0": "off", "1": "strict", "2": "filter"}.get(status.get("Seccomp", "").strip(), "none")
    yield "AppArmor", read("/proc/1/attr/current").strip("\0")
    yield "cgroup namespace", "its own" if own_cgroups() else "the node's"
    yield "devices", " ".join(sorted(file.name for file in Path("/dev").iterdir()))
    yield from calls()


def own_cgroups() -> bool:
    """Whether the task has a namespace of control groups of its own, in which its group is the root."""
    lines = Path("/proc/1/cgroup").read_text(encoding="utf-8").splitlines()
    return all(line.split(":", 2)[2] == "/" for line in lines)


def calls() -> Iterator[tuple[str, str]]:
    """Yield for each system call whether it is refused, and how."""
    column = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
    if column is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    nowhere = ctypes.c_long(-1)
    for name, numbers in _CALLS.items():
        ctypes.set_errno(0)
        # A process of its own: a call that is not refused may end it, or change it.
        child = os.fork()
        if child == 0:
            done = libc.syscall(ctypes.c_long(numbers[column]), *[nowhere] * 6)
            os._exit(ctypes.get_errno() if done == -1 else 0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status) if hasattr(os, "waitstatus_to_exitcode") else status >> 8
        refused = code in (errno.EPERM, errno.ENOSYS, errno.EACCES) or code < 0
        yield f"system call {name}", (errno.errorcode.get(code, f"signal {-code}") if refused else "allowed")
    for name, family, kind in (("packet", 17, 3), ("netlink", 16, 3), ("vsock", 40, 1), ("alg", 38, 5), ("ping", 2, 2)):
        try:
            socket.socket(family, kind, 1 if name == "ping" else 0).close()
            yield f"socket {name}", "allowed"
        except OSError as failed:
            yield f"socket {name}", errno.errorcode.get(failed.errno or 0, str(failed))


def names() -> Iterator[tuple[str, str]]:
    """Yield what the task knows by name: its own name, and the settings by which it asks for others."""
    host = socket.gethostname()
    yield "host name", host
    yield "its host name resolves", "yes" if resolve(host) != "nothing" else "no"
    yield "localhost", resolve("localhost")
    for name in ("nameserver", "search", "options"):
        found = [
            " ".join(fields[1:])
            for fields in map(str.split, Path("/etc/resolv.conf").read_text(encoding="utf-8").splitlines())
            if fields and fields[0] == name
        ]
        yield f"resolv.conf {name}", " ".join(found) or "none"
    yield "a name of the world outside", resolve(OUTSIDE)
    for name in sys.argv[1:]:
        yield f"the name {name}", "resolves" if resolve(name) != "nothing" else "does not resolve"


def resolve(name: str) -> str:
    """Return the IPv4 addresses of a name; "nothing" if it does not resolve."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)}
    except OSError:
        return "nothing"
    return " ".join(sorted(found))


def mounts() -> Iterator[tuple[str, str]]:
    """Yield the task's mounts: type, options, size and propagation."""
    for line in Path("/proc/1/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, whole) = before.split(), after.split(maxsplit=2)
        place, options = fields[4], fields[5].split(",")
        shared = sorted({field.partition(":")[0] for field in fields[6:]}) or ["private"]
        if "rw" in options:  # nobody can fill a mask, so that its size says nothing
            options += [option for option in whole.split(",") if option.startswith(_SIZES)]
        yield f"mount {place}", f"{kind} {','.join(sorted(options))} {' '.join(shared)}"


def measured() -> dict[str, dict[str, str]]:
    """Return everything by group."""
    groups = {"limits": limits, "rights": rights, "names": names, "mounts": mounts}
    return {name: dict(group()) for name, group in groups.items()}


if __name__ == "__main__":
    print(json.dumps(measured()))
