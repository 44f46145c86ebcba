"""The six verdicts of a claim."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from swarmlab.errors import Blocked, DeadlineExceeded, EngineRefused


class Verdict(str, Enum):
    """What is said of a claim, the one that matters most first."""

    FAIL = "fail"  #: the cluster does not do what the claim says
    BROKEN = "broken"  #: the lab itself failed: nothing is known of the cluster
    TIMEOUT = "timeout"  #: what the judgement needs did not come about in time
    BLOCKED = "blocked"  #: the lab lacks what the claim needs
    WAIVED = "waived"  #: not so, and its owner has accepted that until a date
    PASS = "pass"  #: the cluster does what the claim says

    def __str__(self) -> str:
        return self.value

    @property
    def bad(self) -> bool:
        """Whether a run with this verdict has failed."""
        return self in (Verdict.FAIL, Verdict.BROKEN, Verdict.TIMEOUT)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a claim with several tests: the one that matters most.

    Raises:
        ValueError: there is none.
    """
    order = list(Verdict)
    return min(verdicts, key=order.index)


def of_exception(error: BaseException, *, judging: bool) -> Verdict:
    """The verdict of a test that ended with *error*.

    Args:
        error: what was raised.
        judging: the test's own steps raised it. In its preparation and clean-up nothing is judged: what goes wrong
            there is the lab's, and never held against the cluster.
    """
    if isinstance(error, Blocked):
        return Verdict.BLOCKED
    if isinstance(error, DeadlineExceeded):
        return Verdict.TIMEOUT
    if judging and isinstance(error, (AssertionError, EngineRefused)):
        return Verdict.FAIL
    return Verdict.BROKEN
