"""Clocks of nodes: how far they are apart, as far as that can be measured from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from swarmlab.errors import LabError

#: Seconds that clocks may be apart before it is reported.
AGREED = 5.0
#: Seconds by which a swarm's root certificate is dated back. A node whose clock is further behind refuses it as not
#: valid yet.
BACKDATED = 300.0


@dataclass(frozen=True)
class Clock:
    """A node's clock, compared to the clock of the suite's machine.

    Attributes:
        offset: seconds by which it is ahead; negative if it is behind.
        within: seconds by which the offset may be wrong, as the answer took time.
    """

    offset: float
    within: float

    def __str__(self) -> str:
        return f"{round(self.offset, 1) + 0.0:+.1f} s (within {self.within:.1f} s)"  # no "-0.0"


def astray(clocks: Mapping[str, Clock]) -> dict[str, float]:
    """Return the clocks that are certainly more than `AGREED` away from the median of all: seconds by name.

    With three or more nodes these are the wrong clocks, also if the clock of the suite's machine is wrong. With two
    nodes that differ, both are returned.
    """
    if not clocks:
        return {}
    middle = median(clock.offset for clock in clocks.values())
    doubt = max(clock.within for clock in clocks.values())
    apart = {name: clock.offset - middle for name, clock in clocks.items()}
    return {name: seconds for name, seconds in apart.items() if abs(seconds) > AGREED + 2 * doubt}


def seconds_of(time: str) -> float:
    """Return a time as engines write it (RFC 3339) in seconds since 1970.

    Python 3.10's own parser takes neither "Z" nor nine digits of a second.

    Raises:
        LabError: *time* is not a time.
    """
    found = re.fullmatch(r"(\S{10}T\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", time)
    if not found:
        raise LabError(f"an engine's time is not in RFC 3339: {time!r}")
    zone = found[3].replace("Z", "+00:00")
    return datetime.fromisoformat(found[1] + zone).timestamp() + float(found[2] or 0)
