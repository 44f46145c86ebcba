"""What the cluster has that an upgrade must keep: services, networks, configs, secrets, volumes with data, labels."""

import base64
import json
import secrets
from pathlib import Path

from suites.support.traffic import hands_over
from suites.support.updates import differences
from swarmlab.cluster.service import Service, specification
from swarmlab.parallel import parallel
from swarmlab.rehearsal import agent
from swarmlab.rehearsal.specs import VXLAN_ID
from swarmlab.wait import State, scaled, wait
from swarmlab.watching.watch import TIMEOUT

#: Replicas of the service that is asked for by name: with one node away there are others on two nodes at least.
REPLICAS = 3
SETTINGS, KEY = "/etc/estate/settings", "/run/secrets/estate"
#: Seconds that a replica serves on, for which every drain waits; a request to it that comes later is listed, and is no
#: loss (see `suites.support.upgrade.course.was_leaving`).
_LINGER = 3
#: Seconds between two looks at a replica's health. Each is a process in its container: one a second keeps slow machines
#: so busy that engines miss deadlines of their own.
_HEALTH = 1.0
#: Seconds between two lines of a download, where nodes are containers.
_LINE = 0.1
#: Mode of the secret's file: 0440.
MODE = 0o440
_DATA = "/data/born"


class Estate:
    """Made before the first step, and looked at ever after.

    Attributes:
        network: the overlay network that all is in.
        web: a service of several replicas that is asked by name; names of its tasks, no virtual address.
        front: a service with a virtual address.
        site: a global service that serves bodies on every node, with a named volume.
        agent: a global service that asks and streams (see `swarmlab.rehearsal.agent`).
        port: the port of every node at which the agent relays a request by name.
        datagrams: its port for datagrams.
        copied: the copies of what a swarm that exists has, which are to be kept too; None where there are none.
    """

    def __init__(self, cluster, copied=None):
        self.cluster, self.copied = cluster, copied
        self.network = cluster.create_network("estate")
        self.port, self.datagrams = cluster.port(), cluster.port()
        self._told = {name: secrets.token_hex(8) for name in ("settings", "key", "label")}
        self.volume = cluster.unique("estate")
        for node, member in _by_host(cluster).items():
            cluster.label_member(member, {"estate": f"{self._told['label']}-{node}"})
        self.config = self._payload("configs", "settings", self._told["settings"])
        self.secret = self._payload("secrets", "key", self._told["key"])
        program = self._payload("configs", "agent", Path(agent.__file__).read_text(encoding="utf-8"))
        self.web = self._service(
            "web",
            "web:1",
            replicas=REPLICAS,
            endpoint_mode="dnsrr",
            health_every=min(scaled(_HEALTH), 10),
            **hands_over(_LINGER),
        )
        self.front = self._service("front", "web:1", endpoint_mode="vip")
        volume = {"Type": "volume", "Source": self.volume, "Target": "/data"}
        volume["VolumeOptions"] = {"Labels": {cluster.label: ""}}
        self.site = self._service("site", "web:1", everywhere=True, endpoint_mode="dnsrr", mounts=[volume])
        self.agent = self._service(
            "agent",
            "python:3",
            everywhere=True,
            endpoint_mode="dnsrr",
            command=["python3", "/agent.py"],
            environment={
                "NODE": "{{.Node.Hostname}}",
                "ASK": self.web.name,
                "PEERS": "tasks.{{.Service.Name}}",
                "PATIENCE": f"{scaled(TIMEOUT) - 1:.0f}",
                "EVERY": f"{scaled(_LINE):.1f}",
            },
            stop_grace=1.0,
            change=lambda spec: self._agent(spec, program),
        )
        for service, count in self.wanted():
            service.wait_running(count)
        for task in self.site.running():
            done = cluster.probe(task).run(f"echo {self._told['key'][:4]}-{task.node} > {_DATA}")
            assert done.ok, done.said
        self._keep_history()
        wait(self.streams_run, "downloads between all nodes to run", deadline=60)
        self._before = {manager.name: self._objects(manager) for manager in cluster.managers}
        self._members = self.members(cluster.manager)

    def _payload(self, kind, name, text):
        """Make a config or secret; gives id and name."""
        body = {
            "Name": self.cluster.unique(name),
            "Labels": {self.cluster.label: ""},
            "Data": base64.b64encode(text.encode()).decode(),
        }
        return self.cluster.manager.ask("POST", f"/{kind}/create", body=body)["ID"], body["Name"]

    def _service(self, name, image, change=lambda _: None, **settings):
        labels = {self.cluster.label: ""}
        settings.setdefault("networks", [self.network])
        spec = specification(self.cluster.unique(name), self.cluster.image(image), labels=labels, **settings)
        change(spec)
        made = self.cluster.manager.ask("POST", "/services/create", body=spec)
        return Service(self.cluster, made["ID"], spec["Name"])

    def _agent(self, spec, program):
        def mounted(kind, made, target, mode):
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

    def _keep_history(self):
        def force(spec):
            spec["TaskTemplate"]["ForceUpdate"] = spec["TaskTemplate"].get("ForceUpdate", 0) + 1

        self.front.update(force)
        wait(lambda: State(bool(self.history()), "none"), "a task in the history of a service", deadline=60)
        self.front.wait_running(1)

    # Looking

    def wanted(self):
        """The services, each with how many tasks of it run while all nodes are active."""
        nodes = len(self.cluster.nodes)
        own = [(self.web, REPLICAS), (self.front, 1), (self.site, nodes), (self.agent, nodes)]
        return own + (self.copied.wanted() if self.copied else [])

    def history(self):
        """The tasks of the one service that were replaced before the first step, and are remembered."""
        return [task for task in self.front.tasks() if task.desired == "shutdown"]

    def streams(self):
        """The downloads that go on, as (from, to): the bytes that came, and by which agent and connection."""
        going = {}
        for node in self.cluster.nodes:
            told = self.told_by(node)
            for one in told.get("streams", []):
                if one["on"]:
                    going[one["peer"], node.name] = {**one, "agent": told["agent"]}
        return going

    def told_by(self, node):
        """What the agent on *node* tells; empty where it does not answer, asked three times."""
        for _ in range(3):
            if (answer := node.get(self.port, "/streams")).ok:
                return json.loads(answer.body)
        return {}

    def streams_run(self):
        """Whether a download goes on between every two nodes, each way."""
        names = [node.name for node in self.cluster.nodes]
        going = self.streams()
        lacking = [f"{a} to {b}" for a in names for b in names if a != b and (a, b) not in going]
        return State(not lacking, f"none from {', '.join(lacking)}" if lacking else "between all nodes")

    def members(self, asked):
        """What must stay of every node, by host name, as a manager tells it."""
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

    def changed_members(self, asked):
        """Where the nodes are not what they were, as a manager tells them; empty where they are."""
        return differences(self._members, self.members(asked))

    def member(self, name):
        """What a node was before the first step."""
        return self._members[name]

    def changed_objects(self, asked):
        """Where services, networks, configs and secrets are not what they were, as a manager tells them."""
        return differences(self._before[asked.name], self._objects(asked))

    def _objects(self, asked):
        filters = {"label": [self.cluster.label]}
        told = {}
        for kind in ("services", "configs", "secrets"):
            for one in asked.ask("GET", f"/{kind}", filters=filters):
                spec = {key: value for key, value in one["Spec"].items() if key != "Data"}
                if "written-through" not in spec.get("Labels", {}):
                    told[f"{kind}/{spec['Name']}"] = {"ID": one["ID"], **_plain(spec)}
        for one in asked.ask("GET", "/networks", filters={"driver": ["overlay"]}):
            pools = [(pool["Subnet"], pool["Gateway"]) for pool in one["IPAM"]["Config"] or []]
            told[f"networks/{one['Name']}"] = {
                "Id": one["Id"],
                "subnets": pools,
                "vxlan": (one.get("Options") or {}).get(VXLAN_ID),
                **{key: one.get(key) for key in ("Attachable", "Ingress", "Internal", "Scope")},
            }
        return told

    def lost_data(self):
        """What of the data of volumes, config and secret is not read as it was given; empty if all is."""

        def of_site(task):
            read = self.cluster.probe(task).run(f"cat {_DATA}")
            wanted = f"{self._told['key'][:4]}-{task.node}"
            same = read.out.strip() == wanted
            return [] if same else [f"the volume on {task.node} holds {read.said!r}, and was given {wanted}"]

        def of_agent(task):
            probe = self.cluster.probe(task)
            wrong = []
            for file, name in ((SETTINGS, "settings"), (KEY, "key")):
                if (read := probe.run(f"cat {file}")).out.strip() != self._told[name]:
                    wrong.append(f"a task on {task.node} does not read {name} as it was given: {read.said[-100:]!r}")
            if (mode := probe.run(f"stat -L -c %a {KEY}").out.strip()) != f"{MODE:o}":
                wrong.append(f"a task on {task.node} has its secret with mode {mode}, it was given {MODE:o}")
            return wrong

        told = parallel(of_site, self.site.running()) + parallel(of_agent, self.agent.running())
        return [line for lines in told for line in lines] + (self.copied.lost_data() if self.copied else [])


def _by_host(cluster):
    return {member["Description"]["Hostname"]: member for member in cluster.members()}


def _plain(spec):
    """A specification without what is empty: engines differ in whether they tell of it."""
    if isinstance(spec, dict):
        return {
            key: plain for key, value in spec.items() if (plain := _plain(value)) not in (None, {}, [], "", 0, False)
        }
    return [_plain(one) for one in spec] if isinstance(spec, list) else spec
