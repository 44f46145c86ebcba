"""What a run of the suites needs of an existing swarm, looked at on all nodes at once. It changes nothing there.

Whether the swarm is sound is preflight's to say. Of its checks those are made here without which a run cannot work.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from swarmlab.cluster import leavings, run_lock
from swarmlab.cluster.node import MANAGEMENT_PORT, Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.doctor.check import Look, examine, from_line, on_each
from swarmlab.errors import EngineRefused, LabError, NoAnswer
from swarmlab.files import shown
from swarmlab.host import Progress
from swarmlab.images import recipes
from swarmlab.labs.existing import fitness
from swarmlab.labs.existing.images import mended
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.lists import few
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.paths import command
from swarmlab.preflight.checks import CHECKS as OF_PREFLIGHT
from swarmlab.preflight.checks import preflight
from swarmlab.preflight.finding import Finding, Level
from swarmlab.versions import parsed

#: The checks of preflight without which a run cannot work, or judges what is not the swarm's doing.
SHARED = (
    "api-versions",
    "engine-versions",
    "kernel-modules",
    "paths",
    "port-management-tcp",
    "port-gossip-tcp",
    "port-gossip-udp",
    "port-data-udp",
    "clocks",
    "disk",
)
#: The oldest engine that the suites judge.
_OLDEST = "17.06"
#: MiB of memory that a node must have left for the suites' services.
_MEMORY = 256
#: Commands that the suites run on nodes, each with what it is for. Without the first nothing works.
_NEEDED = {"docker": "every test", "ip": "addresses and routes", "ss": "open ports"}
_USED = {
    "bash": "connections between nodes",
    "curl": "requests from nodes",
    "iptables": "rules of the engines",
    "nft": "counts of packets",
    "nsenter": "the network of containers",
    "openssl": "certificates",
    "timeout": "what must not hang",
    "useradd": "users of tests",
}


@dataclass
class Patient:
    """A swarm that is looked at.

    Attributes:
        lab: the swarm, as far as it was reached.
        wrong: a line for all that is wrong with it but the machines that were not reached.
        images: references of images that nodes must be able to pull, beside those of the suites.
        progress: called with a line where something takes time.
    """

    lab: InventoryLab
    wrong: Sequence[str] = ()
    images: Sequence[str] = ()
    progress: Progress = lambda _: None

    @property
    def nodes(self) -> list[Node]:
        """The nodes that were reached."""
        return self.lab.nodes()

    @property
    def manager(self) -> Node:
        """A manager that serves the swarm's API.

        Raises:
            LabError: none does.
        """
        return self.lab.manager


def reach(patient: Patient) -> Iterator[Finding]:
    """Whether every node is reached over SSH, its host key known, and its engine open to the user."""
    for name, why in patient.lab.unreached.items():
        found = from_line(why, risk="no run begins while a node cannot be reached")
        yield found if found.nodes else Finding(found.level, found.summary, found.risk, nodes=(name,), mend=found.mend)
    if patient.nodes and not patient.lab.unreached:
        yield Finding(Level.OK, f"{few(patient.nodes)} answer, and so do their engines")


def members(patient: Patient) -> Iterator[Finding]:
    """Whether the machines are all nodes of one swarm, each ready, active and with a name of its own."""
    for line in patient.wrong:
        yield from_line(line, risk="no run begins until that is mended")
    if not patient.wrong and patient.lab.members:
        yield Finding(Level.OK, f"{len(patient.lab.members)} nodes of the swarm {patient.lab.cluster}")
    elif not patient.wrong:
        mend = "mend what is in the way of the nodes, and look again"
        yield Finding(Level.UNKNOWN, "not known, as no node was reached", mend=mend)


def rights(patient: Patient) -> Iterator[Finding]:
    """Whether commands run as root on every node."""
    for node in patient.nodes:
        if node.root:
            yield Finding(Level.OK, "commands run as root", nodes=(node.name,))
        else:
            yield Finding(
                Level.INFO,
                "the inventory's user is not root there",
                "claims that need root are blocked",
                nodes=(node.name,),
                mend="in the inventory: sudo: true, if sudo or doas makes that user root without a password",
            )


def engines(patient: Patient) -> Iterator[Finding]:
    """Whether the suites judge engines of these releases."""

    def look(node: Node) -> Iterator[Finding]:
        version = node.ask("GET", "/version")["Version"]
        if parsed(version) < parsed(_OLDEST):
            risk = "claims may fail that such an engine never met"
            yield Finding(
                Level.WARNING, f"engine {version} is older than {_OLDEST}", risk, mend="upgrade the engine of {nodes}"
            )
        else:
            yield Finding(Level.OK, f"engine {version}")

    yield from on_each(patient.nodes, look)


def runs(patient: Patient) -> Iterator[Finding]:
    """Whether another run is at work on the swarm, or a killed one left something there."""
    manager, options = patient.manager, patient.lab.known.options
    held = run_lock.on(manager)
    if held and held.alive is not False:
        yield Finding(
            Level.ERROR,
            str(held),
            "two runs would judge each other's work",
            mend=f"wait until it ends, or if it was killed: {command('swarmlab', 'cleanup', *options)}",
        )
        return
    found = leavings.find(patient.nodes, manager, patient.lab.known.registry, held.begun if held else None)
    left = [*map(str, found.leavings), *([f"config {run_lock.LOCK}"] if held else [])]
    if left:
        yield Finding(
            Level.INFO,
            f"a killed run left {few(left)}",
            mend=f"nothing need be done, the next run removes it; now: {command('swarmlab', 'cleanup', *options)}",
        )
    for line in found.missed:
        yield Finding(Level.UNKNOWN, f"not known: {line}", mend="mend what the reason names, and look again")
    if not left and not found.missed:
        yield Finding(Level.OK, "no run is at work there, and none left anything")


def ports(patient: Patient) -> Iterator[Finding]:
    """Whether the ports that the suites may publish are free on every node."""
    wanted = patient.lab.known.ports
    used = list(
        fitness.ports_in_use(wanted, [patient.manager, *(n for n in patient.nodes if n is not patient.manager)])
    )
    for line in used:
        yield Finding(Level.ERROR, line, "no run begins", mend=fitness.other_ports(wanted))
    if not used:
        yield Finding(Level.OK, f"{wanted.start}-{wanted.stop - 1} are free")


def from_here(patient: Patient) -> Iterator[Finding]:
    """Whether this machine reaches the ports that tests send requests to."""
    managers = Swarm(patient.nodes).managers
    for port, nodes, what in (
        (patient.lab.known.ports.start, patient.nodes, "published ports"),
        (MANAGEMENT_PORT, managers, "the port of managers"),
    ):
        answers = parallel(lambda node: fitness.reaches(node.address, port), nodes, at_once=ELSEWHERE)  # noqa: B023
        closed = [node for node, there in zip(nodes, answers, strict=True) if not there]
        if closed:
            risk = "tests that ask there fail" if len(closed) < len(nodes) else "claims that need it are blocked"
            yield Finding(
                Level.INFO if len(closed) == len(nodes) else Level.WARNING,
                f"{what} cannot be reached from this machine (tried {port} of {few(one.address for one in closed)})",
                risk,
                nodes=tuple(node.name for node in closed),
                mend=f"let this machine through to TCP port {port} of {{nodes}}, or run where the nodes are reached",
            )


def registry(patient: Patient) -> Iterator[Finding]:
    """Whether every node can get the images of the suites, and those that were named."""
    known = patient.lab.known.registry
    of_suites = [f"{known}/{name}" for name in recipes.workloads()] if known else []

    def look(node: Node) -> Iterator[Finding]:
        for image in (*of_suites, *patient.images):
            if why := _refusal(node, image):
                said, _, mend = mended(why, known or image).rpartition("; ")
                risk = "no run begins" if image in of_suites else "what uses it fails"
                yield Finding(Level.ERROR, f"cannot get {image}: {shown(said, 200)}", risk, mend=mend)

    if not known:
        yield Finding(Level.OK, "no registry is named: the suites start one on each node's loopback for their images")
    if of_suites or patient.images:
        yield from on_each(patient.nodes, look)


def _refusal(node: Node, image: str) -> str:
    """Return why an engine does not find an image in its registry; empty if it does. Nothing is pulled."""
    try:
        node.ask("GET", f"/distribution/{image}/json")
    except EngineRefused as refused:
        return " ".join(refused.explanation.split()) or "no reason is given"
    except NoAnswer as silent:  # without its name, so that what several nodes say alike is one finding
        return str(silent).replace(f"the engine of {node.name}", "its engine")
    return ""


def memory(patient: Patient) -> Iterator[Finding]:
    """Whether every node has memory left for the suites' services."""

    def look(node: Node) -> Iterator[Finding]:
        told = re.search(r"^MemAvailable: +(\d+) kB$", node.look("cat /proc/meminfo").out, re.MULTILINE)
        if not told:
            raise LabError("its /proc/meminfo does not tell how much memory is available")
        mib = int(told[1]) // 1024
        if mib < _MEMORY:
            risk = f"services of the suites take some 100 MB there; {_MEMORY} MiB should be left"
            yield Finding(Level.WARNING, f"{mib} MiB of memory are available", risk, mend="make room on {nodes}")

    yield from on_each(patient.nodes, look)


