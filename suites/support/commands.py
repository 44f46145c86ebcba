"""Commands that have to succeed, and calls that have to be refused."""

import re

from swarmlab.cluster.node import OUT_OF_SEQUENCE, REVISIONS
from swarmlab.errors import EngineRefused


def accepted(node, words):
    """What ``docker WORDS`` printed on *node*, where the command has to succeed."""
    done = in_sequence(lambda: node.docker(words))
    assert done.ok, f"docker {words} on {node} ended with {done.code}: {done.said}"
    return done.out


def in_sequence(command):
    """What a command gave that reads an object of the swarm and writes it (see `swarmlab.cluster.node.Node.revise`)."""
    for _ in range(REVISIONS):
        done = command()
        if done.ok or OUT_OF_SEQUENCE not in done.said:
            break
    return done


def refusal(call, *arguments, **settings):
    """The engine's words where it refuses the call; empty where it does what it was asked."""
    try:
        call(*arguments, **settings)
    except EngineRefused as refused:
        return refused.explanation or str(refused)
    return ""


def last(done):
    """The last line that a command said, for messages; its exit code where it said nothing."""
    return done.said.strip().splitlines()[-1] if done.said.strip() else f"exit {done.code}"


def table(printed):
    """The rows of a table that a docker command printed, each by the words of its header.

    A column begins where its word in the header begins, whatever columns an engine has; words are two blanks apart.
    """
    header, *lines = printed.splitlines() or [""]
    starts = [(found.start(), found[0]) for found in re.finditer(r"\S+(?: \S+)*", header)]
    ends = [start for start, _ in starts[1:]] + [None]
    return [
        {name: line[start:end].strip() for (start, name), end in zip(starts, ends, strict=True)}
        for line in lines
        if line.strip()
    ]
