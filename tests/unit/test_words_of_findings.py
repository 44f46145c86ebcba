"""Findings say what they risk and how to mend it, and what is unknown says what would make it known.

The check by `checked_words` is made of every finding that a unit test provokes (see conftest.py).
"""

import ast
from pathlib import Path

import pytest

from swarmlab.preflight import Level, host
from swarmlab.preflight import checks as made
from swarmlab.preflight.finding import Finding, merged
from swarmlab.preflight.model import NodeView, Sight
from tests.unit.helpers import check_words

FOLDER = Path(made.__file__).parent


def calls(name):
    """Return the calls of *name* in the modules of preflight, each with its place."""
    for file in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield f"{file.name}:{node.lineno}", node


def test_whatever_is_unknown_says_what_would_make_it_known():
    found = list(calls("Unknown"))
    assert found
    assert not [place for place, call in found if len(call.args) + len(call.keywords) < 2]


def test_whatever_is_not_well_says_how_to_mend_it():
    found = [(place, call) for place, call in calls("Finding") if call.args]
    levels = [(place, ast.unparse(call.args[0]), call) for place, call in found]
    judged = [(place, call) for place, level, call in levels if level not in ("Level.OK", "Level.SKIPPED")]
    assert len(judged) > 40
    assert not [place for place, call in judged if "mend" not in [keyword.arg for keyword in call.keywords]]


@pytest.mark.parametrize(
    "finding",
    [
        Finding(Level.ERROR, "broken", "it does harm"),
        Finding(Level.WARNING, "broken", mend="repair it"),
        Finding(Level.UNKNOWN, "not read"),
        Finding(Level.ERROR, "broken", "it does harm", mend="on {nodes}: repair it"),
    ],
)
def test_a_finding_that_lacks_words_is_noticed(finding):
    with pytest.raises(AssertionError, match=r"broken|not read"):
        check_words([finding])


def test_a_mend_names_the_nodes_that_it_is_for():
    broken = Finding(Level.ERROR, "broken", "it does harm", mend="on {nodes}: sysctl -w x=1")
    alike = [Finding(broken.level, broken.summary, broken.risk, nodes=(name,), mend=broken.mend) for name in "ab"]
    assert [(one.nodes, one.mend) for one in merged(alike)] == [(("a", "b"), "on a, b: sysctl -w x=1")]


def test_a_cluster_of_which_nothing_is_known_says_what_would_make_it_known():
    silent = NodeView("slave01", silent="the engine of slave01 does not answer: timed out")
    for sight in (Sight([silent]), Sight([])):
        check_words([one for name in made.CHECKS for one in made.look(name, sight)])


def test_findings_about_this_machine_have_their_words(monkeypatch):
    monkeypatch.setattr(host, "_MEMORY_PER_NODE", 2**20)
    monkeypatch.setattr(host.fitness, "free_at", lambda _: 0)
    monkeypatch.setattr(host.shutil, "which", lambda _: None)
    monkeypatch.setattr(host.os, "geteuid", lambda: 1000)
    found = [*host.machine(), host.engine(None, None), host.engine(None, made.SwarmlabError("no engine answers"))]
    assert {one.check for one in found if one.level.trouble} == {"host-memory", "host-disk", "host-engine"}
    check_words(found)
