"""An inventory: the file that lists the machines of a swarm, and how they are reached.

It is a YAML file in the suite's format (see inventory.schema.json), or an inventory of Ansible, which Ansible's own
command reads.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jsonschema

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, named, read_text, shown
from swarmlab.labs.base import Declared

_SCHEMA = Path(__file__).with_name("inventory.schema.json")
#: The published ports that the suite uses if the file names none.
DEFAULT_PORTS = range(30000, 30100)
#: The least number of ports with which tests can run one after the other.
LEAST_PORTS = 20
#: The declaration of a file that declares nothing: its owner has made none of the document's choices.
NOTHING = Declared({}, "", "", packaged=False, names=(), hosts=False, user="", keys=False, compose="", outside=False)
_ANSIBLE = ("all", "ungrouped")
#: The group in an inventory of Ansible whose hosts count; without it all hosts do.
ANSIBLE_GROUP = "swarm"


@dataclass(frozen=True)
class Machine:
    """A machine of the inventory, and how it is reached.

    Attributes:
        address: where its sshd answers.
        name: its host name by the file; empty if the file has none.
        role: its role by the file, manager or worker; empty if the file has none.
        user: the user who logs in.
        port: the port of its sshd.
        key: file of the private key; None for the agent's keys and the default ones.
        jump: [USER@]HOST[:PORT] through which it is reached; empty if it is reached directly.
        known_hosts: file of the host keys; None for the user's own file.
        sudo: the user becomes root by sudo.
    """

    address: str
    name: str = ""
    role: str = ""
    user: str = "root"
    port: int = 22
    key: Path | None = None
    jump: str = ""
    known_hosts: Path | None = None
    sudo: bool = False

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
    """

    source: str
    machines: tuple[Machine, ...]
    discover: bool = False
    ports: range = DEFAULT_PORTS
    registry: str = ""
    declared: Declared = NOTHING


def read(source: str, *, ports: str = "") -> Inventory:
    """Read an inventory.

    Args:
        source: a file, or ``ssh://[USER@]HOST[:PORT]`` of one manager.
        ports: a range, FIRST-LAST, in place of the file's.

    Raises:
        UsageError: it cannot be read, or its contents are wrong; the message names the place.
    """
    mistakes = Mistakes(source)
    if source.startswith("ssh://"):
        raw: Any = {"manager": source}
        folder = Path.cwd()
    else:
        text = read_text(source, "inventory")
        file = named(source, "inventory")
        folder = file.absolute().parent
        raw = None if _is_ini(file, text) else _parsed(text, mistakes)
        if raw is None or _is_ansible(raw):
            raw, mistakes.file = _from_ansible(file), None
    if ports:
        mistakes.by_option = True
        raw = {**raw, "ports": ports} if isinstance(raw, dict) else raw
    _check(raw, mistakes)
    _check_nodes(raw, folder, mistakes)
    mistakes.end()
    return _inventory(source, raw, folder)


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

    def add(self, path: Sequence[str | int], wrong: str, *, key: str = "", raw: Any = None) -> None:
        """Add a mistake.

        Args:
            path: keys and places of the value that is wrong, from the outermost on.
            wrong: what is wrong, and the mend.
            key: the key of that value, if the key itself is wrong.
            raw: the whole inventory, from which the message takes the name of a node.
        """
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
        self._found.append((list(map(int, at.groups())) if at else [], f"{place}: {about}{wrong}"))

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


def _is_ini(file: Path, text: str) -> bool:
    """Whether a file is an inventory of Ansible that is not YAML: of its INI format, or a script."""
    if file.suffix in (".yaml", ".yml", ".json"):
        return False
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", ";"))]
    sections = any(re.fullmatch(r"\[[\w.-]+(:\w+)?\]", line) for line in lines)
    hosts = bool(lines) and not any(re.search(r":(\s|$)|^[-{\[]", line) for line in lines)
    return file.suffix == ".ini" or text.startswith("#!") or sections or hosts


def _parsed(text: str, mistakes: Mistakes) -> Any:
    """Return the content of a file in the suite's format, or of Ansible's as YAML; None for one with Ansible's tags."""
    if re.search(r"\s!(vault|unsafe)\s", text):
        return None
    mistakes.file = YamlFile(text, mistakes.name)
    raw = mistakes.file.content
    if raw is None:
        mistakes.add([], "is empty; write nodes, manager or context")
    elif not isinstance(raw, dict):
        what = "a list" if isinstance(raw, list) else "a text"
        mistakes.add([], f"is {what}; write the machines as a list below the key nodes, or manager or context")
    mistakes.end()
    return raw


