"""The processes of a node that somebody has stopped (SIGSTOP): they live, and do nothing until they are continued."""

from __future__ import annotations

from dataclasses import dataclass

from swarmlab.preflight.finding import Unknown
from swarmlab.preflight.model import NodeView

#: Of each such process: its number, how many process namespaces it is in (0 if the kernel does not tell), its name and
#: its parent's, and the ids of containers in its control groups and its command line.
QUESTION = (
    "for F in $(grep -lsE '^State:[[:space:]]+T' /proc/[0-9]*/status | head -n 50); do D=${F%/*}; "
    "P=$(sed -n 's/^PPid:[[:space:]]*//p' $F); echo ${D##*/} $(sed -n 's/^NSpid://p' $F | wc -w) "
    "$(tr ' ' _ < $D/comm) $(tr ' ' _ < /proc/$P/comm) "
    "$(cat $D/cgroup $D/cmdline | tr '\\0' '\\n' | grep -oE '[0-9a-f]{64}' | sort -u); done 2>/dev/null; true"
)
#: The names of programs, of which the kernel keeps 15 letters: those of engines before 18.09 begin with docker-.
_ENGINE, _CONTAINERD, _OLD, _SHIM = "dockerd", "containerd", "docker-containe", "containerd-shim"
_INIT = ("docker-init", "tini")


@dataclass(frozen=True)
class Stopped:
    """A stopped process.

    Attributes:
        number: its number.
        program: its name.
        parent: the name of its parent.
        within: whether it is in a process namespace of its own, as containers are.
        containers: ids of containers that it may belong to.
    """

    number: int
    program: str
    parent: str
    within: bool
    containers: frozenset[str]

    @property
    def engine(self) -> bool:
        """Whether it is the engine, or the containerd that the engine uses."""
        old = self.program == _OLD and self.parent == _ENGINE
        return not self.within and (self.program in (_ENGINE, _CONTAINERD) or old)

    @property
    def holds(self) -> bool:
        """Whether it holds up a container: its main process, or the one that watches over it."""
        watches = self.program in (_SHIM, _OLD) and not self.engine
        return watches or self.parent in (_SHIM, _OLD, *_INIT)


def stopped(view: NodeView) -> list[Stopped]:
    """Return the stopped processes of a node.

    Raises:
        Unknown: the node's command failed.
    """
    lines = [line.split() for line in view.read("stopped").splitlines()]
    return [
        Stopped(int(words[0]), words[2], words[3], int(words[1]) > 1, frozenset(words[4:]))
        for words in lines
        if len(words) > 3
    ]


def holding(view: NodeView, container: str) -> Stopped | None:
    """Return the stopped process that holds up a container, by the container's id; None if none does."""
    try:
        found = stopped(view)
    except Unknown:
        return None
    return next((one for one in found if one.holds and container in one.containers), None)
