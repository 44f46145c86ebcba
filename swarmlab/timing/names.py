"""Short names of what is timed: first words of commands, paths of calls, reasons of waits; without names and ids."""

from __future__ import annotations

import functools
import re
import shlex

from swarmlab.evidence import redact

#: Characters of the longest name.
_MOST = 90
#: Programs of which the words that follow say more, and how many of them.
_VERBS = {"docker": 1, "ip": 1, "systemctl": 1, "openssl": 1, "docker-compose": 1, "git": 1, "apt-get": 1}
#: Groups of docker's commands, of which another word follows.
_GROUPS = (
    "builder buildx checkpoint compose config container context image manifest network node plugin secret service "
    "stack swarm system trust volume"
)
#: What prepares a command, and is passed over for the command itself.
_BEFORE = frozenset(("cd", "printf", "echo", "export", "set", "test", "true", ":", "."))
_SEPARATORS = frozenset((";", "&&", "||", "|", "&", "(", ")", "\n"))
_SHELLS = frozenset(("sh", "bash"))
#: The words of the engine's API in paths; any other part of a path is a name or an id.
_API = (
    "_ping archive attach auth build commit configs connect containers create df disconnect distribution events exec "
    "export get history images import info init inspect join json kill leave load logs networks nodes pause plugins "
    "prune push remove rename resize restart search secrets services session start stats stop swarm system tag tasks "
    "top unlock unlockkey unpause update version volumes wait"
)

_UNIQUE = re.compile(r"\bswc-[\w.-]+")
_HOST = re.compile(r"\b(?:master|slave\d+)\b")
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d+)?(?::\d+)?\b")
_ID = re.compile(r"\b(?=[a-z]*\d)[0-9a-z]{12,}\b")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LIST = re.compile(r"\b(NODE|NAME|ID|ADDRESS|N)(?:(?:, | and |, and )\1\b)+")


def normal(kind: str, name: str) -> str:
    """Return a name of its kind as it is added up: the same for all nodes, services and numbers."""
    if kind == "command":
        return _command(name)
    if kind in ("call", "outer"):
        return _call(name)
    return _reason(name) if kind == "wait" else name


@functools.lru_cache(2000)
def _reason(reason: str) -> str:
    text = _HOST.sub("NODE", _UNIQUE.sub("NAME", redact(reason)))
    text = _NUMBER.sub("N", _ID.sub("ID", _ADDRESS.sub("ADDRESS", text)))
    return _LIST.sub(r"\1…", " ".join(text.split()))[:_MOST]


@functools.lru_cache(2000)
def _call(request: str) -> str:
    method, _, path = request.partition(" ")
    parts = [part for part in path.partition("?")[0].split("/") if part and not re.fullmatch(r"v\d+\.\d+", part)]
    return f"{method} /" + "/".join(part if part in _API.split() else "X" for part in parts)


@functools.lru_cache(2000)
def _command(line: str) -> str:
    try:
        words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
    except ValueError:  # a quote that the shell would not take either
        words = line.split()
    return _first(words)[:_MOST] or "(nothing)"


def _first(words: list[str]) -> str:
    """Return the name of the first command that does more than prepare another."""
    commands: list[list[str]] = [[]]
    for word in words:
        if word in _SEPARATORS:
            commands.append([])
        elif commands[-1] or not re.fullmatch(r"\w+=.*", word, re.DOTALL):  # settings for the command that follows
            commands[-1].append(word)
    commands = [command for command in commands if command]
    chosen = next((command for command in commands if command[0] not in _BEFORE), commands[0] if commands else [])
    return _named(chosen)


def _named(command: list[str]) -> str:
    if not command:
        return ""
    program, rest = command[0].rpartition("/")[2], command[1:]
    if program in _SHELLS and "-c" in rest[:-1]:
        return _command(rest[rest.index("-c") + 1])
    if program == "docker" and "exec" in rest[:1]:
        inside = [word for word in rest[1:] if not word.startswith("-")][1:]
        place = rest.index(inside[0]) if inside else len(rest)
        return f"docker exec, {_named(rest[place:])}".rstrip(", ")
    verbs = [word for word in rest if re.fullmatch(r"[a-z][a-z-]*", word)]
    most = _VERBS.get(program, 0)
    most += program == "docker" and bool(verbs) and verbs[0] in _GROUPS.split()
    return " ".join([program if re.fullmatch(r"[\w.+:\[-]+", program) else "(a script)", *verbs[:most]])