def _is_ansible(raw: Mapping[str, Any]) -> bool:
    # Each top key of Ansible's is a group, which holds a mapping of hosts, children and variables.
    parts = {"hosts", "children", "vars"}
    return any(key in raw for key in (*_ANSIBLE, "plugin")) or (
        bool(raw) and all(isinstance(group, dict) and set(group) & parts for group in raw.values())
    )


def _check(raw: Any, mistakes: Mistakes) -> None:
    """Hold an inventory to its schema."""
    validator = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
    # Of a key that is mistyped, the unknown key is the mistake, and not the key that is missing for it.
    meant: set[tuple[tuple[str | int, ...], str]] = set()
    errors = sorted(validator.iter_errors(raw), key=lambda error: list(map(str, error.absolute_path)))
    for error in errors:
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = sorted(error.schema["properties"])
            for key in map(str, error.instance):
                if key not in known:
                    near = _near(key, known)
                    meant.update((tuple(error.absolute_path), name) for name in near)
                    mend = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(known)}"
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


def _near(key: str, known: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.6)


def _mistake(error: jsonschema.ValidationError) -> str:
    if error.validator == "oneOf":
        return "must have exactly one of the keys nodes, manager and context"
    if error.validator == "pattern":
        described = error.schema.get("description", "a plain word")  # type: ignore[union-attr]
        return f"{shown(repr(error.instance))} is wrong: write {described}"
    words: Any = error.validator_value
    if error.validator == "enum" and (near := _near(str(error.instance), words)):
        return f"{shown(error.message)}; did you mean {near[0]}?"
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
    for place, node in [(None, raw), *enumerate(nodes)]:
        if not isinstance(node, dict):
            continue
        at: list[str | int] = [] if place is None else ["nodes", place]
        for key in ("key", "known_hosts"):
            if isinstance(given := node.get(key), str) and given and (wrong := _no_file(folder, given)):
                mistakes.add([*at, key], wrong, raw=raw)
        if isinstance(jump := node.get("jump"), str) and not _JUMP.fullmatch(jump):
            mistakes.add([*at, "jump"], f"{shown(repr(jump))} is wrong: write [USER@]HOST[:PORT]", raw=raw)
        # Two machines may be forwarded ports of one address.
        of_address = [str(node.get(key, raw.get(key, ""))) for key in ("port", "jump")]
        for what in ("address", "name") if place is not None else ():
            name = (what, node.get(what), *(of_address if what == "address" else ()))
            if isinstance(name[1], str) and first.setdefault(name, place or 0) != place:
                wrong = f"two nodes have the {what} {shown(name[1])}, this and the {_nth(first[name] + 1)}"
                mend = "; where machines do have one host name, leave it out" if what == "name" else ""
                mistakes.add([*at, what], f"{wrong}{mend}", raw=raw)
    if re.fullmatch(r"\d{1,5}-\d{1,5}", given := str(raw.get("ports", ""))):
        ports = _range(given)
        if len(ports) < LEAST_PORTS or not 1 <= ports.start <= ports.stop <= 65536:
            mistakes.add(
                ["ports"], f"{given} is not a port range: write FIRST-LAST, at least {LEAST_PORTS} ports", raw=raw
            )


def _no_file(folder: Path, given: str) -> str:
    """Return why a path of the inventory names no file; empty if it names one."""
    try:
        file = folder / named(given)
    except UsageError as wrong:
        return str(wrong)
    if file.is_file():
        return ""
    return f"{shown(given)}: {'that is a folder' if file.is_dir() else 'there is no such file'}"


def _range(ports: str) -> range:
    first, _, last = ports.partition("-")
    return range(int(first), int(last) + 1)


def _inventory(source: str, raw: Mapping[str, Any], folder: Path) -> Inventory:
    def machine(node: Mapping[str, Any]) -> Machine:
        of_machine = {**{key: raw[key] for key in _OF_MACHINES if key in raw}, **node}
        files = {key: folder / named(of_machine[key]) for key in ("key", "known_hosts") if of_machine.get(key)}
        return Machine(**{**of_machine, **files})

    if "nodes" in raw:
        machines = tuple(machine(node) for node in raw["nodes"])
    else:
        url = raw["manager"] if "manager" in raw else _of_context(source, raw["context"])
        machines = (machine(_of_url(url)),)
    declared: Any = raw.get("declared", {})
    return Inventory(
        source,
        machines,
        discover="nodes" not in raw,
        ports=_range(raw["ports"]) if "ports" in raw else DEFAULT_PORTS,
        registry=raw.get("registry", ""),
        declared=replace(NOTHING, **{**declared, "names": tuple(declared.get("names", ()))}),
    )


