"""One action on many items at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent import futures
from contextvars import copy_context
from typing import Any, TypeVar

from swarmlab import signals

T = TypeVar("T")

#: How many calls there may be at the same time where each takes time of this machine's processors, as nodes of a
#: container lab do, and where each waits for another machine.
HERE, ELSEWHERE = 10, 32


def parallel(action: Callable[[Any], T], items: Iterable[Any], *, at_once: int = HERE) -> list[T]:
    """Call *action* with every item at the same time; return the results in the order of the items.

    Args:
        action: what is called.
        items: the items.
        at_once: how many calls there may be at the same time.

    Raises:
        Exception: the error of the first item, in the order of the items, whose action failed; once all have ended.
    """
    # Each call has a copy of the caller's context, so that evidence goes where the caller's does.
    calls = [(copy_context(), item) for item in items]
    with futures.ThreadPoolExecutor(max_workers=at_once) as pool:
        try:
            # Not the pool's map: after an error that does not begin the calls that are left.
            running = [pool.submit(context.run, action, item) for context, item in calls]
            futures.wait(running)
        except KeyboardInterrupt:
            with signals.giving_up():  # nobody needs the outcome of those that still run
                pool.shutdown(cancel_futures=True)
            raise
    return [call.result() for call in running]
