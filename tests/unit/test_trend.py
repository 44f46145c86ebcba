"""The picture of a claim's history."""

import re
from datetime import datetime, timedelta, timezone
from xml.etree import ElementTree as ET

from swarmlab.report.trend import trend
from swarmlab.verdicts.history import Point
from swarmlab.verdicts.verdict import Verdict

STARTED = datetime(2026, 11, 1, 10, tzinfo=timezone.utc)


def points(*ends):
    return [Point(f"r{n}", STARTED + timedelta(days=n), Verdict(end), seconds) for n, (end, seconds) in enumerate(ends)]


def test_it_has_a_bar_for_each_run_and_a_text_for_those_who_hear_it():
    drawn = ET.fromstring(trend(points(("pass", 2.0), ("fail", 60.0), ("blocked", 0.0))))
    assert drawn.get("role") == "img"
    assert drawn.get("aria-label") == (
        "Its last 3 runs, the oldest first: pass in 2.0 s on 01 Nov 10:00; fail in 60 s on 02 Nov 10:00; "
        "blocked in 0.0 s on 03 Nov 10:00"
    )
    bars = drawn.findall("g")
    assert [bar.get("class") for bar in bars] == ["pass", "fail", "blocked"]
    heights = [int(bar.find("rect").get("height")) for bar in bars]
    assert heights[1] > heights[0] >= heights[2] > 0
    # Without colour, what did not pass has a sign.
    assert [len(bar.findall("path") + bar.findall("circle")) for bar in bars] == [0, 1, 1]


def test_one_run_is_no_history_and_of_many_the_newest_count():
    assert trend(points(("pass", 1.0))) == ""
    assert trend([]) == ""
    many = trend(points(*[("pass", float(n)) for n in range(40)]))
    assert len(re.findall("<g ", many)) == 12
    assert "Its last 12 runs" in many
    assert "10 Dec" in many
