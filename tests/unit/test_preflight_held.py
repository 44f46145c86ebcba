"""What preflight reads of nodes' work: twice where managers and nodes tell different things, and from registries."""

import json

import pytest

from swarmlab.cluster.discretion import Discretion
from swarmlab.cluster.node import Result
from swarmlab.errors import EngineRefused, NoAnswer, Overdue
from swarmlab.preflight import checks as made
from swarmlab.preflight import held
from swarmlab.preflight.model import LACKS, LIMITED, LOGIN, THERE, UNREACHED
from tests.unit.test_preflight import sound
from tests.unit.test_preflight_services import row, service, task

IMAGE = "registry:5000/web:1"


class Engine:
    """Answers as an engine of the swarm; *answers* are lists, of which the last is given again and again."""

    def __init__(self, **answers):
        self.name = "node"
        self.discretion = None
        self.answers = answers
        self.asked = []
        self.opens = False
        self.late = 0

    def look(self, command):
        assert "/dev/tcp/$0/$1' registry 5000" in command
        if self.late:
            self.late -= 1
            raise Overdue("the shell of node did not end within 3 s", "")
        return Result(command, 0 if self.opens else 124, "", "")

    def ask(self, _method, path, **how):
        self.asked.append((path, how))
        kind = path.split("/")[1]
        answers = self.answers.get(kind, [[]])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return json.loads(json.dumps(answer))


@pytest.fixture
def sight():
    """A task that runs on master, say the managers."""
    one = sound()
    one.services = [service()]
    one.tasks = [task()]
    one.tasks[0]["Status"]["ContainerStatus"] = {"ContainerID": "c"}
    return one


def nodes(sight, **answers):
    told = {"services": [sight.services], "nodes": [sight.members], **answers}
    return {view.name: Engine(**{name: list(given) for name, given in told.items()}) for view in sight.nodes}


def summaries(sight, check):
    return [(str(one.level), one.summary) for one in made.look(check, sight)]


def test_what_differs_at_one_look_only_is_no_difference(sight):
    container = {"Id": "c", "State": "running", "Status": "Up", "Labels": {}}
    engines = nodes(sight, tasks=[sight.tasks], containers=[[container]])
    held.deepen(sight, engines)
    assert sight.lasting == frozenset()
    assert summaries(sight, "task-containers")[0][0] == "ok"


def test_what_differs_at_every_look_is_a_difference(sight, monkeypatch):
    monkeypatch.setattr(held, "_SETTLING", 0.1)
    engines = nodes(sight, tasks=[sight.tasks], containers=[[]])
    held.deepen(sight, engines)
    assert summaries(sight, "task-containers") == [("error", "web.1 runs, say the managers, and has no container")]


def test_messages_of_others_are_quoted_at_the_second_look_too(sight, monkeypatch):
    monkeypatch.setattr(held, "_SETTLING", 0.1)
    failed = task("rejected", slot=2, err='exec: "theirs": not found')
    engines = nodes(sight, tasks=[[*sight.tasks, failed]], containers=[[]])
    for engine in engines.values():
        engine.discretion = Discretion()
    held.deepen(sight, engines)
    assert sight.tasks[1]["Status"]["Err"] == 'exec: "‹6 characters›": not found'


