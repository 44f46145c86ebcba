"""An inventory: the file that lists the machines of a swarm, and how they are reached.

It is a YAML file in the suite's format (see inventory.schema.json), or an inventory of Ansible, which Ansible's own
command reads.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.evidence import redact
from swarmlab.files import YamlFile, kind_of, named, read_text, shown
from swarmlab.labs.base import Declared
from swarmlab.labs.context import endpoints
from swarmlab.labs.existing import ansible, ansible_mistakes
from swarmlab.labs.existing.places import FORM, Place, bare, chain, place
from swarmlab.nearest import nearest

_SCHEMA = Path(__file__).with_name("inventory.schema.json")
#: The published ports that the suite uses if the file names none.
DEFAULT_PORTS = range(30000, 30100)
#: The least number of ports with which tests can run one after the other.
LEAST_PORTS = 20
#: The declaration of a file that declares nothing: its owner has made none of the document's choices.
NOTHING = Declared(
    {}, "", "", packaged=False, names=(), hosts=False, user="", keys=False, compose="", outside=False, listen=False
)
#: The user who logs in if neither the file nor ssh's configuration names one.
DEFAULT_USER = "root"
#: What is wrong with an address that is more than a host, and with that of a manager.
_ALONE = "write the host alone; user: and port: are keys of their own"
_NO_MANAGER = "is no address of a manager; write ssh://[USER@]HOST[:PORT]"
_ANSIBLE = ("all", "ungrouped", "plugin", "_meta")


@dataclass(frozen=True)
class Machine:
    """A machine of the inventory, and how it is reached.

    Attributes:
        address: where its sshd answers.
        name: its host name by the file; empty if the file has none.
        role: its role by the file, manager or worker; empty if the file has none.
        user: the user who logs in; empty if ssh's configuration says so, or else it is `DEFAULT_USER`.
        port: the port of its sshd; 0 if ssh's configuration says so, or else it is 22.
        key: file of the private key; None for those of ssh's configuration, the agent and the default ones.
        jump: [USER@]HOST[:PORT] through which it is reached, several with commas; "none" for none; empty if ssh's
            configuration says so.
        known_hosts: file of the host keys; None for the user's own file.
        sudo: the user becomes root by sudo or doas.
        like: the address of the manager from which it was learned; ssh's configuration of that holds for it too.
        like_ssh: what the file leaves out is as of ssh: this process's user, and jump hosts with keys of their own.
        config: the file of ssh's configuration that is read in place of the user's.
        arguments: further options of ssh.
        folder: the folder to which files in *arguments* are relative.
        unused: what the file has for it and the suite does not use, for messages.
    """

    address: str
    name: str = ""
    role: str = ""
    user: str = ""
    port: int = 0
    key: Path | None = None
    jump: str = ""
    known_hosts: Path | None = None
    sudo: bool = False
    like: str = ""
    like_ssh: bool = False
    config: Path | None = None
    arguments: tuple[str, ...] = ()
    folder: Path | None = None
    unused: str = ""

    def __str__(self) -> str:
        """Return name and address, for messages."""
        return f"{self.name} ({self.address})" if self.name and self.name != self.address else self.address


@dataclass(frozen=True)
class Inventory:
    """The contents of an inventory.

    Attributes:
        source: the file, for messages.
        machines: all machines, or the one manager that knows the others.
        discover: ask the one manager for the other machines.
        ports: published ports that the suite may use.
        registry: the registry from which nodes pull the suite's images; empty if the suite starts one on each node.
        declared: the properties that the file declares for the nodes.
        group: the groups of an inventory of Ansible that the user chose; empty for the default.
    """

    source: str
    machines: tuple[Machine, ...]
    discover: bool = False
    ports: range = DEFAULT_PORTS
    registry: str = ""
    declared: Declared = NOTHING
    group: str = ""

    @property
    def options(self) -> list[str]:
        """The options of the command line that name it."""
        return ["--inventory", self.source, *(["--group", self.group] if self.group else [])]


def read(source: str, *, ports: str = "", group: str = "") -> Inventory:
    """Read an inventory.

    Args:
        source: a file, ``ssh://[USER@]HOST[:PORT]`` of one manager, or a folder of Ansible's.
        ports: a range, FIRST-LAST, in place of the file's.
        group: groups of an inventory of Ansible, with commas; empty for the default.

    Raises:
        UsageError: it cannot be read, or its contents are wrong; the message names the place.
    """
    mistakes = Mistakes(source)
    more: list[dict[str, Any]] = []
    raw, folder = _raw(source, mistakes)
    if raw is None:
        hosts = ansible.read(named(source, "inventory"), source, group, MOST_NODES)
        raw, more, folder, mistakes.file = {"nodes": hosts.nodes}, hosts.more, hosts.folder, None
    elif group:
        raise UsageError(f"--group: {mistakes.name} is not of Ansible and has no groups; leave it out")
    if ports:
        mistakes.by_option = True
        raw = {**raw, "ports": ports} if isinstance(raw, dict) else raw
    _check(raw, mistakes)
    _check_nodes(raw, folder, mistakes)
    mistakes.end()
    return _inventory(source, raw, folder, more, group)


def _raw(source: str, mistakes: Mistakes) -> tuple[Any, Path]:
    """Return the content of an inventory in the suite's format, None for one of Ansible's; and its folder."""
    if source.startswith("ssh://"):
        return {"manager": source}, Path.cwd()
    file = named(source, "inventory")
    folder = file.absolute().parent
    if kind_of(file, mistakes.name) == "folder" or _is_program(file):
        return None, folder
    text = read_text(source, "inventory")
    raw = None if _is_ini(file, text) else _parsed(text, mistakes)
    return None if raw is None or _is_ansible(raw) else raw, folder


class Mistakes:
    """What is wrong in an inventory: all of it is told at once, each with its place in the file.

    Attributes:
        file: the file that gives the places; None for an inventory that is no file of the suite's format.
        name: the name of the inventory, for messages.
        by_option: whether an option gives the ports.
    """

    def __init__(self, source: str) -> None:
        """Know of no mistake in the inventory of this name."""
        self.file: YamlFile | None = None
        self.name = f"inventory {shown(source)}"
        self.by_option = False
        self._found: list[tuple[list[int], str]] = []
        self._paths: set[tuple[str | int, ...]] = set()

    def add(self, path: Sequence[str | int], wrong: str, *, key: str = "", raw: Any = None) -> None:
        """Add a mistake; of a value that has one already, none.

        Args:
            path: keys and places of the value that is wrong, from the outermost on.
            wrong: what is wrong, and the mend.
            key: the key of that value, if the key itself is wrong.
            raw: the whole inventory, from which the message takes the name of a node.
        """
        if path and not key and tuple(path) in self._paths:
            return
        self._paths |= set() if key else {tuple(path)}
        place = self.name
        if path == ["ports"] and self.by_option:
            place = "--ports"
        elif self.file:
            place = self.file.place_of_key(*path, key) if key else self.file.place(*path)
        about, rest = "", list(path)
        if rest[:1] == ["nodes"] and len(rest) > 1 and isinstance(rest[1], int):
            node = raw["nodes"][rest[1]] if isinstance(raw, dict) else None
            known = (node.get("name") or node.get("address")) if isinstance(node, dict) else None
            about = f"node {shown(known, 60) if known else rest[1] + 1}, "
            rest = rest[2:]
        about += f"{'.'.join(map(str, rest))}: " if rest and place != "--ports" else ""
        at = re.search(r", line (\d+), column (\d+)$", place)
        self._found.append((list(map(int, at.groups())) if at else [], redact(f"{place}: {about}{wrong}")))

    def end(self) -> None:
        """Refuse the inventory if anything is wrong in it.

        Raises:
            UsageError: something is; the message has a line for each mistake.
        """
        refuse([line for _, line in sorted(self._found)])


#: Most nodes of an inventory: a run has a connection to each, and looks at each many times.
MOST_NODES = 256
#: Most lines of one message.
_MOST_LINES = 20


def refuse(wrong: Sequence[str]) -> None:
    """Refuse something for all that is wrong with it, one line each.

    Raises:
        UsageError: anything is wrong.
    """
    lines = list(dict.fromkeys(wrong))
    if lines:
        more = [f"and {len(lines) - _MOST_LINES} more of this kind"] if len(lines) > _MOST_LINES else []
        raise UsageError("\n".join([*lines[:_MOST_LINES], *more]))


def _is_program(file: Path) -> bool:
    """Whether a file is a program, which prints an inventory of Ansible."""
    try:
        if not (file.is_file() and os.access(file, os.X_OK)):
            return False
        with file.open("rb") as opened:
            return opened.read(4) == b"\x7fELF"
    except OSError:
        return False


def _is_ini(file: Path, text: str) -> bool:
    """Whether a file is an inventory of Ansible that is not plain YAML: INI, TOML, a script, or of its vault."""
    if text.startswith("$ANSIBLE_VAULT;"):
        return True
    if file.suffix in (".yaml", ".yml", ".json"):
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", ";"))]
    sections = any(re.fullmatch(r"\[[\w.-]+(:\w+)?\]\s*([#;].*)?", line) for line in lines)
    hosts = bool(lines) and not any(re.search(r":(\s|$)|^[-{\[]", line) for line in lines)
    return file.suffix in (".ini", ".toml") or text.startswith("#!") or sections or hosts


def _parsed(text: str, mistakes: Mistakes) -> Any:
    """Return the content of a file in the suite's format, or of Ansible's as YAML; None for one with Ansible's tags."""
    mistakes.file = YamlFile(ansible_mistakes.untagged(text), mistakes.name)
    raw = mistakes.file.content
    if raw is None:
        mistakes.add([], "is empty; write nodes, manager or context")
    elif not isinstance(raw, dict):
        what = "a list" if isinstance(raw, list) else "a text"
        mistakes.add([], f"is {what}; write the machines as a list below the key nodes, or manager or context")
    mistakes.end()
    return raw


