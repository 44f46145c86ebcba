"""The lock by which one run at a time works on a swarm that exists: a config that names the run's process.

It also holds what is needed to clean up after the run, should that be killed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from swarmlab import ownership
from swarmlab.cluster import build_cache
from swarmlab.cluster.marks import PREFIX, SUITE_LABEL
from swarmlab.cluster.node import Node
from swarmlab.errors import EngineRefused, SwarmlabError, UsageError
from swarmlab.parallel import ELSEWHERE, parallel

#: The name of the config.
LOCK = f"{PREFIX}run"
#: The config's only label. The suite's label would have the config removed after the first test.
_OWNER = f"{SUITE_LABEL}.owner"
#: What the times of `RunLock` are called in the config's data.
_BEGUN = "begun"


@dataclass(frozen=True)
class RunLock:
    """The lock of a run. As a string: which run is at work, and since when, as the first part of a message.

    Attributes:
        id: the config's id.
        owner: the process that runs the suites (see `ownership.this_process`).
        taken: when the lock was taken, as an engine writes it.
        begun: when the run began by each node's clock (see `build_cache.now`), by the node's name, or one before it
            that was killed; None where that could not be told.
    """

    id: str
    owner: str
    taken: str = ""
    begun: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def alive(self) -> bool | None:
        """Whether the run goes on; None if this machine cannot know. A clone of it may be at work on the same swarm."""
        return None if ownership.owner_of(self.owner).earlier else ownership.alive(self.owner)

    def __str__(self) -> str:
        since = f" since {self.taken.partition('.')[0].rstrip('Z')}Z" if self.taken else ""
        its = ownership.owner_of(self.owner)
        which = f"process {its.pid} on {its.home}" if its.pid else self.owner
        return f"a run of the suites is at work on this swarm{since} ({which})"


def on(manager: Node) -> RunLock | None:
    """Return the lock on a manager's swarm; None if no run is at work there, and none was killed."""
    for config in manager.ask("GET", "/configs", filters={"name": [LOCK]}):
        spec = config["Spec"]
        if spec["Name"] == LOCK:
            owner = str((spec.get("Labels") or {}).get(_OWNER, "unknown"))
            return RunLock(config["ID"], owner, config["CreatedAt"], _begun_in(spec.get("Data") or ""))
    return None


def _begun_in(data: str) -> dict[str, float | None]:
    try:
        raw = json.loads(base64.b64decode(data))[_BEGUN]
        return {str(name): None if time is None else float(time) for name, time in raw.items()}
    except (ValueError, KeyError, TypeError, AttributeError):  # of another release
        return {}


def times(nodes: Sequence[Node]) -> dict[str, float | None]:
    """Return what a run that begins now notes in its lock of its nodes (see `RunLock.begun`)."""

    def time_of(node: Node) -> float | None:
        try:
            return build_cache.now(node)
        except SwarmlabError:
            return None

    return dict(zip([node.name for node in nodes], parallel(time_of, nodes, at_once=ELSEWHERE), strict=True))


def take(manager: Node, owner: str, begun: Mapping[str, float | None]) -> tuple[RunLock, RunLock | None]:
    """Take the lock for the process *owner*, in the place of that of a run which was killed.

    Of two runs that do so at once one is refused: a config's name is taken once, and its id is never another's.

    Args:
        manager: a node that serves the cluster's API.
        owner: the process (see `ownership.this_process`).
        begun: see `times`.

    Returns:
        The lock, and that of the run that was killed, if there was one.

    Raises:
        UsageError: a run has the lock that may go on.
        EngineRefused: the swarm takes no config, or keeps that of the run that was killed.
    """
    killed = None
    while True:
        if held := on(manager):
            if held.alive is not False:
                raise UsageError(f"{held}; wait until it ends")
            release(manager, held)
            killed = held
            # This run may end before it has removed what that one added to the build cache.
            begun = {name: _earlier(time, held.begun.get(name)) for name, time in begun.items()}
        data = base64.b64encode(json.dumps({_BEGUN: begun}).encode()).decode()
        body = {"Name": LOCK, "Labels": {_OWNER: owner}, "Data": data}
        try:
            return RunLock(manager.ask("POST", "/configs/create", body=body)["ID"], owner, "", begun), killed
        except EngineRefused:
            if on(manager) is None:
                raise


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((time for time in (one, other) if time is not None), default=None)


def release(manager: Node, lock: RunLock) -> None:
    """Release a lock. That of another run, which has taken its place, stays.

    Raises:
        EngineRefused: the swarm keeps the config.
    """
    try:
        manager.ask("DELETE", f"/configs/{lock.id}")
    except EngineRefused as refused:
        if refused.status != 404:
            raise
