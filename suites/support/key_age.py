"""When a swarm's unlock key was changed, as far as that can be known.

No manager notes the time. Each notes on its disk the index of the managers' log at which it took the key, and every
object of the swarm has the index and the time of its last change. So objects of lower index tell a time before which
the key cannot have been taken, and objects of higher index one after which it was not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from suites.support.certificates import HOUR, now
from suites.support.locking import key_version
from swarmlab.cluster import pki
from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.swarm import Swarm

_DAY = 86400.0


@dataclass(frozen=True)
class Moment:
    """A time of the swarm.

    Attributes:
        at: the time, as the API has it (RFC 3339).
    """

    at: str

    @property
    def age(self) -> float:
        """Days since then."""
        return (now().timestamp() - seconds_of(self.at)) / _DAY

    def __str__(self) -> str:
        return self.at.partition(".")[0].replace("T", " ")


def changed_between(cluster: Swarm) -> tuple[Moment, Moment]:
    """Return the earliest and the latest time at which the unlock key of *cluster* may have been changed last.

    A manager that comes after the change notes the index that it found, and one whose certificate is renewed the index
    of then, of the same key. So the lowest index counts, and what was before it only where several managers note it
    whose certificates are older: one alone may have come later.

    Source:
        swarmkit, node/node.go and ca/config.go: the key goes to a manager with each certificate.
    """
    made = Moment(cluster.manager.ask("GET", "/swarm")["CreatedAt"])
    versions = {node: key_version(node) for node in cluster.managers}
    lowest = min(versions.values())
    changes = sorted(_changes(cluster))
    after = [at for index, at in changes if index >= lowest]
    last = Moment(min(after, key=seconds_of)) if after else Moment(now().isoformat())
    before = max((at for index, at in changes if index < lowest), key=seconds_of, default=made.at)
    issued = [pki.certificate_of(node).not_valid_before_utc + HOUR for node, at in versions.items() if at == lowest]
    known = len([at for at in issued if at.timestamp() < seconds_of(before)]) > 1
    return Moment(max(made.at, before, key=seconds_of)) if known else made, last


def _changes(cluster: Swarm) -> Iterator[tuple[int, str]]:
    """Yield index and time of the last change of each object of the swarm."""
    manager = cluster.manager
    for kind in ("nodes", "services", "tasks", "configs", "secrets"):
        for entry in manager.ask("GET", f"/{kind}"):
            yield entry["Version"]["Index"], entry["UpdatedAt"]
