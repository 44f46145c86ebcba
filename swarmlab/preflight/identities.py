"""Checks of what tells nodes apart: host names, node ids, and what a copy of a machine shares with its original."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from swarmlab.cluster.node import DATA_ROOT
from swarmlab.lists import few
from swarmlab.preflight.addresses import hardware
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_managers

#: What makes a copy of a machine a node of its own.
_RENEW = (
    "on the copy alone: stop its engine, rm -r {root}/swarm, rm -f {root}/engine-id /etc/docker/key.json, start the "
    "engine, and let it join with a token (docker swarm join-token worker); not docker swarm leave or docker node rm, "
    "which take the original out too. Restart the original's engine at the end"
)


@by_managers
def host_names(sight: Sight) -> Iterator[Finding]:
    """Whether each node of the swarm has a host name of its own."""
    by_name: dict[str, list[dict[str, object]]] = {}
    for member in sight.members:
        if name := member["Description"].get("Hostname"):
            by_name.setdefault(name, []).append(member)
    for name, alike in by_name.items():
        if len(alike) < 2:
            continue
        gone = [one for one in alike if _state(one) == "down"]
        listed = few(f"{one['ID']} ({_state(one)})" for one in alike)
        nodes = tuple(sight.names[str(one["ID"])] for one in alike)
        if len(gone) == len(alike) - 1:
            mend = "; ".join(f"docker node rm {one['ID']}" for one in gone)
            mend = f"if that machine joined again and its old entry stayed: {mend}; else give one of them another name"
        else:
            mend = "on all but one: hostnamectl set-hostname NAME, and restart the engine; until then name nodes by id"
        yield Finding(
            Level.WARNING,
            f"{len(alike)} nodes have the host name {name}: {listed}",
            "docker node commands that name it are refused as ambiguous, a constraint node.hostname takes all of "
            "them, and monitoring takes them for one",
            nodes=nodes,
            mend=mend,
        )


def _state(member: dict[str, object]) -> str:
    status = member["Status"]
    return str(status["State"]) if isinstance(status, dict) else ""


def copies(sight: Sight) -> Iterator[Finding]:
    """Whether two machines are copies of one: with one node id, engine id, machine id or hardware address."""
    answering = [view for view in sight.nodes if view.info]
    for id, views in _alike(answering, lambda view: str(view.info["Swarm"].get("NodeID", ""))).items():
        where = few(f"{view.name} (engine {view.info.get('Name', '')}, {_addresses(view)})" for view in views)
        root = views[0].info.get("DockerRootDir", DATA_ROOT)
        yield Finding(
            Level.ERROR,
            f"{len(views)} machines have the node id {id}: {where}",
            "managers hear now the one and now the other: the node's state and its tasks change without end, and "
            "tasks run twice or not at all",
            nodes=tuple(view.name for view in views),
            mend=_RENEW.format(root=root),
        )
    for id, views in _alike(answering, lambda view: str(view.info.get("ID", ""))).items():
        root = views[0].info.get("DockerRootDir", DATA_ROOT)
        yield Finding(
            Level.WARNING,
            f"{len(views)} engines have the engine id {id}",
            "dashboards and agents that know engines by it take them for one",
            nodes=tuple(view.name for view in views),
            mend=f"on all but one: stop the engine, rm -f {root}/engine-id /etc/docker/key.json, start the engine",
        )
    told = []
    for view in sight.nodes:
        try:
            view.read("machine")
            told.append(view)
        except Unknown as why:
            yield why.finding(view.name)
    for id, views in _alike(told, _machine_id).items():
        contained = all("container" in view.read("machine").splitlines() for view in views)
        yield Finding(
            Level.INFO if contained else Level.WARNING,
            f"{len(views)} machines have the machine id {id}",
            "DHCP servers may give them one address, and what knows machines by it takes them for one",
            nodes=tuple(view.name for view in views),
            mend="on all but one: rm -f /etc/machine-id /var/lib/dbus/machine-id, systemd-machine-id-setup, and reboot",
        )
    for link, views in _alike_any(told, _own_hardware).items():
        yield Finding(
            Level.WARNING,
            f"{len(views)} machines have the hardware address {link}",
            "on one network what is for one of them goes to the other",
            nodes=tuple(view.name for view in views),
            mend="on all but one: give the interface another one, in the hypervisor or by ip link set dev LINK address",
        )


def _alike(views: list[NodeView], key: Callable[[NodeView], str]) -> dict[str, list[NodeView]]:
    """Return the nodes that share a key that is not empty, by the key."""
    return _alike_any(views, lambda view: {key(view)})


def _alike_any(views: list[NodeView], keys: Callable[[NodeView], set[str]]) -> dict[str, list[NodeView]]:
    found: dict[str, list[NodeView]] = {}
    for view in views:
        for key in sorted(keys(view) - {""}):
            found.setdefault(key, []).append(view)
    return {key: alike for key, alike in found.items() if len(alike) > 1}


def _machine_id(view: NodeView) -> str:
    for fields in map(str.split, view.read("machine").splitlines()):
        if fields[:1] == ["id"]:
            return next(iter(fields[1:]), "").replace("uninitialized", "")
    return ""


def _own_hardware(view: NodeView) -> set[str]:
    """Return the hardware address of the interface that has the node's address, as bridges may have any."""
    try:
        name, _, _ = view.interface()
        lines = [line.split() for line in view.read("machine").splitlines()]
        return {fields[2] for fields in lines if fields[:2] == ["link", name] and len(fields) > 2} & hardware(view)
    except Unknown:
        return set()


def _addresses(view: NodeView) -> str:
    bridges = {*view.bridges.values(), "lo"}
    try:
        held = [str(address) for name, address in view.held() if name not in bridges and not address.is_link_local]
    except Unknown:
        held = []
    return " ".join(held) or "addresses unknown"
