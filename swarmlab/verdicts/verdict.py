"""The six verdicts of a claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from swarmlab.errors import Blocked, DeadlineExceeded, EngineRefused, TasksRefused


class Verdict(str, Enum):
    """The judgement of a claim, the worst first."""

    FAIL = "fail"  #: The cluster does not do what the claim says.
    BROKEN = "broken"  #: The lab itself failed, so nothing is known about the cluster.
    TIMEOUT = "timeout"  #: The state that the judgement needs was not reached in time.
    BLOCKED = "blocked"  #: The lab lacks what the claim needs.
    WAIVED = "waived"  #: The claim does not hold, and its owner accepts that until a date.
    PASS = "pass"  #: The cluster does what the claim says.

    def __str__(self) -> str:
        """Return the verdict as reports show it."""
        return self.value

    @property
    def bad(self) -> bool:
        """Whether a run with this verdict has failed."""
        return self in (Verdict.FAIL, Verdict.BROKEN, Verdict.TIMEOUT)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of the verdicts, which is that of a claim with several tests.

    Raises:
        ValueError: There is no verdict.

    Example:
        >>> worst([Verdict.PASS, Verdict.BLOCKED])
        <Verdict.BLOCKED: 'blocked'>
    """
    order = list(Verdict)
    return min(verdicts, key=order.index)


def of_exception(error: BaseException, *, judging: bool) -> Verdict:
    """Return the verdict of a test that ended with *error*.

    Args:
        error: The exception.
        judging: Whether the test's own steps raised it. Preparation and clean-up judge nothing: an error there is the
            lab's, and is never held against the cluster; but for `TasksRefused`, which is the cluster's doing.
    """
    if isinstance(error, Blocked):
        return Verdict.BLOCKED
    if isinstance(error, DeadlineExceeded):
        return Verdict.TIMEOUT
    if isinstance(error, TasksRefused):
        return Verdict.FAIL
    if judging and isinstance(error, (AssertionError, EngineRefused)):
        return Verdict.FAIL
    return Verdict.BROKEN


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors of which a group consists, such as those of two clean-ups of a test; any other error itself.

    Source: PEP 654. The oldest Python that works has no name for such a group.
    """
    parts = getattr(error, "exceptions", ())
    if not isinstance(parts, tuple) or not parts:
        yield error
        return
    for part in parts:
        yield from leaves(part)
