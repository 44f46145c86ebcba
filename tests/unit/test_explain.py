"""``swarmlab explain`` and the object that it prints."""

import json
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

from swarmlab.cli import explain as verb
from swarmlab.cli.main import main
from swarmlab.errors import LabError, UsageError
from swarmlab.needs import FEATURES, FORMS, MEANINGS, meaning
from swarmlab.verdicts import catalogue, explain
from swarmlab.verdicts.explain import DISRUPTS, explanation
from swarmlab.verdicts.suites import tests_of as judging

CLAIMS = {**catalogue.load(), **catalogue.rehearsal()}
LAYOUT = json.loads(Path(explain.__file__).with_name("explain.schema.json").read_text(encoding="utf-8"))
MESH = "7.2.1/reachable-on-any-node"


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def text_of(*arguments, capsys):
    assert main(["explain", *arguments]) == 0
    return capsys.readouterr().out


# The object


def test_every_claim_can_be_explained():
    check = jsonschema.Draft202012Validator(LAYOUT["properties"]["claims"]["items"])
    for id in CLAIMS:
        told = explanation(id)
        assert told.claim.id == id
        assert told.title
        assert told.tests, id
        assert told.tests == judging(id)
        assert told.guide.causes
        assert (told.quote is not None) == (told.claim.part == "document")
        assert told.quote or told.claim.source or id.startswith(("upgrade/", "known/"))
        assert not list(check.iter_errors(told.to_json())), id


def test_an_explanation_has_all_that_is_known():
    told = explanation(MESH)
    assert told.quote.text.startswith("创建的服务从集群中任意主机 ip 都可访问")
    assert told.quote.line == 380
    assert [(need.name, need.lacking) for need in told.needs] == [("ipvs", None)]
    assert told.tests == ("suites/ch7_usage/test_services.py::test_published_port_answers_on_every_node",)
    assert "port-data-udp" in told.guide.checks
    assert told.alone.endswith(f"pytest suites/ --claim {MESH}")
    assert explanation("7.2.3/reachable-while-scaling").claim.erratum


def test_what_it_needs_is_said_with_what_the_lab_lacks():
    told = explanation("8.1.2/drain-keeps-serving", lacks=lambda need: "kernel has no IPVS" if need == "ipvs" else "")
    assert [(need.name, need.lacking) for need in told.needs] == [("ipvs", "kernel has no IPVS"), (DISRUPTS, "")]


def test_defects_and_incidents_are_told_with_their_engines():
    told = "\n".join(map(str, explanation("7.3/stack-rm").known))
    assert "swarmkit#2273, docker/for-linux#531, moby#39174: When two tasks of one network are removed" in told
    assert "(engines: 17.06 to before 18.09.7)" in told
    incident = explanation("known/names-after-disconnect").known[0]
    assert incident.reference == "moby#53141"
    assert incident.engines == "29.0.0 on, open"


def test_a_claim_of_a_rehearsal_is_judged_by_a_rehearsal():
    assert explanation("upgrade/step").alone.endswith("swarmlab rehearse --from ENGINE --to ENGINE")


def test_names_and_options_of_a_lab_are_in_the_commands():
    told = explanation(
        MESH, options=["--lab", "inventory", "--inventory", "my swarm.yaml"], names={"node": "web-1", "manager": "m-1"}
    )
    assert told.alone.endswith(f"--claim {MESH} --lab inventory --inventory 'my swarm.yaml'")
    assert any("docker node update --availability drain web-1" in line for line in told.guide.mend)


def test_an_unknown_claim_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"did you mean 7\.2\.4/rm"):
        explanation("7.2.4/rn")


def test_every_need_has_a_meaning():
    assert set(MEANINGS) == set(FEATURES)
    for claim in CLAIMS.values():
        for need in claim.needs:
            assert meaning(need)
    assert meaning("nodes>=4") == FORMS["nodes"][1]
    assert meaning("image:mysql") == FORMS["image"][1]
    assert meaning("declared:names").startswith("the lab declares the host names of the nodes")


# The command


