"""What to do next about a failure: the right node, and commands that are right for the lab of the run."""

import itertools
import json
import re

import pytest

from fixtures.next_steps import lines
from swarmlab.report.next_steps import all_again, next_steps
from swarmlab.report.place import options_of
from swarmlab.verdicts.results import load
from tests.unit.helpers import IDS, NODE

CLAIM = "7.2.1/reachable-on-any-node"
NODES = [{**NODE, "name": name} for name in ("master", "slave01", "slave02")]
CLOSED = {
    "check": "port-data-udp",
    "level": "error",
    "seen": "UDP to port 4789 does not arrive: master -> slave02",
    "risk": "containers on different nodes do not reach each other",
    "incident": "",
    "nodes": ["slave02"],
    "mend": "on slave02: allow port 4789/udp",
    "look": "iptables -S | grep 4789",
    "fix": "iptables -I INPUT -p udp --dport 4789 -j ACCEPT",
}


@pytest.fixture
def judged(run, monkeypatch):
    """Return a function that makes a run in which claims went wrong on a lab, and reads it."""
    for module in ("place", "next_steps"):
        monkeypatch.setattr(f"swarmlab.report.{module}.command", lambda *words: " ".join(map(str, words)))
        monkeypatch.setattr(f"swarmlab.report.{module}.suites", lambda: "suites/")
    number = itertools.count()

    def _judged(
        verdicts=None, *, kind="dind", name="swarmlab", standing=True, found=(CLOSED,), own_cluster=False, **facts
    ):
        lab = {"kind": kind, "name": name, "each": {name: {"speed": 1.0, "standing": standing}}}
        look = [{"lab": name, "findings": list(found)}] if found else []
        nodes = [{**node, "lab": name} for node in NODES]
        folder = run(
            verdicts or {CLAIM: "fail"}, name=f"run-{next(number)}", lab=lab, preflight=look, nodes=nodes, **facts
        )
        raw = json.loads((folder / "verdicts.json").read_text())
        for claim in raw["claims"]:
            claim["judged"] = [{"host": "ci-1", "lab": name, "engine": "1.2.3"}]
            claim["own_cluster"] = own_cluster
        (folder / "verdicts.json").write_text(json.dumps(raw))
        return load(folder)

    return _judged


def steps_of(run, id=CLAIM):
    return next_steps(run, run.claims[id])


def commands(steps):
    return {step.word: step.commands for step in reversed(steps.steps)}


def test_a_known_defect_of_the_engine_is_the_cause_and_no_finding_is(judged):
    defect = {"incident": "swarmkit#2555", "cause": "it stays pending", "engines": ["18.03.1-ce"], "mended": "18.05.0"}
    run = judged()
    raw = json.loads((run.folder / "verdicts.json").read_text())
    raw["claims"][0]["known"] = [defect]
    (run.folder / "verdicts.json").write_text(json.dumps(raw))
    run = load(run.folder)
    found = steps_of(run)
    assert not found.causes
    assert found.step("mend").notes == ("upgrade the engines to 18.05.0 or later", "waive the claim until then")
    told = list(lines(run))
    assert "  cause: known: swarmkit#2555: it stays pending (18.03.1-ce; mended in 18.05.0)" in told
    assert "  mend   upgrade the engines to 18.05.0 or later" in told


def test_a_finding_names_the_node_and_leads_from_the_look_to_the_green_claim(judged):
    found = steps_of(judged())
    assert found.nodes == ("slave02",)
    assert [cause["check"] for cause in found.causes] == ["port-data-udp"]
    assert [step.word for step in found.steps if not step.folded] == ["look", "mend", "check", "again"]
    assert commands(found) == {
        "look": ("swarmlab shell slave02 -- iptables -S | grep 4789",),
        "more": ("swarmlab shell slave02",),
        "mend": ("swarmlab shell slave02 -- iptables -I INPUT -p udp --dport 4789 -j ACCEPT",),
        "check": ("swarmlab preflight",),
        "again": (f"pytest suites/ --claim {CLAIM}",),
    }
    assert found.step("mend").notes == ("on slave02: allow port 4789/udp",)
    assert "swarmlab status tells whether it still does" in found.note


def test_commands_are_for_the_lab_that_the_run_named(judged):
    found = commands(steps_of(judged(name="big", command="pytest suites/ch7 --lab-name big -k any -n 0 --shard 1/2")))
    assert found["more"] == ("swarmlab shell slave02 --name big",)
    assert found["check"] == ("swarmlab preflight --name big",)
    assert found["again"] == (f"pytest suites/ --claim {CLAIM} --lab-name big",)