def tools(patient: Patient) -> Iterator[Finding]:
    """Whether every node has the commands that tests run there."""
    listed = " ".join([*_NEEDED, *_USED])
    asked = f"PATH=$PATH:/usr/sbin:/sbin; for T in {listed}; do command -v $T >/dev/null || echo $T; done"

    def look(node: Node) -> Iterator[Finding]:
        lacking = node.look(asked).out.split()
        for tool in lacking:
            needed = tool in _NEEDED
            yield Finding(
                Level.ERROR if needed else Level.INFO,
                f"there is no command {tool}",
                f"tests use it for {(_NEEDED | _USED)[tool]}; " + ("they break" if needed else "some are blocked"),
                mend=f"install {tool} on {{nodes}}",
            )

    yield from on_each(patient.nodes, look)


#: The checks of a swarm by name. A new one is a function, and a line here.
CHECKS: Mapping[str, Look[Patient]] = {
    "reach": reach,
    "members": members,
    "rights": rights,
    "engines": engines,
    "other-runs": runs,
    "free-ports": ports,
    "ports-from-here": from_here,
    "suite-images": registry,
    "memory": memory,
    "tools": tools,
}


def look(patient: Patient) -> list[Finding]:
    """Return the findings about a swarm: of all `CHECKS`, and of the checks of preflight that a run hangs on."""
    if not patient.nodes:
        return examine({name: CHECKS[name] for name in ("reach", "members")}, patient)
    looks: list[Callable[[], Iterable[Finding]]] = [lambda: examine(CHECKS, patient), lambda: _shared(patient)]
    return [finding for found in parallel(lambda each: each(), looks) for finding in found]


def _shared(patient: Patient) -> Iterator[Finding]:
    others = dict.fromkeys((name for name in OF_PREFLIGHT if name not in SHARED), "is not of the doctor")
    found = preflight(Swarm(patient.nodes), others, progress=patient.progress)
    # What takes root to look at is not known of these. A run works on them all the same.
    rootless = {node.name for node in patient.nodes if not node.root}
    for finding in (one for one in found if one.check in SHARED):
        blocked = finding.level is Level.UNKNOWN and finding.nodes and rootless.issuperset(finding.nodes)
        yield replace(finding, level=Level.INFO) if blocked else finding
