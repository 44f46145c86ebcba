"""Statements of Docker's about steps of an upgrade: those that it does not support, or only under conditions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from swarmlab.images.engines import EngineChoice
from swarmlab.versions import Version, parsed


@dataclass(frozen=True)
class _Border:
    """A release that a step cannot pass without a condition.

    Attributes:
        since: the first release with the change.
        says: what Docker says of an upgrade from before it.
        source: where it says so.
    """

    since: Version
    says: str
    source: str


#: The stable release lines.
_STABLE = ("17.06", "17.09", "17.12", "18.03", "18.06", "18.09", "19.03", "20.10", *map(str, range(23, 30)))

_BORDERS = (
    _Border(
        (18, 9),
        "From 18.09 on every node takes an address of every overlay network, in addition to those of tasks. Networks "
        "need room for that before the upgrade, and no new workloads are to be scheduled during it.",
        "docs.docker.com/ee/upgrade",
    ),
    _Border(
        (24, 0),
        "The storage drivers aufs and overlay are gone. A node that uses one of them loses its images and containers.",
        "docs.docker.com/engine/deprecated",
    ),
    _Border(
        (25, 0),
        "The storage driver devicemapper is gone. A node that uses it loses its images and containers.",
        "docs.docker.com/engine/deprecated",
    ),
    _Border(
        (29, 0),
        "Clients of an API older than 1.44 are refused (Docker before 25.0, and many tools).",
        "docs.docker.com/engine/release-notes/29",
    ),
)


def statements(path: Sequence[EngineChoice]) -> Iterator[str]:
    """Yield Docker's statements about the steps of a path, each with its source.

    Args:
        path: the engines in order.
    """
    for before, after in itertools.pairwise(path):
        step = f"{before.version} to {after.version}"
        if skipped := _skipped(before.numbers, after.numbers):
            yield (
                f"{step}: not supported by any statement of Docker's, which documents no upgrade of a swarm over "
                f"several release lines; this step skips {', '.join(skipped)} (docker/docs#11403)."
            )
        for border in _BORDERS:
            if before.numbers < border.since <= after.numbers:
                yield f"{step}: {border.says} ({border.source})"
    if len({_place(choice.numbers) for choice in path}) > 1:
        yield (
            "While managers and workers have different release lines, scheduling new workloads can have unintended "
            "consequences (docs.docker.com/ee/upgrade)."
        )


def _skipped(before: Version, after: Version) -> list[str]:
    """Return the stable lines between those of two versions."""
    first, last = _place(before), _place(after)
    return list(_STABLE[first + 1 : last])


def _place(version: Version) -> int:
    """Return the place of a version's line among the stable ones."""
    return max((place for place, line in enumerate(_STABLE) if parsed(line) <= version), default=0)
