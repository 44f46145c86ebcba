"""The estate that the rehearsed cluster must keep: services, networks, configs, secrets, volumes, node labels."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from suites.support.names import resolve_to
from suites.support.rolling_updates import differences
from suites.support.subnets import pools
from suites.support.traffic import hands_over
from suites.support.upgrade.copied_services import Copied
from suites.support.upgrade.witness import Witness
from swarmlab.cluster.node import Node
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Service, Task, specification
from swarmlab.cluster.swarm import Swarm
from swarmlab.parallel import parallel
from swarmlab.rehearsal import agent
from swarmlab.rehearsal.likeness.services import VXLAN_ID
from swarmlab.wait import State, scaled, wait
from swarmlab.watching.watch import TIMEOUT

#: Replicas of the service that is asked by name: with one node away, at least two nodes have one.
REPLICAS = 3
#: A label of what tests make beside the estate.
BESIDE = "beside-the-estate"
#: Labels of what need not be kept.
_PASSING = {"written-through", BESIDE}
#: Where the agent's tasks find their config and their secret.
SETTINGS, KEY = "/etc/estate/settings", "/run/secrets/estate"
#: Seconds that a replica serves on, for which every drain waits. A later request to it is listed, and is no loss (see
#: `suites.support.upgrade.course.was_leaving`).
_LINGER = 3
#: Seconds between two health checks of a replica. Each check is a process; on slow machines one a second would keep
#: engines so busy that they miss their own deadlines.
_HEALTH = 1.0
#: Seconds between two lines of a download, where nodes are containers.
_LINE = 0.1
#: Mode of the secret's file: 0440.
MODE = 0o440
_DATA = "/data/born"


class Estate:
    """Made before the first step, and compared with at every later stage.

    Attributes:
        cluster: the swarm.
        network: name of the overlay network that all services are in.
        web: a service of several replicas that is asked by name; its name resolves to its tasks, as it has no virtual
            address.
        front: a service with a virtual address.
        site: a global service that serves bodies on every node, with a named volume.
        agent: a global service that asks and streams (see `swarmlab.rehearsal.agent`).
        port: the port of every node at which the agent relays a request by name.
        datagrams: the agent's port for datagrams.
        volume: name of the site's volume.
        config: id and name of the agent's config.
        secret: id and name of the agent's secret.
        alias: a further name of `web` in the network.
        names: host name of every node, by its id, which is what the agent calls it.
        witness: services that tell what a task on every node may do.
        copied: copies of a real swarm's services, which must be kept too; None if there are none.
    """

    def __init__(self, cluster: Swarm, copied: Copied | None = None) -> None:
        """Make everything, and wait until it runs.

        Args:
            cluster: the swarm.
            copied: the copied services.
        """
        self.cluster, self.copied = cluster, copied
        self.names = cluster.names()
        self.network = cluster.create_network("estate")
        self.port, self.datagrams = cluster.port(), cluster.port()
        self._values = {name: secrets.token_hex(8) for name in ("settings", "key", "label")}
        self.volume = cluster.unique("estate")
        for member in cluster.members():
            host = member["Description"]["Hostname"]
            cluster.label_member(member, {"estate": f"{self._values['label']}-{host}"})
        self.config = self._payload("configs", "settings", self._values["settings"])
        self.secret = self._payload("secrets", "key", self._values["key"])
        program = self._payload("configs", "agent", Path(agent.__file__).read_text(encoding="utf-8"))
        self.alias = cluster.unique("alias")
        self.web = self._service(
            "web",
            "web:1",
            replicas=REPLICAS,
            endpoint_mode="dnsrr",
            networks=[{"Target": self.network, "Aliases": [self.alias]}],
            health_every=min(scaled(_HEALTH), 10),
            **hands_over(_LINGER),
        )
        self.front = self._service("front", "web:1", endpoint_mode="vip")
        volume: dict[str, Any] = {"Type": "volume", "Source": self.volume, "Target": "/data"}
        volume["VolumeOptions"] = {"Labels": {cluster.label: ""}}
        self.site = self._service("site", "web:1", everywhere=True, endpoint_mode="dnsrr", mounts=[volume])
        self.agent = self._service(
            "agent",
            "python:3",
            everywhere=True,
            endpoint_mode="dnsrr",
            command=["python3", "/agent.py"],
            environment={
                "NODE": "{{.Node.ID}}",  # engines before 17.10 have no template for the host name
                "ASK": self.web.name,
                "PEERS": "tasks.{{.Service.Name}}",
                "PATIENCE": f"{scaled(TIMEOUT) - 1:.0f}",
                "EVERY": f"{scaled(_LINE):.1f}",
            },
            stop_grace=1.0,
            change=lambda spec: self._agent(spec, program),
        )
        self.witness = Witness(cluster, self.network, self.site, self._service, self._payload)
        for service, count in self.wanted():
            service.wait_running(count)
        for task in self.site.running():
            write = f"echo {self._values['key'][:4]}-{task.node} > {_DATA}"
            cluster.probe(task).run(write).expect(error=AssertionError)
        self._make_history()
        wait(self.streams_run, "downloads between all nodes to run", deadline=60)
        self._before = {manager.name: self._objects(manager) for manager in cluster.managers}
        self._members = self.members(cluster.manager)

    def _payload(self, kind: str, name: str, text: str) -> tuple[str, str]:
        """Make a config or secret. Return its id and name."""
        full = self.cluster.unique(name)
        body = {
            "Name": full,
            "Labels": {self.cluster.label: ""},
            "Data": base64.b64encode(text.encode()).decode(),
        }
        return self.cluster.manager.ask("POST", f"/{kind}/create", body=body)["ID"], full

    def _service(
        self, name: str, image: str, change: Callable[[dict[str, Any]], None] = lambda _: None, **settings: Any
    ) -> Service:
        labels = {self.cluster.label: ""}
        settings.setdefault("networks", [self.network])
        spec = specification(self.cluster.unique(name), self.cluster.image(image), labels=labels, **settings)
        change(spec)
        made = self.cluster.manager.ask("POST", "/services/create", body=spec)
        return Service(self.cluster, made["ID"], spec["Name"])

    def _agent(self, spec: dict[str, Any], program: tuple[str, str]) -> None:
        """Add to the agent's specification what `specification` does not know: configs, secrets, ports of two kinds."""

        def mounted(kind: str, made: tuple[str, str], target: str, mode: int) -> dict[str, Any]:
            file = {"Name": target, "UID": "0", "GID": "0", "Mode": mode}
            return {f"{kind}ID": made[0], f"{kind}Name": made[1], "File": file}

        container = spec["TaskTemplate"]["ContainerSpec"]
        container["Configs"] = [
            mounted("Config", program, "/agent.py", 0o444),
            mounted("Config", self.config, SETTINGS, 0o444),
        ]
        container["Secrets"] = [mounted("Secret", self.secret, "estate", MODE)]
        ports = ((80, self.port, "tcp"), (9000, self.datagrams, "udp"))
        spec.setdefault("EndpointSpec", {})["Ports"] = [
            {"Protocol": protocol, "TargetPort": target, "PublishedPort": published, "PublishMode": "host"}
            for target, published, protocol in ports
        ]

    def _make_history(self) -> None:
        """Replace the task of `front`, so that managers have a replaced task to remember."""
        self.front.renew()
        wait(lambda: State(bool(self.history()), "none"), "a task in the history of a service", deadline=60)
        self.front.wait_running(1)

    # Looking

    def wanted(self) -> list[tuple[Service, int]]:
        """Return the services, each with how many of its tasks run while all nodes are active."""
        nodes = len(self.cluster.nodes)
        own = [(self.web, REPLICAS), (self.front, 1), (self.site, nodes), (self.agent, nodes)]
        own += self.witness.wanted()
        return own + (self.copied.wanted() if self.copied else [])

    def history(self) -> list[Task]:
        """Return the tasks of `front` that were replaced and that managers remember."""
        return [task for task in self.front.tasks() if task.desired == "shutdown"]

    def streams(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return the running downloads between nodes.

        Returns:
            By host names (from, to): the agent's account of the download, with the agent and the bytes that arrived.
        """
        going = {}
        for node in self.cluster.nodes:
            state = self.agent_state(node)
            for stream in state.get("streams", []):
                if stream["on"]:
                    peer = self.names.get(stream["peer"], stream["peer"])
                    going[peer, node.name] = {**stream, "agent": state["agent"]}
        return going

    def agent_state(self, node: Node) -> dict[str, Any]:
        """Return the state of the agent on *node*; empty if it does not answer any of three requests."""
        for _ in range(3):
            if (answer := node.get(self.port, "/streams")).ok:
                state: dict[str, Any] = json.loads(answer.body)
                return state
        return {}

    def streams_run(self) -> State:
        """Whether a download runs between every two nodes, each way."""
        names = [node.name for node in self.cluster.nodes]
        going = self.streams()
        lacking = [f"{a} to {b}" for a in names for b in names if a != b and (a, b) not in going]
        return State(not lacking, f"none from {', '.join(lacking)}" if lacking else "between all nodes")

    def names_resolve(self, probes: Sequence[Probe]) -> State:
        """Whether the names of the services resolve for every probe to their tasks or virtual address."""
        wanted = {
            f"tasks.{service}": {task.addresses[self.network] for task in service.running()}
            for service in (self.site, self.web, self.front)
        }
        wanted[self.web.name] = wanted[f"tasks.{self.web}"]
        wanted[self.front.name] = {self.front.virtual_address(self.network)}
        return resolve_to(probes, wanted)

    def aliases_resolve(self, probes: Sequence[Probe]) -> State:
        """Whether the names of the witness, and the alias of `web`, lead for every probe to their services' tasks."""
        tasks = {task.addresses[self.network] for task in self.web.running()}
        return self.witness.found_by_name(probes, {self.alias: tasks})

    def members(self, asked: Node) -> dict[str, dict[str, Any]]:
        """Return what must stay of every node, by host name, as the manager *asked* lists it."""
        return {
            member["Description"]["Hostname"]: {
                "id": member["ID"],
                "role": member["Spec"]["Role"],
                "labels": member["Spec"].get("Labels"),
                "availability": member["Spec"]["Availability"],
                "address": member["Status"]["Addr"],
                "manager address": (member.get("ManagerStatus") or {}).get("Addr", ""),
            }
            for member in self.cluster.members(asked)
        }

    def changed_members(self, asked: Node) -> list[str]:
        """Return a line for each change of a node, as the manager *asked* lists it."""
        return differences(self._members, self.members(asked))

    def member(self, name: str) -> dict[str, Any]:
        """Return what the node of this host name was before the first step."""
        return self._members[name]

    def changed_objects(self, asked: Node) -> list[str]:
        """Return a line for each change of a service, network, config or secret, as the manager *asked* lists it."""
        before, now = dict(self._before[asked.name]), self._objects(asked)
        # Some engines tell a subnet only while a task uses the network: what one of them does not tell is no change.
        silent = {name for listed in (before, now) for name, item in listed.items() if item.get("subnets") == []}
        for listed in (before, now):
            listed.update({name: {**listed[name], "subnets": None} for name in silent & listed.keys()})
        return differences(before, now)

    def _objects(self, asked: Node) -> dict[str, dict[str, Any]]:
        filters = {"label": [self.cluster.label]}
        objects = {}
        for kind in ("services", "configs", "secrets"):
            for listed in asked.ask("GET", f"/{kind}", filters=filters):
                spec = {key: value for key, value in listed["Spec"].items() if key != "Data"}
                if not _PASSING & spec.get("Labels", {}).keys():
                    objects[f"{kind}/{spec['Name']}"] = {"ID": listed["ID"], **_without_empty(spec)}
        chosen = pools(asked)
        for listed in asked.ask("GET", "/networks", filters={"driver": ["overlay"]}):
            objects[f"networks/{listed['Name']}"] = {
                "Id": listed["Id"],
                "subnets": chosen[listed["Name"]],
                "vxlan": (listed.get("Options") or {}).get(VXLAN_ID),
                **{key: listed.get(key) for key in ("Attachable", "Ingress", "Internal", "Scope")},
            }
        return objects

    def lost_data(self) -> list[str]:
        """Return a line for each volume, config and secret that a task does not read as it was given."""

        def of_site(task: Task) -> list[str]:
            read = self.cluster.probe(task).run(f"cat {_DATA}")
            wanted = f"{self._values['key'][:4]}-{task.node}"
            same = read.out.strip() == wanted
            return [] if same else [f"the volume on {task.node} holds {read.output!r}, and was given {wanted}"]

        def of_agent(task: Task) -> list[str]:
            probe = self.cluster.probe(task)
            wrong = []
            for file, name in ((SETTINGS, "settings"), (KEY, "key")):
                if (read := probe.run(f"cat {file}")).out.strip() != self._values[name]:
                    wrong.append(f"a task on {task.node} does not read {name} as it was given: {read.output[-100:]!r}")
            # Not stat, which calls statx: engines before 18.04 refuse that to their containers.
            if (mode := probe.run(f"find -L {KEY} -printf %m").out.strip()) != f"{MODE:o}":
                wrong.append(f"a task on {task.node} has its secret with mode {mode}, it was given {MODE:o}")
            return wrong

        lines = parallel(of_site, self.site.running()) + parallel(of_agent, self.agent.running())
        return [line for each in lines for line in each] + (self.copied.lost_data() if self.copied else [])


def _without_empty(spec: Any) -> Any:
    """Return a specification without empty values, as engines differ in whether they list those."""
    if isinstance(spec, dict):
        return {
            key: left
            for key, value in spec.items()
            if (left := _without_empty(value)) not in (None, {}, [], "", 0, False)
        }
    return [_without_empty(part) for part in spec] if isinstance(spec, list) else spec
