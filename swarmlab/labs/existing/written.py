"""Writes the inventory of a swarm that exists, as one of its managers tells of it.

What the file says of a node is compared with the way on which the node was reached, so that a run that reads the file
reaches it in the same way.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from swarmlab.cluster import deadline
from swarmlab.cluster.swarm import manager_address
from swarmlab.errors import LabError, SwarmlabError, UsageError
from swarmlab.files import shown
from swarmlab.labs.existing import inventory, routes
from swarmlab.labs.existing.inventory import DEFAULT_PORTS, Machine
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.labs.existing.places import Place, chain, is_reachable
from swarmlab.labs.existing.routes import Route
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.wait import scaled

#: Keys of a node that hold for all nodes where all have the same, in the order in which they are written.
_COMMON = ("user", "port", "key", "jump", "known_hosts", "sudo")
#: Characters of a text that YAML takes as it is.
_PLAIN = re.compile(r"[A-Za-z0-9_./~@-]+")
#: Seconds at reference speed in which nodes show what they offer.
_OFFERED = 20.0
#: Settings of ssh that an inventory does not change, or that follow from others.
_OF_NO_MATTER = ("identitiesonly", "globalknownhostsfile", "loglevel", "proxyjump")
_HEAD = """\
# The swarm {cluster}, as its manager {manager} tells of it.
# Written by `swarmlab init` on {today}. docs/reference/inventory.md has every key.
#
# Could a run work?   swarmlab doctor --inventory {file}
# Is it sound?        swarmlab preflight --inventory {file}
# Judge it:           pytest suites/ --lab inventory --inventory {file}
# Tests disrupt it only where its owner names it: --may-disrupt {cluster}
"""
_MORE = """\
# ports: {ports}          # published ports that the suites may use; this is the default
# registry: HOST:PORT/PATH   # the registry of yours that has the suites' images; by default they bring their own
# declared:                  # what you have made as the document does, so that it is judged
#   user: hadoop
"""


@dataclass(frozen=True)
class Written:
    """An inventory that was written.

    Attributes:
        text: its content.
        notes: what its owner has to mend or to know, a line each.
        whole: every node of the swarm was reached.
    """

    text: str
    notes: tuple[str, ...]
    whole: bool


def write(lab: InventoryLab, *, today: date, file: str = "swarm.yaml") -> Written:
    """Write the inventory of a swarm.

    Args:
        lab: the swarm, reached through one manager; nodes may be left out.
        today: the day, for its first lines.
        file: the name that its comments give it.

    Raises:
        UsageError: no manager lists the nodes of the swarm.
        LabError: what the swarm tells makes no inventory.
    """
    if not lab.members:
        raise UsageError(
            f"{lab.known.source}: does not list the nodes of its swarm; see that the managers have a leader: "
            "docker node ls"
        )
    entries = parallel(lambda member: _entry(lab, member), _in_order(lab.members))
    notes = [note for entry in entries for note in entry.notes]
    common = _common([entry for entry in entries if entry.reached])
    lines = [_HEAD.format(cluster=lab.cluster, manager=lab.known.machines[0], today=today, file=file).rstrip()]
    lines += _offers(lab)
    lines += [f"{key}: {_scalar(value)}" for key, value in common.items()]
    lines += [_MORE.format(ports=f"{DEFAULT_PORTS.start}-{DEFAULT_PORTS.stop - 1}").rstrip(), "nodes:"]
    for entry in entries:
        lines += entry.lines(common)
    text = "\n".join(lines) + "\n"
    _check(text, any(entry.node for entry in entries))
    whole = all(entry.reached for entry in entries)
    return Written(text, tuple(dict.fromkeys(notes)), whole)


@dataclass(frozen=True)
class _Entry:
    """A node of the inventory.

    Attributes:
        node: its keys and values; empty for a node that has no address.
        comment: what stands behind it.
        reached: whether it was reached.
        why: why it was not.
        notes: what its owner has to mend or to know.
    """

    node: Mapping[str, Any]
    comment: str
    reached: bool
    why: str = ""
    notes: Sequence[str] = ()

    def lines(self, common: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of the node, without the keys that are *common* to all."""
        if not self.reached:
            yield f"  # NOT REACHED: {self.why}"
        if not self.node:
            yield f"  # - {{address: ADDRESS}}   # {self.comment}"
            return
        pairs = (f"{key}: {_scalar(value)}" for key, value in self.node.items() if common.get(key) != value)
        yield f"  - {{{', '.join(pairs)}}}" + (f"   # {self.comment}" if self.comment else "")


