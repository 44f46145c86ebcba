"""The lines of an engine's log around a failure: not its end, which may be of a later time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

#: How long before a test began and after it failed lines still belong to it: clocks differ, and logs are late.
_MARGIN = timedelta(seconds=5)
_TIME = re.compile(r'\btime="(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)"')
#: The time that begins a line of an engine that logs as JSON or as ISO.
_ISO = re.compile(r'^(?:\{"time":")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,6})\d*)?(Z|[+-]\d\d:?\d\d)')
_TROUBLE = re.compile(r'level"?[=:]"?(?:error|fatal|panic|warn)')


@dataclass(frozen=True)
class Line:
    """A line of a log.

    Attributes:
        text: The line.
        at: When it was written, or the line before it that has a time; None before the first of these.
    """

    text: str
    at: datetime | None


def around(log: str, window: tuple[datetime, datetime] | None, most: int) -> str:
    """Return the lines of an engine's log around a failure, with notes of what is left out.

    Args:
        log: The log.
        window: When the test began and failed; None if that is not known.
        most: Most characters, not counting the notes. Of more, warnings and errors stay, and what is nearest to the
            failure.

    Returns:
        The lines. If the log has none of that time, or the time is not known, its end, with a note that says so.
    """
    lines = list(_lines(log))
    if window is None:
        return _end(log, most, "the time of the failure is not known, so this is the end of the log")
    began, failed = window[0] - _MARGIN, window[1] + _MARGIN
    places = [place for place, line in enumerate(lines) if line.at and began <= line.at <= failed]
    if not places:
        return _end(log, most, f"no line is of {window[0]:%H:%M:%S} to {window[1]:%H:%M:%S} UTC; the log ends with")
    kept = _chosen(lines, places, window[1], most)
    shown, before = [], places[0] - 1
    if places[0]:
        shown.append(f"[… {places[0]} lines from before the test …]")
    for place in kept:
        if left_out := place - before - 1:
            shown.append(f"[… {left_out} lines …]")
        shown.append(lines[place].text)
        before = place
    if left_out := places[-1] - before:
        shown.append(f"[… {left_out} lines …]")
    if after := len(lines) - places[-1] - 1:
        shown.append(f"[… {after} lines from after the failure …]")
    return "\n".join(shown)


def _chosen(lines: Sequence[Line], places: Sequence[int], failed: datetime, most: int) -> list[int]:
    """Return the places of the lines to show: warnings and errors first, then the nearest to the failure."""

    def rank(place: int) -> tuple[bool, float]:
        line = lines[place]
        return not _TROUBLE.search(line.text), abs((line.at - failed).total_seconds()) if line.at else 0.0

    kept: list[int] = []
    left = most
    for place in sorted(places, key=rank):
        left -= len(lines[place].text) + 1
        if left < 0 and kept:
            break
        kept.append(place)
    return sorted(kept)


def _lines(log: str) -> Iterator[Line]:
    at: datetime | None = None
    for text in log.splitlines():
        if found := _TIME.search(text) or _ISO.match(text):
            at = _moment(*found.groups())
        yield Line(text, at)


def _moment(second: str, fraction: str | None, zone: str) -> datetime:
    zone = "+00:00" if zone == "Z" else zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    return datetime.fromisoformat(f"{second}.{(fraction or '0').ljust(6, '0')}{zone}").astimezone(timezone.utc)


def _end(log: str, most: int, why: str) -> str:
    cut = len(log) - most
    text = log[cut:].partition("\n")[2] or log[cut:] if cut > 0 else log
    return f"[{why}{f'; {len(log) - len(text)} characters before this' if cut > 0 else ''}]\n{text}"
