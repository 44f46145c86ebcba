"""Which nodes the suites blame for requests that are lost, and what they make of answers and names."""

from types import SimpleNamespace

import pytest

from suites.support import published
from suites.support.names import leads_nowhere, resolve_to
from suites.support.published import answering, expect_heard, nobody_answers, own_task_answers
from suites.support.traffic import all_answer, all_from, from_each, reached_from_all, without_loss
from swarmlab.cluster.node import Answer
from swarmlab.errors import Blocked
from swarmlab.wait import State

TASKS = [SimpleNamespace(container="a" * 64, node="master"), SimpleNamespace(container="b" * 64, node="slave01")]


#: What a name leads to on each node, where a server outside knows all names.
NAMED = [("master", set()), ("slave01", {"203.0.113.1"}), ("slave02", {"203.0.113.1", "10.0.1.4"})]


class Node(str):
    """A node that is only its host name."""


NODES = [Node(name) for name in ("master", "slave01", "slave02")]


def answer(container, status=200):
    return Answer(status, headers={"X-Server": container[:12]})


def test_answers_have_to_come_from_every_task_and_from_no_other():
    one, other = (answer(task.container) for task in TASKS)
    assert all_answer(TASKS, [one, other, one])
    silent = all_answer(TASKS, [one, one])
    assert not silent
    assert "no answer from bbbbbbbbbbbb on slave01" in silent.summary
    assert not all_answer(TASKS, [one, other, answer("c" * 64)])
    assert not all_answer(TASKS, [one, other, Answer(0, error="timed out")])


def test_an_answer_of_another_container_or_with_an_error_is_not_the_tasks():
    task = TASKS[0]
    assert all_from(task, [answer(task.container)])
    assert not all_from(task, [answer(task.container), answer(TASKS[1].container)])
    assert not all_from(task, [answer(task.container, status=500)])


@pytest.mark.parametrize(
    ("lost", "blamed"),
    [
        (["slave02"], "with slave02:"),  # slave01 reached the task, so slave02 has no way
        (["slave01", "slave02"], "with master:"),  # no other node reached it, so its own node is at fault
        (["master", "slave01", "slave02"], "with master:"),
    ],
)
def test_a_tasks_node_is_blamed_only_where_no_other_node_reached_the_task(lost, blamed):
    states = {node: State(str(node) not in lost, "timed out") for node in NODES}
    judged = reached_from_all(states, NODES[0])
    assert not judged
    assert blamed in judged.summary


def test_a_task_that_all_nodes_reached_is_reached():
    assert reached_from_all({node: State(True) for node in NODES}, NODES[0])


def test_a_name_has_to_resolve_to_all_its_addresses_and_to_no_other():
    def probe(**names):
        return SimpleNamespace(node="slave01", resolve_each=lambda asked: [names[name] for name in asked])

    wanted = {"web": {"10.0.1.3"}, "tasks": {"10.0.1.4", "10.0.1.5"}}
    assert resolve_to([probe(**wanted)], wanted)
    stale = resolve_to([probe(web={"10.0.1.3"}, tasks={"10.0.1.4", "10.0.1.5", "10.0.1.9"})], wanted)
    assert not stale
    assert "on slave01 tasks leads to 10.0.1.4, 10.0.1.5, 10.0.1.9, and should to 10.0.1.4, 10.0.1.5" in stale.summary
    assert "web leads to nothing" in resolve_to([probe(web=set(), tasks=wanted["tasks"])], wanted).summary


def test_what_servers_outside_answer_to_any_name_is_no_address_of_the_swarm():
    probes = [SimpleNamespace(node=node, resolve=lambda _, found=found: found) for node, found in NAMED]
    assert leads_nowhere(probes[:2], "web", {"10.0.1.3"})
    state = leads_nowhere(probes, "web", {"10.0.1.3", "10.0.1.4"})
    assert not state
    assert state.summary == "web leads on slave02 to 10.0.1.4"


def test_what_is_told_apart_names_what_is_missing():
    # So a wait can judge the last of them by what the others took.
    silent = all_answer(TASKS, [answer(TASKS[0].container)])
    assert silent.each == {"aaaaaaaaaaaa on master": True, "bbbbbbbbbbbb on slave01": False}
    lost = {(NODES[0], NODES[2]): "master -> slave02: timed out"}
    state = without_loss(lost, NODES, [(NODES[0], NODES[1]), (NODES[0], NODES[2])])
    assert state.each == {"master -> slave01": True, "master -> slave02": False}
    judged = reached_from_all({node: State(node != "slave02", "timed out") for node in NODES}, NODES[0])
    assert judged.each == {"master -> master": True, "slave01 -> master": True, "slave02 -> master": False}


def test_many_places_are_looked_at_together_and_each_is_named():
    state = from_each(NODES, lambda node: State(node != "slave01", "no answer from a task"))
    assert not state
    assert state.summary == "slave01: no answer from a task"
    assert state.each == {"master": True, "slave01": False, "slave02": True}


def test_nodes_that_answer_and_those_that_do_not_are_told_apart():
    def node(name, given):
        return SimpleNamespace(name=name, get=lambda _: given, __str__=lambda _: name)

    nodes = [node("master", answer(TASKS[0].container)), node("slave01", Answer(0, error="timed out"))]
    assert answering(nodes, 80).each == {"master": True, "slave01": False}
    assert nobody_answers(nodes, 80).each == {"master": False, "slave01": True}
    assert own_task_answers(nodes, TASKS, 80).each == {"master": True, "slave01": False}


@pytest.mark.parametrize(
    ("protocol", "at_home", "end"),
    [("udp", "udp " + "a" * 12, Blocked), ("udp", "", AssertionError), ("tcp", "tcp " + "a" * 12, AssertionError)],
)
def test_datagrams_that_pass_on_the_node_alone_show_nothing_of_its_engine(monkeypatch, protocol, at_home, end):
    def eventually(*_, **__):
        raise AssertionError("no answer")

    def probe(node, answer):
        return SimpleNamespace(node=node, run=lambda _: SimpleNamespace(out=answer))

    master = SimpleNamespace(name="master", address="192.0.2.1", __str__=lambda _: "master")
    monkeypatch.setattr(published, "eventually", eventually)
    probes = {"master": probe("master", at_home), "slave01": probe("slave01", "")}
    with pytest.raises(end):
        expect_heard(probes, master, 8888, protocol, TASKS[0])
