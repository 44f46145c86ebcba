"""The essential part of an evidence file: each call once, answers shortened, within a given length."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import unquote_plus

from swarmlab.report.logs import around

_ENTRY = re.compile(r"^(?=\+\d+\.\d\d s  )|^(?===== )", re.MULTILINE)
_HEAD = re.compile(r"\+(?P<offset>\d+\.\d\d s)  (?P<source>\S+)  (?P<rest>.*)", re.DOTALL)
_MOST_QUESTION = 300
#: The attachments of which the lines around the failure count, and not the last ones.
_LOG = re.compile(r"^==== (.*\bengine log|log)$")
#: Lines of an answer, and entries, that an excerpt has.
_LINES, _ENTRIES = 6, 4
#: Seconds after which an entry is later than the failure: its offset is of the moment at which it was answered.
_SLACK = 0.02


@dataclass(frozen=True)
class Piece:
    """One entry of a journal, or one attachment, as a report shows it.

    Attributes:
        head: When, which node, and the command or call.
        body: The answer.
        times: How often this call had this answer.
    """

    head: str
    body: str
    times: int = 1

    def __str__(self) -> str:
        """Return the entry as text, with a note of how often it occurs."""
        again = f"   (the same {self.times} times)" if self.times > 1 else ""
        return f"{self.head}{again}\n{self.body}".rstrip()


def condense(text: str, limit: int, *, answer: int = 400, when: tuple[datetime, datetime] | None = None) -> str:
    """Return the essential part of an evidence file.

    A call that got the same answer again is shown once, with the number of times. Then each answer is cut to *answer*
    characters. If the text is still too long, entries in the middle are left out. Notes say what is left out.

    Args:
        text: The file.
        limit: Most characters, not counting the notes.
        answer: Characters that are kept of one answer. Of an attachment the last four times as many are kept; of an
            engine's log as many around the failure.
        when: When the test began and failed; None if that is not known.
    """
    first, *entries = _ENTRY.split(text)
    pieces = [_piece(entry) for entry in entries]
    distinct: dict[tuple[str, str], Piece] = {}
    for piece in pieces:
        key = (piece.head.partition("  ")[2], piece.body)
        same = distinct.get(key)
        distinct[key] = replace(same, times=same.times + 1) if same else piece
    shown = [_cut(piece, answer, when) for piece in distinct.values()]
    head = _clip(first.strip(), max(answer, 400) * 2)
    return "\n\n".join([head, *_within(shown, limit - len(head))])


def last(text: str, limit: int, *, when: tuple[datetime, datetime] | None = None) -> str:
    """Return the last commands and calls in an evidence file before the failure, with the beginnings of their answers.

    Args:
        text: The file.
        limit: Most characters, not counting the notes.
        when: When the test began and failed; None if that is not known. What follows is the clean-up.
    """
    until = (when[1] - when[0]).total_seconds() + _SLACK if when else float("inf")
    entries = [entry for entry in _ENTRY.split(text)[1:] if (head := _HEAD.match(entry)) and _seconds(head) <= until]
    pieces = [_piece(entry) for entry in entries]
    shown: list[str] = []
    for piece in reversed(pieces[-_ENTRIES:]):
        lines = piece.body.splitlines()
        body = "\n".join([*(_clip(line, _MOST_QUESTION) for line in lines[:_LINES]), *_more(lines)])
        one = str(replace(piece, head=_clip(piece.head, _MOST_QUESTION), body=body))
        if shown and sum(map(len, shown)) + len(one) > limit:
            break
        shown.insert(0, one)
    return "\n".join(shown)


def _seconds(head: re.Match[str]) -> float:
    return float(head["offset"].removesuffix(" s"))


def _more(lines: list[str]) -> list[str]:
    return [f"    [… {len(lines) - _LINES} lines more]"] if len(lines) > _LINES else []


def asked(text: str) -> Counter[str]:
    """Return the number of commands and calls in an evidence file, by node."""
    found = (_HEAD.match(entry) for entry in _ENTRY.split(text)[1:])
    return Counter(entry["source"] for entry in found if entry and entry["source"] != "suite")


def _piece(entry: str) -> Piece:
    if found := _HEAD.match(entry):
        question, _, answer = found["rest"].partition("\n    ")
        asked = unquote_plus(question) if question.startswith(("GET ", "POST ", "DELETE ")) else question
        return Piece(f"+{found['offset']}  {found['source']}  {asked.strip()}", "    " + answer.rstrip())
    title, _, body = entry.partition("\n")
    return Piece(title, body.rstrip())


def _cut(piece: Piece, answer: int, when: tuple[datetime, datetime] | None) -> Piece:
    if piece.head.startswith("===="):
        most = answer * 4
        if _LOG.match(piece.head):
            return replace(piece, body=around(piece.body, when, most))
        cut = len(piece.body) - most
        body = f"[… {cut} characters before this …]\n{piece.body[cut:]}" if cut > 0 else piece.body
        return replace(piece, body=body)
    return replace(piece, head=_clip(piece.head, _MOST_QUESTION), body=_clip(piece.body, answer))


def _clip(text: str, most: int) -> str:
    cut = len(text) - most
    return f"{text[:most]} [… {cut} characters more]" if cut > 0 else text


def _within(pieces: list[Piece], limit: int) -> list[str]:
    """Return as many entries from the beginning and the end as *limit* allows: how it began, and how it ended."""
    texts = [str(piece) for piece in pieces]
    if sum(len(text) + 2 for text in texts) <= limit:
        return texts
    first: list[str] = []
    last: list[str] = []
    left = limit
    front, back = 0, len(texts) - 1
    while front <= back:
        at_end = len(last) < len(first)
        text = texts[back] if at_end else texts[front]
        if len(text) + 2 > left and (first or last):
            break
        left -= len(text) + 2
        if at_end:
            last.insert(0, text)
            back -= 1
        else:
            first.append(text)
            front += 1
    return [*first, f"(… {back - front + 1} entries left out here …)", *last]
