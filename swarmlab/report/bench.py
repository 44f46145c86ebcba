"""The page and the picture of a benchmark, from the bench.json that ``make bench`` writes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from swarmlab import layouts
from swarmlab.errors import UsageError
from swarmlab.files import read_json
from swarmlab.report.markdown import code, plain, table
from swarmlab.watching.timeline import COLOURS

#: The file, and the number of its layout.
NAME, SCHEMA = "bench.json", 1
_LAYOUT = Path(__file__).with_name("bench.schema.json")

_WIDTH, _HEIGHT = 760, 420
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 40, 540, 370
_TEXT = 15


def load(file: Path) -> dict[str, Any]:
    """Return a benchmark.

    Raises:
        UsageError: the file is none.
    """
    mend = "make one with: make bench"
    try:
        found: dict[str, Any] = read_json(file, "benchmark")
    except UsageError as refused:
        raise UsageError(f"{refused}; {mend}") from None
    try:
        if isinstance(found, dict) and found.get("schema", SCHEMA) != SCHEMA:
            raise UsageError(f"{file} has schema {found['schema']}; this release reads {SCHEMA}; {mend}")
        if wrong := layouts.mistake(found, layouts.layout(_LAYOUT)):
            raise UsageError(f"{file}: is not a benchmark: {wrong}; {mend}")
        list(blocks(found, "growth.svg"))
        picture(found)
    except (ArithmeticError, LookupError, ValueError, TypeError, AttributeError):
        raise UsageError(f"{file}: is not a benchmark: a value in it is missing or wrong; {mend}") from None
    return found


def blocks(found: Mapping[str, Any], picture_at: str) -> Iterator[str]:
    """Yield the page of a benchmark, as blocks of Markdown without a heading.

    Args:
        found: the benchmark, as `load` returns it.
        picture_at: the path of its picture from the page; empty for none.
    """
    suite = found.get("suite", {})
    revision = suite.get("revision") or suite.get("version") or "not known"
    yield (
        f"Measured at revision {plain(str(revision))}, on {found['cores']} processors. *Processors* are seconds of the "
        "suite's own processes, of the outer engine, and of the nodes together."
    )
    if growth := found.get("growth"):
        yield _begun(growth, found)
        yield from _growth(growth, picture_at)
    if floor := found.get("floor"):
        yield _begun(floor, found)
        yield from _floor(floor)


def _begun(part: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    """Return when a part was begun and the load of the machine before; files of older suites have the whole's."""
    begun, load = (part.get(key, whole[key]) for key in ("started", "load"))
    return f"Begun {begun[:16].replace('T', ' ')}, with a load of {load:g} before:"


# Growth


def _growth(growth: Mapping[str, Any], picture_at: str) -> Iterator[str]:
    steps = growth["steps"]
    sizes = sorted({step["nodes"] for step in steps})
    if not sizes:
        yield "No lab was made."
    else:
        yield (
            "Each cell has the wall time and the time of the processors, in seconds. The last column says how both "
            "grow from the smallest lab to the largest: with the nodes (1), with their pairs (2), or faster."
        )
        if picture_at and len(sizes) > 1:
            yield f"![Processor time of each step by number of nodes]({picture_at})"
        rows = [[name, *(_cell(steps, name, size) for size in sizes), _grows(steps, name)] for name in _names(steps)]
        yield table(["step", *(f"{size} nodes" for size in sizes), "grows with the power"], rows)
        yield "Memory of a node that it cannot give back, and of the files that its kernel keeps for it, in MiB:"
        yield table(
            ["nodes", "when", "mean", "most", "files"],
            (
                [str(each["nodes"]), each["when"], *(f"{each[key]:.0f}" for key in ("mean", "most", "files"))]
                for each in growth["memory"]
                if "mean" in each
            ),
        )
    for left in growth["left_out"]:
        yield f"{left['nodes']} nodes: {plain(left['why'])}."


def _names(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(step["step"] for step in steps))


def _step(steps: Sequence[Mapping[str, Any]], name: str, nodes: int) -> Mapping[str, Any] | None:
    return next((step for step in steps if (step["step"], step["nodes"]) == (name, nodes)), None)


def _busy(step: Mapping[str, Any]) -> float:
    return float(sum(step["busy"].values()))


def _cell(steps: Sequence[Mapping[str, Any]], name: str, nodes: int) -> str:
    step = _step(steps, name, nodes)
    if step is None:
        return ""
    return f"{step['seconds']:.1f}, {_busy(step):.1f}" + (f" ({plain(step['failed'])})" if step["failed"] else "")


def _grows(steps: Sequence[Mapping[str, Any]], name: str) -> str:
    done = [step for step in steps if step["step"] == name and not step["failed"]]
    done.sort(key=lambda step: int(step["nodes"]))
    if len(done) < 2:
        return ""
    first, last = done[0], done[-1]
    return ", ".join(
        _power(first["nodes"], last["nodes"], *pair)
        for pair in ((first["seconds"], last["seconds"]), (_busy(first), _busy(last)))
    )