def _is_ansible(raw: Mapping[str, Any]) -> bool:
    # Each top key of Ansible's is a group, which holds a mapping of hosts, children and variables, or nothing.
    if any(key in raw for key in _ANSIBLE):
        return True
    groups = [group for group in raw.values() if group is not None]
    return (
        bool(groups)
        and all(isinstance(group, dict) for group in groups)
        and (
            any(set(group) & {"hosts", "children", "vars"} for group in groups)
            or not set(map(str, raw)) & set(_schema()["properties"])
        )
    )


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(_SCHEMA.read_text(encoding="utf-8"))
    return schema


def _check(raw: Any, mistakes: Mistakes) -> None:
    """Hold an inventory to its schema."""
    validator = jsonschema.Draft202012Validator(_schema())
    # Of a key that is mistyped, the unknown key is the mistake, and not the key that is missing for it.
    meant: set[tuple[tuple[str | int, ...], str]] = set()
    errors = sorted(validator.iter_errors(raw), key=lambda error: list(map(str, error.absolute_path)))
    for error in errors:
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = sorted(error.schema["properties"])
            for key in map(str, error.instance):
                if key not in known:
                    near = _near(key, known)
                    if near:
                        meant.add((tuple(error.absolute_path), near))
                    mend = f"did you mean {near}?" if near else f"known keys are {', '.join(known)}"
                    mistakes.add(list(error.absolute_path), f"unknown key {shown(repr(key))}; {mend}", key=key, raw=raw)
    for error in errors:
        path = tuple(error.absolute_path)
        if error.validator == "additionalProperties" and "properties" in error.schema:
            continue
        if error.validator == "oneOf" and any(((), name) in meant for name in ("nodes", "manager", "context")):
            continue
        if error.validator == "required" and any((path, name) in meant for name in error.validator_value):
            continue
        mistakes.add(list(path), _mistake(error), raw=raw)


