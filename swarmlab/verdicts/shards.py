"""Shards: the parts of a run that is split over machines, so that each test is in exactly one part.

Every machine computes the split for itself. It depends on nothing but the tests that were selected and their seconds,
and both go into a digest by which `swarmlab.verdicts.merge` knows parts of one split.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.verdicts.seconds import Seconds

#: Most parts of a run.
MOST = 100


@dataclass(frozen=True)
class Shard:
    """A part of a run.

    Attributes:
        number: Which part, from 1.
        of: How many parts there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        """Return it as the option has it."""
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str) -> Shard:
        """Return the shard that an option names.

        Raises:
            UsageError: It names none.

        Example:
            >>> Shard.read("2/4")
            Shard(number=2, of=4)
        """
        found = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of <= MOST:
            raise UsageError(
                f"{shown(text, 60)} is no part of a run: write K/N, such as 2/4, K from 1 to N, N to {MOST}"
            )
        return cls(number, of)


def split(tests: Iterable[str], seconds: Seconds, parts: int) -> list[list[str]]:
    """Return the tests of each part, so that all parts take about as long.

    The longest test that is left goes to the part that has least so far.

    Args:
        tests: Node ids, in any order.
        seconds: The seconds of tests.
        parts: How many parts.

    Example:
        >>> split(["a", "b", "c"], Seconds({"a": 9, "b": 5, "c": 3}), 2)
        [['a'], ['b', 'c']]
    """
    made: list[list[str]] = [[] for _ in range(parts)]
    # Of parts with the same seconds the one with fewer tests is next: tests of no seconds spread, too.
    heap = [(0.0, 0, part) for part in range(parts)]
    for test in sorted(tests, key=lambda test: (-seconds.of(test), test)):
        so_far, count, part = heapq.heappop(heap)
        made[part].append(test)
        heapq.heappush(heap, (so_far + seconds.of(test), count + 1, part))
    return made


def digest(tests: Iterable[str], seconds: Seconds) -> str:
    """Return what is the same for all parts of one split, and differs if tests or seconds do.

    Args:
        tests: Node ids of all tests that are split.
        seconds: The seconds of tests.
    """
    content = json.dumps([[test, seconds.of(test)] for test in sorted(tests)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]
