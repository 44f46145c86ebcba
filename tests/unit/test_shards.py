"""Seconds of tests, and runs that are split by them: each test is in one part, whoever computes it."""

import json

import pytest

from swarmlab.errors import UsageError
from swarmlab.paths import ROOT
from swarmlab.verdicts import seconds
from swarmlab.verdicts.gathered import function_of
from swarmlab.verdicts.seconds import Seconds
from swarmlab.verdicts.shards import Shard, digest, split
from swarmlab.verdicts.suites import Suites

TESTS = [f"suites/t.py::test_{letter}" for letter in "abcdefghij"]


@pytest.mark.parametrize("text", ["0/4", "5/4", "x", "2", "/", "1/0", "-1/2", "1/2/3", "1 / 2", "1/101", "²/2", "٢/4"])
def test_what_is_no_part_is_refused_in_one_line(text):
    with pytest.raises(UsageError, match="is no part of a run: write K/N, such as 2/4") as refused:
        Shard.read(text)
    assert "\n" not in str(refused.value)


def test_a_part_is_read_and_written():
    assert str(Shard.read("2/4")) == "2/4"
    assert Shard.read("4/4") == Shard(4, 4)


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 10, 12])
def test_each_test_is_in_one_part_in_whatever_order_they_are_found(parts):
    known = Seconds({test: 7.0 * number % 11 for number, test in enumerate(TESTS)})
    made = split(TESTS, known, parts)
    assert len(made) == parts
    assert sorted(test for part in made for test in part) == TESTS
    assert split(reversed(TESTS), known, parts) == made


def test_parts_take_about_as_long_and_tests_of_no_seconds_spread():
    known = Seconds(dict(zip(TESTS, [90, 60, 50, 40, 30, 30, 20, 10, 5, 5], strict=True)))
    took = [sum(map(known.of, part)) for part in split(TESTS, known, 3)]
    assert max(took) - min(took) <= 10
    assert sorted(map(len, split(TESTS, Seconds(dict.fromkeys(TESTS, 0)), 5))) == [2] * 5


def test_a_digest_is_of_tests_and_seconds():
    known = Seconds({TESTS[0]: 3})
    assert digest(TESTS, known) == digest(reversed(TESTS), Seconds({TESTS[0]: 3, "another": 1}))
    assert digest(TESTS, known) != digest(TESTS[1:], known)
    assert digest(TESTS, known) != digest(TESTS, Seconds({TESTS[0]: 4}))


def test_seconds_of_a_parameter_that_is_not_known_are_those_of_the_others():
    known = Seconds({"t.py::test_a[x]": 2, "t.py::test_a[y]": 4})
    assert (known.of("t.py::test_a[x]"), known.of("t.py::test_a[z]"), known.of("t.py::test_b")) == (2, 3, 5)
    assert (known.total("t.py::test_a"), known.total("t.py::test_b")) == (6, 5)


def test_newer_runs_are_preferred_and_what_cannot_be_read_is_left_out(tmp_path):
    def run(name, content):
        (tmp_path / name).mkdir()
        (tmp_path / name / "verdicts.json").write_text(content)
        return tmp_path / name

    new = run("new", json.dumps({"tests": {"a": 1}}))
    old = run("old", json.dumps({"tests": {"a": 9, "b": 2}}))
    wrong = [run("torn", "{"), run("older", "{}"), run("text", '{"tests": {"a": "x"}}'), tmp_path / "none"]
    assert seconds.kept([*wrong, new, old]).tests == {"a": 1, "b": 2}
    assert seconds.kept(wrong) is None


def test_estimates_are_of_tests_that_there_are():
    known = seconds.estimates()
    tests = Suites.read(ROOT / "suites", ROOT).tests
    assert {function_of(id) for id in known.tests} <= set(tests)
    assert all(0 <= value < 3600 for value in known.tests.values())
