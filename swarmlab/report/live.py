"""A table on the terminal that shows how far a run is, below the lines that it prints.

It never hides the cursor and changes no mode of the terminal, so that a run that is killed leaves a sane one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from swarmlab.verdicts.progress import Area, Doing, Progress, span
from swarmlab.verdicts.verdict import Verdict

#: Colours of verdicts.
_STYLES = {
    Verdict.FAIL: "red",
    Verdict.BROKEN: "yellow",
    Verdict.TIMEOUT: "yellow",
    Verdict.BLOCKED: "cyan",
    Verdict.WAIVED: "yellow",
    Verdict.PASS: "green",
}
#: Fewest rows of the terminal that stay for what is printed above the table.
_ABOVE = 4
#: Seconds of a wait from which on it is shown.
_SHOWN_FROM = 2.0


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002
        """Leave the cursor alone: nobody shows it again when the run is killed."""
        return False


class LiveTable:
    """The table, and the lines above it. `start` shows it, `refresh` shows it anew, `stop` takes it away."""

    def __init__(
        self, terminal: TextIO, progress: Progress, processes: Callable[[], int], *, colour: bool = True
    ) -> None:
        """Show on a terminal.

        Args:
            terminal: The terminal. Nothing else may write to it while the table is shown.
            progress: How far the run is.
            processes: Returns how many processes run tests.
            colour: Whether colours are used.
        """
        self._terminal, self._progress, self._processes = terminal, progress, processes
        self._started = time.time()
        self._console = _Console(file=terminal, force_terminal=True, no_color=not colour or None, highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_renderable=self._shown,
        )
        self._partial = ""

    def _shown(self) -> RenderableType:
        try:
            return table(self._progress, self._processes(), self._console.height, self._started)
        except Exception:  # no table is worth a run
            return ""

    def start(self) -> None:
        """Show the table."""
        self._live.start()
        self.refresh()

    def refresh(self) -> None:
        """Show the table as it is now; give it up if that fails."""
        if self._live.is_started:
            try:
                self._measure()
                self._live.refresh()
            except Exception:
                self.stop()

    def stop(self) -> None:
        """Take the table away. What was written above it stays. It may be called twice."""
        if self._live.is_started:
            with contextlib.suppress(Exception):
                self._live.stop()
        if self._partial:
            self._terminal.write(self._partial)
            self._partial = ""
        self._terminal.flush()

    def _measure(self) -> None:
        # Rich asks the standard streams, which pytest captures.
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(self._terminal.fileno())
            if size.columns and size.lines:  # some terminals do not know
                self._console.size = size

    # As a stream, for what prints above the table

    def write(self, text: str) -> int:
        """Print whole lines above the table; a line without its end is kept until that comes."""
        if not self._live.is_started:
            return self._terminal.write(text)
        *lines, self._partial = (self._partial + text).split("\n")
        for number, line in enumerate(lines):
            try:
                self._console.print(Text.from_ansi(line.rpartition("\r")[2]), soft_wrap=True)
            except Exception:
                self._partial = "\n".join([*lines[number:], self._partial])
                self.stop()
                break
        return len(text)

    def flush(self) -> None:
        """Flush the terminal."""
        self._terminal.flush()

    def isatty(self) -> bool:
        """Return True: it is a terminal."""
        return True

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the terminal."""
        return getattr(self._terminal, name)


def table(progress: Progress, processes: int, height: int, started: float) -> Group:
    """Return what is shown: chapters and areas with counts, what each process is at, and how long it takes still.

    Args:
        progress: How far the run is.
        processes: How many processes run tests.
        height: The rows of the terminal.
        started: When the run started, as `time.time`.
    """
    now = time.time()
    doing = [(name, each) for name, each in sorted(progress.doing.items()) if each.test or each.waits_for]
    room = max(1, height - _ABOVE - len(doing) - 2)
    return Group(
        _areas(progress, room),
        *(_doing(name, each, now) for name, each in doing),
        _total(progress, processes, now, started),
    )


def _areas(progress: Progress, room: int) -> Table:
    """Return a row for each area, as far as there is room: those under way before those that are done or not begun."""
    areas = list(progress.areas.values())
    shown = areas
    if len(areas) > room:
        keen = sorted(
            areas, key=lambda area: (not _bad(area), not 0 < area.judged < area.claims, area.judged == area.claims)
        )
        chosen = keen[: max(0, room - 1)]
        shown = [area for area in areas if area in chosen]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, overflow="ellipsis", ratio=None)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for area in shown:
        grid.add_row(_row(area), f"{area.judged}/{area.claims}", _counts(area.verdicts))
    if rest := [area for area in areas if area not in shown]:
        judged, claims = sum(area.judged for area in rest), sum(area.claims for area in rest)
        verdicts: Counter[Verdict] = sum((area.verdicts for area in rest), Counter())
        grid.add_row(Text(f"{len(rest)} more", style="dim"), f"{judged}/{claims}", _counts(verdicts))
    return grid


def _bad(area: Area) -> bool:
    return any(number and verdict.bad for verdict, number in area.verdicts.items())


def _row(area: Area) -> Text:
    return Text(area.title, style="dim" if area.judged == area.claims else "bold" if area.judged else "")


def _counts(verdicts: Counter[Verdict]) -> Text:
    parts = [Text(f"{verdicts[each]} {each}", style=_STYLES[each]) for each in reversed(Verdict) if verdicts[each] > 0]
    return Text("  ").join(parts)


def _doing(name: str, doing: Doing, now: float) -> Text:
    return Text(" ".join(_words(name, doing, now)), style="dim", no_wrap=True, overflow="ellipsis")


def _words(name: str, doing: Doing, now: float) -> Iterator[str]:
    if name:
        yield f"{name}:"
    waits = doing.waits_for and now - doing.waits_since >= _SHOWN_FROM
    if waits:
        yield f"{doing.waits(now)},"
    if doing.test:
        yield f"{span(now - doing.since)} in {doing.test.rpartition('/')[2]}"


def _total(progress: Progress, processes: int, now: float, started: float) -> Text:
    verdicts: Counter[Verdict] = sum((area.verdicts for area in progress.areas.values()), Counter())
    parts = [f"{progress.number}/{progress.of} claims judged"]
    if verdicts.total():
        parts.append(_counts(verdicts).plain)
    parts.append(f"{span(now - started)} so far")
    left = progress.left(processes)
    if left is not None:
        parts.append(f"about {span(left)} left, until {datetime.fromtimestamp(now + left):%H:%M}")
    return Text(", ".join(parts), style="bold", no_wrap=True, overflow="ellipsis")
