"""What tasks may do, as measured inside them (see `swarmlab.rehearsal.inside`), and how it changed with an upgrade."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: What was measured in a task: texts by group and name.
Facts = Mapping[str, Mapping[str, str]]
#: What was measured in a task of every node, by host name, and that by stage of the rehearsal.
ByNode = Mapping[str, Facts]
Stages = Mapping[str, ByNode]
#: The groups by the claim that judges them.
GROUPS = {
    "upgrade/task-limits": "limits",
    "upgrade/task-rights": "rights",
    "upgrade/task-names": "names",
    "upgrade/task-mounts": "mounts",
}
#: The stages of the first measurement, and of the one after every engine was restarted as it is.
BEFORE, RESTARTED = "before", "restarted"
#: Value of a system call that is not refused.
_ALLOWED = "allowed"
#: From this many words on, a list is shown as words added and removed.
_LONG = 5


@dataclass(frozen=True)
class Change:
    """A fact that is another one than before the first step.

    Attributes:
        what: Name of the fact.
        before: What was measured before the first step.
        after: What was measured after a step.
        nodes: Host names of the nodes where it changed so.
        restart: Whether a plain restart of the engines changed it as well.
    """

    what: str
    before: str
    after: str
    nodes: tuple[str, ...]
    restart: bool = False

    def __str__(self) -> str:
        """Return the change in words: what, before, after, and on which nodes."""
        also = " (after a plain restart of the engine as well)" if self.restart else ""
        return f"{self.what}: {self.figures()} on {', '.join(self.nodes)}{also}"

    def figures(self) -> str:
        """Return the figures before and after."""
        was, now = self.before.split(), self.after.split()
        if min(len(was), len(now)) >= _LONG:
            gone = [word for word in was if word not in now]
            came = [word for word in now if word not in was]
            parts = [f"{kind} {' '.join(words)}" for kind, words in (("without", gone), ("with", came)) if words]
            return f"{' and '.join(parts) or 'in another order'} (of {len(was)} before, {len(now)} after)"
        return f"{self.before} before, {self.after} after"


def changes(stages: Stages, group: str) -> list[Change]:
    """Return each change of a group of facts since the first measurement, with all nodes where it was found.

    What is allowed now, and was not before, comes last.
    """
    before, restarted = stages.get(BEFORE, {}), stages.get(RESTARTED, {})
    found: dict[tuple[str, str, str], dict[str, bool]] = {}
    for stage, nodes in stages.items():
        if stage in (BEFORE, RESTARTED):
            continue
        for node, facts in nodes.items():
            if node not in before:
                continue
            was, now = before[node].get(group, {}), facts.get(group, {})
            for what in dict.fromkeys([*was, *now]):
                pair = was.get(what, "none"), now.get(what, "none")
                if pair[0] != pair[1]:
                    again = restarted.get(node, {}).get(group, {})
                    same = bool(again) and again.get(what, "none") == pair[1]
                    found.setdefault((what, *pair), {})[node] = same
    changes = [
        Change(what, was, now, tuple(where), restart=all(where.values())) for (what, was, now), where in found.items()
    ]
    return sorted(changes, key=lambda change: change.after == _ALLOWED)


def unmeasured(stages: Stages, nodes: Iterable[str]) -> list[str]:
    """Return a line for each node and stage at which nothing was measured."""
    wanted = list(nodes)
    return [
        f"{node} at stage {stage}" for stage, measured in stages.items() for node in wanted if not measured.get(node)
    ]
