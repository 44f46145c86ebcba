"""Checks of the swarm's own settings, and of what services ask of nodes and publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, ip_network
from typing import Any

from swarmlab.cluster.node import GOSSIP_PORT
from swarmlab.preflight import work
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_managers
from swarmlab.preflight.networks import subnets_of
from swarmlab.preflight.plugins import untagged

#: Managers take a node for lost after three periods; the period is 5 s if nobody sets it.
_LONG_HEARTBEAT, _SHORT_HEARTBEAT, _MISSED = 30.0, 1.0, 3
#: Ended tasks that are kept for each slot: 5 if nobody sets it. All of them are in every manager's memory.
_LONG_HISTORY = 100
#: Changes between two snapshots of the managers' log: 10,000 if nobody sets it.
_RARE_SNAPSHOTS = 1_000_000
#: A node that is off for longer than its certificate is valid has to join again.
_SHORT_CERTIFICATES = 86_400.0
#: The share of the swarm's subnets, or their number, from which on few are left.
_FEW_PART, _FEW = 0.1, 2
#: Limits of services: what an engine tells of whether its kernel does it, what is limited, and how the kernel does it.
_LIMITS = {
    "MemoryBytes": (
        "MemoryLimit",
        "memory",
        "boot with cgroup_enable=memory cgroup_memory=1 on the kernel's command line (GRUB_CMDLINE_LINUX in "
        "/etc/default/grub and update-grub, or /boot/firmware/cmdline.txt)",
    ),
    "NanoCPUs": ("CpuCfsQuota", "CPUs", "boot a kernel with CONFIG_CFS_BANDWIDTH"),
    "Pids": ("PidsLimit", "processes", "boot a kernel with CONFIG_CGROUP_PIDS"),
}
#: The usual port of sshd.
_SSH = 22
#: What the swarm itself uses ports of its nodes for, and what may follow where the mesh takes what is for one.
_MANAGEMENT, _GOSSIP, _DATA = "management", "gossip", "the data of overlay networks"
_FOLLOWS = {
    _MANAGEMENT: ("port-management-tcp", "membership", "quorum", "engines-answer: looks for a leader"),
    _GOSSIP: ("port-gossip-tcp", "port-gossip-udp", "membership", "tunnels", "load-balancers", "task-names"),
    _DATA: ("port-data-udp", "path-mtu"),
}


@by_managers
def swarm(sight: Sight) -> Iterator[Finding]:
    """Whether settings of the swarm are such that they bite later: heartbeat, history, snapshots, certificates."""
    found = list(_settings(sight.swarm["Spec"]))
    yield from found
    if not found:
        yield Finding(Level.OK, "as engines set them, or near")


def _settings(spec: dict[str, Any]) -> Iterator[Finding]:
    period = (spec.get("Dispatcher") or {}).get("HeartbeatPeriod")
    set_period = "docker swarm update --dispatcher-heartbeat 5s"
    if period and period / 1e9 >= _LONG_HEARTBEAT:
        summary = f"nodes send a heartbeat every {period / 1e9:.0f} s"
        risk = f"the tasks of a lost node are started elsewhere only after {_MISSED * period / 1e9:.0f} s"
        yield Finding(Level.WARNING, summary, risk, mend=set_period)
    elif period and period / 1e9 < _SHORT_HEARTBEAT:
        summary = f"nodes send a heartbeat every {period / 1e6:.0f} ms"
        risk = "a node that is busy for a moment is taken for lost, and all its tasks are started elsewhere"
        yield Finding(Level.WARNING, summary, risk, mend=set_period)
    history = (spec.get("Orchestration") or {}).get("TaskHistoryRetentionLimit")
    set_history = "docker swarm update --task-history-limit 5"
    if history == 0:
        risk = "why tasks failed is not known after they were started anew"
        yield Finding(Level.INFO, "no ended task is kept (task history limit 0)", risk, mend=set_history)
    elif history is not None and (history < 0 or history > _LONG_HISTORY):
        kept = "every ended task is" if history < 0 else f"{history} ended tasks of each slot are"
        risk = "the managers' state grows with every failed task: elections, joins and restarts of managers get slow"
        yield Finding(Level.WARNING, f"{kept} kept (task history limit {history})", risk, mend=set_history)
    raft = spec.get("Raft") or {}
    interval = raft.get("SnapshotInterval") or 0
    if interval > _RARE_SNAPSHOTS:
        risk = "the managers' log fills their disks, and they read all of it when they start"
        mend = "docker swarm update --snapshot-interval 10000"
        yield Finding(Level.WARNING, f"{interval} changes between two snapshots of the log", risk, mend=mend)
    expiry = (spec.get("CAConfig") or {}).get("NodeCertExpiry")
    if expiry and expiry / 1e9 < _SHORT_CERTIFICATES:
        risk = "a node that is off or cut off for longer has lost its swarm, and has to join again"
        mend = "docker swarm update --cert-expiry 2160h, then docker swarm ca --rotate"
        yield Finding(Level.WARNING, f"certificates are made for {expiry / 3.6e12:.1f} hours", risk, mend=mend)


@by_managers
def address_pool(sight: Sight) -> Iterator[Finding]:
    """Whether the swarm has subnets left for new networks."""
    size = int(sight.swarm.get("SubnetSize") or 24)
    set_pools = [ip_network(pool, strict=False) for pool in sight.swarm.get("DefaultAddrPool") or ["10.0.0.0/8"]]
    pools = [pool for pool in set_pools if isinstance(pool, IPv4Network) and pool.prefixlen <= size]
    room = sum(2 ** (size - pool.prefixlen) for pool in pools)
    taken = {
        part
        for network in sight.overlays
        for subnet in subnets_of(network)
        for pool in pools
        if subnet.overlaps(pool)
        for part in _parts(subnet, size, pool)
    }
    free = max(room - len(taken), 0)
    if not pools or free > max(_FEW, _FEW_PART * room) or room <= _FEW:
        yield Finding(Level.OK, f"{free} of {room} subnets are free")
        return
    summary = f"{free} of {room} subnets of the swarm's pool are free ({', '.join(map(str, pools))}, /{size} each)"
    risk = "a network that is made without --subnet gets none, and its tasks stay new without a message"
    mend = "docker network rm those that nobody uses; make networks with --subnet; a pool is set at swarm init only"
    yield Finding(Level.WARNING if free else Level.ERROR, summary, risk, mend=mend)


def _parts(subnet: IPv4Network, size: int, pool: IPv4Network) -> Iterator[int]:
    """Yield the numbers of the pool's subnets that a network takes."""
    width = 2 ** (32 - size)
    first = max(int(subnet.network_address), int(pool.network_address)) // width
    last = min(int(subnet.broadcast_address), int(pool.broadcast_address)) // width
    yield from range(first, last + 1)


