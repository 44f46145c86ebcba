"""What is wrong in an inventory of Ansible, in one line each: where it stands, Ansible's words, and the mend."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, read_text, shown

#: Most files beside an inventory that are looked at for a mistake.
_MOST_FILES = 200
#: What Ansible says of a file that none of its plugins reads, and of each plugin that was tried.
_BROKEN = re.compile(
    r"(?s)(?:Completely\s+failed|Unable)\s+to\s+parse\s+(?:inventory\s+source\s+)?"
    r"(/.+?)(?:\s+as\s+an\s+inventory\s+source)?\s*$"
)
_TRIED = re.compile(r"(?s)Failed\s+to\s+parse\s.{1,1000}?\swith\s+'?([\w.]+)'?\s+plugin:\s*(.*?)(?=\n\s*\n|\n ?<<|\Z)")
#: Keywords of Ansible's messages that have another name as a variable.
_KEYWORDS = {"remote_user": "user"}
_MENDS = {
    r"vault|decrypt": "name the file of its vault's password: ANSIBLE_VAULT_PASSWORD_FILE=FILE",
    r"unknown plugin|No module named|was not found|requires the": "install what that plugin needs",
    r"is undefined": "define it in the inventory, group_vars or host_vars",
    r"quotation|quote": "close the quote",
}


class Mistakes:
    """Finds where in an inventory something is wrong, and says it.

    Args:
        file: the inventory's file or folder.
        name: its name, for messages.
    """

    def __init__(self, file: Path, name: str) -> None:
        self._file = file
        self._name = name

    def refused(self, said: str) -> str:
        """Return in one line why Ansible makes nothing of the inventory."""
        plain = re.sub(r"\x1b\[[\d;]*m", "", said)
        # Older ones break lines after 79 characters, within long words too.
        blocks = re.split(r"\n(?=\[[A-Z]+\]|ERROR!)", plain.strip())
        file = self._file
        tries: dict[str, str] = {}
        for block in blocks:
            if broken := _BROKEN.search(block):
                file = Path(broken[1].replace("\n", ""))
            elif tried := _TRIED.search(block):
                tries.setdefault(tried[1], tried[2])
        why = next((tries[plugin] for plugin in _plugins(file) if plugin in tries), "")
        if not why:
            if mistake := self._not_yaml():
                return mistake
            errors = [block for block in blocks if block.startswith(("[ERROR]", "ERROR!"))]
            why = re.sub(r"^(\[\w+\]:|ERROR!) *", "", [*errors[:1], blocks[-1]][0])
        why = " ".join(why.split())
        if not why or "No inventory was parsed" in why or file.is_dir():
            return f"{self._name}: Ansible finds no hosts in it; write some"
        beside = "" if file == self._file else f": {file.name}"
        # Older ones name the file in front, with the line.
        at = re.match(rf"{' ?'.join(map(re.escape, str(file)))}:(\d+): ", why)
        if at:
            return f"{self._name}{beside}, line {at[1]}: Ansible does not read it: {_mended(why[at.end() :])}"
        where = f"{self._name}{beside}" if beside else self._origin(plain, "", why)
        return f"{where}: Ansible does not read it: {_mended(why)}"

    def _not_yaml(self) -> str:
        """Return what is wrong in a file of variables beside the inventory; Ansible does not say which it is."""
        beside = self._file if self._file.is_dir() else self._file.parent
        files = [file for part in ("group_vars", "host_vars") for file in sorted((beside / part).rglob("*"))]
        for file in files[:_MOST_FILES]:
            if file.is_file() and file.suffix in ("", ".yml", ".yaml", ".json"):
                try:
                    text = read_text(file)
                    if not text.startswith("$ANSIBLE_VAULT;"):
                        YamlFile(untagged(text), f"{self._name}: {file.relative_to(beside)}")
                except UsageError as mistake:
                    return str(mistake)
        return ""

    def _origin(self, said: str, host: str, why: str) -> str:
        """Return the inventory's name and, where Ansible or a search tells it, the place in it."""
        for path, line, column in reversed(re.findall(r"(?m)^Origin: (/.*?):(\d+)(?::(\d+))?$", said)):
            column = f", column {column}" if column else ""
            beside = "" if Path(path) == self._file else f": {Path(path).name}"
            return f"{self._name}{beside}, line {line}{column}"
        quoted = re.findall(r"'([^']{3,})'", why)
        return next((at for words in quoted if (at := self._where(words, host, words)) != self._name), self._name)

    def at(self, host: str, name: str, value: str, wrong: str) -> UsageError:
        """Return the error about a variable of a host."""
        return UsageError(f"{self._where(name, host, value)}: host {shown(host, 60)}: {name}: {wrong}")

    def _where(self, name: str, host: str, value: str) -> str:
        """Return the inventory's name, with the line where a variable stands if it stands in one line of the file."""
        for words in ((name, value, host), (name, value), (name, host), (name,)):
            lines = [number for number, line in self._lines() if all(word in line for word in words if word)]
            if len(lines) == 1:
                return f"{self._name}, line {lines[0]}"
        return self._name

    def _lines(self) -> Iterator[tuple[int, str]]:
        if self._file.is_file():
            with contextlib.suppress(UsageError):
                yield from enumerate(read_text(self._file).splitlines(), 1)

    def not_filled(self, host: str, why: str, said: str) -> str:
        """Return in one line why Ansible does not fill in the variables of a host."""
        why = re.sub(r"^Task failed: |^The task includes an option with an undefined variable\. ", "", why)
        about = re.match(r"Error processing keyword '(\w+)': ", why)
        if not about:
            return f"{self._origin(said, host, why)}: host {shown(host, 60)}: {_mended(why)}"
        name = f"ansible_{_KEYWORDS.get(about[1], about[1])}"
        where = self._origin(said, host, "")
        where = self._where(name, host, "") if where == self._name else where
        return f"{where}: host {shown(host, 60)}: {name}: {_mended(why[about.end() :])}"


def untagged(text: str) -> str:
    """Return a document in YAML without the tags of Ansible's, each letter in its place."""
    return re.sub(r"(?<=[\s\[{,])!(vault(-encrypted)?|unsafe)(?=\s)", lambda found: " " * len(found[0]), text)


def _plugins(file: Path) -> list[str]:
    """Return Ansible's plugins that may have been meant for a file, the likeliest first."""
    with contextlib.suppress(OSError):
        config = file.suffix in (".yml", ".yaml", ".json")
        if config and re.search(r"(?m)^plugin:", file.read_text("utf-8", "replace")):
            return ["auto"]
        script = ["script"] if os.access(file, os.X_OK) else []
        return [*script, *(["yaml"] if config else ["ini", "toml", "yaml"])]
    return []


def _mended(why: str) -> str:
    """Return Ansible's words with the mend."""
    why = shown(re.sub(r"\s*The error appears to be in .*", "", " ".join(why.split()))).rstrip(".")
    for pattern, mend in _MENDS.items():
        if re.search(pattern, why, re.IGNORECASE):
            return f"{why}; {mend}"
    return why
