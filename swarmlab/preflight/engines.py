"""Checks of engines: versions and their known defects, the API, sockets that are open to everybody, and clocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from swarmlab.cluster.clocks import BACKDATED, Clock, astray
from swarmlab.cluster.node import DATA_PORT
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import NodeView, Sight, by_node
from swarmlab.versions import Version, parsed


@dataclass(frozen=True)
class Defect:
    """A known defect of engines.

    Attributes:
        incident: its issue or advisory.
        effect: what does not work.
        spans: the releases that have it, as pairs: the first release, and the release that mends it (() if none does).
        encrypted: whether only clusters with encrypted overlay networks are affected.
        other_port: whether only clusters whose data path port is not 4789 are affected.
    """

    incident: str
    effect: str
    spans: tuple[tuple[Version, Version], ...]
    encrypted: bool = False
    other_port: bool = False

    def met_by(self, version: Version) -> bool:
        """Whether engines of this version have the defect."""
        return any(first <= version and (not mended or version < mended) for first, mended in self.spans)


DEFECTS = (
    Defect(
        "CVE-2023-28840, CVE-2023-28841, CVE-2023-28842",
        "encrypted overlay networks may pass data in the clear",
        (((1, 12), (20, 10, 24)), ((23, 0, 0), (23, 0, 3))),
        encrypted=True,
    ),
    Defect(
        "moby#45635",
        "encrypted overlay networks pass nothing where the data path port is not 4789",
        (((19, 3), (23, 0, 7)), ((24, 0, 0), (24, 0, 3))),
        encrypted=True,
        other_port=True,
    ),
    Defect(
        "moby#51798",
        "encrypted overlay networks pass nothing between these engines and older or newer ones",
        (((25, 0, 13), (25, 0, 15)), ((29, 0, 0), (29, 2, 1))),
        encrypted=True,
    ),
    Defect(
        "moby#53141", "names of services vanish on other nodes after a short loss of the network", (((28, 3, 3), ()),)
    ),
    Defect("moby#52661", "stale addresses of endpoints after many updates: some requests fail", (((28, 2), ()),)),
    Defect("moby#50129", "services are not found by name after an update", (((28, 2, 0), (28, 3, 0)),)),
    Defect(
        "moby#51651",
        "connections through the mesh are cut when a task stops, whatever its grace period",
        (((25, 0, 13), (25, 0, 15)), ((29, 0, 0), (29, 1, 5))),
    ),
    Defect("moby#49538", "published ports are dead after an engine's restart", (((28, 0, 0), (28, 0, 1)),)),
    Defect("moby#48069", "two overlay networks get the same subnet", (((27, 0, 0), (27, 0, 3)),)),
    Defect(
        "moby#34384",
        "a manager that is promoted right after a demotion may stay without a leader",
        (((17, 6), (23, 0, 13)), ((24, 0, 0), (25, 0, 6)), ((26, 0, 0), (26, 1, 4))),
    ),
    Defect(
        "moby commit 898a7d799e",
        "a task is refused for a registry's 401 though the image is there",
        (((29, 6, 0), (29, 7, 0)),),
    ),
)


def answers(sight: Sight) -> Iterator[Finding]:
    """Whether every engine answers."""
    for view in sight.nodes:
        if view.silent:
            mend = "nothing else is known about the node; start its engine, or mend the network to it"
            yield Finding(Level.ERROR, view.silent, mend, nodes=(view.name,))


def versions(sight: Sight) -> Iterator[Finding]:
    """Whether all engines have the same version."""
    by_version: dict[str, list[str]] = {}
    for view in sight.nodes:
        if view.version:
            by_version.setdefault(view.version["Version"], []).append(view.name)
    summary = "; ".join(f"{version} on {', '.join(names)}" for version, names in by_version.items())
    if len(by_version) < 2:
        yield Finding(Level.OK, summary or "no engine answered")
        return
    managers = {view.name for view in sight.nodes if view.info.get("Swarm", {}).get("ControlAvailable")}
    of_managers = {parsed(version) for version, names in by_version.items() if managers.intersection(names)}
    newest = max(map(parsed, by_version))
    risk = "several versions are meant for the hours of an upgrade: each pair of versions has defects of its own"
    if of_managers and max(of_managers) < newest:
        risk += "; upgrade managers before workers"
    yield Finding(Level.WARNING, summary, f"{risk}; upgrade all engines to one version", "moby#51798, docker/cli#2875")


def api_versions(sight: Sight) -> Iterator[Finding]:
    """Which versions of the API the engines support."""
    spoken = {
        view.name: (parsed(view.version["ApiVersion"]), parsed(view.version.get("MinAPIVersion", "1.12")))
        for view in sight.nodes
        if view.version
    }
    if not spoken:
        yield Finding(Level.UNKNOWN, "no engine answered")
        return
    newest = min(most for most, _ in spoken.values())
    oldest = max(least for _, least in spoken.values())
    summary = f"all support {'.'.join(map(str, oldest))} to {'.'.join(map(str, newest))}"
    if oldest > newest:
        risk = "no client works with all of them; upgrade all engines to one version"
        yield Finding(Level.ERROR, "no version of the API is spoken by all engines", risk, "traefik#12253")
    elif oldest >= (1, 40):
        risk = "they refuse older clients (proxies, dashboards, CI); check the clients of these engines"
        yield Finding(Level.INFO, summary, risk, "traefik#12253, portainer#12934")
    else:
        yield Finding(Level.OK, summary)


@by_node
def defects(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine's version has known defects."""
    view.swarm  # noqa: B018 - raises if the engine does not answer
    version = parsed(view.version["Version"])
    for defect in DEFECTS:
        if (defect.encrypted and not sight.encrypted) or (defect.other_port and sight.data_port == DATA_PORT):
            continue
        if defect.met_by(version):
            level = Level.WARNING if defect.encrypted else Level.INFO
            mended = [after for first, after in defect.spans if after and version < after]
            newer = f"mended in {'.'.join(map(str, mended[0]))}" if mended else "no known release mends it"
            yield Finding(level, f"engine {view.version['Version']}: {defect.effect}", newer, defect.incident)


@by_node
def sockets(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine's API is open to everybody, according to the engine's own warnings."""
    view.swarm  # noqa: B018
    for warning in view.info.get("Warnings") or []:
        if found := re.search(r"API is accessible on (\S+) without ([\w ]+)", warning):
            risk = (
                "everybody who reaches that address is root on the node; "
                "remove it, or require client certificates (tlsverify)"
            )
            yield Finding(Level.ERROR, f"its API is open on {found[1].rstrip('.')} without {found[2].strip()}", risk)


def clocks(sight: Sight) -> Iterator[Finding]:
    """Whether the clocks of the nodes agree."""
    read = {view.name: view.clock for view in sight.nodes if view.clock}
    yield agreement(read)


def agreement(read: Mapping[str, Clock]) -> Finding:
    """Return whether these clocks agree; if not, the finding names the nodes whose clocks are wrong."""
    wrong = astray(read)
    if not wrong:
        return Finding(Level.OK, ", ".join(f"{name} {clock}" for name, clock in read.items()))
    late = any(abs(seconds) > BACKDATED for seconds in wrong.values())
    summary = ", ".join(
        f"{name} is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}" for name, seconds in wrong.items()
    )
    mend = "set the clock (ntpd, chronyd): times and ages of tasks are wrong, and a node that is far behind cannot join"
    return Finding(Level.ERROR if late else Level.WARNING, summary, mend, nodes=tuple(wrong))
