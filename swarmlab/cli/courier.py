"""Runs ``python -m swarmlab.cli.courier PROGRAM WORDS…``: a command in a container of the engine.

It is no command for users: it takes the place of one whose engine keeps its networks out of reach (see
`swarmlab.courier.go`).
"""

from __future__ import annotations

import sys

from swarmlab import signals
from swarmlab.cli import interruption
from swarmlab.cli.common import complain, say
from swarmlab.courier.carry import Courier
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.labs import outer

#: Exit statuses, as of `swarmlab.cli.main`.
_WRONG_INPUT, _COULD_NOT_BE_HELD = 2, 3


def main(program: str, words: list[str]) -> int:
    """Have the command done, and return its exit status."""
    try:
        return interruption.guarded(lambda: _carry(program, words))
    except UsageError as wrong:
        complain(str(wrong))
        # pytest's own status for a wrong option
        return 4 if program == "pytest" else _WRONG_INPUT
    except SwarmlabError as failed:
        complain(str(failed))
        return _COULD_NOT_BE_HELD


def _carry(program: str, words: list[str]) -> int:
    engine = outer.running(say)
    if engine is None:
        raise UsageError("the engine has ended meanwhile; start it, and try again")
    try:
        courier = Courier(engine, program, words, say)
        courier.check()
        say(f"{engine.named.by if engine.named else engine.url}: {engine.apart}; so this runs in a container there")
        return courier.carry()
    finally:
        engine.release()


if __name__ == "__main__":
    signals.leave_at_once()
    sys.exit(main(sys.argv[1], sys.argv[2:]))
