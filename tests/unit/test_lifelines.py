"""Lifelines of tasks: when a task counts as going back, and that sampling does not disturb a test."""

import threading
import time
from types import SimpleNamespace

import pytest

from swarmlab.cluster import lifelines as lifelines_module
from swarmlab.cluster.lifelines import Lifelines


def task(state, version, *, id="t1", node="n1", slot=2):
    return {
        "ID": id,
        "ServiceID": "s1",
        "Slot": slot,
        "NodeID": node,
        "Version": {"Index": version},
        "Status": {"State": state, "Message": state},
    }


def went_back(*answers):
    """Return what is said of one task of which (manager, state, version) were told in this order."""
    lifelines = Lifelines()
    for manager, state, version in answers:
        lifelines.note(manager, [task(state, version)])
    return lifelines.went_back()


@pytest.mark.parametrize(
    "answers",
    [
        [("m1", "new", 1), ("m1", "pending", 2), ("m1", "assigned", 3), ("m1", "running", 9), ("m1", "shutdown", 12)],
        [("m1", "assigned", 3), ("m1", "rejected", 4)],
        [("m1", "running", 9), ("m1", "running", 10), ("m1", "running", 10)],
        [("m1", "running", 9), ("m2", "starting", 8), ("m2", "running", 9)],  # m2 is behind
        [("m1", "running", 9), ("m1", "starting", 8)],  # m1 answers from an older state: its leader has changed
        [("m1", "running", 9), ("m1", "a state of later engines", 10)],
    ],
)
def test_what_goes_forward_is_let_pass(answers):
    assert went_back(*answers) == []


@pytest.mark.parametrize(
    "answers",
    [
        [("m1", "complete", 9), ("m1", "running", 10)],
        [("m1", "running", 9), ("m1", "starting", 9)],
        [("m1", "failed", 9), ("m2", "running", 11)],
        [("m2", "running", 11), ("m1", "failed", 9)],  # seen later, and older by its version
    ],
)
def test_what_goes_back_is_told_once_with_task_node_and_managers(answers):
    lifelines = Lifelines()
    for manager, state, version in answers:
        lifelines.note(manager, [task(state, version)])
    (sentence,) = lifelines.went_back()
    before, after = sorted(answers, key=lambda one: one[2])
    assert sentence == (
        f"task t1 of slot 2 of s1 on n1 went back from {before[1]} (reported by {before[0]}, version {before[2]}) "
        f"to {after[1]} (reported by {after[0]}, version {after[2]})"
    )
    assert lifelines.went_back() == []


def test_tasks_are_counted_once_and_kept_by_service():
    lifelines = Lifelines()
    for version in (1, 2):
        lifelines.note("m1", [task("new", version), task("new", version, id="t2")])
    assert lifelines.count() == (2, 1)
    assert lifelines.lives("s1").keys() == {"t1", "t2"}
    assert lifelines.lives("another") == {}


@pytest.mark.parametrize("answer", [None, "text", {"message": "no leader"}, [{}], [{"ID": "t", "Status": None}]])
def test_an_answer_that_is_no_list_of_tasks_is_left_out(answer):
    lifelines = Lifelines()
    lifelines.note("m1", answer)
    assert lifelines.count() == (0, 0)


def node(name, get):
    reply = SimpleNamespace(raise_for_status=lambda: None)
    api = SimpleNamespace(base_url="", api_version="1.41", timeout=2)
    api.get = lambda url, **_: SimpleNamespace(**vars(reply), json=lambda: get(url))
    return SimpleNamespace(name=name, client=lambda: SimpleNamespace(api=api))


MANAGER, WORKER = ({"Swarm": {"ControlAvailable": manages}} for manages in (True, False))


def test_samplers_ask_each_manager_and_name_what_they_saw():
    answers = {
        "/info": MANAGER,
        "/tasks": [task("running", 9)],
        "/services": [{"ID": "s1", "Spec": {"Name": "web"}}],
        "/nodes": [{"ID": "n1", "Description": {"Hostname": "slave01"}}],
    }
    lifelines = Lifelines()
    with lifelines.sampled([node("m1", lambda url: answers[url.removeprefix("/v1.41")])], every=0.001, share=1.0):
        while not lifelines.count()[0]:
            time.sleep(0.01)
        answers["/tasks"] = [task("starting", 10)]
        while len(lifelines.lives()["t1"]) < 2:
            time.sleep(0.01)
    assert lifelines.went_back()[0].startswith("task t1 of slot 2 of web on slave01 went back from running")


def test_only_tasks_of_services_with_a_label_are_asked_for():
    asked, done = {}, threading.Event()

    def get(url, params, **_):
        asked[url] = params
        if url == "/v1.41/tasks":
            done.set()
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: MANAGER if url.endswith("/info") else [])

    api = SimpleNamespace(base_url="", api_version="1.41", timeout=2, get=get)
    manager = SimpleNamespace(name="m1", client=lambda: SimpleNamespace(api=api))
    with Lifelines().sampled([manager], every=0.001, share=1.0, label="ours"):
        assert done.wait(5)
    assert asked == {"/v1.41/info": {}, "/v1.41/tasks": {"filters": '{"label": ["ours"]}'}}


def test_a_node_is_asked_for_tasks_only_while_it_is_a_manager(monkeypatch):
    for name in ("_AGAIN", "_PROMOTED"):
        monkeypatch.setattr(lifelines_module, name, 0.001)
    asked, info = [], WORKER

    def answer(url):
        nonlocal info
        path = url.removeprefix("/v1.41")
        asked.append(path)
        if path == "/info":
            return info
        if info is WORKER:
            raise OSError("not a swarm manager")
        return []

    def wait_for(paths):
        end = time.monotonic() + 5
        while asked[-len(paths) :] != paths:
            assert time.monotonic() < end, f"{asked[-5:]}, and not {paths}"
            time.sleep(0.0005)

    with Lifelines().sampled([node("n1", answer)], every=0.001, share=1.0):
        wait_for(["/info"] * 5)
        assert set(asked) == {"/info"}
        info = MANAGER
        wait_for(["/tasks"] * 3)
        info = WORKER  # its refusal tells so
        wait_for(["/info"] * 5)


def test_a_node_that_does_not_answer_stops_nobody():
    asked, release = threading.Event(), threading.Event()

    def refuse(_):
        asked.set()
        raise OSError("frozen")

    def hang(_):
        asked.set()
        release.wait(10)
        return []

    lifelines = Lifelines()
    for answer in (refuse, hang):
        asked.clear()
        start = time.monotonic()
        with lifelines.sampled([node("m1", answer)]):
            assert asked.wait(5)
        assert time.monotonic() - start < 5
    release.set()
