"""A rehearsal of a swarm like yours: whether your engines start again, as your nodes tell it."""

import copy
import json
import re

import pytest
from cryptography import x509

from swarmlab.cluster.pki import pem_of
from swarmlab.errors import LabError
from swarmlab.images.engines import EngineChoice
from swarmlab.rehearsal.decision import CONDITIONS, GO, NO_GO, decide
from swarmlab.rehearsal.likeness import restarts
from swarmlab.rehearsal.likeness.model import Likeness
from tests.unit.test_likeness import ANSWERS, HOSTS, nearest, of_answers
from tests.unit.test_preflight import AUTHORITY, node_view
from tests.unit.test_rehearsal import CLAIMS, KNOWN, WHOLE, catalogue, run  # noqa: F401

TARGET = [EngineChoice("forky", "28.5.2", "debian", "forky")]


def told(text="{}", *, command="dockerd", **info):
    view = node_view("slave01")
    view.info |= {"Driver": "overlay2", "Labels": [], **info}
    view.answers = {**view.answers, "daemon.json": (0, text), "command line": (0, command.replace(" ", "\n"))}
    return restarts.of_view(view)


def test_an_engine_that_comes_back_is_nothing_to_tell():
    sound = told('{"debug": true}', command="dockerd --host=fd://")
    assert sound == {
        "name": "slave01",
        "engine": "20.10.24+dfsg1",
        "driver": "overlay2",
        "options": ["debug", "hosts"],
        "findings": [],
    }
    assert not [*restarts.against([sound], TARGET), *restarts.besides([sound])]


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (told('{"live-restore": true}'), "slave01: live-restore is on, .*; remove live-restore"),
        (told("{"), "slave01: /etc/docker/daemon.json is not JSON"),
        (told('{"storage-driver": "vfs"}'), "slave01: storage-driver is vfs, and the engine's .* in overlay2; set"),
        (told('{"graph": "/var/lib/docker"}'), "slave01: engine 28.5.2 does not know graph, and does not start"),
        (told(command="dockerd --oom-score-adjust -500"), "engine 28.5.2 does not know oom-score-adjust"),
        (told(Driver="devicemapper"), "slave01: engine 28.5.2 has no storage driver devicemapper: move the node"),
        (told('{"firewall-backend": "nftables"}'), "slave01: the engine's firewall-backend is nftables"),
    ],
)  # fmt: skip
def test_an_engine_that_does_not_come_back_is_named_with_setting_and_mend(node, why):
    reasons = list(restarts.against([node], TARGET))
    assert any(re.search(why, reason) for reason in reasons), reasons


def test_a_later_engine_is_judged_even_where_the_path_has_others_between():
    path = [EngineChoice("a", "20.10.24", "debian", "a"), EngineChoice("b", "23.0.0", "archive", "b"), *TARGET]
    (reason,) = restarts.against([told('{"graph": "/var/lib/docker"}')], path)
    assert "engine 23.0.0 does not know graph" in reason


def test_a_node_is_not_held_against_engines_that_it_never_gets():
    path = [EngineChoice("a", "18.09.9", "archive", "a"), EngineChoice("b", "20.10.24", "debian", "b"), *TARGET]
    node = told('{"ip6tables": true}')
    assert [*restarts.against([node], path)] == []
    (reason,) = restarts.against([{**node, "engine": "18.06.3-ce", "options": ["graph"]}], path)
    assert "engine 28.5.2 does not know graph" in reason


