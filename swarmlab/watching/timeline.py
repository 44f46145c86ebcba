"""Draws requests over time as a picture: which replica answered at which node, and which requests were lost.

The picture is one SVG file that needs no other: it opens in a browser, in Allure and on paper. Each node has a band,
and in it each replica a line, so that no information is in the colours alone. A lost request is a black cross above.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from swarmlab.evidence import redact

#: Colours that people with any kind of colour vision can distinguish (Okabe and Ito). Black is reserved for losses.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
#: Number of lines in a band; further replicas share the last.
_LINES = 24

_LEFT, _RIGHT = 90, 170
_PLOT = 740
#: Pixels of a cell: all requests in one are drawn as one. With many lines cells are larger, so that the paths take no
#: more characters than _PATHS.
_CELL = 2
_PATHS = 90_000
_CROSS = 6
_HEAD = 24
_TEXT = 15


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        at: its begin, in seconds.
        end: its end, in seconds.
        node: host name of the node that it was sent to.
        replica: name of the replica that answered.
        lost: why it is lost, empty if it is not.
    """

    at: float
    end: float
    node: str
    replica: str
    lost: str = ""


@dataclass(frozen=True)
class Mark:
    """An event in the picture.

    Attributes:
        at: its time, in seconds.
        event: its description.
    """

    at: float
    event: str