def _near(word: str, known: Sequence[str]) -> str:
    return nearest(word.lower().replace("-", "_"), known)


def _mistake(error: jsonschema.ValidationError) -> str:
    if error.validator == "oneOf":
        return "must have exactly one of the keys nodes, manager and context"
    if error.validator == "pattern":
        described = error.schema.get("description", "a plain word")  # type: ignore[union-attr]
        return f"{shown(repr(error.instance))} is wrong: write {described}"
    words: Any = error.validator_value
    if error.validator == "enum" and (near := _near(str(error.instance), words)):
        return f"{shown(error.message)}; did you mean {near}?"
    return shown(error.message)


def _check_nodes(raw: Any, folder: Path, mistakes: Mistakes) -> None:
    """Check what a schema cannot say of an inventory: files, what nodes may not share, and the range of ports."""
    if not isinstance(raw, dict):
        return
    nodes = raw["nodes"] if isinstance(raw.get("nodes"), list) else []
    if len(nodes) > MOST_NODES:
        mistakes.add(["nodes"], f"are {len(nodes)}, and a run reaches at most {MOST_NODES}; list those of the swarm")
        return
    first: dict[tuple[Any, ...], int] = {}
    for number, node in [(None, raw), *enumerate(nodes)]:
        if not isinstance(node, dict):
            continue
        at: list[str | int] = [] if number is None else ["nodes", number]
        for key in ("key", "known_hosts"):
            if isinstance(given := node.get(key), str) and given and (wrong := _no_file(folder, given)):
                mistakes.add([*at, key], wrong, raw=raw)
        if isinstance(jump := node.get("jump"), str) and jump and chain(jump) is None:
            mistakes.add([*at, "jump"], f"{shown(repr(jump))} is wrong: write {FORM}", raw=raw)
        address = node.get("address") if number is not None else None
        found = place(address) if isinstance(address, str) else Place("")
        if found is None or found.user or found.port or "://" in str(address):
            mistakes.add([*at, "address"], f"{shown(repr(redact(str(address))))} is wrong: {_ALONE}", raw=raw)
        # Two machines may be forwarded ports of one address.
        of_address = [str(node.get(key, raw.get(key, ""))) for key in ("port", "jump")]
        for what in ("address", "name") if number is not None else ():
            given = node.get(what)
            name = (what, bare(given) if isinstance(given, str) else None, *(of_address if what == "address" else ()))
            if name[1] and first.setdefault(name, number or 0) != number:
                wrong = f"two nodes have the {what} {shown(name[1])}, this and the {_nth(first[name] + 1)}"
                mend = "; where machines do have one host name, leave it out" if what == "name" else ""
                mistakes.add([*at, what], f"{wrong}{mend}", raw=raw)
    if isinstance(manager := raw.get("manager"), str) and place(manager) is None:
        mistakes.add(["manager"], f"{shown(redact(manager))}: {_NO_MANAGER}", raw=raw)
    if re.fullmatch(r"\d{1,5}-\d{1,5}", given := str(raw.get("ports", ""))):
        ports = _range(given)
        if len(ports) < LEAST_PORTS or not 1 <= ports.start <= ports.stop <= 65536:
            mistakes.add(
                ["ports"], f"{given} is not a port range: write FIRST-LAST, at least {LEAST_PORTS} ports", raw=raw
            )


