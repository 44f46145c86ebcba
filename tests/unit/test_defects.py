"""Known defects: their data, and the failures that they explain."""

import re

import pytest

from swarmlab.errors import UsageError
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.defects import KnownFailure, defects, known_failures, numbers

CONTAINERS = "master has 2 containers of the stack for good: remove task failed: unknown network"


@pytest.fixture
def read(tmp_path):
    """Reads a file of defects with this text."""

    def _read(text):
        file = tmp_path / "defects.yaml"
        file.write_text(text, encoding="utf-8")
        return defects(file)

    return _read


def test_every_failure_is_of_a_claim():
    known = {*catalogue.load(), *catalogue.rehearsal()}
    named = {claim for defect in defects() for claim in defect.failures or {}}
    assert {"7.3/stack-rm", "8.2.4/replicated"} <= named <= known


FORMER = "releases: [{first: '1.0'}]"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({FORMER: "releases: [{first: '19.03', mended: '18.09'}]"}, "18.09 is not after 19.03"),
        ({FORMER: "releases: [{first: 18.09}]"}, "not of type 'string'"),
        ({"['x#1']": "[]"}, "non-empty"),
        ({FORMER: f"{FORMER}, where: [rain]"}, "'rain'"),
        ({FORMER: f"{FORMER}, failures: {{7.1/a: '((('}}"}, r"7\.1/a: '\(\(\('"),
        (
            {"- {id": "- {id: a, incidents: ['x#1'], effect: it does not work, releases: [{first: '1.0'}]}\n- {id"},
            "two",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(read, change, complaint):
    ((old, new),) = change.items()
    text = f"- {{id: a, incidents: ['x#1'], effect: it does not work, {FORMER}}}"
    assert len(read(text)) == 1
    defects.cache_clear()
    with pytest.raises(UsageError, match=complaint) as refused:
        read(text.replace(old, new))
    assert re.match(r"defects\.yaml(, line 1, column \d+)?, a: ", str(refused.value))
    assert "\n" not in str(refused.value)


def test_a_release_candidate_comes_before_its_release():
    order = ["1.0.0-rc5", "1.0.0~rc93+ds1", "1.0.0", "1.1.12", "18.03.1-ce", "20.10.24+dfsg1", "29.0.0-rc.1", "29.0.0"]
    assert [numbers(version) for version in order] == sorted(map(numbers, order))


@pytest.mark.parametrize(
    ("claim", "engines", "known"),
    [
        ("7.3/stack-rm", ["18.03.1-ce"], ["18.03.1-ce"]),
        ("7.3/stack-rm", ["17.06.2-ce", "18.09.6", "18.09.6"], ["17.06.2-ce", "18.09.6"]),
        ("7.3/stack-rm", ["18.09.7"], []),
        ("7.3/stack-rm", ["20.10.24+dfsg1", "28.5.2"], []),
        ("7.3/stack-rm", ["20.10.24+dfsg1", "18.03.1-ce"], ["18.03.1-ce"]),
        ("7.3/stack-rm", [], []),
        ("7.3/stack-deploy", ["18.03.1-ce"], []),
    ],
)
def test_a_failure_is_known_of_the_engines_that_have_the_defect(claim, engines, known):
    found = known_failures(claim, [CONTAINERS], engines)
    assert [engine for failure in found for engine in failure.engines] == known
    for failure in found:
        assert KnownFailure.from_json(failure.to_json()) == failure
        assert str(failure).startswith("known: swarmkit#2273, ")
        assert str(failure).endswith("; mended in 18.09.7)")


@pytest.mark.parametrize("reasons", [[], ["the volume holds ''"], [CONTAINERS, "slave01 lost its volume"]])
def test_a_failure_with_another_reason_is_not_known(reasons):
    assert known_failures("7.3/stack-rm", reasons, ["18.03.1-ce"]) == []


def test_engines_that_different_releases_mend_are_told_apart(monkeypatch, read):
    made = read(
        '- {id: a, incidents: ["x#1"], effect: "it does not work", failures: {7.1/a: "not so"}, '
        'releases: [{first: "25.0", mended: "25.0.6"}, {first: "28.2"}]}'
    )
    monkeypatch.setattr("swarmlab.verdicts.defects.defects", lambda: made)
    found = known_failures("7.1/a", ["it is Not So"], ["25.0.5", "28.5.2", "25.0.1", "26.1.5"])
    assert list(map(str, found)) == [
        "known: x#1: it does not work (25.0.5, 25.0.1; mended in 25.0.6)",
        "known: x#1: it does not work (28.5.2; no known release mends it)",
    ]