def _nth(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


#: The keys that the file may have once for all machines.
_OF_MACHINES = ("user", "port", "key", "jump", "known_hosts", "sudo")


def _of_url(url: str) -> dict[str, Any]:
    found = re.fullmatch(r"ssh://(?:([^@/]+)@)?([^@:/]+)(?::(\d+))?/?", url)
    assert found, url
    raw: dict[str, Any] = {"address": found[2]}
    if found[1]:
        raw["user"] = found[1]
    if found[3]:
        raw["port"] = int(found[3])
    return raw


def _of_context(source: str, name: str) -> str:
    """Return the ssh:// address of a Docker context of this user."""
    home = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
    known = {}
    for file in (home / "contexts" / "meta").glob("*/meta.json"):
        meta = json.loads(file.read_text(encoding="utf-8"))
        known[meta["Name"]] = meta.get("Endpoints", {}).get("docker", {}).get("Host", "")
    if name not in known:
        raise UsageError(
            f"inventory {source}: no Docker context {name!r}; there are {', '.join(sorted(known)) or 'none'}"
        )
    if not re.fullmatch(r"ssh://([^@/\s]+@)?[^@:/\s-][^@:/\s]*(:\d+)?/?", known[name]):
        raise UsageError(
            f"inventory {source}: the Docker context {name} is {known[name] or 'without a host'}; "
            "write a context whose host is ssh://…"
        )
    return str(known[name])


_JUMP = re.compile(r"(?:([^@\s:]+)@)?([^@:\s]+)(?::(\d{1,5}))?")


def jump_of(machine: Machine) -> Machine:
    """Return the jump host of a machine that has one. It is reached with the machine's key and known hosts."""
    found = _JUMP.fullmatch(machine.jump)
    assert found, machine.jump
    return replace(
        machine,
        address=found[2],
        name="",
        user=found[1] or machine.user,
        port=int(found[3] or 22),
        jump="",
    )


def learned(manager: Machine, address: str) -> Machine:
    """Return a machine at *address* that is reached with the user, key and port of *manager*."""
    return replace(manager, address=address, name="", role="")


# Ansible


def _from_ansible(file: Path) -> dict[str, Any]:
    """Return an inventory of Ansible in the suite's format."""
    program = shutil.which("ansible-inventory")
    if not program:
        raise UsageError(
            f"inventory {file}: is not in the suite's format (YAML with nodes, manager or context), and an inventory "
            "of Ansible needs the command ansible-inventory; install it, or write the suite's format"
        )
    command = [program, "-i", str(file), "--list"]
    environment = {**os.environ, "ANSIBLE_VERBOSITY": "0"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    try:
        raw = json.loads(done.stdout)
    except ValueError:
        raw = {}
    hosts = _hosts_of(raw, ANSIBLE_GROUP if ANSIBLE_GROUP in raw else "all")
    if done.returncode != 0 or not hosts:
        why = (done.stderr.strip().splitlines() or ["it names no hosts"])[-1]
        raise UsageError(f"inventory {file}: Ansible finds no hosts in it: {why}")
    variables = raw.get("_meta", {}).get("hostvars", {})
    return {"nodes": [_node_of(host, variables.get(host, {})) for host in hosts]}


def _hosts_of(raw: Mapping[str, Any], group: str) -> list[str]:
    of_group = raw.get(group, {})
    hosts = list(of_group.get("hosts", []))
    for child in of_group.get("children", []):
        hosts += _hosts_of(raw, child)
    return list(dict.fromkeys(hosts))


def _node_of(host: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    node: dict[str, Any] = {"address": str(variables.get("ansible_host", host))}
    for key, names in {
        "user": ("ansible_user", "ansible_ssh_user"),
        "port": ("ansible_port", "ansible_ssh_port"),
        "key": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
        "sudo": ("ansible_become",),
    }.items():
        for name in names:
            if name in variables:
                node[key] = variables[name]
    if "port" in node:
        node["port"] = int(node["port"])
    if "key" in node:
        node["key"] = str(Path(str(node["key"])).expanduser())
    if "sudo" in node:
        node["sudo"] = str(node["sudo"]).lower() in ("true", "yes", "1")
    options = f"{variables.get('ansible_ssh_common_args', '')} {variables.get('ansible_ssh_extra_args', '')}"
    node |= _of_options(options)
    return node


def _of_options(options: str) -> dict[str, str]:
    """Return the jump host and the file of known hosts that options of ssh name."""
    found: dict[str, str] = {}
    parts = shlex.split(options)
    for place, part in enumerate(parts):
        following = parts[place + 1] if place + 1 < len(parts) else ""
        if part == "-J":
            found["jump"] = following
        setting, _, value = (following if part == "-o" else part.removeprefix("-o")).partition("=")
        if setting.lower() == "proxyjump":
            found["jump"] = value
        if setting.lower() == "userknownhostsfile" and value != "/dev/null":
            found["known_hosts"] = value
    return found