@pytest.mark.usefixtures("no_engine")
def test_it_is_printed_for_people(capsys):
    text = text_of(MESH, capsys=capsys)
    assert text.startswith(
        f"{MESH} (critical; Chapter 7: using the swarm)\n  The published port answers on every node's"
    )
    for part in (
        "The document says (claims/document.txt, 4.1.1 创建服务, line 380)\n  创建的服务从集群中任意主机 ip 都可访问\n",
        "It needs\n  - ipvs: the kernel has IPVS, by which",
        "Tests that judge it\n  suites/ch7_usage/test_services.py::",
        "What usually breaks it\n  - A firewall on the node",
        "How to look, as root on the node that failed (",
        "How to mend it\n  - ",
        "Preflight looks for these causes (",
        "  - port-data-udp: Whether small packets to the overlay data port arrive",
        "Known incidents and defects\n  - ",
        "Judge it alone\n  ",
    ):
        assert part in text
    # Commands stay in one line, so that they can be pasted.
    for line in explanation(MESH).guide.look:
        assert f"\n  {line}\n" in text
    for line in explanation(MESH).guide.mend:
        assert f"\n  - {line}\n" in text


@pytest.mark.usefixtures("no_engine")
def test_errata_costs_and_sources_are_printed(capsys):
    assert "\nErratum\n  Requests are sent to a container from when" in text_of(
        "7.2.3/reachable-while-scaling", capsys=capsys
    )
    text = text_of("cis/autolock", capsys=capsys)
    assert "\nCost\n  Somebody has to unlock every manager" in text
    assert "\nThe document says otherwise\n  6.1/autolock-off\n" in text
    assert "\nSource\n  CIS Docker Benchmark 1.6.0, 7.5\n" in text
    assert "  - disrupts: the lab may be disrupted\n" in text_of("8.1.3/promote", capsys=capsys)


@pytest.mark.usefixtures("no_engine")
def test_words_and_globs_explain_several(capsys):
    text = text_of("7.*/reachable*", "7.2.4", "7.2.4/rm", capsys=capsys)
    heads = [line.split(" ")[0] for line in text.splitlines() if line.endswith("Chapter 7: using the swarm)")]
    assert heads == [MESH, "7.2.3/reachable-while-scaling", "7.2.4/rm"]


@pytest.mark.usefixtures("no_engine")
def test_what_no_test_judges_says_why(capsys):
    text = text_of("containers/swap", "known/windows-mesh", capsys=capsys)
    assert "containers/swap\n  No test judges it: Limits of swap and swappiness" in text
    assert "known/windows-mesh\n  No test judges it: The lab has no Windows.\n  Source: docker/for-win#1660" in text


@pytest.mark.usefixtures("no_engine")
def test_json_has_the_same(capsys):
    told = json.loads(text_of(MESH, "configs", "containers/swap", "--json", capsys=capsys))
    jsonschema.validate(told, LAYOUT)
    assert told["schema"] == 1
    assert told["lab"] is None
    assert [claim["id"] for claim in told["claims"]] == [MESH, *(id for id in CLAIMS if id.startswith("configs/"))]
    assert told["claims"][0] == json.loads(json.dumps(explanation(MESH).to_json()))
    assert [one["id"] for one in told["not_judged"]] == ["containers/swap"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["7.2.1/reachable-on-any-nod"], "did you mean 7.2.1/reachable-on-any-node?"),
        (["7.2.4/rm", "nothing-like-it"], "no claim, section, area, part or level 'nothing-like-it'"),
        (["9.*"], "no claim of the catalogue matches '9.*'"),
        ([], "the following arguments are required: CLAIM"),
        ([""], "CLAIM: is empty"),
        ([MESH, "--inventory", "x.yaml", "--name", "y"], "--name: has no effect beside --inventory"),
        ([MESH, "--group", "y"], "--group: is for an inventory of Ansible"),
        ([MESH, "--inventory", "/nowhere/x.yaml"], "/nowhere/x.yaml: cannot be read"),
        ([MESH, "--jsn"], "explain: unrecognized arguments: --jsn; did you mean --json?; see: swarmlab explain --help"),
    ],
)
@pytest.mark.usefixtures("no_engine")
def test_wrong_input_is_one_line(arguments, said, capsys):
    try:
        status = main(["explain", *arguments])
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_a_lab_that_was_named_has_to_be_there(no_engine, capsys):  # noqa: ARG001
    assert main(["explain", MESH, "--name", "mine"]) == 2
    assert "no engine answers at DOCKER_HOST" in capsys.readouterr().err


