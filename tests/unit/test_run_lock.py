"""The lock by which one run at a time works on a swarm that exists."""

import base64
import re
import socket

import pytest

from swarmlab import ownership
from swarmlab.cluster import run_lock
from swarmlab.cluster.marks import SUITE_LABEL
from swarmlab.cluster.run_lock import LOCK
from swarmlab.errors import EngineRefused, UsageError

#: A process of this machine that has ended.
DEAD = f"{socket.gethostname()}/1/1"


class Manager:
    """A manager of a swarm that keeps configs, and takes each name once."""

    name = "master"

    def __init__(self, **config):
        self.configs, self.made = [], 0
        self.takes = True
        if config:
            self.keep(**config)

    def __str__(self):
        return self.name

    def keep(self, owner, data=""):
        self.made += 1
        identity = f"c{self.made}"
        spec = {"Name": LOCK, "Labels": {f"{SUITE_LABEL}.owner": owner}, "Data": data}
        self.configs.append({"ID": identity, "CreatedAt": "2026-11-29T10:09:48.123456Z", "Spec": spec})
        return {"ID": identity}

    def ask(self, method, path, body=None, **_):
        if method == "POST":
            if self.configs or not self.takes:
                raise EngineRefused(self.name, 409, "config swc-run already exists")
            return self.keep(body["Labels"][f"{SUITE_LABEL}.owner"], body["Data"])
        if method == "DELETE":
            left = [one for one in self.configs if one["ID"] != path.rpartition("/")[2]]
            if left == self.configs:
                raise EngineRefused(self.name, 404, "no such config")
            self.configs = left
            return None
        return self.configs


def test_a_run_at_work_on_a_swarm_is_named_with_its_machine_and_since_when():
    manager = Manager(owner="host/12/345")
    told = "a run of the suites is at work on this swarm since 2026-11-29T10:09:48Z (process 12 on host)"
    assert str(run_lock.on(manager)) == told
    with pytest.raises(UsageError, match=re.escape(f"{told}; wait until it ends")):
        run_lock.take(manager, "other/1/1", {})


def test_a_swarm_that_takes_no_lock_says_why():
    manager = Manager()
    manager.takes = False
    with pytest.raises(EngineRefused):
        run_lock.take(manager, "other/1/1", {})


def test_a_lock_keeps_when_its_run_began_on_each_node():
    manager, begun = Manager(), {"master": 1764000000.123456, "slave01": None}
    lock, killed = run_lock.take(manager, "host/12/345", begun)
    assert killed is None
    found = run_lock.on(manager)
    assert (found.id, found.owner, found.begun) == (lock.id, lock.owner, begun)
    run_lock.release(manager, lock)
    assert run_lock.on(manager) is None


@pytest.mark.parametrize("data", ["", "x", base64.b64encode(b'{"build cache": {"master": ["a"]}}').decode()])
def test_of_a_lock_of_another_release_nothing_is_known(data):
    assert run_lock.on(Manager(owner="host/12/345", data=data)).begun == {}


def test_the_lock_of_a_run_that_was_killed_is_taken_over_with_what_it_says():
    manager = Manager()
    run_lock.take(manager, DEAD, {"master": 12.0})
    lock, killed = run_lock.take(manager, ownership.this_process(), {"master": 24.0, "slave01": None})
    assert (killed.owner, killed.begun) == (DEAD, {"master": 12.0})
    assert run_lock.on(manager).id == lock.id
    assert run_lock.on(manager).begun == lock.begun == {"master": 12.0, "slave01": None}


def test_of_two_runs_that_find_a_killed_one_only_one_takes_its_place():
    manager, other = Manager(owner=DEAD), []
    ask = manager.ask

    def late(method, path, **how):
        if method == "DELETE" and not other:  # another run, which has found the same, is faster
            other.append(True)
            ask(method, path)
            other.append(run_lock.take(manager, ownership.this_process(), {}))
        return ask(method, path, **how)

    manager.ask = late
    with pytest.raises(UsageError, match="a run of the suites is at work on this swarm"):
        run_lock.take(manager, ownership.this_process(), {})
    assert run_lock.on(manager).id == other[1][0].id


def test_the_lock_of_another_run_is_not_released():
    manager = Manager(owner="host/12/345")
    run_lock.release(manager, run_lock.RunLock("another", "host/12/345"))
    assert run_lock.on(manager)