def _power(few: int, many: int, less: float, more: float) -> str:
    return f"{math.log(more / less) / math.log(many / few):.1f}" if less > 0 and more > 0 else "?"


def picture(found: Mapping[str, Any]) -> str:
    """Return a picture of the growth as SVG: processor time of each step by number of nodes, both logarithmic."""
    steps = [step for step in found.get("growth", {}).get("steps", []) if not step["failed"] and _busy(step) > 0]
    names = _names(steps)
    sizes = sorted({int(step["nodes"]) for step in steps}) or [1]
    top = max([1.0, *map(_busy, steps)])
    least = min([top, *map(_busy, steps)])
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(top)) + 1)

    def x(nodes: int) -> float:
        span = math.log(sizes[-1] / sizes[0]) or 1.0
        return round(_LEFT + (_RIGHT - _LEFT) * math.log(nodes / sizes[0]) / span, 1)

    def y(seconds: float) -> float:
        span = (decades[-1] - decades[0]) or 1
        return round(_BOTTOM - (_BOTTOM - _TOP) * (math.log10(seconds) - decades[0]) / span, 1)

    said = "; ".join(
        f"{name}: " + ", ".join(f"{step['nodes']} nodes {_busy(step):.1f} s" for step in steps if step["step"] == name)
        for name in names
    )
    title = "Processor time of each step by number of nodes"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="11">',
        f'<title id="title">{title}</title>',
        f'<desc id="desc">{escape(said)}</desc>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        _text(_LEFT, 18, title, "font-weight='bold'"),
        *(f'<path d="M{x(size)} {_TOP}V{_BOTTOM}" stroke="#ddd"/>' for size in sizes),
        *(_text(x(size), _BOTTOM + 16, str(size), "text-anchor='middle'") for size in sizes),
        _text((_LEFT + _RIGHT) / 2, _BOTTOM + 34, "nodes", "text-anchor='middle'"),
        *(f'<path d="M{_LEFT} {y(10.0**each)}H{_RIGHT}" stroke="#ddd"/>' for each in decades),
        *(_text(_LEFT - 6, y(10.0**each) + 4, f"{10.0**each:g} s", "text-anchor='end'") for each in decades),
    ]
    for place, name in enumerate(names):
        mine = sorted((step for step in steps if step["step"] == name), key=lambda step: int(step["nodes"]))
        points = [(x(int(step["nodes"])), y(_busy(step))) for step in mine]
        colour = COLOURS[place % len(COLOURS)]
        # A line of its own kind, and a number at its end, so that no information is in the colour alone.
        path = "L".join(f"{left} {top}" for left, top in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2" {_dashes(place)}/>')
        parts += [f'<circle cx="{left}" cy="{top}" r="3" fill="{colour}"/>' for left, top in points]
        parts.append(_text(points[-1][0] + 6, points[-1][1] + 4, str(place + 1)))
        row = _TOP + _TEXT * (place + 1)
        parts.append(f'<path d="M{_RIGHT + 30} {row - 4}h20" stroke="{colour}" stroke-width="2" {_dashes(place)}/>')
        parts.append(_text(_RIGHT + 56, row, f"{place + 1}  {name}"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _dashes(place: int) -> str:
    kind = ("", "6 3", "2 3", "8 3 2 3")[place % 4]
    return f'stroke-dasharray="{kind}"' if kind else ""


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f"<text x='{x:g}' y='{y:g}' {attributes}>{escape(text)}</text>"


# Floor


def _floor(floor: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "The same engine work, done by the suite and by bare commands (`docker` and `curl` in a script) in one run. "
        "The ratio is that of the processor time."
    )
    rows = [
        [
            code(name) if "/" in name else name,
            *(f"{part['seconds']:.1f}" for part in (each["suite"], each["bare"])),
            *(f"{_busy(part):.1f}" for part in (each["suite"], each["bare"])),
            _ratio(each["suite"], each["bare"]),
        ]
        for each in floor["rows"]
        for name in [each["name"]]
    ]
    heads = ["what", "suite: seconds", "bare: seconds", "suite: processors", "bare: processors", "ratio"]
    yield table(heads, rows)
    for each in floor["rows"]:
        for who in ("suite", "bare"):
            if each[who]["failed"]:
                yield f"{code(each['name'])}: {who}: {plain(each[who]['failed'])}."


def _ratio(suite: Mapping[str, Any], bare: Mapping[str, Any]) -> str:
    if suite["failed"] or bare["failed"] or not _busy(bare):
        return "?"
    return f"{_busy(suite) / _busy(bare):.2f}"
