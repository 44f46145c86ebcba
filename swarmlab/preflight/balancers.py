"""Whether the kernel's load balancer (IPVS) on each node has the tasks that run: of the mesh, and of each network."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.preflight import work
from swarmlab.preflight.ahead import CAN_ENTER, FIND_SAVER, TO_NAMESPACES, needs
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.kernel import kept_out
from swarmlab.preflight.model import NodeView, Sight, by_managers

#: The network namespace of a node in which the engine takes what comes for published ports.
MESH = "ingress_sbox"
#: The table of IPVS in each network namespace of the engine that has one, and there the marks by which packets come to
#: it. Those of the mesh are asked for by `swarmlab.preflight.rules`. Engines before 18.06 balance in each container's
#: own namespace, later ones in one for each network (lb_ID). A namespace that goes meanwhile is left out.
QUESTION = (
    "[ $(id -u) = 0 ] || { echo be root; exit 1; }; "
    f"[ -e /proc/net/ip_vs ] && echo ipvs; {TO_NAMESPACES} 2>/dev/null || exit 0; "
    f"{FIND_SAVER}; {needs('$A')}; {CAN_ENTER}; "
    # Where a namespace has rules of iptables-legacy too, those count as well.
    "marks() { nsenter --net=$1 $A -t mangle && { [ $A = iptables-save ] || "
    "! nsenter --net=$1 grep -qsx mangle /proc/net/ip_tables_names || nsenter --net=$1 iptables-legacy-save -t mangle; "
    "}; }; for N in *; do "
    "[ -e $N ] && [ $N != default ] || continue; T=$(nsenter --net=$N cat /proc/net/ip_vs 2>/dev/null | tail -n +4); "
    f'R=; case $N in {MESH}) ;; lb_*) R=marks;; *) [ -n "$T" ] || continue; R=marks;; esac; '
    'X=; [ -z "$R" ] || X=$(marks $N 2>&1) || { nsenter --net=$N true 2>/dev/null || continue; echo "$X"; exit 3; }; '
    'echo "sandbox $N"; echo "$X"; echo "$T"; done; true'
)
_MARK = re.compile(r"^-A \S+ (.*)-j MARK --set-x?mark (0x[0-9a-f]+)")
_RISK = "requests to the service through the node are refused or lost: all of them, or one in so many"


@dataclass
class Balancer:
    """The load balancer in a network namespace.

    Attributes:
        marks: the marks of packets that come for an address, or for a published port as "tcp/8080"; the last one is in
            force. There are several where the tasks of a service do not all publish the same ports.
        tables: the weight of each task's address, by the mark.
    """

    marks: dict[str, list[int]] = field(default_factory=dict)
    tables: dict[int, dict[str, int]] = field(default_factory=dict)

    def note(self, line: str) -> None:
        """Note a line of rules or of the kernel's table."""
        words = line.split()
        if found := _MARK.match(line):
            address, port = re.search(r"-d (\S+?)/32 ", found[1]), re.search(r"-p (\w+) .*--dport (\d+)", found[1])
            if name := address[1] if address else f"{port[1]}/{port[2]}" if port else "":
                self.marks.setdefault(name, []).append(int(found[2], 16))
        elif words[:1] == ["FWM"]:
            self.tables[int(words[1], 16)] = {}
        elif words[:1] == ["->"] and self.tables:
            address_of = str(IPv4Address(int(words[1].partition(":")[0], 16)))
            list(self.tables.values())[-1][address_of] = int(words[3])


def balancers(text: str, mesh: str = "") -> dict[str, Balancer]:
    """Return the load balancers of a node by their namespaces.

    Args:
        text: its answer to `QUESTION`.
        mesh: its rules of the mesh.
    """
    found: dict[str, Balancer] = {}
    current = Balancer()
    for line in text.splitlines():
        if line.startswith("sandbox "):
            current = found.setdefault(line.split()[1], Balancer())
        else:
            current.note(line)
    for line in mesh.splitlines() if MESH in found else ():
        found[MESH].note(line)
    return found


@by_managers
def tables(sight: Sight) -> Iterator[Finding]:
    """Whether the load balancers of each node (IPVS) have every task that runs, and no other."""
    heard = work.heard(sight)
    having = [view.name for view in sight.nodes if view.answers.get("balancers", (1, ""))[1].startswith("ipvs")]
    for view in sight.nodes:
        try:
            view.check_active()
            text, mesh = view.read("balancers"), view.read("mesh rules")
            if not work.long_there(sight, view):
                continue
            used = [service for service in sight.services if _balanced(sight, service, heard)]
            if not text.startswith("ipvs"):
                if used and (having or kept_out(view, "ip_vs")):
                    yield _unloaded(view, used)
                continue
            wrong = list(_wrong(sight, balancers(text, mesh), used, heard))
        except Unknown as why:
            yield why.finding(view.name)
            continue
        if wrong:
            mend = (
                "start the tasks anew: docker service update --force SERVICE; if that does not help, restart the "
                f"engine: docker node update --availability drain {view.name}, then systemctl restart docker"
            )
            finding = Finding(Level.ERROR, few(dict.fromkeys(wrong), "; "), _RISK, nodes=(view.name,), mend=mend)
            yield finding.by_hand(f"nsenter --net=/run/docker/netns/{MESH} ipvsadm -Ln", "")


