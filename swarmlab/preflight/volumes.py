"""The check of volumes: whether a volume is the same on the nodes where tasks of one service use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import NodeView, Sight, by_managers

#: The driver of a volume for which none is named.
_DEFAULT = "local"
#: Options that say what kind of volume it is. Of the others, owners may give each node its own value.
_KIND = ("type",)
_RISK = (
    "an engine keeps a volume as it was first made, whatever a service asks for later: tasks there read and write "
    "other data than the file of the stack says, and nothing fails"
)
_BY_NODE = "a task that moves to another node finds a volume of another kind there, and perhaps none of its data"


@dataclass(frozen=True)
class Made:
    """How a volume was made.

    Attributes:
        driver: the name of its driver.
        options: the driver's options.
    """

    driver: str
    options: Mapping[str, str]

    @classmethod
    def of(cls, driver: str | None, options: Mapping[str, str] | None) -> Made:
        """Return what the API tells, of a volume or of what a service asks for."""
        return cls((driver or _DEFAULT).removesuffix(":latest"), {str(k): str(v) for k, v in (options or {}).items()})

    def differences(self, other: Made) -> list[str]:
        """Return what differs: words that hold no value of an option, as that may be a password."""
        driver = [f"the driver is {self.driver}, not {other.driver}"] if self.driver != other.driver else []
        return driver + [f"option {key}" for key in self.differing(other)]

    def differing(self, other: Made) -> list[str]:
        """Return the names of the options that differ. A template has another value for each task."""
        keys = sorted({*self.options, *other.options})
        pairs = {key: (self.options.get(key), other.options.get(key)) for key in keys}
        return [key for key, (one, two) in pairs.items() if one != two and not (one and two and "{{" in one + two)]

    def alike(self, other: Made) -> bool:
        """Whether both are of one kind: the same driver, and options of the same names."""
        kinds = [(made.driver, set(made.options), [made.options.get(key) for key in _KIND]) for made in (self, other)]
        return kinds[0] == kinds[1]


@dataclass(frozen=True)
class Use:
    """A volume that a service mounts by name.

    Attributes:
        volume: its name.
        service: the name of the service.
        asked: how the service asks for it to be made; None if it takes it as it is.
        nodes: ids of the nodes with tasks of the service.
        bound: whether the service may run on some nodes only.
    """

    volume: str
    service: str
    asked: Made | None
    nodes: frozenset[str]
    bound: bool


@by_managers
def differing(sight: Sight) -> Iterator[Finding]:
    """Whether volumes that services mount differ from node to node, or from what the service asks for."""
    uses = list(_uses(sight))
    told = False
    for use in uses:
        held: list[tuple[NodeView, Made]] = []
        for view in _places(sight, use):
            if view.volumes is None:
                told = True
                why = f"its volumes could not be listed: {view.silent or 'no answer'}"
                yield Finding(Level.UNKNOWN, why, nodes=(view.name,), mend=f"docker volume ls, on {view.name}")
                continue
            for volume in view.volumes:
                if volume["Name"] == use.volume:
                    held.append((view, Made.of(volume.get("Driver"), volume.get("Options"))))
        for finding in (*_not_as_asked(use, held), *_by_node(use, held)):
            told = True
            yield finding
    if not told:
        yield Finding(Level.OK, f"none of {len({use.volume for use in uses})} that services mount by name")


def _uses(sight: Sight) -> Iterator[Use]:
    """Return the volumes that services mount by name."""
    for service in sight.services:
        spec = service["Spec"]
        template = spec.get("TaskTemplate") or {}
        mounts = (template.get("ContainerSpec") or {}).get("Mounts") or []
        nodes = frozenset(
            task["NodeID"]
            for task in sight.tasks
            if task.get("ServiceID") == service["ID"] and task.get("NodeID") and task["Status"]["State"] not in ENDED
        )
        for mount in mounts:
            name = mount.get("Source") or ""
            if mount.get("Type") != "volume" or not name or "{{" in name:  # each task may have one of its own
                continue
            config = (mount.get("VolumeOptions") or {}).get("DriverConfig") or {}
            asks = bool(config.get("Name") or config.get("Options"))
            asked = Made.of(config.get("Name"), config.get("Options")) if asks else None
            bound = bool((template.get("Placement") or {}).get("Constraints"))
            yield Use(name, spec["Name"], asked, nodes, bound)


def _places(sight: Sight, use: Use) -> list[NodeView]:
    """Return the nodes on which the service may use its volume."""
    known = {view.info["Swarm"]["NodeID"]: view for view in sight.nodes if view.info}
    return [view for id, view in known.items() if id in use.nodes or not use.bound]


def _not_as_asked(use: Use, held: Sequence[tuple[NodeView, Made]]) -> Iterator[Finding]:
    """Yield a finding for the nodes that have the volume otherwise than the service asks for."""
    if not use.asked:
        return
    for view, made in held:
        if what := made.differences(use.asked):
            summary = f"volume {use.volume} is not made as {use.service} asks for: {', '.join(what)}"
            yield Finding(Level.WARNING, summary, _RISK, nodes=(view.name,), mend=_mend(use))


def _by_node(use: Use, held: Sequence[tuple[NodeView, Made]]) -> Iterator[Finding]:
    """Yield findings where the nodes' volumes differ, as far as what the service asks for does not tell."""
    if use.asked or len(held) < 2:
        return
    groups: list[tuple[Made, list[str]]] = []
    for view, made in held:
        same = next((names for other, names in groups if other == made), None)
        if same is None:
            groups.append((made, same := []))
        same.append(view.name)
    (usual, most), *others = sorted(groups, key=lambda group: -len(group[1]))
    for made, names in others:
        what = ", ".join(made.differences(usual))
        summary = f"volume {use.volume} of {use.service} differs from that on {few(most)}: {what}"
        level = Level.INFO if made.alike(usual) else Level.WARNING
        yield Finding(level, summary, _BY_NODE, nodes=tuple(names), mend=_mend(use))


def _mend(use: Use) -> str:
    return (
        f"save its data; docker service scale {use.service}=0 (a global service: docker service rm {use.service}); "
        f"on each of these nodes docker volume rm {use.volume}; deploy again. Or give the volume a new name in the file"
    )
