"""The file that holds the options of a cluster: swarmlab.toml, or the table [tool.swarmlab] of pyproject.toml.

Each of its keys is the name of an option of ``pytest suites/`` without the dashes. The command line overrides the
file, and the file overrides the defaults. Paths in it are relative to the file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import exists, named, read_text, shown
from swarmlab.nearest import hint
from swarmlab.option_rules import mistake

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The option that names the file, the file's name, and the file that may hold a table in its place.
OPTION, FILE, PROJECT = "--config", "swarmlab.toml", "pyproject.toml"
#: The table of that file.
TABLE = "tool.swarmlab"

_TEXT, _TEXTS, _NUMBER, _WHOLE, _SWITCH = "text", "texts", "number", "whole", "switch"
#: What each form is called, and an example.
_FORMS = {
    _TEXT: ("a text in quotes", '{key} = "…"'),
    _TEXTS: ("a list of texts", '{key} = ["…"]'),
    _NUMBER: ("a number", "{key} = 2.5"),
    _WHOLE: ("a whole number", "{key} = 20"),
    _SWITCH: ("true or false", "{key} = true"),
}


@dataclass(frozen=True)
class Key:
    """A key of the file.

    Attributes:
        form: the form of its value.
        path: how its value names files: "whole" for a path; "after =" for NAME=FILE; "among" for names and files with
            commas; empty if it names none.
    """

    form: str = _TEXT
    path: str = ""


#: Every key: the options that are of a cluster, and not of one run of it.
KEYS: Mapping[str, Key] = {
    "catalogue": Key(),
    "cis-key-days": Key(_NUMBER),
    "cis-node-days": Key(_NUMBER),
    "cis-root-days": Key(_NUMBER),
    "engine": Key(path="among"),
    "every-node": Key(_SWITCH),
    "group": Key(),
    "hours": Key(_NUMBER),
    "image": Key(_TEXTS, path="after ="),
    "inventory": Key(path="whole"),
    "keep-runs": Key(_WHOLE),
    "lab": Key(),
    "lab-name": Key(),
    "may-disrupt": Key(),
    "metrics": Key(path="whole"),
    "ports": Key(),
    "profile": Key(),
    "profile-run": Key(_SWITCH),
    "provider": Key(),
    "reports": Key(path="whole"),
    "seconds": Key(path="whole"),
    "skip-preflight": Key(_TEXTS),
    "waivers": Key(path="whole"),
}
#: Options with which a run does not judge a cluster as the file describes it.
_OF_OTHER_RUNS = ("--rehearse", "--claims", "--profiles", "--help", "-h", "--version", "-V")
#: The keys that name the cluster which the file is of, and those that say which lab a run makes.
_CLUSTER = ("inventory", "lab-name", "lab")
_LABS = frozenset((*_CLUSTER, "engine", "provider"))


@dataclass(frozen=True)
class Configuration:
    """The options of a cluster.

    Attributes:
        file: the file.
        values: texts, numbers, switches and lists of texts by key; paths are whole.
    """

    file: Path
    values: Mapping[str, Any] = field(default_factory=dict)

    def text(self, key: str) -> str:
        """Return the value of a key that is a text; empty if the file does not have it."""
        return str(self.values.get(key, ""))

    def words(self, key: str) -> list[str]:
        """Return the words of the command line that say the same as a key of the file."""
        value = self.values[key]
        if isinstance(value, bool):
            return [f"--{key}"] if value else []
        listed = value if isinstance(value, list) else [value]
        return [f"--{key}={one:g}" if isinstance(one, float) else f"--{key}={one}" for one in listed]


def read(path: str | Path) -> Configuration:
    """Read a file of options; of a pyproject.toml its table.

    Raises:
        UsageError: it cannot be read, is not TOML, or holds what it cannot; the message has a line for each mistake.
    """
    file = named(path, "config").absolute()
    known = _read(file)
    if known is None:
        raise UsageError(f"config {shown(file)}: has no table [{TABLE}]; write one, or name another file")
    return known


def find(folder: Path, inventory: str = "") -> Configuration | None:
    """Return the options of a cluster that hold here, if nobody names a file.

    That is the first of: swarmlab.toml beside the inventory, swarmlab.toml in the folder, and the table of
    pyproject.toml in the folder.

    Args:
        folder: the current folder.
        inventory: the inventory that the command line names; empty for none.

    Raises:
        UsageError: see `read`.
    """
    beside = [] if not inventory or "://" in inventory else [(folder / named(inventory)).parent / FILE]
    for file in (*beside, folder / FILE, folder / PROJECT):
        if exists(file) and (found := _read(file.absolute())) is not None:
            return found
    return None


@dataclass(frozen=True)
class Taken:
    """What a run takes of a file of options.

    Attributes:
        file: the file.
        words: words of the command line, for what is taken.
        keys: the keys whose values are taken.
        beaten: the keys that the command line has too.
        left: why nothing is taken; empty if something is.
    """

    file: Path
    words: Sequence[str] = ()
    keys: Sequence[str] = ()
    beaten: Sequence[str] = ()
    left: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data, which xdist can hand to its workers."""
        plain = {name: list(getattr(self, name)) for name in ("words", "keys", "beaten")}
        return {"file": str(self.file), "summary": self.summary, "left": self.left, **plain}

    @property
    def summary(self) -> str:
        """The line about it at the start of a run."""
        if self.left:
            return f"{self.file} is not used: {self.left}"
        more = f"; the command line overrides its {', '.join(self.beaten)}" if self.beaten else ""
        return f"of {self.file}: {' '.join(self.words) or 'nothing'}{more}"


