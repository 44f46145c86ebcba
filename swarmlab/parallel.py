"""The same action on many things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")


def parallel(action: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
    """*action* of every item at once; the first failure is raised when all have ended."""
    # Each in a context of its own like the caller's: what is recorded goes where the caller's does.
    calls = [(copy_context(), item) for item in items]
    with ThreadPoolExecutor(max_workers=10) as pool:
        return list(pool.map(lambda call: call[0].run(action, call[1]), calls))
