"""Lists of names in messages have the first few and the count; the evidence has all."""

import pytest

from swarmlab import evidence
from swarmlab.lists import MOST, few

NAMES = [f"slave{place:02}" for place in range(1, 20)]


@pytest.mark.parametrize("count", [0, 1, MOST])
def test_a_short_list_is_whole(count):
    with evidence.recording() as journal:
        assert few(NAMES[:count]) == ", ".join(NAMES[:count])
    assert journal.text() == "(nothing was asked)"


@pytest.mark.parametrize(
    ("separator", "end"),
    [(", ", "slave06 and 13 more"), ("; ", "slave06; and 13 more"), (" and ", "slave06 and 13 more")],
)
def test_of_a_long_list_the_first_are_named_and_the_others_counted(separator, end):
    with evidence.recording() as journal:
        listed = few(iter(NAMES), separator)
    assert listed.startswith(separator.join(NAMES[:MOST]))
    assert listed.endswith(end)
    assert "slave07" not in listed
    assert all(name in journal.text() for name in NAMES)
