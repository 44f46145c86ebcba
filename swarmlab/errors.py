"""The errors of swarmlab, one class a meaning.

A message is one line that names the thing and, where there is one, the mend.
"""


class SwarmlabError(Exception):
    """Anything that swarmlab reports on purpose."""


class UsageError(SwarmlabError):
    """The user asked for something that does not exist or cannot be: an option value, a file, a node name."""


class LabError(SwarmlabError):
    """The lab itself failed, so nothing can be said of the cluster (verdict *broken*)."""


class NoAnswer(LabError):
    """An engine gave no answer at all: it ended, its machine is off or frozen, or the way to it is closed.

    On the way to a judgement that is the lab's failure. A test that judges whether engines answer catches it.
    """


class DeadlineExceeded(SwarmlabError):
    """A precondition of a judgement did not come about in time (verdict *timeout*)."""


class Blocked(SwarmlabError):
    """The lab lacks what a judgement needs (verdict *blocked*); the message is the reason."""


class EngineRefused(SwarmlabError):
    """An engine answered a request with an error: no fault of the lab, so part of what is judged.

    Attributes:
        node: name of the node whose engine was asked.
        status: HTTP status of the answer, or exit code of the command.
        explanation: the engine's own words.
    """

    def __init__(self, node: str, status: int | None, explanation: str) -> None:
        super().__init__(f"the engine of {node} refused ({status}): {explanation}")
        self.node = node
        self.status = status
        self.explanation = explanation