def take(arguments: Sequence[str], folder: Path, kinds: Callable[[], Mapping[str, str]]) -> Taken | None:
    """Return what a run of the suites takes of a file of options; None if there is no file, or the run is another.

    A file that nobody named is of one cluster: where the command line names another one, nothing of it is taken, as
    waivers and rights of a cluster are not those of another.

    Args:
        arguments: the words of the command line.
        folder: the current folder.
        kinds: returns the kind of lab, a value of ``--lab``, by the name of each option that only this kind takes.

    Raises:
        UsageError: see `read`.
    """
    words = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    if any(_given(words, option) for option in _OF_OTHER_RUNS):
        return None
    wanted = _value(words, OPTION)
    known = read(folder / named(wanted, "config")) if wanted else find(folder, _value(words, "--inventory"))
    if known is None:
        return None
    of_kinds = kinds()
    implied = next((of_kinds[f"--{key}"] for key in known.values if f"--{key}" in of_kinds), "")
    if implied and "lab" not in known.values:
        known = replace(known, values={"lab": implied, **known.values})
    if not wanted and (other := _other(known, words, folder)):
        return Taken(known.file, left=f"{other}; to use it all the same: {OPTION} {known.file}")
    beaten = [key for key in known.values if _given(words, f"--{key}")]
    keys = [key for key in known.values if key not in beaten and known.words(key)]
    return Taken(known.file, [word for key in keys for word in known.words(key)], keys, beaten)


def _other(known: Configuration, words: Sequence[str], folder: Path) -> str:
    """Return how the command line names another cluster than the file; empty if it does not."""
    for key in _CLUSTER:
        given = _value(words, f"--{key}")
        if not given:
            continue
        given = whole(given, folder) if KEYS[key].path else given
        differs = given != known.text(key) if key in known.values else bool(_LABS & set(known.values)) and key != "lab"
        if differs:
            return f"the command line names another cluster (--{key})"
    return ""


def _given(words: Sequence[str], option: str) -> bool:
    return any(word == option or word.startswith(f"{option}=") for word in words)


def _value(words: Sequence[str], option: str) -> str:
    """Return the value of an option of the command line; empty if it is not given."""
    found = ""
    for place, word in enumerate(words):
        if word.startswith(f"{option}="):
            found = word.partition("=")[2]
        elif word == option and place + 1 < len(words):
            found = words[place + 1]
    return found


# Reading


