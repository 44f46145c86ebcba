"""What becomes of a test, and of the run, when the lab itself ends."""

import json
import re
import textwrap
from types import SimpleNamespace

import pytest
import requests

from fixtures.cluster import DOCUMENT, Leases, Shape
from swarmlab.errors import LabEnded, LabError, NoAnswer
from swarmlab.labs.base import Lab
from swarmlab.labs.containers import lab as lab_module
from swarmlab.labs.containers.lab import DindLab, _stopped
from swarmlab.labs.containers.node import DindNode
from swarmlab.paths import ROOT, command
from tests.unit.helpers import CONFTEST, HEADER, Volumes

pytest_plugins = ["pytester"]

#: A lab that ends as tests say: its attribute `end` is an `Ended`.
ENDING = (
    CONFTEST.replace('"fixtures.workers"]', '"fixtures.workers", "fixtures.lab_end"]')
    .replace(
        "class Lab:",
        "class Lab:\n        end = None\n\n        def ended(self, used=(), *, thorough=True):"
        "\n            return self.end\n",
    )
    .replace(
        "def lab():",
        "def lab(request):\n        from fixtures.lab_end import LAB\n"
        "        request.config.stash[LAB] = Lab()\n        return request.config.stash[LAB]\n\n    def unused():",
    )
)
TESTS = """
from swarmlab.labs.base import Ended
@claim('7.2.2/ls-columns')
def test_a(lab, request):
    {steps}
@claim('7.2.2/managers-only')
def test_b(lab): assert 1 == 2, 'judged on a lab that is gone'
@claim('7.2.2/inspect')
def test_c(lab): pass
"""