@pytest.mark.parametrize(
    ("since", "until", "reasons", "conditions"),
    [
        (-1, 90, "", ""),
        (
            -80,
            10,
            "",
            "slave01: its certificate is valid for 10 days of 90 days, and should have been renewed; on a man",
        ),
        (-90, -1, "slave01: its certificate ended 24.0 hours ago; if a manager still works: on slave01: docker", ""),
    ],
)
def test_a_certificate_of_a_node_is_judged_as_those_of_the_lab_are_new(since, until, reasons, conditions):
    view = node_view("slave01")
    view.info |= {"Driver": "overlay2", "Labels": []}
    leaf = pem_of(AUTHORITY.issue(x509.Name([]), since=since, until=until).leaf)
    view.answers = {**view.answers, "daemon.json": (0, "{}"), "command line": (0, "dockerd"), "certificate": (0, leaf)}
    node = restarts.of_view(view)
    for found, wanted in ((restarts.against([node], TARGET), reasons), (restarts.besides([node]), conditions)):
        assert [line[: len(wanted)] for line in found] == ([wanted] if wanted else [])


def test_the_root_certificate_is_judged_once_for_the_swarm():
    def told(until, since=-2):
        root = pem_of(AUTHORITY.issue(AUTHORITY.root.subject, since=since, until=until).leaf)
        return restarts.of_root({"TLSInfo": {"TrustRoot": root}, "RootRotationInProgress": True})

    assert told(7000) == []
    assert next(restarts.against(told(-1), TARGET)).startswith("the swarm: the root certificate ended 24.0 hours ago")
    assert [*restarts.against(told(30), TARGET)] == []
    assert next(restarts.besides(told(30))).startswith("the swarm: the root certificate is valid for 30 days")
    assert "it is not known whether it comes back: the managers list no root" in next(
        restarts.besides(restarts.of_root({}))
    )


def test_what_changes_or_could_not_be_read_is_a_condition(run):  # noqa: F811
    assert decided(run, told('{"log-driver": "local"}', LoggingDriver="json-file")) == (
        CONDITIONS,
        ["slave01: set since the engine's start, and in force from its next on: log-driver; restart the engine now, "
         "at a time of your choice (drain the node first): systemctl restart docker."],
    )  # fmt: skip


def test_an_engine_that_does_not_come_back_makes_a_good_rehearsal_a_no_go(run):  # noqa: F811
    word, (first, *_) = decided(run, told('{"live-restore": true}'))
    assert word == NO_GO
    assert first.startswith("slave01: live-restore is on")


def test_engines_that_come_back_are_no_condition(run):  # noqa: F811
    assert decided(run, told()) == (GO, [])


def decided(run, node):  # noqa: F811
    """Return word and sentences of the decision about an upgrade in which every claim passed."""
    made = likeness(node)
    made.data["left_out"] = []
    document = catalogue.load()
    smoke = run("before", {"7.2/service-name-resolves": "pass"}, document)
    after = run("after", {"7.2/service-name-resolves": "pass"}, document)
    upgrade = run("upgrade", dict.fromkeys(CLAIMS, "pass"))
    decision = decide(smoke, upgrade, after, WHOLE, KNOWN, made, TARGET)
    return decision.word, [one.summary for one in [*decision.reasons, *decision.conditions] if "slave01" in one.summary]


def likeness(node):
    answers = copy.deepcopy(ANSWERS)
    for member in answers["nodes"]:
        member["Description"]["Engine"]["EngineVersion"] = "20.10.24+dfsg1"
    return of_answers(answers, "swarm.yaml", None, HOSTS, nearest, [node])


def test_the_file_has_no_value_of_a_setting(tmp_path):
    node = told('{"labels": ["a=geheim"], "proxies": {"http-proxy": "http://geheim"}, "x-key": "geheim"}')
    file = tmp_path / "likeness.json"
    likeness(node).write(file)
    assert "geheim" not in file.read_text()
    assert Likeness.load(file).data["restarts"][0]["options"] == ["http-proxy", "labels", "x-key"]


def test_nodes_are_read_by_get_and_one_script_and_a_silent_one_is_unknown():
    class Silent:
        name = "slave01"

        def ask(self, method, path):
            raise LabError(f"{method} {path}: no answer")

    (node,) = restarts.read([Silent()])
    assert [found["level"] for found in node["findings"]] == ["unknown"]
    assert "it is not known whether it comes back" in next(restarts.besides([node]))
    assert json.dumps(node)