@pytest.mark.parametrize(("starved", "words"), [(True, "killed for lack of memory"), (False, "non-zero exit (137)")])
def test_an_engine_is_asked_what_killed_a_container(sight, starved, words):
    err = "task: non-zero exit (137)"
    sight.tasks = [*row("failed", 6, 3, err=err, code=137), task("starting", made=6)]
    engines = nodes(sight, tasks=[sight.tasks], containers=[{"State": {"OOMKilled": starved}}])
    held.deepen(sight, engines)
    assert f"within 24 s: {words}" in summaries(sight, "replicas")[0][1].replace("task: ", "")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"Descriptor": {"digest": "sha256:11"}}, THERE, ""),
        (EngineRefused("node", 404, "manifest unknown: manifest unknown"), LACKS, "manifest unknown: manifest unknown"),
        (EngineRefused("node", 401, "unauthorized: authentication required"), LOGIN, "unauthorized"),
        (EngineRefused("node", 403, "denied: requested access to the resource is denied"), LOGIN, "denied"),
        (
            EngineRefused("node", 500, 'Get "https://registry:5000/v2/": dial tcp: i/o timeout'),
            UNREACHED,
            "i/o timeout",
        ),
        (
            EngineRefused("node", 500, "dial tcp: lookup registry on 10.0.0.2:53: no such host"),
            UNREACHED,
            "no such host",
        ),
        (EngineRefused("node", 429, "toomanyrequests: You have reached your pull rate limit"), LIMITED, "rate limit"),
        (EngineRefused("node", 500, "received unexpected HTTP status: 429 Too Many Requests"), LIMITED, "429"),
        (EngineRefused("node", 500, "unexpected status code 429"), LIMITED, "429"),
        (EngineRefused("node", 404, "unknown: artifact team/app:429 not found"), LACKS, "not found"),
        (NoAnswer("timed out"), UNREACHED, "no answer from the registry: timeout after 8 s"),
    ],
)
def test_what_a_registry_has_is_told_apart(sight, answer, kind, words):
    engines = nodes(sight, tasks=[sight.tasks], distribution=[answer])
    sight.nodes[0].containers = None
    held.deepen(sight, engines)
    pull = sight.nodes[0].pulls[IMAGE]
    assert pull.kind == kind
    assert words in pull.words
    assert [path for path, _ in engines["master"].asked if "distribution" in path] == [f"/distribution/{IMAGE}/json"]


@pytest.mark.parametrize(
    "answer", [NoAnswer("timed out"), EngineRefused("node", 500, "request canceled (Client.Timeout exceeded)")]
)
def test_a_registry_that_is_late_and_can_be_reached_is_not_judged(sight, answer):
    engines = nodes(sight, tasks=[sight.tasks], distribution=[answer])
    for engine in engines.values():
        engine.opens = True
    sight.nodes[0].containers = None
    held.deepen(sight, engines)
    assert not any(view.pulls for view in sight.nodes)
    assert summaries(sight, "registries")[0][0] == "ok"


@pytest.mark.parametrize(("late", "kinds"), [(1, {UNREACHED}), (2, set())])
def test_a_shell_that_is_late_once_is_asked_again_whether_the_way_is_open(sight, late, kinds):
    engines = nodes(sight, tasks=[sight.tasks], distribution=[NoAnswer("timed out")])
    for engine in engines.values():
        engine.late = late
    sight.nodes[0].containers = None
    held.deepen(sight, engines)
    assert {pull.kind for view in sight.nodes for pull in view.pulls.values()} == kinds


def test_without_a_manager_nothing_further_is_asked(sight):
    sight.asked = ""
    engines = nodes(sight)
    held.deepen(sight, engines)
    assert not any(engine.asked for engine in engines.values())


@pytest.mark.parametrize(
    ("later", "level"),
    [
        ([service(replicas=2, Version={"Index": 7})], "error"),
        ([service(replicas=3, updated=1.0, Version={"Index": 9})], "ok"),
        ([service(replicas=1, Version={"Index": 9})], "ok"),
        ([], "ok"),
    ],
)
@pytest.mark.parametrize("settles", [True, False])
def test_a_service_that_is_changed_or_removed_meanwhile_lacks_nothing(sight, monkeypatch, later, level, settles):
    monkeypatch.setattr(held, "_SETTLING", 0.1)
    sight.services = [service(replicas=2, Version={"Index": 7})]
    tasks = sight.tasks if later else []
    container = {"Id": "c", "State": "running", "Status": "Up", "Labels": {}}
    engines = nodes(sight, tasks=[tasks], services=[later], containers=[[container] if settles else []])
    sight.tasks = tasks
    held.deepen(sight, engines)
    assert summaries(sight, "replicas")[0][0] == level


def test_the_work_is_read_once_where_no_task_is_missing(sight):
    engines = nodes(sight, containers=[[{"Id": "c", "State": "running", "Status": "Up", "Labels": {}}]])
    sight.nodes[0].containers = [{"Id": "c", "State": "running", "Status": "Up", "Labels": {}}]
    held.deepen(sight, engines)
    assert sight.steady is None
    assert not [path for engine in engines.values() for path, _ in engine.asked if path == "/services"]
