"""The check of known defects: those that claims/defects.yaml lists for the releases of a cluster's engines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from swarmlab.cluster.node import DATA_PORT
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import ASK_A_MANAGER, NodeView, Sight, by_node
from swarmlab.preflight.networks import with_host_bits
from swarmlab.verdicts.defects import Defect, Span, defects, mend
from swarmlab.versions import parsed


def _span(view: NodeView, defect: Defect) -> Span | None:
    return defect.span(str(view.version.get("Version", "")), view.runc)


def _older_manager(sight: Sight, view: NodeView, defect: Defect) -> bool:
    managers, span = [other for other in sight.nodes if other.manages], _span(view, defect)
    return view.manages and any(span and other.release < parsed(span.first) for other in managers if other.release)


def _without_it(sight: Sight, _: NodeView, defect: Defect) -> bool:
    return any(other.release and not _span(other, defect) for other in sight.nodes)


def _member_of_28(sight: Sight, view: NodeView, _: Defect) -> bool:
    return view.manages and any(other.release >= parsed("28.0") for other in sight.nodes if other.release)


def _preferences(sight: Sight, *_: object) -> bool:
    return any(
        (service["Spec"].get("TaskTemplate", {}).get("Placement") or {}).get("Preferences")
        for service in sight.services
    )


def _single_manager(sight: Sight, view: NodeView, _: Defect) -> bool:
    return view.manages and sum(member["Spec"]["Role"] == "manager" for member in sight.members) == 1


#: What a cluster must have besides to be affected by a defect, by the word in claims/defects.yaml: whether a node has
#: it, given the defect, which its engine has.
CONDITIONS: Mapping[str, Callable[[Sight, NodeView, Defect], bool]] = {
    "authorization-plugin": lambda _, view, __: bool((view.info.get("Plugins") or {}).get("Authorization")),
    "debug": lambda _, view, __: bool(view.info.get("Debug")),
    "host-bits-subnet": lambda sight, _, __: bool(with_host_bits(sight)),
    "encrypted-network": lambda sight, _, __: bool(sight.encrypted),
    "member-of-28": _member_of_28,
    "node-without-it": _without_it,
    "older-manager": _older_manager,
    "other-data-port": lambda sight, _, __: sight.data_port != DATA_PORT,
    "placement-preference": _preferences,
    "single-manager": _single_manager,
}
#: The conditions of which a manager tells.
_TOLD_BY_MANAGERS = {
    "encrypted-network",
    "host-bits-subnet",
    "other-data-port",
    "placement-preference",
    "single-manager",
}


@by_node
def known(sight: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine's version has known defects."""
    view.swarm  # noqa: B018 - raises if the engine does not answer
    engine, runc, unjudged = str(view.version.get("Version", "")), view.runc, []
    for defect in defects():
        span = _span(view, defect)
        if span is None:
            continue
        if not sight.asked and _TOLD_BY_MANAGERS.intersection(defect.where):
            unjudged.append(defect.incident)
            continue
        if not all(CONDITIONS[name](sight, view, defect) for name in defect.where):
            continue
        program, version = ("runc", runc) if span in defect.runc else ("engine", engine)
        newer = defect.mend or (f"upgrade {program} to {span.mended} or later" if span.mended else mend(span.mended))
        level = Level(defect.level)
        if span.mended and of_distribution(version):
            newer += "; a distribution may have mended it in its package under the older number"
            if not defect.where:  # the number alone says little then
                level = Level.INFO
        risk = "what meets it fails on these nodes"
        yield Finding(level, f"{program} {version}: {defect.effect}", risk, defect.incident, mend=newer)
    if unjudged:
        raise Unknown(
            f"{sight.unasked}: it is not known whether these concern the swarm: {', '.join(unjudged)}", ASK_A_MANAGER
        )


def of_distribution(version: str) -> bool:
    """Whether a version is of a distribution's package, such as "20.10.24+dfsg1", and not of a release itself."""
    return re.search(r"\d(\+|~|-\d)", version) is not None