def test_a_lab_of_the_runs_own_is_gone_and_is_brought_up_first(judged):
    run = judged(name="run-4711", standing=False, command="pytest suites/ --engine trixie,forky --waivers w.yaml")
    found = steps_of(run)
    assert found.note == "The run made lab run-4711, and took it down at its end."
    first = found.steps[0]
    assert first.commands == (
        "swarmlab up --engine trixie,forky",
        f"pytest suites/ --claim {CLAIM} --waivers w.yaml",  # with --engine it would make a lab of its own again
    )
    assert "If the claim passes there" in first.notes[0]
    assert found.step("more").commands == ("swarmlab shell slave02",)
    assert "run-4711" not in " ".join(line for step in found.steps for line in step.commands)


def test_machines_have_systemd_and_a_name_of_their_own(judged):
    down = {"check": "engines-answer", "level": "error", "seen": "its engine does not answer", "risk": "r"}
    down |= {"incident": "", "nodes": ["slave01"], "mend": "start it", "look": "journalctl -u docker -n 50"}
    down |= {"fix": "systemctl restart docker"}
    run = judged(kind="vagrant", name="machines", found=[down], command="pytest suites/ --lab vagrant")
    found = commands(steps_of(run))
    assert found["look"] == ("swarmlab shell slave01 --name machines -- journalctl -u docker -n 50",)
    assert found["mend"] == ("swarmlab shell slave01 --name machines -- systemctl restart docker",)
    assert found["again"] == (f"pytest suites/ --claim {CLAIM} --lab vagrant",)
    command = "pytest suites/ --lab vagrant --provider libvirt"
    gone = judged(kind="vagrant", name="machines", standing=False, found=(), command=command)
    assert steps_of(gone).steps[0].commands == (
        "swarmlab up --lab vagrant --provider libvirt",
        f"pytest suites/ --claim {CLAIM} --lab vagrant",
    )


def test_container_nodes_have_no_systemd(judged):
    down = {"check": "engines-answer", "level": "error", "seen": "its engine does not answer", "risk": "r"}
    down |= {"incident": "", "nodes": ["slave01"]}
    down |= {"mend": "on slave01: systemctl restart docker; why: journalctl -u docker -n 50"}
    down |= {"look": "journalctl -u docker -n 50 --no-pager", "fix": "systemctl restart docker"}
    found = steps_of(judged(found=[down], name="big"))
    assert found.step("look").commands == ("swarmlab shell slave01 --name big -- tail -n 200 /var/log/dockerd.log",)
    assert found.step("mend").commands == ("swarmlab stop slave01 --name big; swarmlab start slave01 --name big",)
    every = " ".join(line for step in found.steps for line in (*step.commands, *step.lines, *step.notes))
    assert "systemctl" not in every
    assert "journalctl" not in every


def test_an_existing_swarm_is_reached_by_its_inventory(judged):
    command = "pytest suites/ --lab inventory --inventory /etc/swarm.yaml --group=web --ports 31000-31099"
    found = steps_of(judged(kind="inventory", name="abc", command=command))
    assert found.note == ""
    got = commands(found)
    assert got["more"] == ("swarmlab shell slave02 --inventory /etc/swarm.yaml --group web",)
    assert got["check"] == ("swarmlab preflight --inventory /etc/swarm.yaml --group web",)
    assert got["again"] == (
        f"pytest suites/ --claim {CLAIM} --lab inventory --inventory /etc/swarm.yaml --group web --ports 31000-31099",
    )


def test_a_cluster_of_the_tests_own_is_gone_though_the_lab_stands(judged):
    found = steps_of(judged(own_cluster=True))
    assert "Its test made a cluster of its own beside lab swarmlab, and removed it." in found.note
    assert found.steps[0].word == "again"


def test_of_a_lab_that_broke_this_machine_is_looked_at_and_no_node(judged):
    found = steps_of(judged({CLAIM: "broken"}))
    assert commands(found) == {
        "look": ("swarmlab status", "swarmlab preflight"),
        "again": (f"pytest suites/ --claim {CLAIM}",),
    }


def test_without_a_finding_the_reason_names_the_node_and_the_guide_what_to_do(judged):
    run = judged(found=())
    object.__setattr__(run.claims[CLAIM], "reason", "slave01: no answer on port 30000")
    found = steps_of(run)
    assert found.nodes == ("slave01",)
    assert found.causes == ()
    assert found.step("look").commands == ("swarmlab shell slave01",)
    assert found.step("look").lines
    assert found.step("mend").notes
    assert found.step("check") is None
    object.__setattr__(run.claims[CLAIM], "reason", "nobody answers")
    assert steps_of(run).nodes == ("master",)


