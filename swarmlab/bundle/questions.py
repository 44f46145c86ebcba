"""The files of a node in a bundle: what its shell and its engine are asked, and what of the answers is left out."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.cluster import quotes
from swarmlab.cluster.marks import is_unique, ours
from swarmlab.cluster.node import DATA_ROOT, Node
from swarmlab.cluster.service import SERVICE_NAME_LABEL
from swarmlab.errors import LabError

#: Lines of a container's log, of the kernel's log and of a unit's journal, from their ends.
_LINES = 2000
#: Settings of the kernel that matter to a swarm, below /proc/sys.
_SYSCTLS = (
    "net/ipv4/ip_forward net/ipv4/conf/all/rp_filter net/ipv4/conf/default/rp_filter net/ipv4/conf/all/forwarding "
    "net/ipv6/conf/all/forwarding net/ipv6/conf/all/disable_ipv6 net/bridge/bridge-nf-call-iptables "
    "net/bridge/bridge-nf-call-ip6tables net/netfilter/nf_conntrack_max net/netfilter/nf_conntrack_count "
    "net/ipv4/ip_local_port_range net/ipv4/ip_local_reserved_ports net/core/somaxconn net/ipv4/tcp_mtu_probing "
    "net/ipv4/tcp_keepalive_time net/ipv4/vs/conntrack net/ipv4/vs/expire_nodest_conn "
    "net/ipv4/neigh/default/gc_thresh1 net/ipv4/neigh/default/gc_thresh2 net/ipv4/neigh/default/gc_thresh3 "
    "fs/file-nr fs/file-max fs/inotify/max_user_instances fs/inotify/max_user_watches kernel/pid_max "
    "kernel/threads-max vm/max_map_count vm/overcommit_memory vm/panic_on_oom vm/swappiness user/max_user_namespaces"
)


@dataclass(frozen=True)
class Question:
    """A file of a node.

    Attributes:
        file: its name below the node's folder.
        what: what it holds, for the index.
        ask: returns its text, without what others wrote.
        shell: whether the node's shell is asked, and not its engine.
    """

    file: str
    what: str
    ask: Callable[[Node], str]
    shell: bool = False


def of_node() -> Iterator[Question]:
    """Yield the files that every node has."""
    yield _shell("system.txt", "kernel, system, time since its start, clock", _SYSTEM)
    yield _shell("versions.txt", "versions of engine, containerd, runc and compose", _VERSIONS, partly=True)
    yield Question("docker-info.json", "docker info", lambda node: _json(_shaped(node, node.info())))
    yield Question("docker-version.json", "docker version", lambda node: _json(node.ask("GET", "/version")))
    yield _shell(
        "daemon.json",
        "the engine's daemon.json; values that may be its owner's secrets are left out",
        "F=/etc/docker/daemon.json; [ ! -e $F ] || cat $F",
        hide=quotes.settings,
    )
    yield _shell(
        "engine-options.txt",
        "the engine's command line, an option on each line",
        "tr '\\0' '\\n' < /proc/$(cat /var/run/docker.pid || cat /run/docker.pid)/cmdline",
        hide=quotes.settings,
    )
    yield Question("engine.log", "the end of the engine's log, or of its journal", _engine_log, shell=True)
    yield _shell(
        "containerd.log",
        "the end of containerd's journal, where it has one of its own",
        f"command -v journalctl >/dev/null || exit 0; journalctl --no-pager --unit containerd --lines {_LINES}",
        hide=quotes.log,
    )
    yield _shell(
        "kernel.log",
        "the end of the kernel's log, as far as it is about the machine and containers",
        f"{{ dmesg -T 2>/dev/null || dmesg || journalctl --no-pager -k --lines {_LINES}; }} | tail -n {_LINES}",
        hide=quotes.kernel,
    )
    yield _shell("addresses.txt", "interfaces and addresses", "ip -brief address; echo; ip -brief link")
    yield _shell("routes.txt", "routes of all tables, and neighbours", _ROUTES)
    yield _shell("names.txt", "resolv.conf, hosts and nsswitch.conf", _NAMES)
    yield _shell("sysctls.txt", "settings of the kernel that matter to a swarm", _SYSCTL)
    yield _shell("room.txt", "memory, and free room of the engine's folder", _ROOM)
    yield _shell("sockets.txt", "open ports", "ss -lntu; echo; ss -s")
    yield _shell("firewall-iptables.txt", "rules of iptables, without comments", _IPTABLES, hide=quotes.rules)
    yield _shell("firewall-nftables.txt", "rules of nftables, without comments", "nft list ruleset", hide=quotes.rules)
    yield Question("ipvs.txt", "the IPVS table of the routing mesh", lambda node: node.ipvs(), shell=True)
    for kind, path in (("networks", "/networks"), ("volumes", "/volumes"), ("containers", "/containers/json")):
        ask = functools.partial(_listed, path=path)
        yield Question(f"{kind}.json", f"{kind} of the engine; of others' names and shape", ask)


def of_containers(node: Node) -> Iterator[Question]:
    """Yield the files of the suite's own containers on a node: of the others nothing is told but their names.

    Raises:
        LabError: its engine does not answer.
    """
    for container in node.containers(all=True):
        name = container["Names"][0].strip("/")
        labels = container["Labels"] or {}
        of_service = is_unique(labels.get(SERVICE_NAME_LABEL, ""))
        if ours(name, labels) or of_service or is_unique(labels.get("com.docker.compose.project", "")):
            inspect = functools.partial(_inspected, identity=container["Id"])
            yield Question(f"containers/{name}.json", "the suite's own container, inspected", inspect)
            log = functools.partial(_log_of, identity=container["Id"])
            yield Question(f"containers/{name}.log", "the end of what it printed", log)


_SYSTEM = "uname -a; cat /etc/os-release; cat /proc/uptime; date -u; cat /proc/sys/kernel/random/boot_id"
#: Keeps a command of docker's from hanging with its engine.
_SOON = "T='timeout -k 1 8'; $T true 2>/dev/null || T=; "
_VERSIONS = (
    f"{_SOON}$T docker version; "
    "for P in 'containerd --version' 'docker-containerd --version' 'runc --version' "
    "'docker-runc --version' 'docker compose version' 'docker-compose --version' 'iptables --version' "
    "'nft --version' 'ip -Version'; do command -v ${P%% *} >/dev/null && { echo; echo \"$P\"; $P 2>&1; }; done; true"
)
_ROUTES = "ip rule; echo; ip route show table all; echo; ip neigh show"
_NAMES = 'for F in /etc/resolv.conf /etc/hosts /etc/nsswitch.conf; do echo "==== $F"; cat $F; done 2>&1; true'
_SYSCTL = f'cd /proc/sys; for F in {_SYSCTLS}; do [ -e $F ] && echo "$F = $(cat $F)"; done; true'
_ROOM = (
    f"{_SOON}R=$("
    "$T docker info --format '{{.DockerRootDir}}' 2>/dev/null); head -n 6 /proc/meminfo; echo; "
    f"df -Ph / ${{R:-{DATA_ROOT}}} /run; echo; df -Pi ${{R:-{DATA_ROOT}}}"
)
_IPTABLES = "iptables-save -c; echo; ip6tables-save -c"


def _shell(file: str, what: str, command: str, *, hide: Callable[[str], str] = str, partly: bool = False) -> Question:
    """Return a file that a command prints.

    Args:
        file: see `Question`.
        what: see `Question`.
        command: the command.
        hide: removes what others wrote from the output.
        partly: what it prints counts also if it fails.
    """

    def ask(node: Node) -> str:
        done = node.look(f"export LC_ALL=C PATH=$PATH:/usr/sbin:/sbin; {command}")
        if not done.ok and not partly and not done.out.strip():
            said = " ".join(quotes.said(done.err).split())[-200:]
            raise LabError(f"the command ended with {done.code}: {said or 'it printed nothing'}")
        errors = quotes.said(done.err).strip()
        return hide(done.out) + (f"\n\n(printed as an error)\n{errors}" if errors else "")

    return Question(file, what, ask, shell=True)


def _engine_log(node: Node) -> str:
    done = node.look(node.questions()["engine log"])
    if not done.out.strip():
        raise LabError(f"the log is empty, or this user may not read it: {quotes.said(done.err).strip()[-200:]}")
    return quotes.log(done.out)


def _json(thing: Any) -> str:
    return json.dumps(thing, indent=1, ensure_ascii=False)


def _shaped(node: Node, answer: Any) -> Any:
    return node.discretion.shaped(answer) if node.discretion else answer


def _listed(node: Node, *, path: str) -> str:
    return _json(_shaped(node, node.ask("GET", path, all=True)))


def _inspected(node: Node, *, identity: str) -> str:
    return _json(node.ask("GET", f"/containers/{identity}/json"))


def _log_of(node: Node, *, identity: str) -> str:
    printed: bytes = node.engine.containers.get(identity).logs(timestamps=True, tail=_LINES)
    return printed.decode(errors="replace")


# What managers tell

#: What managers tell of a swarm, by the name of its file.
_TOLD = {
    "nodes": "the nodes, as a manager lists them",
    "services": "the services; of others' names and shape",
    "tasks": "the tasks; of others' names, states and errors",
    "networks": "the networks; of others' names and shape",
    "configs": "the configs, without content",
    "secrets": "the secrets, without content",
    "swarm": "the settings of the swarm, without its tokens",
}


def of_swarm() -> Iterator[Question]:
    """Yield the files that a manager tells of the swarm."""
    for kind, what in _TOLD.items():
        yield Question(f"{kind}.json", what, functools.partial(_told, kind=kind))
    yield Question("nodes.txt", "the nodes with role, state, address and engine", nodes_table)
    yield Question("services.txt", "the services with mode, tasks that run, image and ports", services_table)
    yield Question("tasks.txt", "the tasks with state, node and error, the newest first", tasks_table)


def _told(node: Node, *, kind: str) -> str:
    return _json(_shaped(node, node.ask("GET", f"/{kind}")))


# The command docker is not asked for tables: the settings of its user say what it prints.


def nodes_table(manager: Node) -> str:
    """Return the nodes of a swarm as a table."""
    rows = []
    for one in manager.ask("GET", "/nodes"):
        spec, description, manages = one["Spec"], one["Description"], one.get("ManagerStatus") or {}
        standing = "leader" if manages.get("Leader") else manages.get("Reachability", "")
        place = (one["Status"].get("State", ""), spec["Availability"], spec["Role"], standing)
        address = manages.get("Addr") or one["Status"].get("Addr", "")
        engine = description.get("Engine", {}).get("EngineVersion", "")
        rows.append((one["ID"][:12], description.get("Hostname", ""), *place, address, engine))
    return _table(("node", "name", "state", "availability", "role", "manager", "address", "engine"), sorted(rows))


def services_table(manager: Node) -> str:
    """Return the services of a swarm as a table, with how many of their tasks run."""
    running: dict[str, int] = {}
    for task in manager.ask("GET", "/tasks"):
        if task["Status"].get("State") == "running":
            running[task.get("ServiceID", "")] = running.get(task.get("ServiceID", ""), 0) + 1
    rows = []
    for one in manager.ask("GET", "/services"):
        spec = one["Spec"]
        mode = next(iter(spec["Mode"]), "none")
        wanted = (spec["Mode"].get("Replicated") or {}).get("Replicas", "")
        ports = (one.get("Endpoint") or {}).get("Ports") or []
        listed = ",".join(f"{port.get('PublishedPort', '')}:{port.get('TargetPort', '')}" for port in ports)
        image = (spec["TaskTemplate"].get("ContainerSpec") or {}).get("Image", "").partition("@")[0]
        count = str(running.get(one["ID"], 0))
        rows.append((one["ID"][:12], spec["Name"], mode.lower(), count, str(wanted), listed, image))
    return _table(("service", "name", "mode", "running", "wanted", "ports", "image"), sorted(rows))


def tasks_table(manager: Node) -> str:
    """Return the tasks of a swarm as a table, without what their errors quote of others."""
    tasks = manager.ask("GET", "/tasks")
    services = {one["ID"]: one["Spec"]["Name"] for one in manager.ask("GET", "/services")}
    nodes = {one["ID"]: one["Description"].get("Hostname", one["ID"]) for one in manager.ask("GET", "/nodes")}
    if manager.discretion:
        manager.discretion.quote(tasks)
    rows = [_row(task, services, nodes) for task in sorted(tasks, key=_since, reverse=True)]
    return _table(("since", "task", "service", "node", "state", "wanted", "error"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    listed = [heads, *rows]
    widths = [max(len(row[place]) for row in listed) for place in range(len(heads) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in listed
    )


def _since(task: Mapping[str, Any]) -> str:
    return str(task["Status"].get("Timestamp", ""))


def _row(task: Mapping[str, Any], services: Mapping[str, str], nodes: Mapping[str, str]) -> tuple[str, ...]:
    status = task["Status"]
    service = services.get(task.get("ServiceID", ""), task.get("ServiceID", "none"))
    place = f".{task['Slot']}" if task.get("Slot") else ""
    error = " ".join(str(status.get("Err") or "").split())
    node = nodes.get(task.get("NodeID", ""), task.get("NodeID", "none"))
    state, wanted = str(status.get("State", "")), str(task.get("DesiredState", ""))
    return (_since(task)[:19], task["ID"][:12], f"{service}{place}", node or "none", state, wanted, error)
