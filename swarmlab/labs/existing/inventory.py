"""An inventory: the file that lists the machines of a swarm, and how they are reached.

It is a YAML file in the suite's format (see inventory.schema.json), or an inventory of Ansible, which Ansible's own
command reads.
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
#: The published ports that the suite uses if the file names none.
DEFAULT_PORTS = range(30000, 30100)
#: The least number of ports with which tests can run one after the other.
LEAST_PORTS = 20
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
        engine: the version of the engine that the nodes are to have; empty if the file declares none.
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
        ports: a range, FIRST-LAST, in place of the file's.

    Raises:
        UsageError: it cannot be read, or its contents are wrong; the message names the place.
    """
    if source.startswith("ssh://"):
        raw: Any = {"manager": source}
        folder = Path.cwd()
    else:
        file = Path(source).expanduser()
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as failed:
            raise UsageError(f"inventory {source}: cannot be read: {failed}") from failed
        folder = file.absolute().parent
        raw = _parsed(text)
        if raw is None or _is_ansible(raw):
            raw = _from_ansible(file)
    if ports:
        raw = {**raw, "ports": ports} if isinstance(raw, dict) else raw
    _check(source, raw)
    return _inventory(source, raw, folder)


def _parsed(text: str) -> Any:
    """Return the file's contents as YAML; None if they are not, as in an INI file of Ansible."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    return raw if isinstance(raw, dict) else None


def _is_ansible(raw: Mapping[str, Any]) -> bool:
    # Each top key of Ansible's is a group, which holds a mapping of hosts, children and variables.
    parts = {"hosts", "children", "vars"}
    return any(key in raw for key in _ANSIBLE) or (
        bool(raw) and all(isinstance(group, dict) and set(group) & parts for group in raw.values())
    )


def _check(source: str, raw: Any) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
    errors = sorted(validator.iter_errors(raw), key=lambda error: (len(error.absolute_path) == 0, str(error.path)))
    if not errors:
        return
    error = errors[0]
    path = list(error.absolute_path)
    place = ""
    if path[:1] == ["nodes"] and len(path) > 1 and isinstance(path[1], int):
        node = raw["nodes"][path[1]]
        known = (node.get("name") or node.get("address")) if isinstance(node, dict) else None
        place = f"node {known or path[1] + 1}, "
        path = path[2:]
    place += f"{'.'.join(map(str, path))}: " if path else ""
    raise UsageError(f"inventory {source}: {place}{_mistake(error)}")


def _mistake(error: jsonschema.ValidationError) -> str:
    if error.validator == "oneOf":
        return "must have exactly one of the keys nodes, manager and context"
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(error.schema["properties"])  # type: ignore[index]
        unknown = sorted(set(map(str, error.instance)) - set(known))
        if unknown:
            return f"unknown key {unknown[0]!r}; known keys are {', '.join(known)}"
    if error.validator == "pattern":
        return f"{error.instance!r} is wrong: write {error.schema.get('description', 'a plain word')}"  # type: ignore[union-attr]
    return error.message


def _inventory(source: str, raw: Mapping[str, Any], folder: Path) -> Inventory:
    def path(given: str | None, what: str) -> Path | None:
        if not given:
            return None
        file = folder / Path(given).expanduser()
        if not file.is_file():
            raise UsageError(f"inventory {source}: {what} {given}: there is no such file")
        return file

    def machine(node: Mapping[str, Any]) -> Machine:
        of_machine = {**{key: raw[key] for key in _OF_MACHINES if key in raw}, **node}
        return Machine(
            **{
                **of_machine,
                "key": path(of_machine.get("key"), "key"),
                "known_hosts": path(of_machine.get("known_hosts"), "known_hosts"),
            }
        )

    if "nodes" in raw:
        machines = tuple(machine(node) for node in raw["nodes"])
        for what in ("address", "name"):
            # Two machines may be forwarded ports of one address.
            places = [
                (
                    getattr(known, what),
                    known.port if what == "address" else 0,
                    known.jump if what == "address" else "",
                )
                for known in machines
                if getattr(known, what)
            ]
            if twice := next((place for place in places if places.count(place) > 1), None):
                raise UsageError(f"inventory {source}: two nodes have the {what} {twice[0]}")
    else:
        url = raw["manager"] if "manager" in raw else _of_context(source, raw["context"])
        machines = (machine(_of_url(url)),)
    first, _, last = raw.get("ports", f"{DEFAULT_PORTS.start}-{DEFAULT_PORTS.stop - 1}").partition("-")
    ports = range(int(first), int(last) + 1)
    if len(ports) < LEAST_PORTS or not 1 <= ports.start <= ports.stop <= 65536:
        raise UsageError(
            f"inventory {source}: ports: {first}-{last} is not a port range: "
            f"write FIRST-LAST, at least {LEAST_PORTS} ports"
        )
    declared = raw.get("declared", {})
    return Inventory(
        source,
        machines,
        discover="nodes" not in raw,
        ports=ports,
        registry=raw.get("registry", ""),
        engine=declared.get("engine", ""),
        network=declared.get("network", ""),
        system=declared.get("system", {}),
    )


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
