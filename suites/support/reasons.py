"""What engines say of a failure, for its reason."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from swarmlab.cluster.node import Node


@contextmanager
def explained(why: Callable[[], str]) -> Iterator[None]:
    """Add to the reason of a claim that fails in this context what *why* returns then; nothing if that is empty."""
    try:
        yield
    except AssertionError as failed:
        raise AssertionError("; ".join(filter(None, [str(failed), why()]))) from None


def last_said(node: Node, words: str) -> str:
    """Return the last line with *words* that the engine of a node logged, for a reason; empty if there is none."""
    lines = [line for line in node.log().splitlines() if words in line]
    return f"the engine of {node} says: {lines[-1]}" if lines else ""
