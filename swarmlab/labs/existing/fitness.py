"""Whether a swarm that exists is fit for a run: its members, its free ports, and whether they can be reached."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from swarmlab.cluster import run_lock
from swarmlab.cluster.marks import ours
from swarmlab.cluster.node import Node
from swarmlab.labs.existing.inventory import refuse
from swarmlab.labs.existing.node import Connection
from swarmlab.parallel import ELSEWHERE, parallel

#: Seconds within which a machine that can be reached accepts a connection or refuses it.
_REACH = 5.0


def member_faults(
    infos: Mapping[Connection, Mapping[str, Any]],
    members: Mapping[str, Mapping[str, Any]],
    manager: Connection,
    *,
    to_judge: bool,
    prints: Mapping[Connection, str] | None = None,
    left_out: Collection[str] = (),
) -> list[str]:
    """Return what keeps machines from being the members of one swarm, all of them: a line each, with the mend.

    Args:
        infos: what each machine's engine answers to GET /info.
        members: the nodes of the swarm, as *manager* lists them, by id.
        manager: the machine that lists them.
        to_judge: look also whether each can take tasks, and whether its host name tells it from the others.
        prints: of machines with one node id, what differs between two machines (`swarmlab.labs.existing.names`).
        left_out: host names and addresses of machines that could not be reached; none of them counts as missing.
    """
    wrong = []
    for connection, info in infos.items():
        identity = info["Swarm"]["NodeID"]
        if identity not in members:
            wrong.append(
                f"node {connection.machine}: is of another swarm than {manager.machine}, which does not know it; "
                "an inventory has the nodes of one swarm"
            )
            continue
        role = members[identity]["Spec"]["Role"]
        if connection.machine.role and connection.machine.role != role:
            wrong.append(f"node {connection.machine}: has the role {role} in the swarm; mend its role in the inventory")
    listed = [member["Description"].get("Hostname", identity) for identity, member in members.items()]
    reached = [info["Swarm"]["NodeID"] for info in infos.values()]
    for identity, member in members.items():
        name = member["Description"].get("Hostname", identity)
        address = member["Status"].get("Addr", "no address")
        where = f"node {name} ({address})"
        if identity not in reached:
            one = identity if listed.count(name) > 1 else name
            if not {one, name, address} & set(left_out):
                wrong.append(f"{where}: is in the swarm and not in the inventory; add it, or: docker node rm {one}")
        elif to_judge and member["Status"]["State"] != "ready":
            wrong.append(f"{where}: its state in the swarm is {member['Status']['State']}; mend it first")
        elif to_judge and (availability := member["Spec"]["Availability"]) != "active":
            wrong.append(
                f"{where}: is set to {availability}, and the suites need every node to take tasks; "
                f"docker node update --availability active {name}"
            )
    return [*wrong, *_alike(infos, prints or {}, to_judge=to_judge)]


def _alike(
    infos: Mapping[Connection, Mapping[str, Any]], prints: Mapping[Connection, str], *, to_judge: bool
) -> list[str]:
    """Return a line for each node id and each host name that several machines have, as far as that is in the way."""
    by_identity: dict[str, list[Connection]] = {}
    by_name: dict[str, dict[str, Connection]] = {}
    for connection, info in infos.items():
        identity = info["Swarm"]["NodeID"]
        by_identity.setdefault(identity, []).append(connection)
        by_name.setdefault(info["Name"], {}).setdefault(identity, connection)
    wrong = []
    for identity, machines in by_identity.items():
        listed = " and ".join(f"node {connection.machine}" for connection in machines)
        if len(machines) > 1 and len({prints.get(connection, "") for connection in machines}) < len(machines):
            wrong.append(f"{listed}: are one machine, named twice; take one out of the inventory")
        elif len(machines) > 1 and to_judge:
            wrong.append(
                f"{listed}: have one node id, {identity}, so one is a copy of the other; on the copy alone, stop its "
                "engine, remove swarm and engine-id in its data folder and /etc/docker/key.json, start it, and have it "
                "join with a new token (not: docker swarm leave)"
            )
    for name, nodes in by_name.items():
        if len(nodes) > 1 and to_judge:
            listed = " and ".join(f"{one.machine.address} (id {identity})" for identity, one in nodes.items())
            wrong.append(
                f"node {name}: {listed} have this host name, and the suites tell nodes by it; on one of them: "
                "hostnamectl set-hostname NAME, and restart its engine"
            )
    return wrong


def check_ports(ports: range, nodes: Sequence[Node]) -> None:
    """Check that *ports* are free on every node and in the swarm. Leavings of runs of the suite do not count.

    Raises:
        UsageError: ports are in use; the message has a line for each.
    """
    refuse([f"{wrong}; {other_ports(ports)}" for wrong in ports_in_use(ports, nodes)])


def ports_in_use(ports: range, nodes: Sequence[Node]) -> Iterator[str]:
    """Yield a line for each of *ports* that is not free on every node and in the swarm, as of `check_ports`.

    Args:
        ports: the ports.
        nodes: the nodes, a manager first.
    """
    wanted = set(ports)
    published = {
        port["PublishedPort"]: service["Spec"]["Name"]
        for service in nodes[0].ask("GET", "/services")
        if not ours(service["Spec"]["Name"], service["Spec"].get("Labels"))
        for port in service.get("Endpoint", {}).get("Ports") or []
        if port.get("PublishedPort") in wanted
    }
    for port, service in sorted(published.items()):
        yield f"port {port}: the service {service} publishes it"
    if run_lock.on(nodes[0]):  # the leavings of a killed run are removed before ports are used
        return
    own = {
        port["PublicPort"]
        for containers in parallel(lambda node: node.containers(), nodes, at_once=ELSEWHERE)
        for container in containers
        if ours(container["Names"][0].strip("/"), container["Labels"])
        for port in container["Ports"]
        if "PublicPort" in port
    }
    for node, listening in zip(nodes, parallel(_listening, nodes, at_once=ELSEWHERE), strict=True):
        for port in sorted(listening & wanted - own - set(published)):
            yield f"port {port}: something listens on it on {node}"


def other_ports(ports: range) -> str:
    """Return how ports are mended that are in use."""
    return f"give the suites other ports than {ports.start}-{ports.stop - 1} (--ports FIRST-LAST)"


def _listening(node: Node) -> set[int]:
    """Return the TCP ports on which a process listens on a node, by the kernel's table.

    Raises:
        LabError: the table cannot be read.
    """
    # Without IPv6 there is no second file.
    table = node.look("cat /proc/net/tcp && { cat /proc/net/tcp6 2>/dev/null || true; }")
    rows = [line.split() for line in table.expect(f"reading /proc/net/tcp of {node}").splitlines()]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == "0A"}


def reaches(address: str, port: int) -> bool:
    """Whether this machine reaches a port. A connection that is refused has reached it, too."""
    try:
        socket.create_connection((address, port), timeout=_REACH).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True
