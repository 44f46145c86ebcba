"""The essential part of an evidence file: every question once, answers shortened, within a given length."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from urllib.parse import unquote_plus

_ENTRY = re.compile(r"^(?=\+\d+\.\d\d s  )|^(?===== )", re.MULTILINE)
_HEAD = re.compile(r"\+(?P<offset>\d+\.\d\d s)  (?P<source>\S+)  (?P<rest>.*)", re.DOTALL)
_MOST_QUESTION = 300


@dataclass(frozen=True)
class Piece:
    """One entry of a journal, or one attachment, as a report shows it.

    Attributes:
        head: when, who was asked, and what.
        body: what was answered.
        times: how often just this was asked and answered.
    """

    head: str
    body: str
    times: int = 1

    def __str__(self) -> str:
        again = f"   (the same {self.times} times)" if self.times > 1 else ""
        return f"{self.head}{again}\n{self.body}".rstrip()


def condense(text: str, limit: int, *, answer: int = 400) -> str:
    """The essential part of an evidence file.

    The same question with the same answer is shown once, with how often; then answers are cut to *answer* characters
    each; then, where that is still too long, entries in the middle are left out. What is left out is said.

    Args:
        text: the file.
        limit: characters at most, give or take the notes of what was left out.
        answer: characters kept of one answer; of what was attached four times as much, its end.
    """
    first, *entries = _ENTRY.split(text)
    pieces = [_piece(entry) for entry in entries]
    distinct: dict[tuple[str, str], Piece] = {}
    for piece in pieces:
        key = (piece.head.partition("  ")[2], piece.body)
        seen = distinct.get(key)
        distinct[key] = replace(seen, times=seen.times + 1) if seen else piece
    shown = [_cut(piece, answer) for piece in distinct.values()]
    head = _clip(first.strip(), max(answer, 400) * 2)
    return "\n\n".join([head, *_within(shown, limit - len(head))])


def asked(text: str) -> Counter[str]:
    """How many commands and calls stand in an evidence file, by who was asked."""
    found = (_HEAD.match(entry) for entry in _ENTRY.split(text)[1:])
    return Counter(entry["source"] for entry in found if entry and entry["source"] != "suite")


def _piece(entry: str) -> Piece:
    if found := _HEAD.match(entry):
        question, _, said = found["rest"].partition("\n    ")
        asked = unquote_plus(question) if question.startswith(("GET ", "POST ", "DELETE ")) else question
        return Piece(f"+{found['offset']}  {found['source']}  {asked.strip()}", "    " + said.rstrip())
    title, _, body = entry.partition("\n")
    return Piece(title, body.rstrip())


def _cut(piece: Piece, answer: int) -> Piece:
    if piece.head.startswith("===="):
        most = answer * 4
        cut = len(piece.body) - most
        body = f"[… {cut} characters before this …]\n{piece.body[cut:]}" if cut > 0 else piece.body
        return replace(piece, body=body)
    return replace(piece, head=_clip(piece.head, _MOST_QUESTION), body=_clip(piece.body, answer))


def _clip(text: str, most: int) -> str:
    cut = len(text) - most
    return f"{text[:most]} [… {cut} characters more]" if cut > 0 else text


def _within(pieces: list[Piece], limit: int) -> list[str]:
    """As many from the beginning and from the end as *limit* allows: how it began, and how it came out."""
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