def draw(
    title: str,
    description: str,
    nodes: Sequence[str],
    requests: Sequence[Request],
    marks: Sequence[Mark] = (),
    notes: Mapping[str, str] | None = None,
    *,
    lost: str = "lost",
) -> str:
    """Return the picture as SVG. Its size does not grow with the number of requests.

    Args:
        title: the picture's title.
        description: the content as text, for readers who do not see the picture.
        nodes: host names of the nodes, a band each, from the top.
        requests: the requests, in any order.
        marks: the events.
        notes: a further note beside a band, by the node's host name.
        lost: the word for lost requests beside a band.
    """
    span = max([0.001, *(request.end for request in requests), *(mark.at for mark in marks)])
    scale = _PLOT / span
    answered = Counter(
        request.replica for request in sorted(requests, key=lambda request: request.at) if not request.lost
    )
    order = list(
        dict.fromkeys(
            request.replica for request in sorted(requests, key=lambda request: request.at) if not request.lost
        )
    )
    line = {replica: min(place, _LINES - 1) for place, replica in enumerate(order)}
    lines = max(1, min(len(order), _LINES))
    thick = 8 if lines <= 6 else 4
    cell = max(_CELL, math.ceil(len(nodes) * lines * _PLOT * 12 / _PATHS))
    band = _CROSS * 2 + 4 + lines * (thick + 1)
    bottom = _HEAD + len(nodes) * (band + 8)
    legend = bottom + 34
    height = legend + _TEXT * (len(marks) + len(order[:_LINES]) + 2)
    width = _LEFT + _PLOT + _RIGHT

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="11">',
        f'<title id="title">{_safe(title)}</title>',
        f'<desc id="desc">{_safe(description)}</desc>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(_LEFT, 15, title, "font-weight='bold'"),
    ]
    for row, node in enumerate(nodes):
        top = _HEAD + row * (band + 8)
        mine = [request for request in requests if request.node == node]
        losses = [request for request in mine if request.lost]
        parts.append(f'<rect x="{_LEFT}" y="{top}" width="{_PLOT}" height="{band}" fill="none" stroke="#bbb"/>')
        parts.append(_text(_LEFT - 6, top + band / 2 + 4, node, "text-anchor='end'"))
        parts.append(_text(_LEFT + _PLOT + 6, top + 12, f"{len(mine)} asked, {len(losses)} {lost}"))
        if notes and node in notes:
            parts.append(_text(_LEFT + _PLOT + 6, top + 26, notes[node]))
        for place in range(lines):
            # Replicas that share the last line share its colour.
            cells = [
                _cells(request, scale, cell) for request in mine if not request.lost and line[request.replica] == place
            ]
            y = top + _CROSS * 2 + 4 + place * (thick + 1)
            path = "".join(
                f"M{_LEFT + left} {y}h{right - left}v{thick}H{_LEFT + left}z" for left, right in _runs(cells)
            )
            if path:
                parts.append(f'<path fill="{COLOURS[place % len(COLOURS)]}" d="{path}"/>')
        parts += _crosses(losses, top, band, scale)
    parts += _axis(span, scale, bottom)
    for number, mark in enumerate(marks, start=1):
        x = round(_LEFT + mark.at * scale, 1)
        parts.append(f'<path d="M{x} {_HEAD - 4}V{bottom}" stroke="#000" stroke-dasharray="4 3"/>')
        parts.append(_text(x + 2, bottom + 26, str(number), "font-weight='bold'"))
        parts.append(_text(_LEFT, legend + _TEXT * number, f"{number}  at {mark.at:.1f} s: {mark.event}"))
    y = legend + _TEXT * (len(marks) + 1)
    parts.append(f"<path d='{_cross(_LEFT + 5, y - 4)}' stroke='#000' stroke-width='2'/>")
    parts.append(_text(_LEFT + 18, y, "a request that got no answer or no success"))
    for place, replica in enumerate(order[:_LINES]):
        y += _TEXT
        rest = [other for other in order if line[other] == place]
        name = f"{replica or 'a server without name'}: {answered[replica]} answers"
        if len(rest) > 1:
            name = f"{len(rest)} further replicas: {sum(answered[other] for other in rest)} answers"
        parts.append(f'<rect x="{_LEFT}" y="{y - 8}" width="11" height="8" fill="{COLOURS[place % len(COLOURS)]}"/>')
        parts.append(_text(_LEFT + 18, y, f"line {place + 1}, {name}"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _safe(text: str) -> str:
    # Redact before the text stands between tags, which would count as part of a secret.
    return escape(redact(text).translate(dict.fromkeys(range(32), " ")), {"'": "&apos;", '"': "&quot;"})


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f"<text x='{x}' y='{y}' {attributes}>{_safe(text)}</text>"


def _cells(request: Request, scale: float, cell: int) -> tuple[int, int]:
    """Return the left and right end of a request in pixels, on a grid of cells that are *cell* pixels wide."""
    left = min(int(request.at * scale), _PLOT - 1) // cell
    right = min(int(request.end * scale), _PLOT - 1) // cell
    return left * cell, min((right + 1) * cell, _PLOT)


def _runs(cells: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge cells that touch or overlap."""
    runs: list[tuple[int, int]] = []
    for left, right in sorted(cells):
        if runs and left <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(right, runs[-1][1]))
        else:
            runs.append((left, right))
    return runs


def _crosses(lost: Sequence[Request], top: float, band: float, scale: float) -> list[str]:
    """Return a cross and a thin line through the band for each cell with losses; the tooltip sums them up."""
    if not lost:
        return []
    why = ", ".join(f"{count} {why}" for why, count in Counter(request.lost for request in lost).most_common(5))
    places = sorted({_cells(request, scale, _CROSS)[0] + _CROSS // 2 for request in lost})
    crosses = "".join(_cross(_LEFT + x, top + _CROSS + 1) for x in places)
    lines = "".join(f"M{_LEFT + x} {top + _CROSS * 2 + 2}V{top + band}" for x in places)
    return [
        f"<g fill='none' stroke='#000'><title>{_safe(f'{len(lost)} lost, the first at {lost[0].at:.2f} s: {why}')}"
        f"</title><path d='{crosses}' stroke-width='2'/><path d='{lines}' stroke-width='.7'/></g>"
    ]


def _cross(x: float, y: float) -> str:
    return f"M{x - 4} {y - 4}l8 8m0-8l-8 8"


def _axis(span: float, scale: float, y: float) -> list[str]:
    step = next((step for step in (0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600) if span / step <= 12), 1800)
    drawn = []
    for tick in range(int(span / step) + 1):
        x = round(_LEFT + tick * step * scale, 1)
        drawn.append(f'<path d="M{x} {y}v4" stroke="#000"/>')
        drawn.append(_text(x, y + 15, f"{tick * step:g} s", "text-anchor='middle'"))
    return drawn