def _unloaded(view: NodeView, used: Collection[Mapping[str, Any]]) -> Finding:
    kept = kept_out(view, "ip_vs")
    why = f", and {kept} keeps modprobe from loading it" if kept else ""
    summary = f"the kernel has no IPVS: ip_vs is not loaded{why}; {few(map(_name, used))} needs it"
    mend = f"on {{nodes}}: {f'take ip_vs out of {kept}, then ' if kept else ''}modprobe -a ip_vs ip_vs_rr, and restart "
    finding = Finding(
        Level.ERROR, summary, _RISK, nodes=(view.name,), mend=f"{mend}the engine: systemctl restart docker"
    )
    return finding.by_hand("lsmod | grep ip_vs; grep -rn ip_vs /etc/modprobe.d", "modprobe -a ip_vs ip_vs_rr")


def _name(service: Mapping[str, Any]) -> str:
    return str((service.get("Spec") or {}).get("Name") or service["ID"])


def _balanced(sight: Sight, service: Mapping[str, Any], heard: float) -> bool:
    """Whether a service has tasks that nodes must know of, and an address or a port that is balanced."""
    endpoint = service.get("Endpoint") or {}
    return bool(_running(sight, service, heard) and (endpoint.get("VirtualIPs") or _ports(service)))


def _ports(service: Mapping[str, Any]) -> list[str]:
    return [f"{protocol}/{port}" for protocol, port in work.mesh_ports(service)]


def _running(sight: Sight, service: Mapping[str, Any], heard: float) -> list[Mapping[str, Any]]:
    """Return the tasks of a service that have been running for so long that every node must know of them."""
    return [task for task in sight.tasks if task.get("ServiceID") == service["ID"] and work.serves(task, heard)]


def _possible(sight: Sight, service: Mapping[str, Any], heard: float) -> list[Mapping[str, Any]]:
    """Return the tasks of a service of which nodes may know: all but those that ended a while ago."""
    return [
        task
        for task in sight.tasks
        if task.get("ServiceID") == service["ID"]
        and (task["Status"]["State"] not in ENDED or not work.settled(task, heard))
    ]


def _wrong(
    sight: Sight, found: Mapping[str, Balancer], used: Collection[Mapping[str, Any]], heard: float
) -> Iterator[str]:
    mesh_of = [network["Id"] for network in sight.overlays if network.get("Ingress")]
    published = [service for service in used if _ports(service)]
    if published and mesh_of and MESH not in found:
        yield f"it has no end of the routing mesh ({MESH}), which {few(map(_name, published))} needs"
    mesh = found.get(MESH, Balancer())
    marked = [port for service in published for port in _ports(service) if port in mesh.marks]
    if marked and not mesh.tables:
        yield "the IPVS table of the routing mesh is empty"
    for service in used:
        for network in mesh_of:
            for port in _ports(service) if mesh.tables else ():
                if port in mesh.marks:  # else another check says that the port is not marked
                    yield from _of_table(sight, service, network, mesh, mesh.marks[port], "the routing mesh", heard)
        for entry in (service.get("Endpoint") or {}).get("VirtualIPs") or []:
            if entry["NetworkID"] not in mesh_of and entry.get("Addr"):
                yield from _of_network(sight, service, entry, found, heard)


def _of_network(
    sight: Sight, service: Mapping[str, Any], entry: Mapping[str, Any], found: Mapping[str, Balancer], heard: float
) -> Iterator[str]:
    address, network = str(entry["Addr"]).partition("/")[0], str(entry["NetworkID"])
    name = next((each["Name"] for each in sight.networks if each["Id"] == network), network)
    places = [balancer for balancer in found.values() if address in balancer.marks]
    own = found.get(f"lb_{network[:9]}")
    there = any(work.address_in(task, network) for task in _running(sight, service, heard))
    if own and there and work.updated(service) and address not in own.marks:
        yield f"packets for the virtual address {address} of {_name(service)} in {name} are not marked for IPVS"
    for balancer in places:
        yield from _of_table(sight, service, network, balancer, balancer.marks[address], name, heard)


def _of_table(
    sight: Sight,
    service: Mapping[str, Any],
    network: str,
    balancer: Balancer,
    marks: Sequence[int],
    place: str,
    heard: float,
) -> Iterator[str]:
    """Yield what is wrong in the table of a service: compared are its tasks, and their addresses in a network."""
    mark = marks[-1]
    table: dict[str, int] = {}
    for each in (mark,) if work.updated(service) else marks:  # in an update, old and new tasks may be in two
        table |= balancer.tables.get(each, {})
    names = {
        address: _task(service, task)
        for task in _running(sight, service, heard)
        if (address := work.address_in(task, network))
    }
    if names and not table:
        yield f"IPVS of {place} has no task of {_name(service)} (mark {mark:#x})"
        return
    for address, name in names.items():
        if address not in table:
            yield f"IPVS of {place} lacks task {name} ({address})"
        elif not table[address]:
            yield f"IPVS of {place} has weight 0 for task {name} ({address})"
    if not work.settled(service, heard):
        return  # managers may have forgotten tasks that it had until now
    possible = {work.address_in(task, network) for task in _possible(sight, service, heard)}
    for address in table:
        if address not in possible:
            yield f"IPVS of {place} has {address} for {_name(service)}, which none of its tasks has"


def _task(service: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    return f"{_name(service)}.{task.get('Slot') or task['ID'][:12]}"
