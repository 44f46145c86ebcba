"""Tests of one node that run on all nodes at the same time, on suites made for it."""

import json
import textwrap

import pytest

from swarmlab.paths import ROOT
from tests.unit.helpers import CONFTEST, HEADER

pytest_plugins = ["pytester"]

MORE = """

    @pytest.fixture(params=[0, 1, 2], ids=["master", "slave01", "slave02"])
    def node(request, cluster):
        return cluster.nodes[request.param]

    @pytest.fixture
    def bench(cluster, node):
        made.append(f"bench of {node}")
        yield f"bench of {node}"
        ended.append(f"bench of {node}")

    made, ended = [], []
"""
BEGIN = """
    import threading
    all_there = threading.Barrier(3)
"""
#: A test of the other claims, so that the suite is complete.
REST = "\n@claim('7.2.2/ls-columns', '7.2.2/managers-only')\ndef test_rest(): pass\n"


@pytest.fixture
def run(pytester, monkeypatch):
    """Return a function that runs a module of a suite on three nodes, and returns its output and its verdicts."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    pytester.makeini("[pytest]\naddopts = --strict-markers --tb=short\ncomplete_sections = 7.2.2\n")
    conftest = textwrap.dedent(CONFTEST).replace('"fixtures.profiles"', '"fixtures.profiles", "fixtures.all_at_once"')
    nodes = '    own_processors = True\n    nodes = ["master", "slave01", "slave02"]\n'
    conftest = conftest.replace("class Lab:\n", "class Lab:\n" + nodes)
    pytester.makeconftest(conftest + textwrap.dedent(MORE))

    def _run(tests, *options):
        folder = pytester.path / "suites"
        folder.mkdir(exist_ok=True)
        head = textwrap.dedent(HEADER) + textwrap.dedent(BEGIN)
        (folder / "test_it.py").write_text(head + textwrap.dedent(tests) + REST)
        done = pytester.runpytest_inprocess("suites", "-p", "no:randomly", *options)
        latest = (pytester.path / "reports" / "latest").resolve()
        read = json.loads((latest / "verdicts.json").read_text(encoding="utf-8"))
        claim = next(claim for claim in read["claims"] if claim["id"] == "7.2.2/inspect")
        evidence = {file: (latest / file).read_text(encoding="utf-8") for file in claim["evidence"]}
        return done, claim, evidence

    return _run


def test_a_test_runs_on_all_nodes_at_the_same_time(run):
    done, claim, evidence = run("""
        @claim("7.2.2/inspect")
        def test_a(node, bench):
            all_there.wait(timeout=20)
            record(node, "was asked", bench)
    """)
    done.assert_outcomes(passed=4)
    assert claim["verdict"] == "pass"
    of_each = {name.split("-")[-2]: text for name, text in evidence.items()}
    assert "slave02: slave02: was asked" not in of_each["master"]
    assert "bench of slave01" in of_each["slave01"]
    assert "bench of slave02" in of_each["slave02"]


def test_each_node_keeps_its_own_verdict_and_its_diagnosis(run):
    done, claim, evidence = run("""
        @claim("7.2.2/inspect")
        def test_a(node):
            all_there.wait(timeout=20)
            assert node != "slave01", f"{node} has no docker0"
    """)
    done.assert_outcomes(passed=3, failed=1)
    assert (claim["verdict"], claim["reason"]) == ("fail", "slave01 has no docker0")
    failed = next(text for name, text in evidence.items() if "slave01" in name)
    assert "firewall of master, when the test failed" in failed


def test_the_first_may_fail_and_the_others_not(run):
    done, claim, _ = run("""
        @claim("7.2.2/inspect")
        def test_a(node):
            all_there.wait(timeout=20)
            assert node != "master", f"{node} has no docker0"
    """)
    done.assert_outcomes(passed=3, failed=1)
    assert claim["reason"] == "master has no docker0"


@pytest.mark.parametrize("node", ["master", "slave01"])
@pytest.mark.parametrize(
    ("steps", "verdict", "reason"),
    [
        ("pytest.fail(f'{node} has no docker0')", "fail", "{node} has no docker0"),
        ("pytest.skip('lazy')", "broken", "skips itself, but only a claim's need may block a test: lazy"),
    ],
)
def test_what_pytest_raises_ends_the_test_of_its_node_alone(run, node, steps, verdict, reason):
    done, claim, _ = run(f"""
        import time
        from swarmlab.wait import wait

        @claim("7.2.2/inspect")
        def test_a(node):
            all_there.wait(timeout=20)
            if node == "{node}":
                {steps}
            begun = time.monotonic()
            wait(lambda: time.monotonic() > begun + 0.5, "some time", deadline=20)
    """)
    done.assert_outcomes(passed=3, failed=1)
    assert (claim["verdict"], claim["reason"]) == (verdict, reason.format(node=node))


def test_one_whose_fixtures_fail_runs_by_itself(run):
    done, claim, _ = run("""
        @pytest.fixture
        def user(node):
            if node == "slave02":
                raise LabError("no user on slave02")
            return "user"

        @claim("7.2.2/inspect")
        def test_a(node, user):
            pass
    """)
    done.assert_outcomes(passed=3, errors=1)
    assert (claim["verdict"], claim["reason"]) == ("broken", "no user on slave02")


def test_one_whose_fixtures_need_pytest_runs_by_itself(run):
    done, *_ = run("""
        running = threading.Lock()

        @pytest.fixture
        def user(node, request):
            return request.node.name

        @claim("7.2.2/inspect")
        def test_a(node, user):
            assert running.acquire(blocking=False), "two at the same time"
            running.release()
    """)
    done.assert_outcomes(passed=4)


def test_other_parameters_are_another_test(run):
    done, claim, _ = run("""
        @pytest.mark.parametrize("size", [1, 2])
        @claim("7.2.2/inspect")
        def test_a(node, size):
            all_there.wait(timeout=20)
            assert (node, size) != ("slave02", 2), f"{node} takes no {size}"
    """)
    done.assert_outcomes(passed=6, failed=1)
    assert claim["reason"] == "slave02 takes no 2"


def test_nodes_of_one_busy_machine_are_tested_one_after_the_other(run, monkeypatch):
    monkeypatch.setattr("fixtures.all_at_once.at_once", lambda *_: False)
    done, *_ = run("""
        running = threading.Lock()

        @claim("7.2.2/inspect")
        def test_a(node):
            assert running.acquire(blocking=False), "two at the same time"
            running.release()
    """)
    done.assert_outcomes(passed=4)
