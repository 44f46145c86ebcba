"""An inventory: where the machines of a swarm that exists are, and how they are reached, read from a file.

It is a YAML file of this suite's own (inventory.schema.json says what it may hold), or one of Ansible's, which takes
Ansible's own command to read.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from swarmlab.errors import UsageError

_SCHEMA = Path(__file__).with_name("inventory.schema.json")
#: Published ports that the suite uses where the file names none.
DEFAULT_PORTS = range(30000, 30100)
#: Fewer are not enough for one test after the other.
LEAST_PORTS = 20
_ANSIBLE = ("all", "ungrouped")
#: The group of Ansible's whose hosts are meant, where an inventory has it; else all of its hosts are.
ANSIBLE_GROUP = "swarm"


@dataclass(frozen=True)
class Machine:
    """A machine of the inventory, as it is reached.

    Attributes:
        address: where its sshd answers.
        name: the host name that the file gives it; empty where it gives none.
        role: the role that the file gives it (manager or worker); empty where it gives none.
        user: who logs in.
        port: the port of its sshd.
        key: file of the private key; None for the agent's and the default ones.
        jump: [USER@]HOST[:PORT] through which it is reached; empty for directly.
        known_hosts: file of the host keys; None for the user's own.
        sudo: the user gets root's rights by sudo.
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
        return f"{self.name} ({self.address})" if self.name and self.name != self.address else self.address


@dataclass(frozen=True)
class Inventory:
    """What a file says of a swarm that exists.

    Attributes:
        source: the file, for messages.
        machines: all of them, or the one manager from which the others are learned.
        discover: the others are to be learned from the one machine.
        ports: published ports that the suite may use.
        registry: from where nodes pull the suite's images; empty for one that the suite starts on each node.
        engine: the engine's version that the nodes are to have; empty if the file declares none.
        network: the first three octets of the cluster network; empty if the file declares none.
        system: settings of /etc/os-release that the nodes are to have.
    """

    source: str
    machines: tuple[Machine, ...]
    discover: bool = False
    ports: range = DEFAULT_PORTS
    registry: str = ""
    engine: str = ""
    network: str = ""
    system: Mapping[str, str] = field(default_factory=dict)


def read(source: str, *, ports: str = "") -> Inventory:
    """Read an inventory.

    Args:
        source: a file, or ``ssh://[USER@]HOST[:PORT]`` of one manager.
        ports: takes the place of the range that the file names, FIRST-LAST.

    Raises:
        UsageError: there is none, or it says what it may not; the message names the place.
    """
    if source.startswith("ssh://"):
        told: Any = {"manager": source}
        folder = Path.cwd()
    else:
        file = Path(source).expanduser()
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as failed:
            raise UsageError(f"inventory {source}: cannot be read: {failed}") from failed
        folder = file.absolute().parent
        told = _parsed(text)
        if told is None or _is_ansible(told):
            told = _from_ansible(file)
    if ports:
        told = {**told, "ports": ports} if isinstance(told, dict) else told
    _check(source, told)
    return _inventory(source, told, folder)


def _parsed(text: str) -> Any:
    """The file as YAML; None where it is none, and so may be one of Ansible's INI files."""
    try:
        told = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return told if isinstance(told, dict) else None


def _is_ansible(told: Mapping[str, Any]) -> bool:
    # Each top key of Ansible's is a group, which holds a mapping of hosts, children and variables.
    parts = {"hosts", "children", "vars"}
    return any(key in told for key in _ANSIBLE) or (
        bool(told) and all(isinstance(group, dict) and set(group) & parts for group in told.values())
    )


def _check(source: str, told: Any) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
    errors = sorted(validator.iter_errors(told), key=lambda error: (len(error.absolute_path) == 0, str(error.path)))
    if not errors:
        return
    error = errors[0]
    path = list(error.absolute_path)
    place = ""
    if path[:1] == ["nodes"] and len(path) > 1 and isinstance(path[1], int):
        node = told["nodes"][path[1]]
        known = (node.get("name") or node.get("address")) if isinstance(node, dict) else None
        place = f"node {known or path[1] + 1}, "
        path = path[2:]
    place += f"{'.'.join(map(str, path))}: " if path else ""
    raise UsageError(f"inventory {source}: {place}{_mistake(error)}")


def _mistake(error: jsonschema.ValidationError) -> str:
    if error.validator == "oneOf":
        return "names no machines; give one of nodes, manager and context"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(error.schema["properties"])  # type: ignore[index]
        unknown = sorted(set(map(str, error.instance)) - set(known))
        if unknown:
            return f"unknown key {unknown[0]!r}; known are {', '.join(known)}"
    if error.validator == "pattern":
        return f"{error.instance!r} is none; wanted is {error.schema.get('description', 'a plain word')}"  # type: ignore[union-attr]
    return error.message


