"""What a task on every node may do, measured by a task that runs there, and the names by which it is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from suites.support.names import resolve_to
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.parallel import parallel
from swarmlab.rehearsal import inside, outside
from swarmlab.wait import State

#: Where the programs are in the containers.
_INSIDE, _OUTSIDE = "/inside.py", "/outside.py"
#: How many name servers a resolver asks at most.
_SERVERS = 3
#: Runs until it is told to end.
_REST = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); signal.pause()"
#: Lines of a file that says how names are asked for.
_SETTINGS = ("nameserver", "search", "options")

#: Makes a service of the estate, given its name, its image, a change of its specification, and its settings.
Make = Callable[..., Service]
#: Makes a config, given its kind, name and text; returns its id and name.
Give = Callable[[str, str, str], tuple[str, str]]


class Witness:
    """A global service whose tasks tell what they may do (see `swarmlab.rehearsal.inside`).

    It has what a task may have and an engine sets up: an alias, a host name by template, name servers of its own, a
    volume, a bind mount and a mount of memory. The world outside, whose names it asks for, is a name server on every
    node (see `swarmlab.rehearsal.outside`), as not every lab has another.

    Attributes:
        service: the service.
        outside: the service of the name servers.
        alias: a further name of its service.
    """

    def __init__(self, cluster: Swarm, network: str, plain: Service, make: Make, give: Give) -> None:
        """Make the services.

        Args:
            cluster: the swarm.
            network: the network that they are in.
            plain: a global service in it that has no settings of names.
            make: makes a service.
            give: makes a config.
        """
        self.cluster, self.network, self._plain = cluster, network, plain
        self.alias = cluster.unique("alias")
        addresses = [node.address for node in cluster.nodes]
        self.outside = make(
            "outside",
            "python:3",
            lambda spec: _give(spec, give("configs", "outside", _program(outside.__file__)), _OUTSIDE),
            everywhere=True,
            networks=["host"],
            command=["python3", _OUTSIDE, inside.OUTSIDE, *addresses],
            stop_grace=1.0,
        )
        program = give("configs", "inside", _program(inside.__file__))

        def change(spec: dict[str, Any]) -> None:
            _give(spec, program, _INSIDE)
            container = spec["TaskTemplate"]["ContainerSpec"]
            container["Hostname"] = "{{.Node.ID}}-task"  # engines before 17.10 know no {{.Node.Hostname}}
            container["DNSConfig"] = {
                "Nameservers": addresses[:_SERVERS],
                "Search": ["outside.test"],
                "Options": ["ndots:1"],
            }

        volume = {"Type": "volume", "Target": "/volume", "VolumeOptions": {"Labels": {cluster.label: ""}}}
        bind = {"Type": "bind", "Source": "/tmp", "Target": "/bind", "BindOptions": {"Propagation": "rprivate"}}
        memory = {"Type": "tmpfs", "Target": "/memory", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1770}}
        self.service = make(
            "witness",
            "python:3",
            change,
            everywhere=True,
            networks=[{"Target": network, "Aliases": [self.alias]}],
            endpoint_mode="vip",
            command=["python3", "-c", _REST],
            mounts=[volume, bind, memory],
            stop_grace=1.0,
        )

    def wanted(self) -> list[tuple[Service, int]]:
        """Return the services, each with how many of its tasks run while all nodes are active."""
        return [(self.outside, len(self.cluster.nodes)), (self.service, len(self.cluster.nodes))]

    def measured(self) -> dict[str, dict[str, dict[str, str]]]:
        """Return what a task on each node may do, by host name, group and name; nothing where none answers."""
        plain = {task.node: task for task in self._plain.running()}
        found = parallel(lambda task: self._measured(task, plain.get(task.node)), self.service.running())
        return {node: facts for node, facts in found if facts}

    def _measured(self, task: Task, plain: Task | None) -> tuple[str, dict[str, dict[str, str]]]:
        probe = self.cluster.probe(task)
        told = probe.run(f"python3 {_INSIDE}")
        if not told.ok:
            return task.node, {}
        facts: dict[str, dict[str, str]] = json.loads(told.out)
        node = self.cluster.node(task.node)
        facts["names"] |= _settings("of the node", node.run("cat /etc/resolv.conf").out)
        if plain:
            text = self.cluster.probe(plain).run("cat /etc/resolv.conf").out
            facts["names"] |= _settings("of a task without settings", text)
        facts["names"] |= _of_engine(node.run("cat /etc/docker/daemon.json").out)
        return task.node, facts

    def found_by_name(self, probes: Sequence[Probe], others: Mapping[str, set[str]]) -> State:
        """Whether the service's name, its alias and the names of its tasks lead to it from everywhere.

        Args:
            probes: containers that ask.
            others: addresses of further names.
        """
        virtual = {self.service.virtual_address(self.network)}
        tasks = {task.addresses[self.network] for task in self.service.running()}
        own = {self.service.name: virtual, self.alias: virtual, f"tasks.{self.service}": tasks}
        return resolve_to(probes, {**own, **others})


def _program(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")


def _give(spec: dict[str, Any], made: tuple[str, str], target: str) -> None:
    """Give a service a config as a file."""
    file = {"Name": target, "UID": "0", "GID": "0", "Mode": 0o444}
    configs = spec["TaskTemplate"]["ContainerSpec"].setdefault("Configs", [])
    configs.append({"ConfigID": made[0], "ConfigName": made[1], "File": file})


def _settings(whose: str, text: str) -> dict[str, str]:
    """Return the settings of a resolv.conf."""
    lines = [line.split() for line in text.splitlines()]
    return {
        f"resolv.conf {whose}, {name}": " ".join(word for line in lines if line[:1] == [name] for word in line[1:])
        or "none"
        for name in _SETTINGS
    }


def _of_engine(text: str) -> dict[str, str]:
    """Return what the engine's settings say of names: name servers, domains and options of all tasks."""
    try:
        settings = json.loads(text or "{}")
    except ValueError:
        return {}
    return {
        f"daemon.json, {key}": " ".join(settings.get(key, [])) or "none" for key in ("dns", "dns-search", "dns-opts")
    }