def _in_order(members: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the members with the managers first."""
    return sorted(members, key=lambda member: (member["Spec"]["Role"] != "manager", _name(member), member["ID"]))


def _name(member: Mapping[str, Any]) -> str:
    return str(member["Description"].get("Hostname", member["ID"]))


def _entry(lab: InventoryLab, member: Mapping[str, Any]) -> _Entry:
    notes: list[str] = []
    name, role = _name(member), member["Spec"]["Role"]
    described = member["Description"]
    told = manager_address(member) or str(member["Status"].get("Addr", ""))
    machine = lab.identities[member["ID"]].connection.machine if member["ID"] in lab.identities else None
    facts = [f"engine {described.get('Engine', {}).get('EngineVersion', 'unknown')}"]
    facts += [described["Platform"]["Architecture"]] if described.get("Platform") else []
    facts += [member["Spec"]["Availability"]] if member["Spec"]["Availability"] != "active" else []
    alone = [_name(other) for other in lab.members].count(name) == 1
    known = {"name": name, "role": role} if alone else {"role": role}
    if not alone:
        notes.append(f"node {name}: other nodes have this host name too, so the inventory gives it none")
    if machine:
        if told != machine.address and not is_reachable(str(member["Status"].get("Addr", ""))):
            facts.append(f"the swarm lists it with the address {member['Status'].get('Addr') or 'none'}")
        node = {"address": machine.address, **known, **_way(lab, machine, name, notes)}
        return _Entry(node, shown(", ".join(facts)), True, notes=notes)
    why = _why(lab, member, told)
    notes.append(why)
    if not is_reachable(told):
        about = shown(f"{name}, {role}: the swarm has {told or 'no address'} for it")
        return _Entry({}, about, False, shown(why), notes)
    # As it was tried: with what holds for the manager from which it was learned.
    tried = next((one for one in lab.routes if one.address == told), None)
    way = _way(lab, tried, name, []) if tried else {}
    return _Entry({"address": told, **known, **way}, shown(", ".join(facts)), False, shown(why), notes)


def _why(lab: InventoryLab, member: Mapping[str, Any], told: str) -> str:
    """Return why a member was not reached."""
    for key in (member["ID"], _name(member), told, str(member["Status"].get("Addr", ""))):
        if why := lab.unreached.get(key):
            return why
    return f"node {_name(member)} ({told or 'no address'}): was not reached; mend its address"


def _way(lab: InventoryLab, machine: Machine, name: str, notes: list[str]) -> dict[str, Any]:
    """Return the keys by which an inventory reaches a machine as it was reached."""
    given = lab.known.machines[0]
    wanted = lab.routes[machine]
    plain = Machine(
        machine.address,
        user=machine.user,
        port=machine.port,
        key=given.key,
        known_hosts=given.known_hosts,
        jump=given.jump,
        sudo=given.sudo,
    )
    plain, differing = _alike(plain, wanted)
    if differing:
        of = f" of {machine.like}" if machine.like else ""
        notes.append(
            f"node {name}: was reached with {', '.join(differing)} of your configuration of ssh{of}, which an "
            f"inventory does not hold; write them for Host {machine.address} too"
        )
    way = {
        "user": plain.user,
        "port": plain.port if plain.port != 22 else None,
        "key": str(plain.key) if plain.key else None,
        "jump": plain.jump or None,
        "known_hosts": str(plain.known_hosts) if plain.known_hosts else None,
        "sudo": plain.sudo or None,
    }
    return {key: value for key, value in way.items() if value}


def _alike(plain: Machine, wanted: Route) -> tuple[Machine, list[str]]:
    """Return a machine of an inventory with what reaches it on a route, and the settings of ssh that still differ."""
    with tempfile.TemporaryDirectory() as folder:

        def differing(machine: Machine) -> list[str]:
            found, asked = (_essence(one) for one in (routes.route(machine, Path(folder)), wanted))
            return sorted(key for key in {*found, *asked} if not _same(key, found.get(key), asked.get(key)))

        wrong = differing(plain)
        if "jumps" in wrong:
            plain = replace(plain, jump=_jumps(wanted))
        if "identityfile" in wrong and (key := _only_file(wanted, "identityfile")):
            plain = replace(plain, key=key)
        if "userknownhostsfile" in wrong and (hosts := _only_file(wanted, "userknownhostsfile")):
            plain = replace(plain, known_hosts=hosts)
        return plain, differing(plain) if wrong else []


def _essence(route: Route) -> dict[str, Any]:
    """Return the settings of a route and of its jump hosts, in a form in which two can be compared."""
    made = {key: value for key, value in _settings(route.settings).items() if key not in _OF_NO_MATTER}
    jumps = [{key: value for key, value in _settings(jump).items() if key not in _OF_NO_MATTER} for jump in route.jumps]
    return made | ({"jumps": jumps} if jumps else {})


def _same(key: str, found: Any, asked: Any) -> bool:
    """Whether a setting reaches what another reaches. More keys than were tried do."""
    if key == "identityfile":
        return set(found or ()) >= set(asked or ()) and bool(found) == bool(asked)
    if key != "jumps":
        return bool(found == asked)
    pairs = zip(found or (), asked or (), strict=False)
    return len(found or ()) == len(asked or ()) and all(
        _same(name, one.get(name), other.get(name)) for one, other in pairs for name in {*one, *other}
    )


def _settings(settings: Mapping[str, object]) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for key, value in settings.items():
        listed = value if isinstance(value, list) else [value]
        texts = [str(one).strip('"') for one in listed]
        if key.lower() in ("identityfile", "userknownhostsfile"):
            texts = [str(Path(text).expanduser()) if text.startswith("~") else text for text in texts]
        made[key.lower()] = texts
    return made


def _jumps(route: Route) -> str:
    """Return the jump hosts of a route as an inventory names them, each with its user and port."""
    made = []
    for place, jump in zip(chain(route.machine.jump) or [], route.jumps, strict=True):
        port = int(str(jump["Port"]))
        made.append(str(Place(place.host, str(jump["User"]), port if port != 22 else 0)))
    return ",".join(made) or "none"


def _only_file(route: Route, key: str) -> Path | None:
    """Return the one file that a setting of a route names, if it is one that exists."""
    files = _settings(route.settings).get(key, [])
    file = Path(files[0]) if len(files) == 1 else None
    return file if file and file.is_absolute() and file.is_file() else None


def _common(entries: Sequence[_Entry]) -> dict[str, Any]:
    """Return the keys that hold for every node."""
    first = entries[0].node if entries else {}
    return {
        key: first[key]
        for key in _COMMON
        if key in first and all(entry.node.get(key) == first[key] for entry in entries)
    }


def _scalar(value: Any) -> str:
    """Return a value as YAML has it."""
    text = str(value)
    if isinstance(value, str):
        return text if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text else json.dumps(text, ensure_ascii=False)
    return json.dumps(value)


def _offers(lab: InventoryLab) -> Iterator[str]:
    """Yield comments that say what the swarm lacks of what claims need."""

    def lacking(feature: str) -> str:
        try:
            with deadline.within(scaled(_OFFERED)):
                return "".join(lab.offers.missing([feature]))
        except SwarmlabError as failed:
            return f"not known: {failed}"

    try:
        features = [feature for feature in lab.offers.look if feature not in ("api", "compose")]
    except SwarmlabError as failed:
        yield f"# What it offers is not known: {shown(failed)}"
        return
    found = dict(zip(features, parallel(lacking, features, at_once=ELSEWHERE), strict=True))
    offered = [feature for feature, why in found.items() if not why]
    yield f"#\n# It offers: {', '.join(offered) or 'nothing of what claims need'}"
    for feature, why in found.items():
        if why:
            yield f"# It lacks {feature}, so claims that need it are blocked: {shown(why)}"


def _check(text: str, has_nodes: bool) -> None:
    """Read an inventory as a run does.

    Raises:
        LabError: it is none.
    """
    if not has_nodes:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "inventory.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            inventory.read(str(file))
        except UsageError as wrong:
            lines = str(wrong).replace(f"inventory {file}, ", "").splitlines()
            raise LabError(f"what the swarm tells makes no inventory: {lines[0]}; write it by hand") from None
