"""A plugin of pytest for the suites' options: it joins them with their values, and has unknown ones refused.

pytest looks for its settings and for conftest.py above every path on the command line. Options of this project are not
known to it then, so it takes ``--inventory /home/ops/swarm.yaml`` for a path of tests: it may read the settings of the
project there, and runs a conftest.py that lies there. With ``--inventory=/home/ops/swarm.yaml`` it does not. So a
process that was started with the first form starts itself anew with the second.

Source: pytest's reference, "Initialization: determining rootdir and configfile". The project's own entry in pytest11
loads the plugin; conftest.py is loaded too late.
"""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from pluggy import HookimplMarker

from swarmlab.terminal import start_in_utf8

#: The options of the suites that take a value, as the plugins in fixtures/ add them.
OPTIONS = (
    "--again",
    "--catalogue",
    "--cis-key-days",
    "--cis-node-days",
    "--cis-root-days",
    "--claim",
    "--config",
    "--engine",
    "--group",
    "--hours",
    "--image",
    "--inventory",
    "--keep-runs",
    "--lab",
    "--lab-name",
    "--may-disrupt",
    "--metrics",
    "--ports",
    "--profile",
    "--progress-json",
    "--provider",
    "--rehearse",
    "--rehearse-like",
    "--rehearse-managers",
    "--rehearse-order",
    "--rehearse-workers",
    "--reports",
    "--seconds",
    "--shard",
    "--skip-preflight",
    "--waivers",
)
_HOOK = HookimplMarker("pytest")
#: Options whose value is optional: the next word is the value unless it begins with a dash.
MAY_STAND_ALONE = ("--again",)


def joined(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments in which each option of `OPTIONS` is one word with its value.

    Example:
        joined(["--lab", "inventory", "suites/"]) == ["--lab=inventory", "suites/"]
    """
    made: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*made, word, *rest]
        takes = word in OPTIONS and bool(rest) and not (word in MAY_STAND_ALONE and rest[0].startswith("-"))
        made.append(f"{word}={rest.pop(0)}" if takes else word)
    return made


def pytest_addoption() -> None:
    """Start pytest anew if an option's value would be taken for a path of tests.

    This is the first moment at which the plugin runs: pytest has not begun to capture output.
    """
    program = Path(sys.argv[0])
    if program.parts[-2:] != ("pytest", "__main__.py") and program.name not in ("pytest", "py.test"):
        return  # in a process of xdist, or in a program that calls pytest
    start_in_utf8()
    arguments, more = sys.argv[1:], os.environ.get("PYTEST_ADDOPTS", "")
    try:
        added = shlex.split(more)
    except ValueError:  # which pytest refuses
        return
    if not any(_misleads(words) for words in (arguments, added)):
        return
    if added:
        os.environ["PYTEST_ADDOPTS"] = shlex.join(joined(added))
    before = sys.orig_argv[: len(sys.orig_argv) - len(arguments)]
    os.execv(sys.executable, [sys.executable, *before[1:], *joined(arguments)])


@_HOOK(wrapper=True)
def pytest_load_initial_conftests(early_config: Any, parser: Any, args: list[str]) -> Generator[None, Any, Any]:
    """Once the suites' plugins have added their options, let them refuse unknown options.

    Pytest itself refuses them in several lines, and its last ones do not tell what is wrong. A plugin of conftest.py is
    loaded too late to be asked here.
    """
    loaded = yield
    if suites := early_config.pluginmanager.getplugin("fixtures.options"):
        suites.refuse_unknown(parser, args)
    return loaded


def _misleads(arguments: Sequence[str]) -> bool:
    """Whether a path follows an option of `OPTIONS` as a word of its own."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return any(option in OPTIONS and _exists(value) for option, value in itertools.pairwise(arguments[:end]))


def _exists(path: str) -> bool:
    try:
        return Path(path.partition("::")[0]).exists()
    except (OSError, ValueError):
        return False
