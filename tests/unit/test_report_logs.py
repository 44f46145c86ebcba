"""The lines of an engine's log that a report shows: those around the failure."""

from datetime import datetime, timedelta, timezone

import pytest

from swarmlab import evidence
from swarmlab.report.condense import condense, last
from swarmlab.report.logs import around

BEGAN = datetime(2026, 11, 30, 9, 0, 0, tzinfo=timezone.utc)
WINDOW = (BEGAN, BEGAN + timedelta(seconds=30))


def line(second, text="it works", level="info"):
    at = BEGAN + timedelta(seconds=second)
    return f'time="{at:%Y-%m-%dT%H:%M:%S}.123456789Z" level={level} msg="{text} {second}"'


def test_the_lines_of_the_test_are_shown_and_not_the_last_ones():
    log = "\n".join(line(second) for second in range(-600, 900))
    shown = around(log, WINDOW, 10_000)
    assert "it works 0" in shown
    assert "it works 30" in shown
    assert "it works 899" not in shown
    assert "it works -600" not in shown
    assert shown.startswith("[… 595 lines from before the test …]\n")
    assert shown.endswith("lines from after the failure …]")


def test_of_many_lines_errors_stay_and_what_is_nearest_to_the_failure():
    log = "\n".join(line(n / 10) if n != 20 else line(2, "no space left", "error") for n in range(300))
    shown = around(log, WINDOW, 1000)
    assert "no space left" in shown
    assert "it works 29.9" in shown
    assert "it works 0.1" not in shown
    assert len(shown) < 1300


@pytest.mark.parametrize(
    "form",
    [
        "{at:%Y-%m-%dT%H:%M:%S}+00:00",
        "{at:%Y-%m-%dT%H:%M:%S}.12Z",
        "{east:%Y-%m-%dT%H:%M:%S}.000+08:00",
    ],
)
def test_times_of_every_form_are_read(form):
    lines = []
    for second in (-300, 10, 300):
        at = BEGAN + timedelta(seconds=second)
        east = at + timedelta(hours=8)
        lines.append(f'Nov 30 host dockerd[1]: time="{form.format(at=at, east=east)}" level=info msg="at {second}."')
    shown = around("\n".join(lines), WINDOW, 1000)
    assert "at 10." in shown
    assert "at 300." not in shown
    assert "at -300." not in shown


def test_a_line_without_a_time_belongs_to_the_one_before_it():
    shown = around("\n".join([line(-100), "goroutine 1", line(5, "panic"), "goroutine 7", line(100)]), WINDOW, 1000)
    assert "goroutine 7" in shown
    assert "goroutine 1\n" not in shown


def test_where_no_line_is_of_that_time_or_it_is_not_known_the_end_is_shown_and_that_is_said():
    log = "\n".join(line(second) for second in range(600, 700))
    assert around(log, WINDOW, 200).startswith("[no line is of 09:00:00 to 09:00:30 UTC; the log ends with; ")
    assert "it works 699" in around(log, WINDOW, 200)
    shown = around(log, None, 200)
    assert shown.startswith("[the time of the failure is not known, so this is the end of the log; ")
    assert "it works 699" in shown


def test_the_time_is_read_from_the_evidence_itself():
    head = f"suites/t.py::t: fail\nwhy\n{evidence.began(BEGAN)}, {evidence.failed(WINDOW[1])}\n\n"
    assert evidence.window(head) == WINDOW
    assert evidence.window("suites/t.py::t: pass\n" + evidence.began(BEGAN)) is None
    log = "\n".join(line(second) for second in range(-600, 900))
    text = f"{head}+0.10 s  master  cat\n    x\n\n==== slave02: engine log\n{log}\n"
    shown = condense(text, 40_000, answer=500, when=evidence.window(text))
    assert "it works 29" in shown
    assert "it works 899" not in shown


def test_the_last_calls_are_the_excerpt():
    calls = "".join(f"+{n}.00 s  master  ask {n}.\n" + "    line\n" * 20 + "\n" for n in range(9))
    shown = last(f"t: fail\n\n{calls}==== slave02: sockets\nmany\n", 2000)
    assert "ask 8." in shown
    assert "ask 3." not in shown
    assert "[… 14 lines more]" in shown
    assert "sockets" not in shown
