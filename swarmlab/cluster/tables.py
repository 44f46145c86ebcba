"""Tables of a node's packet filter that the suite makes: their names, whose they are, and which of them are left over.

Several looks at one swarm may take place at once, each with a table of its own on every node. A look that is killed
cannot remove its table. So each table says in the names of its chains which process made it, and when: the next look,
and `swarmlab.cluster.leavings`, remove the tables of processes that have ended.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from swarmlab.host import numbering, process, runs

#: How the names of tables that count packets for a look begin.
LOOK = "swarmlab_look_"
#: A shell command that prints a line for each table of the suite: "table", its name, and the names of its chains.
LIST = (
    "PATH=$PATH:/usr/sbin:/sbin; for T in $(nft list tables 2>/dev/null | grep -o 'ip swarmlab_[a-z0-9_]*$' | "
    "cut -d' ' -f2); do echo table $T $(nft list table ip $T | grep -o '^.chain [a-z0-9_]*' | cut -d' ' -f2); done"
)
#: Seconds after which a table of another machine, of whose processes nothing is known here, is left over.
_LONGEST = 3600.0
# Names have at most 31 characters: kernels before 4.14 take no more.
_MAKER = re.compile(r"by_([0-9a-f]+)_([0-9a-f]+)_([0-9a-f]+)")
_MADE = re.compile(r"at_([0-9a-f]+)")


@dataclass(frozen=True)
class Table:
    """A table on a node.

    Attributes:
        name: its name.
        chains: the names of its chains.
    """

    name: str
    chains: tuple[str, ...]

    @property
    def look(self) -> bool:
        """Whether it counts packets for a look, of this release or of an earlier one."""
        return self.name.startswith(LOOK) or self.name == "swarmlab_preflight"

    @property
    def left(self) -> bool:
        """Whether nobody uses it any more."""
        if not self.name.startswith(LOOK):
            return True  # of a test: only the run that is at work on the swarm has such a table
        names = " ".join(self.chains)
        if (maker := _MAKER.search(names)) and maker[3] == _here():
            running = runs(int(maker[1], 16), str(int(maker[2], 16)))
            if running is not None:
                return not running
        made = _MADE.search(names)
        return made is None or abs(time.time() - int(made[1], 16)) > _LONGEST


def new() -> str:
    """Return a name for a table of a look."""
    return f"{LOOK}{secrets.token_hex(4)}"


def signature() -> tuple[str, str]:
    """Return the names of two chains that say that this process makes a table, and makes it now."""
    own = process(os.getpid())
    return f"by_{os.getpid():x}_{int(own.started) if own else 0:x}_{_here()}", f"at_{int(time.time()):x}"


def listed(lines: Iterable[str]) -> Iterator[Table]:
    """Yield the tables in the output of `LIST`."""
    for line in lines:
        if line.startswith("table swarmlab_"):
            _, name, *chains = line.split()
            yield Table(name, tuple(chains))


@cache
def _here() -> str:
    """Return a short name for where the numbers of processes mean what they mean to this one."""
    identity = socket.gethostname() + numbering()
    return hashlib.sha256(identity.encode()).hexdigest()[:6]
