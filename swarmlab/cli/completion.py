"""``swarmlab completion``: completion of words by the shell, by argcomplete, for swarmlab and pytest.

What looks words up prints nothing, starts nothing and refuses nothing: somebody is typing.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import argcomplete
from argcomplete.shell_integration import shellcode

from swarmlab.errors import SwarmlabError
from swarmlab.images.engines import known_engines
from swarmlab.labs import outer, standing
from swarmlab.labs import registry as kinds
from swarmlab.labs.registry import DEFAULT
from swarmlab.preflight.checks import CHECKS
from swarmlab.verdicts import choosing

#: The programs that are completed. Pytest asks argcomplete by itself.
PROGRAMS = ("swarmlab", "pytest")
SHELLS = ("bash", "zsh", "fish")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("shell", nargs="?", choices=SHELLS, default=SHELLS[0], help=f"default: {SHELLS[0]}")
    parser.epilog = 'For the shell that you are in: eval "$(swarmlab completion)". It completes pytest too.'


def run(args: argparse.Namespace) -> int:
    """Print what a shell needs to complete options, claims, labs, nodes and engines, of swarmlab and of pytest."""
    print(shellcode(PROGRAMS, shell=args.shell))
    return 0


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and end this process, if a shell asks for completion; else do nothing."""
    for action in _actions(parser):
        if action.dest in _BY_NAME and not action.choices:
            action.completer = _BY_NAME[action.dest]  # type: ignore[attr-defined]
    argcomplete.autocomplete(parser)


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _actions(each)
        else:
            yield action


def _of_engine(look: Callable[[outer.OuterEngine], list[str]]) -> list[str]:
    """Return what is found on the outer engine; nothing without one, or if it cannot be asked."""
    with contextlib.suppress(SwarmlabError, OSError):
        if engine := outer.running(sudo=False):
            try:
                return look(engine)
            finally:
                engine.release()
    return []


def _labs(**_: Any) -> list[str]:
    return _of_engine(lambda engine: [lab.name for lab in standing.labs(engine)])


def _nodes(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    name = getattr(parsed_args, "name", None) or DEFAULT.default_name
    return _of_engine(lambda engine: [node.name for node in kinds.attach(engine, name).nodes()])


def _engines(prefix: str, **_: Any) -> list[str]:
    with contextlib.suppress(SwarmlabError):
        words = [word for engine in known_engines().values() for word in (engine.name, engine.version)]
        return choosing.after_comma(prefix, words)
    return []


def _checks(**_: Any) -> list[str]:
    return [f"{name}=" for name in CHECKS]


#: What completes arguments and values of options, by their names in the parser.
_BY_NAME: dict[str, Callable[..., list[str]]] = {
    "name": _labs,
    "node": _nodes,
    "engine": _engines,
    "start": _engines,
    "to": _engines,
    "path": _engines,
    "skip": _checks,
    "chosen": choosing.completions,
}
