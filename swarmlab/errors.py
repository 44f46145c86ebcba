"""The errors of swarmlab: one class for each meaning.

A message is one line that names the thing and, where possible, how to mend it.
"""


class SwarmlabError(Exception):
    """Base class of every error that swarmlab raises on purpose."""


class UsageError(SwarmlabError):
    """The user gave a wrong value: an option, a file, the name of a node."""


class Forbidden(UsageError):
    """This user may not reach the engine of this machine.

    Attributes:
        what: that, without the ways out.
        ways: the ways out, as one sentence.
    """

    def __init__(self, what: str, ways: str) -> None:
        super().__init__(f"{what}: {ways}")
        self.what = what
        self.ways = ways


class LabError(SwarmlabError):
    """The lab failed, so nothing can be said about the cluster (verdict *broken*)."""


class LabEnded(LabError):
    """The lab itself has ended: this test is *broken*, no further test can be judged on the lab, and the run ends."""


class NoAnswer(LabError):
    """An engine does not answer: it has ended, its machine is off or frozen, or the network to it is closed.

    It counts as a failure of the lab. A test whose claim is that engines answer catches it.
    """


class NotSetUp(LabError):
    """A machine could not be set up anew, so nothing can be said of the engine that it was to get."""


class Overdue(LabError):
    """A command on a node did not end in the time that it was given (see `swarmlab.cluster.deadline`).

    Attributes:
        printed: what it had printed by then.
    """

    def __init__(self, message: str, printed: str = "") -> None:
        super().__init__(message)
        self.printed = printed


class DeadlineExceeded(SwarmlabError):
    """A precondition of a judgement was not met in time (verdict *timeout*)."""


class TasksRefused(AssertionError):
    """An engine refuses tasks for good. That is the cluster's doing, wherever a test finds it (verdict *fail*)."""


class Blocked(SwarmlabError):
    """The lab lacks what a judgement needs (verdict *blocked*); the message is the reason."""


class EngineRefused(SwarmlabError):
    """An engine answered a request with an error. That is the cluster's doing, so it is judged (verdict *fail*).

    Attributes:
        node: host name of the engine's node.
        status: HTTP status of the answer, or exit code of the command.
        explanation: the engine's error message.
    """

    def __init__(self, node: str, status: int | None, explanation: str) -> None:
        super().__init__(f"the engine of {node} refused ({status}): {explanation}")
        self.node = node
        self.status = status
        self.explanation = explanation
