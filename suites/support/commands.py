"""Commands that must succeed, calls that must be refused, and the tables that docker prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from swarmlab.cluster.node import OUT_OF_SEQUENCE, REVISIONS, Node, Result
from swarmlab.errors import Blocked, EngineRefused


def accepted(node: Node, command: str) -> str:
    """Return the output of ``docker COMMAND`` on *node*, which must succeed.

    Raises:
        AssertionError: the command failed.

    Example:
        accepted(cluster.manager, f"node promote {worker}")
    """
    return in_sequence(lambda: node.docker(command)).expect(f"docker {command} on {node}", error=AssertionError)


def detached(node: Node, command: str) -> str:
    """Return a docker command with ``--detach``, if the command line of *node* has that option for it.

    A command without the option never waits until a service is steady.

    Example:
        accepted(manager, f"{detached(manager, 'service scale')} web=3")
    """
    return f"{command} --detach" if "--detach" in node.docker(f"{command} --help").out else command


def in_sequence(run: Callable[[], Result]) -> Result:
    """Return the result of a command that reads an object of the swarm and writes it back.

    It is run again while another writer was faster (see `swarmlab.cluster.node.Node.revise`).
    """
    done = run()
    for _ in range(REVISIONS - 1):
        if done.ok or OUT_OF_SEQUENCE not in done.output:
            break
        done = run()
    return done


def refusal(call: Callable[..., object], *arguments: Any, **settings: Any) -> str:
    """Return the engine's explanation why it refuses *call*; empty if it does not refuse.

    Example:
        assert refusal(node.ask, "GET", "/nodes")
    """
    try:
        call(*arguments, **settings)
    except EngineRefused as refused:
        return refused.explanation or str(refused)
    return ""


def succeeded(done: Result, what: str) -> str:
    """Return the output of a command that must succeed. The message of a failure has the output's last line only.

    Args:
        done: the command's result.
        what: a short name of the command, for the message.

    Raises:
        AssertionError: the command failed.
    """
    assert done.ok, f"{what} ended with {done.code}: {last(done)}"
    return done.out


def last(done: Result) -> str:
    """Return the last line that a command printed, or its exit code if it printed nothing, for messages."""
    return done.output.strip().splitlines()[-1] if done.output.strip() else f"exit {done.code}"


def table(printed: str) -> list[dict[str, str]]:
    """Return the rows of a table that a docker command printed, each by column title.

    A column begins where its title begins, so that columns which only some engines print do not matter. Titles are two
    blanks apart.
    """
    header, *lines = printed.splitlines() or [""]
    starts = [(found.start(), found[0]) for found in re.finditer(r"\S+(?: \S+)*", header)]
    ends = [start for start, _ in starts[1:]] + [None]
    return [
        {name: line[start:end].strip() for (start, name), end in zip(starts, ends, strict=True)}
        for line in lines
        if line.strip()
    ]


def need_package_manager(node: Node) -> None:
    """See that a node has a package manager that the suites know.

    Raises:
        Blocked: it has neither dpkg nor rpm.
    """
    if not (node.host.exists("dpkg-query") or node.host.exists("rpm")):
        raise Blocked(f"{node} has neither dpkg nor rpm, which would know the engine's package")