@by_managers
def demands(sight: Sight) -> Iterator[Finding]:
    """Whether nodes have what services ask for: drivers of logs and volumes, limits, what tasks reserve, free ports."""
    found = [*_drivers(sight), *_limits(sight), *_reserved(sight), *_ports(sight), *_occupied(sight)]
    yield from found
    if not found:
        yield Finding(Level.OK, f"{len(sight.services)} services")


def _drivers(sight: Sight) -> Iterator[Finding]:
    default = ((sight.swarm.get("Spec") or {}).get("TaskDefaults") or {}).get("LogDriver") or {}
    for each in work.works(sight):
        template = work.template(each.service)
        log = (template.get("LogDriver") or default).get("Name") or ""
        mounts = (template.get("ContainerSpec") or {}).get("Mounts") or []
        volumes = {
            ((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Name") or "local"
            for mount in mounts
            if mount.get("Type", "volume") == "volume"
        }
        eligible = each.nodes(sight) if each.wanted(sight) else []
        for view in sight.nodes:
            plugins = view.info.get("Plugins") or {}
            if not view.active or view.node_id not in eligible:
                continue
            needs = [("log driver", "Log", log)] * bool(log and log != "none")
            needs += [("volume driver", "Volume", driver) for driver in sorted(volumes)]
            for what, kind, name in needs:
                known = {*map(untagged, plugins.get(kind) or [])}
                if known and untagged(name) not in known:
                    summary = f"{each.name} asks for the {what} {name}, which the engine does not have"
                    risk = "tasks of the service stay pending, or are rejected there"
                    mend = f"docker plugin install {name} on the node, or change the service: docker service update"
                    yield Finding(Level.WARNING, summary, risk, nodes=(view.name,), mend=mend)


def _limits(sight: Sight) -> Iterator[Finding]:
    """Yield services with limits that the kernel of a node they may use does not hold."""
    for each in work.works(sight):
        limits = (work.template(each.service).get("Resources") or {}).get("Limits") or {}
        eligible = each.nodes(sight) if each.wanted(sight) else []
        for key, (told, what, mend) in _LIMITS.items():
            for view in sight.nodes if limits.get(key) else ():
                if view.active and view.node_id in eligible and view.info.get(told) is False:
                    summary = f"{each.name} limits its {what}, which the kernel there does not do"
                    risk = (
                        "the engine starts the tasks without the limit: one can take what all others on the node need"
                    )
                    yield Finding(Level.WARNING, summary, risk, nodes=(view.name,), mend=f"on {{nodes}}: {mend}")


def _reserved(sight: Sight) -> Iterator[Finding]:
    for member in sight.members:
        have = (member.get("Description") or {}).get("Resources") or {}
        tasks = [task for task in sight.tasks if task.get("NodeID") == member["ID"] and work.placed(task)]
        for what, key, unit, name in (("CPUs", "NanoCPUs", 1e9, "CPUs"), ("memory", "MemoryBytes", 2**20, "MiB")):
            asked = sum(
                ((task.get("Spec", {}).get("Resources") or {}).get("Reservations") or {}).get(key) or 0
                for task in tasks
            )
            if have.get(key) and asked > have[key]:
                summary = (
                    f"its tasks reserve {asked / unit:.1f} {name} of {have[key] / unit:.1f}: it has less {what} now"
                )
                risk = "tasks that end there are not started again on it, and all of them have less than they asked for"
                mend = f"move services away, or give the node its {what} back; docker node inspect shows what it has"
                yield Finding(Level.WARNING, summary, risk, nodes=(sight.names[member["ID"]],), mend=mend)


def _ports(sight: Sight) -> Iterator[Finding]:
    """Yield services that publish a port of the swarm's own by the mesh, which neither managers nor engines refuse."""
    own = _own_ports(sight)
    published = [
        (each, port, key)
        for each in work.works(sight)
        for port in (each.service.get("Endpoint") or {}).get("Ports") or []
        for key in work.published([port], "ingress")
    ]
    for each, port, (protocol, number) in published:
        if (protocol, number) not in own:
            continue
        whose = own[protocol, number]
        summary = f"{each.name} publishes port {number}/{protocol} by the mesh, which is the swarm's: {whose}"
        risk = "the mesh of every node passes what is for the engine there on to the service"
        target = port.get("TargetPort") or "TARGET"
        mend = f"docker service update --publish-rm {target} --publish-add OTHER:{target} {each.name}"
        level = Level.ERROR if each.wanted(sight) else Level.WARNING
        causes = _FOLLOWS[whose] if any(map(work.runs, each.tasks)) else ()
        yield Finding(level, summary, risk, mend=mend, causes=causes)


def _occupied(sight: Sight) -> Iterator[Finding]:
    """Yield ports that services publish and on which another program of a node listens."""
    asked = [
        (each, port, mode)
        for each in work.works(sight)
        if each.wanted(sight)
        for port in (each.service.get("Endpoint") or {}).get("Ports") or []
        for mode in ("ingress", "host")
        if work.published([port], mode) and port.get("Protocol", "tcp") == "tcp"
    ]
    for view in sight.nodes if asked else ():
        try:
            view.check_active()
            others = _listening(view.read("listeners"))
        except Unknown as why:
            yield why.finding(view.name)
            continue
        for each, port, mode in asked:
            whose = others.get(int(port["PublishedPort"]))
            if whose is None or (mode == "host" and any(_listens_itself(task, view) for task in each.tasks)):
                continue
            if mode == "ingress" or view.node_id in each.nodes(sight):
                yield _shared(view, each.name, port, mode, of_ssh=whose == "sshd")


def _listens_itself(task: Mapping[str, Any], view: NodeView) -> bool:
    """Whether a task runs on a node, on that node's own network, so that its program listens there, and no proxy."""
    attached = [attachment["Network"] for attachment in task.get("NetworksAttachments") or []]
    on_host = any((network.get("DriverState") or {}).get("Name") == "host" for network in attached)
    return on_host and work.runs(task) and task.get("NodeID") == view.node_id


def _listening(text: str) -> dict[int, str]:
    """Return the ports on which programs listen that are not the engine's, each with "sshd" if it is that one's."""
    lines = [line.split() for line in text.splitlines()]
    owners = {fields[1]: fields[0] for fields in lines if len(fields) == 2}
    found: dict[int, str] = {}
    for fields in lines:
        if len(fields) == 3 and (owner := owners.get(fields[2], "")) != "engine":
            port = int(fields[1].rpartition(":")[2], 16)
            # Where systemd listens for it, sshd has the port that it usually has.
            found[port] = "sshd" if "sshd" in (owner, found.get(port)) or port == _SSH else ""
    return found


def _shared(view: NodeView, name: str, port: Mapping[str, Any], mode: str, *, of_ssh: bool) -> Finding:
    number, target = port["PublishedPort"], port.get("TargetPort") or "TARGET"
    program = "sshd" if of_ssh else "another program"
    if mode == "ingress":
        summary = f"{program} listens on port {number}/tcp, which {name} publishes by the mesh"
        risk = f"what comes for the port goes to the service: {program} is not reached over IPv4 any more"
        mend = f"docker service update --publish-rm {target} --publish-add OTHER:{target} {name}"
    else:
        summary = f"{program} listens on port {number}/tcp, which {name} publishes on its nodes (mode host)"
        risk = "no task of the service starts there: the address is in use"
        mend = f"change the service: docker service update --publish-rm {target} --publish-add … {name}"
    level = Level.ERROR if of_ssh and mode == "ingress" else Level.WARNING
    mend += f"; or have the program listen elsewhere; on {{nodes}}: ss -ltnp 'sport = :{number}'"
    return Finding(level, summary, risk, nodes=(view.name,), mend=mend).by_hand(f"ss -ltnp 'sport = :{number}'", "")


def _own_ports(sight: Sight) -> dict[tuple[str, int], str]:
    """Return what the swarm itself uses a port of its nodes for, by protocol and port."""
    addresses = [str((member.get("ManagerStatus") or {}).get("Addr", "")) for member in sight.members]
    managing = {int(port) for address in addresses if (port := address.rpartition(":")[2]).isdigit()}
    own = dict.fromkeys((("tcp", port) for port in managing), _MANAGEMENT)
    own |= dict.fromkeys((("tcp", GOSSIP_PORT), ("udp", GOSSIP_PORT)), _GOSSIP)
    return own | {("udp", sight.data_port): _DATA}
