"""Clocks: how far those of the nodes are apart, as far as that can be told from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from swarmlab.errors import LabError

#: Seconds that clocks may be apart before it is worth a word.
AGREED = 5.0
#: A swarm's root certificate is dated back by five minutes: to a node whose clock is behind that it is not valid yet.
BACKDATED = 300.0


@dataclass(frozen=True)
class Clock:
    """A node's clock, compared to that of the machine where the suite runs.

    Attributes:
        offset: seconds by which it is ahead; behind, where negative.
        within: seconds by which that may be wrong, as the answer was under way for some time.
    """

    offset: float
    within: float

    def __str__(self) -> str:
        return f"{round(self.offset, 1) + 0.0:+.1f} s (within {self.within:.1f} s)"  # no "-0.0"


def astray(clocks: Mapping[str, Clock]) -> dict[str, float]:
    """By name, the seconds by which clocks surely are more than `AGREED` away from the middle one of all.

    With three or more nodes that names the ones that are wrong, also where it is the suite's own machine that is; of
    two nodes that differ it names both.
    """
    if not clocks:
        return {}
    middle = median(clock.offset for clock in clocks.values())
    doubt = max(clock.within for clock in clocks.values())
    apart = {name: clock.offset - middle for name, clock in clocks.items()}
    return {name: seconds for name, seconds in apart.items() if abs(seconds) > AGREED + 2 * doubt}


def seconds_of(time: str) -> float:
    """Seconds since 1970 of a time as engines write it (RFC 3339); Python 3.10 reads neither Z nor nine digits.

    Raises:
        LabError: it is none.
    """
    found = re.fullmatch(r"(\S{10}T\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", time)
    if not found:
        raise LabError(f"an engine tells its time as {time!r}")
    zone = found[3].replace("Z", "+00:00")
    return datetime.fromisoformat(found[1] + zone).timestamp() + float(found[2] or 0)