# The lab


class Offers:
    disruptable = False

    def missing(self, needs):
        if "internet" in needs:
            raise LabError("the engine of master does not answer")
        return ["kernel has no IPVS"] if "ipvs" in needs else []


@pytest.fixture
def standing(monkeypatch):
    """Have a lab stand; return what was released."""
    released = []
    engine = SimpleNamespace(release=lambda: released.append(True))
    lab = SimpleNamespace(name="swarmlab", offers=Offers())
    monkeypatch.setattr(verb.outer, "running", lambda *_: engine)
    monkeypatch.setattr(verb.standing, "labs", lambda _: [SimpleNamespace(name="swarmlab")])
    monkeypatch.setattr(verb.kinds, "attach", lambda *_: lab)
    return released


def test_nodes_without_systemd_have_their_log_in_a_file():
    told = explanation("7.2.5/rollback", lacks=lambda need: "nodes do not run systemd" if need == "systemd" else "")
    assert any("/var/log/dockerd.log" in line for line in told.guide.look)
    assert any("journalctl" in line for line in explanation("7.2.5/rollback", lacks=lambda _: "").guide.look)


@pytest.mark.parametrize(
    ("id", "lines"),
    [
        (MESH, ["  - missing (kernel has no IPVS): ipvs: the kernel has IPVS"]),
        ("8.1.3/promote", ["  - missing (this lab may not be disrupted): disrupts"]),
        ("7.1/overlay-spans-nodes", ["  - offered: nodes>=2: the cluster has at least"]),
        ("1.1/outside-reachable", ["  - missing (it is not known: the engine of master does not answer): internet"]),
    ],
)
def test_a_lab_that_stands_says_what_it_offers(standing, id, lines, capsys):
    text = text_of(id, capsys=capsys)
    assert "\nIt needs; lab swarmlab was asked\n" in text
    for line in lines:
        assert line in text
    assert standing == [True]


def test_a_lab_of_another_name_is_asked_if_it_is_named(standing, capsys):
    text = text_of(MESH, "--name", "mine", capsys=capsys)
    assert f"--claim {MESH} --lab-name mine" in text
    assert "swarmlab shell --name mine NODE" in text
    told = json.loads(text_of(MESH, "--json", "--name", "mine", capsys=capsys))
    assert told["lab"] == "swarmlab"
    assert told["claims"][0]["needs"][0]["lacking"] == "kernel has no IPVS"
    assert standing == [True, True]


@pytest.fixture
def with_file(tmp_path, monkeypatch):
    """Stand in a folder whose file of options names a swarm; return what was asked of it."""
    asked = []

    def reach(request, *_, **__):
        asked.append(request.options)
        return SimpleNamespace(name="prod", offers=Offers(), down=lambda: asked.append("down"))

    (tmp_path / "swarmlab.toml").write_text('inventory = "swarm.yaml"\ngroup = "docker"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verb, "EXISTING", SimpleNamespace(reach=reach, word="inventory"))
    return asked


@pytest.mark.parametrize("named", [[], ["--config", "swarmlab.toml"]])
def test_the_swarm_of_a_file_of_options_is_asked(with_file, tmp_path, named, capsys):
    text = text_of(MESH, *named, capsys=capsys)
    assert "\nIt needs; lab prod was asked\n" in text
    chosen = f"--group docker --inventory {tmp_path}/swarm.yaml"
    assert f"--claim {MESH} --lab inventory {chosen}" in text
    assert f"swarmlab shell {chosen} NODE" in text
    assert with_file == [{"--inventory": f"{tmp_path}/swarm.yaml", "--group": "docker"}, "down"]


@pytest.mark.usefixtures("with_file")
@pytest.mark.parametrize(("named", "status"), [([], 0), (["--config", "swarmlab.toml"], 2)])
def test_a_swarm_that_is_not_reached_is_an_error_if_it_was_named(monkeypatch, named, status, capsys):
    def refuse(*_, **__):
        raise UsageError("swarm.yaml: cannot be read")

    monkeypatch.setattr(verb.EXISTING, "reach", refuse)
    assert main(["explain", MESH, *named]) == status
    captured = capsys.readouterr()
    assert "swarm.yaml: cannot be read" in captured.err
    assert (f"--claim {MESH} --lab inventory" in captured.out) == (status == 0)
