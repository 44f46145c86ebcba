"""Values that others wrote into a swarm: of their environments, labels, arguments, health commands and options.

Records of what is not the suite's own hold its names and its shape (see `swarmlab.cluster.shape`). What was left out of
a record is remembered here, so that it is also taken out of text that quotes it, such as the error of a task.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
import threading
import urllib.parse
from collections.abc import Iterable, Iterator

#: What takes the place of a value of others in text.
MARKER = "[redacted foreign value]"
#: Characters of the shortest value that is taken out of text, and of the shortest that is also found inside a word.
LEAST, LEAST_INSIDE = 6, 12
#: What stands where text was cut, as in a table of docker or in what pytest shows, within a value perhaps.
_CUT = ("…", "...", "\\u2026")
_CUTS = re.compile("|".join(map(re.escape, _CUT)))
#: Characters of the shortest word of a value that is looked for by itself.
_LEAST_WORD = 8
#: Most characters of the end of a value that is looked for after a cut.
_LONGEST_END = 200
#: Values that stay, because they are the words of engines and of tables, whoever else writes them.
_COMMON = (
    "accepted active allocated always amd64 assigned bridge complete container containers create created debian "
    "default default-address-pools docker docker0 docker_gwbridge enabled disabled failed global healthy ingress "
    "json-file journald linux localhost manager master network networks on-failure orphaned overlay password "
    "pending preparing private process production ready redacted rejected remove removed replicated running "
    "secret service services shutdown starting stopped syslog template timeout unhealthy unknown "
    "unless-stopped unreachable version volume volumes worker workers x86_64 127.0.0.1 0.0.0.0"
)
_WORDS = re.compile(r"""[\s"'`=,;:@&?|<>(){}\[\]/\\]+""")


class Values:
    """The values of others that a process has met."""

    def __init__(self) -> None:
        """Know none."""
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._shown: set[str] = set()
        # By their first characters: the forms in which values are looked for, each with the value.
        self._index: dict[str, list[tuple[str, str]]] = {}
        self._ends: dict[str, list[tuple[str, str]]] = {}

    def hide(self, values: Iterable[str]) -> None:
        """Take these values out of text from now on, in every form in which text may have them."""
        for value in values:
            if value in self._known:
                continue
            with self._lock:
                self._known.add(value)
                for part in _parts(value):
                    for form in _forms(part):
                        for index, key in ((self._index, form[:LEAST]), (self._ends, form[-LEAST:])):
                            entries = index.setdefault(key, [])
                            if (form, part) not in entries:
                                entries.append((form, part))

    def show(self, names: Iterable[str]) -> None:
        """Leave these in text, and their words, whatever else has them as a value: they are names, ids and images."""
        for name in names:
            if name not in self._shown:
                self._shown.update((name, name[:12], name.partition("/")[0], *_WORDS.split(name)))

    def masked(self, text: str) -> str:
        """Return *text* with `MARKER` in the place of each value."""
        if not self._index or len(text) < LEAST:
            return text
        text = self._without_ends(text)
        index, parts, done = self._index, [], 0
        for place in [place for place in range(len(text) - LEAST + 1) if text[place : place + LEAST] in index]:
            if place < done:
                continue
            entries = index[text[place : place + LEAST]]
            lengths = [_length(text, place, form) for form, value in entries if value not in self._shown]
            length = max(lengths, default=0)
            if length:
                parts += [text[done:place], MARKER]
                done = place + length
        return "".join(parts) + text[done:] if parts else text

    def _without_ends(self, text: str) -> str:
        """Return *text* without the ends of values whose beginnings were cut off."""
        parts, done = [], 0
        for cut in _CUTS.finditer(text):
            start = cut.end()
            for end in range(min(len(text), start + _LONGEST_END), start + LEAST - 1, -1):
                entries = self._ends.get(text[end - LEAST : end], ())
                if any(form.endswith(text[start:end]) and value not in self._shown for form, value in entries):
                    parts += [text[done:start], MARKER]
                    done = end
                    break
        return "".join(parts) + text[done:] if parts else text


def _length(text: str, place: int, form: str) -> int:
    """Return how many characters at a *place* of *text* are of this form of a value; 0 if it is not there."""
    if text.startswith(form, place):
        end = place + len(form)
        if len(form) >= LEAST_INSIDE or not (_in_word(text, place - 1) or _in_word(text, end)):
            return len(form)
        return 0
    common = next((i for i, of_form in enumerate(form) if text[place + i : place + i + 1] != of_form), len(form))
    return common if common >= LEAST and text.startswith(_CUT, place + common) else 0


def _in_word(text: str, place: int) -> bool:
    return 0 <= place < len(text) and (text[place].isalnum() or text[place] == "_")


def _parts(value: str) -> Iterator[str]:
    """Yield a value, its lines, and those of its words that are no words of a language."""
    value = value.strip()
    yield from dict.fromkeys(
        part
        for part in (value, *(line.strip() for line in value.splitlines()), *filter(_is_peculiar, _WORDS.split(value)))
        if len(part) >= LEAST and part.lower() not in _COMMON.split()
    )


def _is_peculiar(word: str) -> bool:
    kinds = (any(map(str.isdigit, word)), any(map(str.isalpha, word)))
    return len(word) >= _LEAST_WORD and all(kinds) and not re.fullmatch(r"[\d.:]+[a-z]{0,2}|v\d[\w.]*", word)


def _forms(value: str) -> Iterator[str]:
    """Yield a value as text may have it: as it is, escaped, or encoded."""
    raw = value.encode(errors="replace")
    escaped = json.dumps(value)[1:-1]
    yield from dict.fromkeys(
        form
        for form in (
            value,
            escaped,
            json.dumps(escaped)[1:-1],
            json.dumps(value, ensure_ascii=False)[1:-1],
            repr(value)[1:-1],
            value.replace("'", "'\"'\"'"),
            html.escape(value),
            urllib.parse.quote(value),
            urllib.parse.quote(value, safe=""),
            urllib.parse.quote_plus(value),
            base64.b64encode(raw).decode().rstrip("="),
            base64.urlsafe_b64encode(raw).decode().rstrip("="),
            base64.b64encode(raw + b"\n").decode().rstrip("="),
            raw.hex(),
            raw.hex().upper(),
        )
        if len(form) >= LEAST
    )


_values = Values()
hide_foreign = _values.hide
show_foreign = _values.show
masked = _values.masked


def decoded(encoded: str) -> str:
    """Return the text that is encoded in base64, as the content of a config is; empty if it is no such text."""
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
