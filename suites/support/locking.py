"""Autolock: managers that need a key after their engine restarts, and what they keep on their disks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from suites.support.commands import accepted
from swarmlab.cluster import pki
from swarmlab.cluster.node import Node, Result
from swarmlab.cluster.swarm import Swarm
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually

#: How an unlock key begins.
PREFIX = "SWMKEY-1-"
_KEY_FILE = "swarm-node.key"


def lock(cluster: Swarm) -> str:
    """Turn autolock on, wait until every manager's keys are sealed on its disk, and return the key that unlocks them.

    Raises:
        AssertionError: a manager keeps its keys as they were.
    """
    accepted(cluster.manager, "swarm update --autolock=true")
    expect_sealed(cluster.managers)
    return unlock_key(cluster.manager)


def expect_sealed(managers: Sequence[Node]) -> None:
    """Expect that the keys of *managers* cannot be read on their disks without the unlock key."""
    eventually(lambda: sealed(managers), f"keys on the disk of {names(managers)} to be sealed", deadline=60)


def sealed(managers: Iterable[Node]) -> State:
    """Whether the private key of each of *managers* is encrypted on its disk."""
    readable = [node.name for node in managers if not is_sealed(node)]
    return State(not readable, f"in the clear on {few(readable)}" if readable else "all are encrypted")


def is_sealed(node: Node) -> bool:
    """Whether the private key of *node* is encrypted on its disk, as it is under autolock."""
    return "ENCRYPTED" in _key_file(node)


def key_version(node: Node) -> int:
    """Return the version of the unlock key that seals the keys on a manager's disk; 0 if none does.

    It is the index of the managers' log at which the swarm had that key.

    Source:
        swarmkit, ca/keyreadwriter.go (the header kek-version)
    """
    found = re.search(r"^kek-version: *(\d+)", _key_file(node), re.MULTILINE)
    return int(found[1]) if found else 0


def _key_file(node: Node) -> str:
    return node.run(f"cat {node.data_root()}/{pki.FOLDER}/{_KEY_FILE}").expect(f"reading the key of {node}")


def unlock_key(manager: Node) -> str:
    """Return the swarm's unlock key."""
    key: str = manager.ask("GET", "/swarm/unlockkey")["UnlockKey"]
    return key


def rotate_key(cluster: Swarm) -> str:
    """Rotate the unlock key, wait until every manager's keys are sealed with the new one, and return it.

    Raises:
        AssertionError: the key stays, or a manager stays with the old one.
    """
    manager, managers = cluster.manager, cluster.managers
    old = unlock_key(manager)
    before = {node: key_version(node) for node in managers}
    accepted(manager, "swarm unlock-key --rotate --quiet")
    new = unlock_key(manager)
    assert new != old, f"{manager} rotated the unlock key, and it is the one from before"

    def taken() -> State:
        late = [node.name for node in managers if key_version(node) <= before[node]]
        return State(not late, f"sealed with the old key: {few(late) or 'none'}")

    eventually(taken, f"{names(managers)} to seal their keys with the new unlock key", deadline=90)
    return new


def another(key: str) -> str:
    """Return a key of the same form that differs in one digit."""
    at = len(PREFIX)
    return key[:at] + ("A" if key[at] != "A" else "B") + key[at + 1 :]


def unlock(node: Node, key: str) -> Result:
    """Give *node* a key as a user does, with ``docker swarm unlock``."""
    return node.run(f"echo {key} | docker swarm unlock")


def expect_unlocked(node: Node, key: str) -> None:
    """Expect that *node* takes *key*, and is then active."""
    unlock(node, key).expect(f"docker swarm unlock with the key of the swarm on {node}", error=AssertionError)
    eventually(
        lambda: State((state := node.swarm_state()) == "active", f"it is {state}"), f"{node}, unlocked, to be active"
    )


def restart(*nodes: Node) -> None:
    """Restart the engines of *nodes*, all at the same time."""
    parallel(lambda node: node.stop(), nodes)
    parallel(lambda node: node.start(), nodes)


def names(nodes: Iterable[Node]) -> str:
    """Return host names for a message."""
    return few(node.name for node in nodes)