def _no_file(folder: Path, given: str) -> str:
    """Return why a path of the inventory names no file; empty if it names one."""
    try:
        found = kind_of(folder / named(given), shown(given))
    except UsageError as wrong:
        return str(wrong)
    missing = "that is a folder" if found else "there is no such file"
    return "" if found == "file" else f"{shown(given)}: {missing}"


def _range(ports: str) -> range:
    first, _, last = ports.partition("-")
    return range(int(first), int(last) + 1)


def _inventory(
    source: str, raw: Mapping[str, Any], folder: Path, more: Sequence[Mapping[str, Any]], group: str
) -> Inventory:
    def machine(node: Mapping[str, Any], **further: Any) -> Machine:
        of_machine = {**{key: raw[key] for key in _OF_MACHINES if key in raw}, **node}
        of_machine["address"] = bare(of_machine["address"])
        files = {key: folder / named(of_machine[key]) for key in ("key", "known_hosts") if of_machine.get(key)}
        return Machine(**{**of_machine, **files, **further})

    if "nodes" in raw:
        machines = tuple(machine(node, **(more[at] if more else {})) for at, node in enumerate(raw["nodes"]))
    elif "manager" in raw:
        machines = (machine(_of_url(raw["manager"])),)
    else:
        # As with docker itself, the context's user is ssh's if it names none.
        machines = (machine(_of_url(_of_context(source, raw["context"])), like_ssh=True),)
    declared: Any = raw.get("declared", {})
    return Inventory(
        source,
        machines,
        discover="nodes" not in raw,
        ports=_range(raw["ports"]) if "ports" in raw else DEFAULT_PORTS,
        registry=raw.get("registry", ""),
        declared=replace(NOTHING, **{**declared, "names": tuple(declared.get("names", ()))}),
        group=group,
    )


def _nth(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


#: The keys that the file may have once for all machines.
_OF_MACHINES = ("user", "port", "key", "jump", "known_hosts", "sudo")


def _of_url(url: str) -> dict[str, Any]:
    found = place(url)
    if not found:
        raise UsageError(f"{shown(redact(url))}: {_NO_MANAGER}")
    named_there = {"user": found.user, "port": found.port}
    return {"address": found.host, **{key: value for key, value in named_there.items() if value}}


def _of_context(source: str, name: str) -> str:
    """Return the ssh:// address of a Docker context of this user."""
    known = {found: str(endpoint.get("Host") or "") for found, endpoint in endpoints().items()}
    if name not in known:
        raise UsageError(
            f"inventory {source}: no Docker context {name!r}; there are {', '.join(sorted(known)) or 'none'}"
        )
    if not known[name].startswith("ssh://") or not place(known[name]):
        raise UsageError(
            f"inventory {source}: the Docker context {name} is {known[name] or 'without a host'}; "
            "write a context whose host is ssh://…"
        )
    return known[name]


def learned(manager: Machine, address: str) -> Machine:
    """Return a machine at *address* that is reached with the user, key, port and jump hosts of *manager*."""
    return replace(manager, address=bare(address), name="", role="", like=manager.like or manager.address)