@pytest.fixture
def run(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = --strict-markers --tb=short\ncomplete_sections = 7.2.2\n")
    pytester.makeconftest(textwrap.dedent(ENDING))

    def _run(steps, *options):
        folder = pytester.path / "suites"
        folder.mkdir(exist_ok=True)
        (folder / "test_it.py").write_text(textwrap.dedent(HEADER) + TESTS.format(steps=steps))
        result = pytester.runpytest_subprocess("suites", *options)
        report = json.loads((pytester.path / "reports" / "latest" / "verdicts.json").read_text())
        return result, {claim["id"]: (claim["verdict"], claim["reason"]) for claim in report["claims"]}, report

    return _run


OVER = "lab.end = Ended('lab one: its registry has stopped', over=True)"


@pytest.mark.parametrize(
    "then", ["assert 1 == 2, 'not so'", "pass", "raise EngineRefused('master', 500, 'x')", "pytest.fail('not so')"]
)
def test_a_lab_that_has_ended_breaks_the_test_and_ends_the_run(run, then):
    result, verdicts, report = run(f"{OVER}; {then}")
    assert verdicts == {"7.2.2/ls-columns": ("broken", "lab one: its registry has stopped")}
    assert {"7.2.2/managers-only", "7.2.2/inspect"} <= set(report["not_run"])
    assert result.ret == 3
    told = [line for line in result.stdout.str().splitlines() if line.startswith("the run could not be held: ")]
    assert told == ["the run could not be held: lab one: its registry has stopped"]


@pytest.mark.parametrize("then", ["assert 1 == 2, 'not so'", "pass"])
def test_a_cluster_that_the_lab_replaces_breaks_one_test(run, then):
    result, verdicts, _ = run(
        f"lab.end = Ended('node master was stopped', over=False); {then}", "-k", "test_a or test_c"
    )
    assert verdicts["7.2.2/ls-columns"] == ("broken", "node master was stopped")
    assert "7.2.2/inspect" in verdicts
    assert result.ret == 1


def test_a_test_that_is_blocked_stays_so(run):
    _, verdicts, _ = run(f"{OVER}; raise Blocked('no image')", "-k", "test_a")
    assert verdicts["7.2.2/ls-columns"] == ("blocked", "no image")


def test_a_lab_that_a_fixture_finds_ended_ends_the_run(run):
    result, verdicts, _ = run("from swarmlab.errors import LabEnded; raise LabEnded('no cluster comes up')")
    assert verdicts == {"7.2.2/ls-columns": ("broken", "no cluster comes up")}
    assert result.ret == 3


def test_a_lab_that_one_of_two_clean_ups_finds_ended_ends_the_run(run):
    steps = (
        "from swarmlab.errors import LabEnded\n"
        "    def ended(): raise LabEnded('no cluster comes up')\n"
        "    def other(): raise LabError('a volume stays')\n"
        "    request.addfinalizer(other)\n    request.addfinalizer(ended)"
    )
    result, verdicts, _ = run(steps)
    assert verdicts == {"7.2.2/ls-columns": ("broken", "a volume stays; no cluster comes up")}
    assert result.ret == 3


@pytest.mark.parametrize(("second", "verdict"), [("Blocked", "blocked"), ("LabError", "broken")])
def test_a_lab_is_looked_at_unless_both_clean_ups_are_blocked(run, second, verdict):
    steps = (
        f"def one():\n        {OVER}\n        raise Blocked('no image')\n"
        f"    def two(): raise {second}('no image')\n"
        "    request.addfinalizer(two)\n    request.addfinalizer(one)"
    )
    _, verdicts, _ = run(steps, "-k", "test_a")
    reason = "lab one: its registry has stopped" if verdict == "broken" else "no image"
    assert verdicts["7.2.2/ls-columns"] == (verdict, reason)


def test_a_lab_that_is_whole_changes_nothing(run):
    result, verdicts, _ = run("assert 1 == 2, 'not so'")
    assert verdicts["7.2.2/ls-columns"] == ("fail", "not so")
    assert verdicts["7.2.2/inspect"] == ("pass", "")
    assert result.ret == 1


def test_with_workers_the_run_ends_for_the_same_reason(run):
    result, verdicts, _ = run(OVER, "-n", "1")
    assert verdicts == {"7.2.2/ls-columns": ("broken", "lab one: its registry has stopped")}
    assert "the run could not be held: lab one: its registry has stopped" in result.stdout.str()
    assert result.ret == 3


# What has ended


@pytest.mark.parametrize(
    ("state", "status", "how"),
    [
        ("running", "Up 3 seconds", ""),
        ("created", "Created", ""),
        ("exited", "Exited (137) 5 seconds ago", "stopped (Exited (137) 5 seconds ago)"),
        ("exited", "Exited (0) 5 seconds ago", "stopped (Exited (0) 5 seconds ago)"),
        ("exited", "Exited (2) 5 seconds ago", ""),  # the engine crashed by itself
        ("exited", "Exited (139) 5 seconds ago", ""),
        ("paused", "Up 3 seconds (Paused)", "paused"),
        ("removed", "", "removed"),
    ],
)
def test_how_a_container_was_stopped(state, status, how):
    assert _stopped(state, status) == how


def engine_of(node):
    def greet():
        if not node.answers:
            raise NoAnswer(f"the engine of {node.name} does not answer")

    node.greet = greet
    return node


@pytest.mark.parametrize(
    ("standing", "answering", "over"),
    [(True, (), True), (True, ("b",), False), (True, ("a", "b"), False), (False, (), False)],
)
def test_a_swarm_has_ended_when_no_engine_of_it_answers(standing, answering, over):
    made = {"__str__": lambda node: node.name, "own_processors": True}
    nodes = [engine_of(type("N", (), {**made, "name": name, "answers": name in answering})()) for name in "ab"]
    lab = SimpleNamespace(standing=standing, name="one", nodes=lambda: nodes)
    ended = Lab.ended(lab)
    assert bool(ended) == over
    assert Lab.ended(lab, thorough=False) is None
    if ended:
        assert ended.over
        assert re.match(r"no engine of one answers any more \(a, b\); start them", ended.summary)


def test_a_lab_whose_clusters_do_not_come_up_any_more_has_ended():
    def more(count, **_):
        raise LabError(f"{count} nodes did not come up")

    lab = SimpleNamespace(standing=False, free=100, more=more, nodes=lambda: more(3), ended=lambda *_, **__: None)
    leases = Leases(lab, print)
    for shape in (DOCUMENT, Shape(managers=3, workers=0)):
        with pytest.raises(LabError, match="nodes did not come up"):
            leases.shared(shape)
    with pytest.raises(LabEnded, match="3 clusters in a row did not come up, the last: 3 nodes did not come up"):
        leases.shared(DOCUMENT)


class Node(DindNode):
    """A node whose container is in a state that is given."""

    def __init__(self, id, *, again=False):
        client = SimpleNamespace(volumes=Volumes())
        self.name, self._again = id, again
        self.container = SimpleNamespace(id=id, name=id, labels={}, client=client)

    def restarted(self):
        return self._again


@pytest.fixture
def container_lab():
    """Return a function that makes a container lab: its containers by id with their states."""

    def _lab(states, *, standing=True, again=False):
        def listed(**_):
            return [
                {"Id": id, "State": state, "Status": status, "Names": [f"/swarmlab-one-{id}"]}
                for id, (state, status) in states.items()
            ]

        api = SimpleNamespace(containers=listed)
        lab = DindLab(SimpleNamespace(client=SimpleNamespace(api=api)), name="one")
        lab.standing = standing
        lab._nodes = {0: [Node("a")], 1: [Node("b", again=again)]}
        lab._octets = {0: [101], 1: [102]}
        lab._nodes[0][0].greet = lambda: None
        return lab

    return _lab


UP, STOPPED = ("running", "Up 3 seconds"), ("exited", "Exited (137) 1 second ago")


def test_a_container_lab_that_is_whole_has_not_ended(container_lab):
    lab = container_lab({"registry": UP, "a": UP, "b": UP})
    assert lab.ended(lab._nodes[1]) is None


def test_a_node_that_is_switched_on_while_it_is_looked_at_was_stopped_by_nobody_else(container_lab):
    states = {"registry": UP, "a": UP, "b": STOPPED}
    lab = container_lab(states)
    [node] = lab._nodes[1]
    node.expect_off()
    api, listed = lab.outer.client.api, lab.outer.client.api.containers

    def switched_on_after(**how):
        found = listed(**how)
        node._expect_on()
        return found

    api.containers = switched_on_after
    assert lab.ended([node]) is None
    api.containers = listed
    assert "was stopped (Exited (137) 1 second ago) from outside" in lab.ended([node]).summary


def test_a_cluster_that_does_not_come_up_leaves_no_nodes_and_frees_its_place(container_lab, monkeypatch):
    lab, removed = container_lab({"registry": UP, "a": UP, "b": UP}), []

    def fail(*_, **__):
        raise LabError("node slave01 ended at once")

    monkeypatch.setattr(lab, "_create", fail)
    monkeypatch.setattr(lab_module, "remove_cluster", lambda _, name, cluster: removed.append((name, cluster)))
    free = lab.free
    with pytest.raises(LabError, match="ended at once"):
        lab.more(3)
    assert removed == [("one", 2)]
    assert lab.free == free


def test_a_container_lab_without_its_registry_is_over(container_lab):
    for states in ({"a": UP, "b": UP}, {"registry": STOPPED, "a": UP, "b": UP}):
        ended = container_lab(states, standing=False).ended()
        assert ended.over
        assert ended.summary.startswith("lab one: its registry does not run any more (")


def test_a_lab_that_stands_is_over_without_one_of_its_nodes(container_lab):
    ended = container_lab({"registry": UP, "a": STOPPED}).ended(thorough=False)
    assert ended.over
    assert ended.summary == (
        "lab one: the container of node a was stopped (Exited (137) 1 second ago) from outside; "
        "make it anew: " + " && ".join(command("swarmlab", verb, "--name", "one") for verb in ("down", "up"))
    )


def test_a_node_that_was_switched_off_on_purpose_is_the_clusters_state(container_lab):
    lab = container_lab({"registry": UP, "a": STOPPED})
    lab._nodes[0][0].expect_off()
    assert lab.ended() is None


def test_of_further_clusters_only_that_of_the_test_counts(container_lab):
    lab = container_lab({"registry": UP, "a": UP, "b": STOPPED})
    assert lab.ended() is None
    assert lab.ended(lab._nodes[1]).over is False


def test_a_node_that_was_started_anew_from_outside_breaks_the_test(container_lab):
    lab = container_lab({"registry": UP, "a": UP, "b": UP}, again=True)
    assert lab.ended(lab._nodes[1], thorough=False) is None
    ended = lab.ended(lab._nodes[1])
    assert (ended.over, ended.summary) == (False, "lab one: the container of node b was started anew from outside")


def test_a_lab_whose_engine_has_ended_is_over(container_lab):
    lab = container_lab({})
    lab.outer.client.api.containers = lambda **_: (_ for _ in ()).throw(requests.exceptions.ConnectionError("refused"))
    ended = lab.ended()
    assert (ended.over, ended.summary) == (True, "the engine that holds lab one does not answer: refused")