def _read(file: Path) -> Configuration | None:
    """Return the content of a file; None for a pyproject.toml without the table."""
    about = f"config {shown(file)}"
    text = read_text(file, "config")
    try:
        raw: Any = tomllib.loads(text)
    except (ValueError, RecursionError) as failed:  # of TOML, or a number of thousands of digits
        said, _, at = str(failed).partition(" (at ")
        last = f"line {text.count(chr(10)) + 1}, column {len(text.rpartition(chr(10))[2]) + 1}"
        place = "" if not at else f", {last if at.startswith('end') else at.rstrip(')')}"
        raise UsageError(f"{about}{place}: is not TOML: {shown(said or 'values lie too deep', 120)}") from None
    if file.name == PROJECT:
        for part in TABLE.split("."):
            raw = raw.get(part) if isinstance(raw, dict) else None
        if raw is None:
            return None
        if not isinstance(raw, dict):
            raise UsageError(f"{about}: {TABLE} is no table; write [{TABLE}]")
    mistakes: list[str] = []
    values = {}
    for key, value in raw.items():
        if wrong := _mistake(key, value):
            mistakes.append(f"{about}{_line(text, key, file)}: {wrong}")
            continue
        values[key] = _located(KEYS[key], value, file.parent)
    if mistakes:
        raise UsageError("\n".join(mistakes))
    return Configuration(file, values)


def _mistake(key: str, value: Any) -> str:
    """Return what is wrong with a key or its value; empty if nothing is."""
    if key not in KEYS:
        mend = hint(key.lower().replace("_", "-"), KEYS) or f"; known keys are {', '.join(KEYS)}"
        return f"unknown key {shown(repr(key), 60)}{mend}"
    form = KEYS[key].form
    wanted, example = _FORMS[form]
    if not _fits(form, value):
        return f"{key}: is {_called(value)}; write {wanted}: {example.format(key=key)}"
    if wrong := mistake(key, value):
        return wrong
    texts = value if isinstance(value, list) else [value]
    return f"{key}: has a NUL character in it; take it out" if any("\0" in str(text) for text in texts) else ""


def _fits(form: str, value: Any) -> bool:
    if form == _TEXT:
        return isinstance(value, str)
    if form == _TEXTS:
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if form == _SWITCH:
        return isinstance(value, bool)
    return isinstance(value, int if form == _WHOLE else (int, float)) and not isinstance(value, bool)


def _called(value: Any) -> str:
    """Return what a value is called in a message, which never shows the value."""
    names = {bool: "true or false", str: "a text", int: "a number", float: "a number", list: "a list", dict: "a table"}
    called = names.get(type(value), "a date or time")
    if isinstance(value, list) and any(not isinstance(one, str) for one in value):
        called += " with other values than texts"
    return called


def _line(text: str, key: str, file: Path) -> str:
    """Return in which line a key stands, for a message; empty if that is not told by its form."""
    table = rf"^\s*\[\s*{re.escape(TABLE)}\s*\]" if file.name == PROJECT else r"\A"
    begin = re.search(table, text, re.MULTILINE)
    if not begin:
        return ""
    name = rf"""(?:{re.escape(key)}|"{re.escape(key)}"|'{re.escape(key)}')"""
    found = re.compile(rf"^\s*(?:\[+\s*)?{name}\s*[=.\]]", re.MULTILINE).search(text, begin.end())
    if not found:
        return ""
    start = found.end() - len(found[0].lstrip())
    return f", line {text.count(chr(10), 0, start) + 1}"


def _located(key: Key, value: Any, folder: Path) -> Any:
    """Return a value with its paths made whole."""
    if key.path == "whole":
        return whole(value, folder)
    if key.path == "after =":
        return [_after_name(one, folder) for one in value]
    if key.path == "among":
        return ",".join(whole(part, folder) if _is_path(part, folder) else part for part in value.split(","))
    return value


def _after_name(text: str, folder: Path) -> str:
    name, sign, file = text.partition("=")
    return f"{name}{sign}{whole(file, folder)}" if sign and _is_path(file, folder) else text


def _is_path(text: str, folder: Path) -> bool:
    """Whether a text that may also be a name or a reference is the path of a file: it says so, or there is one."""
    return text.startswith(("./", "../", "/", "~")) or ("/" in text and "://" not in text and exists(folder / text))


def whole(path: str, folder: Path) -> str:
    """Return a path that is relative to a folder as a whole one; an address with ``://`` stays."""
    return path if "://" in path else os.path.normpath(folder / named(path))