def test_a_warning_does_not_outrank_the_node_that_the_reason_names(judged):
    warned = CLOSED | {"level": "warning", "check": "known-addresses", "nodes": []}
    run = judged(found=(warned,))
    object.__setattr__(run.claims[CLAIM], "reason", "slave01: no answer")
    assert steps_of(run).nodes == ("slave01",)
    run = judged(found=(warned, CLOSED), name="both")
    assert [cause["check"] for cause in steps_of(run).causes] == ["port-data-udp", "known-addresses"]


def test_a_port_that_is_closed_on_one_node_explains_nothing_that_another_does_alone(judged):
    alone = "2.1/docker0"
    run = judged({alone: "fail", CLAIM: "fail"})
    object.__setattr__(run.claims[alone], "reason", "docker0 of slave01 has no address")
    object.__setattr__(run.claims[CLAIM], "reason", "master: no answer on port 30000 of the task's address")
    found = steps_of(run, alone)
    assert found.causes == ()
    assert found.nodes == ("slave01",)
    assert steps_of(run).nodes == ("slave02",), "who asked is not who is to blame"


def test_a_claim_that_the_catalogue_does_not_have_any_more_has_steps(judged):
    run = judged()
    old = run.claims[CLAIM]
    object.__setattr__(old, "id", "9.9/gone")
    assert next_steps(run, old).step("again")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("pytest suites/", {}),
        ("pytest suites/ --lab dind --profile smoke", {}),
        ("pytest suites/ --profile nightly --hours 3", {"--profile": ("nightly",), "--hours": ("3",)}),
        ("pytest suites/ --profile=cis", {"--profile": ("cis",)}),
        ("pytest --image a=x --image b=y suites", {"--image": ("a=x", "b=y")}),
        ("pytest x --every-node --reports /r --shard 1/2 -n 4", {"--every-node": ("",), "--reports": ("/r",)}),
        ("pytest 'unclosed", {}),
        ("", {}),
    ],
)
def test_the_options_of_a_run_are_those_of_its_lab_and_its_judgement(judged, command, options):
    run = judged(command=command, options={"lab": "dind", "lab-name": None})
    assert options_of(run) == options
    kept = {"lab": "inventory", "inventory": "from-a-file.yaml", "image": ["a=x"], "every-node": True, "hours": 0.5}
    found = options_of(judged(command=command, name="kept", options=kept))
    assert found["--inventory"] == ("from-a-file.yaml",)
    assert found["--image"] == ("a=x",)
    assert found["--every-node"] == ("",)
    assert found["--lab"] == ("inventory",)


def test_an_older_run_tells_by_its_names_whether_its_lab_stood(judged):
    run = judged(name="run-12")
    del run.raw["lab"]["each"]["run-12"]["standing"]
    assert "took it down" in steps_of(run).note
    run = judged(name="swarmlab2", command="pytest suites --lab-name swarmlab2")
    del run.raw["lab"]["each"]["swarmlab2"]["standing"]
    assert "left lab swarmlab2 on ci-1 standing" in steps_of(run).note
    assert "else bring one up: swarmlab up --name swarmlab2)" in steps_of(run).note


def test_the_terminal_tells_a_cause_once_and_counts_the_rest(judged):
    others = ["7.1/overlay-spans-nodes", "7.2.1/create-with-port"]
    alone = [id for id in IDS if id.startswith(("1.", "2."))][:5]
    verdicts = dict.fromkeys([CLAIM, *[id for id in others if id in IDS]], "fail") | dict.fromkeys(alone, "broken")
    run = judged(verdicts)
    printed = list(lines(run))
    text = "\n".join(printed)
    assert printed[0] == f"{CLAIM} and {len([id for id in others if id in IDS])} more: fail"
    assert text.count("possible cause: port-data-udp: slave02: UDP to port 4789 does not arrive") == 1
    assert "  look   swarmlab shell slave02 -- iptables -S | grep 4789" in printed
    assert "  mend   swarmlab shell slave02 -- iptables -I INPUT -p udp --dport 4789 -j ACCEPT" in printed
    assert f"  again  pytest suites/ --claim {CLAIM}" in printed
    assert len(re.findall(": broken$", text, re.MULTILINE)) == 2
    assert printed[-2] == f"3 more claims need attention. All of them again: {all_again(run)}"
    assert all_again(run) == f"pytest suites/ --again {run.folder}"
