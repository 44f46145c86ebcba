"""The verdicts and seconds of a claim over the runs that are kept: a small picture, with a text to hear."""

from __future__ import annotations

import html
from collections.abc import Sequence

from markupsafe import Markup

from swarmlab.report.pages import duration
from swarmlab.verdicts.history import Point

#: How many of the newest runs it shows, the fewest that make a picture, and its sizes in pixels.
_MOST, _LEAST = 12, 2
_WIDTH, _GAP, _HEIGHT, _SIGN, _LOWEST = 8, 3, 18, 8, 3


def trend(points: Sequence[Point]) -> Markup:
    """Return the picture of a claim's history, the oldest run first; empty if it has fewer than two runs.

    A bar is a run, as high as its seconds. What did not pass has a sign above its bar, so that colour is not needed.

    Args:
        points: Its judgements, the oldest first.
    """
    shown = points[-_MOST:]
    if len(shown) < _LEAST:
        return Markup()
    longest = max([point.seconds for point in shown] + [0.1])
    parts = [_bar(place, point, longest) for place, point in enumerate(shown)]
    width = len(shown) * (_WIDTH + _GAP) - _GAP
    height = _SIGN + _HEIGHT
    return Markup(
        f'<svg class="trend" role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'aria-label="{html.escape(summary(shown))}">{"".join(parts)}</svg>'
    )


def summary(points: Sequence[Point]) -> str:
    """Return a history in words."""
    each = [f"{point.verdict} in {duration(point.seconds)} on {point.started:%d %b %H:%M}" for point in points]
    return f"Its last {len(points)} runs, the oldest first: {'; '.join(each)}"


def _bar(place: int, point: Point, longest: float) -> str:
    high = max(_LOWEST, round(_HEIGHT * point.seconds / longest))
    left, top = place * (_WIDTH + _GAP), _SIGN + _HEIGHT - high
    summary = f"{point.started:%Y-%m-%d %H:%M}: {point.verdict}, {duration(point.seconds)}"
    title = f"<title>{html.escape(summary)}</title>"
    bar = f'<rect x="{left}" y="{top}" width="{_WIDTH}" height="{high}"/>'
    sign = ""
    if str(point.verdict) == "fail":
        sign = f'<path d="M{left + 1} {top - 7}l6 6m0-6l-6 6"/>'
    elif str(point.verdict) != "pass":
        sign = f'<circle cx="{left + _WIDTH / 2:g}" cy="{top - 4}" r="2.5"/>'
    return f'<g class="{point.verdict}">{title}{bar}{sign}</g>'
