import base64
import itertools
import re
import threading
from types import SimpleNamespace

import pytest

from swarmlab import evidence
from swarmlab.errors import EngineRefused, NoAnswer
from swarmlab.wait import wait
from swarmlab.watching.writer import Outcome, Write, Writer, found

PAYLOAD = base64.b64encode(b"one").decode()
LABELS = {"swarm-conformance": "", "written-through": "master"}


def write(name, outcome):
    return Write(name, "master", outcome, 1.0, 1.1, f"id-{name}", PAYLOAD)


def config(name, **other):
    return {"ID": f"id-{name}", "Spec": {"Name": name, "Labels": LABELS, "Data": PAYLOAD, **other}}


WRITES = [write("a", Outcome.ACKNOWLEDGED), write("r", Outcome.REFUSED), write("u", Outcome.UNKNOWN)]


@pytest.mark.parametrize("there", [["a"], ["a", "r"], ["a", "u"], ["a", "r", "u", "of another"]])
def test_what_was_not_acknowledged_may_be_there_or_not(there):
    assert found(WRITES, [config(name) for name in there])


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([config("r")], "a through master .* acknowledged and is not there"),
        ([config("a"), config("a")], "is there 2 times"),
        ([config("a"), config("r", Data="")], "r through .* refused and is there with 0 bytes of payload"),
        ([config("a"), config("u", Labels={})], "u through .* unknown and is there with the labels {}"),
        ([{**config("a"), "ID": "another"}], "the id another, where id-a was given"),
    ],
)
def test_what_is_lost_or_half_made_is_named(held, message):
    state = found(WRITES, held)
    assert not state
    assert re.search(message, state.summary)


class Manager(SimpleNamespace):
    """A manager that answers every write in the same way."""

    def __init__(self, name, answer):
        super().__init__(name=name, answer=answer, made=[], numbers=itertools.count())

    def __str__(self):
        return self.name

    def ask(self, method, path, *, body, timeout):
        assert (method, path) == ("POST", "/configs/create")
        assert timeout < 60
        given = self.answer()
        self.made.append({"ID": f"{self.name}-{next(self.numbers)}", "Spec": body})
        return given or {"ID": self.made[-1]["ID"]}


def raising(error):
    def answer():
        raise error

    return answer


def test_each_outcome_is_remembered_by_manager():
    accepting = Manager("master", lambda: None)
    refusing = Manager("slave01", raising(EngineRefused("slave01", 500, "no leader")))
    dead = Manager("slave02", raising(NoAnswer("the engine of slave02 does not answer")))
    with Writer([accepting, refusing, dead]) as writer:
        wait(lambda: len({one.manager for one in writer.writes}) == 3, "a write through each", deadline=5, every=0.01)
        since = writer.now
        wait(lambda: writer.served([accepting], since), "another write", deadline=5, every=0.01)
        assert writer.refused([refusing], 0)
        assert "slave01: no leader" in writer.served([accepting, refusing], 0).summary
    outcomes = {one.manager: one.outcome for one in writer.writes}
    assert outcomes == {"master": Outcome.ACKNOWLEDGED, "slave01": Outcome.REFUSED, "slave02": Outcome.UNKNOWN}
    assert found(writer.writes, accepting.made)
    assert not found(writer.writes, accepting.made[1:])
    assert re.search(r"slave01, .*: \d+ refused \(no leader\)", writer.summary)
    assert len({one.name for one in writer.writes}) == len(writer.writes)


def test_what_became_of_them_is_drawn_with_what_happened_meanwhile():
    refusing = Manager("slave01", raising(EngineRefused("slave01", 500, "no leader")))
    dead = Manager("slave02", raising(NoAnswer("does not answer")))
    with evidence.recording() as journal, Writer([Manager("master", lambda: None), refusing, dead]) as writer:
        wait(lambda: len({one.manager for one in writer.writes}) == 3, "a write through each", deadline=5, every=0.01)
        writer.mark("slave02 without power")
    svg = journal.pictures["writes"]
    assert "Writes through master, slave01, slave02" in svg
    for outcome in ("acknowledged", "refused"):
        assert re.search(rf"line \d, {outcome}: [1-9]\d* answers", svg)
    assert re.search(r"([1-9]\d*) asked, \1 without answer", svg)
    assert "slave02 without power" in svg


def test_a_manager_that_hangs_keeps_no_other_waiting():
    free = threading.Event()

    def hang():
        free.wait(10)
        raise NoAnswer("timed out")

    accepting = Manager("master", lambda: None)
    with Writer([Manager("slave01", hang), accepting]) as writer:
        wait(lambda: len(writer.since(0, accepting)) >= 2, "two writes", deadline=5, every=0.01)
        free.set()
    assert all(one.manager == "master" or one.outcome is Outcome.UNKNOWN for one in writer.writes)
