"""The table of runs that were killed outright, for a page of results: what `make proof-interruptions` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import read_json


def bad(row: Mapping[str, Any]) -> str:
    """Return what is wrong with one kill; empty if nothing is.

    Args:
        row: an entry of the table's "kills".
    """
    if row["left after the next run"]:
        return f"left after the next run: {'; '.join(row['left after the next run'])}"
    if row["next status"] not in (0, 1):
        return f"the next run ended with {row['next status']}"
    if row["next status"] == 1:
        return "the next run has claims that do not hold"
    if row["traceback"]:
        return "the next run printed a traceback"
    if row["verdicts kept"] is None:
        return "the killed run has no record" if row["tests ended"] else ""
    if row["verdicts kept"] < row["tests ended"]:
        return f"{row['tests ended']} tests had ended, {row['verdicts kept']} are kept"
    return ""


def lines(file: Path) -> list[str]:
    """Return a Markdown table of the kills, below one sentence.

    Args:
        file: kills.json of the proof.

    Raises:
        UsageError: it cannot be read.
    """
    mend = "make one with: make proof-interruptions"
    try:
        return _lines(read_json(file, "kills"))
    except UsageError as wrong:
        raise UsageError(f"{wrong}; {mend}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        why = f"{wrong} is missing" if isinstance(wrong, KeyError) else "a value in it is wrong"
        raise UsageError(f"{file}: is not a table of kills: {why}; {mend}") from None


def _lines(table: Mapping[str, Any]) -> list[str]:
    kills = table["kills"]
    clean = sum(not bad(row) for row in kills)
    made = [
        f"{len(kills)} runs were killed (`kill -9`) at random moments of the {table['whole run seconds']:.0f} seconds "
        f"that such a run takes. After {clean} of them the next run was clean, and the results so far were kept.",
        "",
        "| second | killed | at | left, before the next run | tests ended | verdicts kept | next run |",
        "| ---: | --- | --- | --- | ---: | ---: | --- |",
    ]
    for row in sorted(kills, key=lambda row: row["moment"]):
        kept = "none written" if row["verdicts kept"] is None else row["verdicts kept"]
        left = ", ".join(_kind(line) for line in row["left"]) or "nothing"
        made.append(
            f"| {row['moment']} | {row['victim']} | {row['phase']} | {left} | {row['tests ended']} | {kept} "
            f"| {bad(row) or 'clean'} |"
        )
    return made


def _kind(line: str) -> str:
    """Return the kind of a thing that is left, without the names and numbers of one host."""
    return line.partition(" ")[0].removesuffix(":")
