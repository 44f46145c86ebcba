"""What the suites of this chapter say of answers."""

from collections import Counter


def spread_of_answers(ask, *, times):
    """How often each container answered *times* requests; what was no success is counted under its own words."""
    return Counter(answer.container if answer.ok else str(answer) for answer in (ask() for _ in range(times)))