def _inventory(source: str, told: Mapping[str, Any], folder: Path) -> Inventory:
    def path(given: str | None, what: str) -> Path | None:
        if not given:
            return None
        file = folder / Path(given).expanduser()
        if not file.is_file():
            raise UsageError(f"inventory {source}: {what} {given}: there is no such file")
        return file

    def machine(one: Mapping[str, Any]) -> Machine:
        told_of = {**{key: told[key] for key in _OF_MACHINES if key in told}, **one}
        return Machine(
            **{
                **told_of,
                "key": path(told_of.get("key"), "key"),
                "known_hosts": path(told_of.get("known_hosts"), "known_hosts"),
            }
        )

    if "nodes" in told:
        machines = tuple(machine(one) for one in told["nodes"])
        for what in ("address", "name"):
            # Two machines may be forwarded ports of one address.
            places = [
                (getattr(one, what), one.port if what == "address" else 0, one.jump if what == "address" else "")
                for one in machines
                if getattr(one, what)
            ]
            if twice := next((place for place in places if places.count(place) > 1), None):
                raise UsageError(f"inventory {source}: two nodes have the {what} {twice[0]}")
    else:
        url = told["manager"] if "manager" in told else _of_context(source, told["context"])
        machines = (machine(_of_url(url)),)
    first, _, last = told.get("ports", f"{DEFAULT_PORTS.start}-{DEFAULT_PORTS.stop - 1}").partition("-")
    ports = range(int(first), int(last) + 1)
    if len(ports) < LEAST_PORTS or not 1 <= ports.start <= ports.stop <= 65536:
        raise UsageError(f"inventory {source}: ports: {first}-{last} is no range of {LEAST_PORTS} ports or more")
    declared = told.get("declared", {})
    return Inventory(
        source,
        machines,
        discover="nodes" not in told,
        ports=ports,
        registry=told.get("registry", ""),
        engine=declared.get("engine", ""),
        network=declared.get("network", ""),
        system=declared.get("system", {}),
    )


#: What the file may say once for all machines.
_OF_MACHINES = ("user", "port", "key", "jump", "known_hosts", "sudo")


def _of_url(url: str) -> dict[str, Any]:
    found = re.fullmatch(r"ssh://(?:([^@/]+)@)?([^@:/]+)(?::(\d+))?/?", url)
    assert found, url
    told: dict[str, Any] = {"address": found[2]}
    if found[1]:
        told["user"] = found[1]
    if found[3]:
        told["port"] = int(found[3])
    return told


def _of_context(source: str, name: str) -> str:
    """The ssh:// address of a Docker context of this user's."""
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
            "nodes are reached by one of ssh://"
        )
    return str(known[name])


def learned(manager: Machine, address: str) -> Machine:
    """A machine that was learned from *manager*: reached as that one is, at its own address."""
    return replace(manager, address=address, name="", role="")


# Ansible


def _from_ansible(file: Path) -> dict[str, Any]:
    """What an inventory of Ansible's says, in the words of this suite's own."""
    program = shutil.which("ansible-inventory")
    if not program:
        raise UsageError(
            f"inventory {file}: is none of this suite's own (YAML with nodes, manager or context); one of Ansible's is "
            "read by its command ansible-inventory, which is not installed here"
        )
    words = [program, "-i", str(file), "--list"]
    environment = {**os.environ, "ANSIBLE_VERBOSITY": "0"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = {}
    hosts = _hosts_of(told, ANSIBLE_GROUP if ANSIBLE_GROUP in told else "all")
    if done.returncode != 0 or not hosts:
        why = (done.stderr.strip().splitlines() or ["it names no hosts"])[-1]
        raise UsageError(f"inventory {file}: Ansible makes nothing of it: {why}")
    variables = told.get("_meta", {}).get("hostvars", {})
    return {"nodes": [_node_of(host, variables.get(host, {})) for host in hosts]}


def _hosts_of(told: Mapping[str, Any], group: str) -> list[str]:
    of_group = told.get(group, {})
    hosts = list(of_group.get("hosts", []))
    for child in of_group.get("children", []):
        hosts += _hosts_of(told, child)
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
    """Jump host and file of known hosts, where options of ssh name them."""
    found: dict[str, str] = {}
    words = shlex.split(options)
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else ""
        if word == "-J":
            found["jump"] = following
        setting, _, value = (following if word == "-o" else word.removeprefix("-o")).partition("=")
        if setting.lower() == "proxyjump":
            found["jump"] = value
        if setting.lower() == "userknownhostsfile" and value != "/dev/null":
            found["known_hosts"] = value
    return found
