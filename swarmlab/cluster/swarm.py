"""A swarm: the cluster as its managers see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from swarmlab.cluster.lifelines import Lifelines
from swarmlab.cluster.node import MANAGEMENT_PORT, Node
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Service, Task, specification
from swarmlab.cluster.workbench import PORTS, STACK_LABEL, SUITE_LABEL, Workbench, of_a_stack, sweep, unique
from swarmlab.errors import EngineRefused, LabError
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    """What a suite made of a cluster: its kind as the API's paths call it, such as services, its id and name."""

    kind: str
    id: str
    name: str


class Swarm:
    """A cluster under test.

    Attributes:
        nodes: the machines that are in it, the first manager first.
        spare: machines of the same lab that are in no swarm, for tests that let one join.
        image: gives the reference by which nodes pull a workload image: ``cluster.image("web:1")``.
        ports: the published ports that the suites use here.
        damage: the faults that it suffers and was not healed of (see `swarmlab.cluster.fault`).
        lifelines: what was seen of the cluster's tasks.
    """

    #: The label on every resource that a suite makes here.
    label = SUITE_LABEL

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        spare: Sequence[Node] = (),
        image: Callable[[str], str] = str,
        ports: Sequence[int] = PORTS,
    ) -> None:
        self.ports = ports
        self.nodes = list(nodes)
        self.spare = list(spare)
        self.image = image
        self.damage: list[str] = []
        # Another view of the same nodes adds to what was seen of their tasks.
        members = [*self.nodes, *self.spare]
        self.lifelines = next((node.lifelines for node in members if node.lifelines), None) or Lifelines()
        for node in members:
            node.lifelines = self.lifelines
        self._given: list[int] = []
        self._kept: dict[object, Any] = {}

    @classmethod
    def form(
        cls, nodes: Sequence[Node], *, managers: int, spare: Sequence[Node] = (), image: Callable[[str], str] = str
    ) -> Swarm:
        """Make a swarm as the document does (6.1): init on the first node, the others join with their tokens.

        Args:
            nodes: machines in no swarm.
            managers: how many of them, from the first, are managers.
            spare: machines that stay outside.
            image: see `Swarm`.

        Raises:
            LabError: a node could not be taken in, or the swarm was not ready in time.
        """
        swarm = cls(nodes, spare=spare, image=image)
        first, *others = nodes
        try:
            init(first)
            for index, node in enumerate(others, start=1):
                join(node, first, swarm.tokens()["Manager" if index < managers else "Worker"])
        except EngineRefused as refused:
            raise LabError(f"no swarm could be made: {refused}") from refused
        swarm.wait_ready()
        return swarm

    # Members

    def members(self, asked: Node | None = None) -> list[dict[str, Any]]:
        """The node list as *asked* (a manager; the first that answers if not given) tells it.

        A member that has just joined has not told its host name yet: its id stands for that.
        """
        listed: list[dict[str, Any]] = (asked or self.manager).ask("GET", "/nodes")
        for member in listed:
            member["Description"].setdefault("Hostname", member["ID"])
        return listed

    def label_member(self, member: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        """Give a member, as `members` lists it, *labels* beside those that it has."""

        def change(spec: dict[str, Any]) -> None:
            spec["Labels"] = {**(spec.get("Labels") or {}), **labels}

        self.manager.revise(f"/nodes/{member['ID']}", change)

    @property
    def managers(self) -> list[Node]:
        """The nodes whose engines serve the cluster's API."""
        return [node for node in self.nodes if node.serves_cluster()]

    @property
    def workers(self) -> list[Node]:
        """The nodes that are no managers."""
        managers = self.managers
        return [node for node in self.nodes if node not in managers]

    @property
    def manager(self) -> Node:
        """The first node that serves the cluster's API.

        Raises:
            LabError: there is none.
        """
        for node in self.nodes:
            if node.serves_cluster():
                return node
        raise LabError("no node of the cluster serves the cluster's API")

    def node(self, name: str) -> Node:
        """The machine of this host name."""
        for node in self.nodes + self.spare:
            if node.name == name:
                return node
        raise LabError(f"the lab has no node {name}; it has {', '.join(map(str, self.nodes + self.spare))}")

    def names(self, asked: Node | None = None) -> dict[str, str]:
        """Host name of every member by node id, as *asked* tells it."""
        return {member["ID"]: member["Description"]["Hostname"] for member in self.members(asked)}

    def roles(self, asked: Node | None = None) -> dict[str, str]:
        """Role (manager or worker) by host name, as *asked* tells it."""
        return {member["Description"]["Hostname"]: member["Spec"]["Role"] for member in self.members(asked)}

    def identity(self) -> dict[str, str]:
        """What must not change by itself: the cluster's id, and each member's host name by node id."""
        return {"cluster": self.manager.ask("GET", "/swarm")["ID"], **self.names()}

    def state_of(self, node_id: str) -> str:
        """What the managers say of a member: ready, down, …; empty where it is none."""
        return next((member["Status"]["State"] for member in self.members() if member["ID"] == node_id), "")

    def tokens(self) -> dict[str, str]:
        """The join tokens, under "Worker" and "Manager"."""
        tokens: dict[str, str] = self.manager.ask("GET", "/swarm")["JoinTokens"]
        return tokens

    def probe(self, task: Task) -> Probe:
        """The container of a running task, to ask from."""
        return Probe(self.node(task.node), task.container)

    # Readiness

    def conditions(self) -> dict[str, State]:
        """What makes a swarm ready, each by name, as it is now."""
        infos = {node.name: node.info()["Swarm"] for node in self.nodes}
        inactive = [f"{name} is {info['LocalNodeState']}" for name, info in infos.items() if not _active(info)]
        conditions = {"every engine is in the swarm": State(not inactive, ", ".join(inactive) or "all active")}
        managers = [node for node in self.nodes if infos[node.name]["ControlAvailable"]]
        try:
            views = {node.name: self.members(node) for node in managers}
        except EngineRefused as refused:
            conditions["managers answer"] = State(False, str(refused))
            return conditions
        conditions["managers answer"] = State(bool(views), ", ".join(views) or "no manager")
        if not views:
            return conditions
        conditions |= _agreement(views)
        conditions["role equals certificate"] = _roles(next(iter(views.values())), infos)
        lacking = [node.name for node in self.nodes if not has_ingress(node)]
        conditions["ingress present"] = State(not lacking, f"missing on {', '.join(lacking)}" if lacking else "on all")
        return conditions

    def ready(self) -> State:
        """Whether all conditions hold; if not, which do not and why."""
        broken = [f"{name}: {state.seen}" for name, state in self.conditions().items() if not state]
        return State(not broken, "; ".join(broken) or "ready")

    def wait_ready(self, deadline: float = 120) -> None:
        """Wait until every condition of `conditions` holds.

        Raises:
            LabError: one did not in time; the message names it.
        """
        wait(self.ready, "the swarm to be ready", deadline=deadline, error=LabError)

    def expect_ready(self, deadline: float = 120) -> None:
        """`wait_ready` where a claim promises it: a condition that does not come about is an AssertionError."""
        wait(self.ready, "the swarm to be ready", deadline=deadline, error=AssertionError)

    # Resources of the suite

    def unique(self, name: str) -> str:
        """A name for a resource of the suite: its prefix, *name*, and some random digits."""
        return unique(name)

    def bench(self, node: Node, *, kept: bool = False) -> Workbench:
        """What a suite makes on *node* by itself; *kept* beyond the test, for others that share it."""
        return Workbench(node, self.image, self.port, kept=kept)

    def keep(self, key: object, make: Callable[[], T]) -> T:
        """What several tests share as long as this cluster is used: made when first asked for, known by *key*."""
        if key not in self._kept:
            self._kept[key] = make()
        shared: T = self._kept[key]
        return shared

    def port(self) -> int:
        """A published port that no service of the cluster uses; the one that was given out longest ago.

        Raises:
            LabError: the suite's range is used up.
        """
        used = {port for service in self.manager.ask("GET", "/services") for port in _published(service)}
        for port in [port for port in self.ports if port not in self._given] + self._given:
            if port not in used:
                self._given = [*(one for one in self._given if one != port), port]
                return port
        raise LabError(f"no free port in {self.ports[0]} to {self.ports[-1]}")

    def create_service(self, name: str, image: str, **settings: Any) -> Service:
        """Create a service through the manager's API; *settings* as `specification` takes them.

        Args:
            name: the middle of its name.
            image: a workload image, or a whole reference with a slash.
            settings: see `specification`.

        Raises:
            EngineRefused: the manager refused.
        """
        reference = image if "/" in image else self.image(image)
        spec = specification(self.unique(name), reference, labels={SUITE_LABEL: ""}, **settings)
        created = self.manager.ask("POST", "/services/create", body=spec)
        return Service(self, created["ID"], spec["Name"])

    def service(self, name: str) -> Service:
        """The service of this name, however it was made."""
        return Service(self, self.manager.ask("GET", f"/services/{name}")["ID"], name)

    def with_tasks(self) -> set[str]:
        """The ids of the services that have tasks, be they there still or not."""
        return {task["ServiceID"] for task in self.manager.ask("GET", "/tasks")}

    def create_network(self, name: str, **settings: Any) -> str:
        """Create an attachable overlay network; gives its name.

        Args:
            name: the middle of the name.
            settings: further keys of the API's network specification.
        """
        full = self.unique(name)
        spec = {"Name": full, "Driver": "overlay", "Attachable": True, "Labels": {SUITE_LABEL: ""}, **settings}
        self.manager.ask("POST", "/networks/create", body=spec)
        return full

    def remove_network(self, name: str, identity: str = "") -> None:
        """Remove the network of this name, or with this id if it is given, as soon as no task uses it.

        Raises:
            LabError: it stays in use.
        """
        manager = self.manager
        wait(lambda: _gone(manager, identity or name), f"network {name} to be free", error=LabError)

    def made(self, *kinds: str) -> list[Made]:
        """What a suite made of these *kinds* of the API: services, configs, secrets, networks."""
        found = []
        for kind in kinds:
            only = {"scope": ["swarm"]} if kind == "networks" else {}
            labelled = self.manager.ask("GET", f"/{kind}", filters={"label": [SUITE_LABEL], **only})
            stacked = self.manager.ask("GET", f"/{kind}", filters={"label": [STACK_LABEL], **only})
            for one in (*labelled, *filter(of_a_stack, stacked)):
                found.append(Made(kind, one.get("ID") or one["Id"], one.get("Name") or one["Spec"]["Name"]))
        return list(dict.fromkeys(found))

    def remove(self, made: Iterable[Made]) -> None:
        """Remove what a suite made, without waiting for tasks to end."""
        for one in made:
            if one.kind == "networks":
                self.remove_network(one.name, one.id)
            else:
                self.manager.ask("DELETE", f"/{one.kind}/{one.id}")

    def clean(self, *, kept: bool = False) -> None:
        """Remove all that a suite made, without waiting for tasks to end; *kept*: also what its tests share."""
        made = self.made("services", "configs", "secrets", "networks")
        networks = [one for one in made if one.kind == "networks"]
        self.remove([one for one in made if one not in networks])
        parallel(lambda node: sweep(node, kept=kept), self.nodes)
        self.remove(networks)
        if kept:
            self._kept.clear()

    def diagnosis(self) -> dict[str, str]:
        """What every node tells of itself, and the managers of the cluster, each under "NODE: NAME"."""
        told: dict[str, str] = {}
        for node in self.nodes + self.spare:
            try:
                told |= {f"{node.name}: {name}": text for name, text in node.diagnosis().items()}
                if node.info()["Swarm"]["ControlAvailable"]:
                    told[f"{node.name}: nodes"] = node.docker("node ls").said
                    told[f"{node.name}: services"] = node.docker("service ls").said
            except Exception as failed:  # a node that cannot tell is itself worth telling, and must not hide the others
                told[f"{node.name}: cannot tell"] = str(failed)
        return told


# Building blocks, for swarms that tests form step by step


@dataclass(frozen=True)
class JoinCommand:
    """A complete join command as init and join-token print it: all its words, its token and where it leads."""

    words: str
    token: str
    remote: str


def join_command(printed: str) -> JoinCommand | None:
    """The join command in what a docker command printed; None where there is none that is complete."""
    # Engines before 17.12 break the line after the token.
    found = re.search(r"docker swarm join\s+\\?\s*--token (\S+)\s+\\?\s*(\S+:\d+)", printed)
    return JoinCommand(f"docker swarm join --token {found[1]} {found[2]}", found[1], found[2]) if found else None


def init(node: Node) -> str:
    """`docker swarm init` as the document gives it; returns what the command printed.

    Raises:
        EngineRefused: the command failed.
    """
    words = f"swarm init --autolock=false --advertise-addr {node.address} "
    done = node.docker(f"{words} --listen-addr {node.address}:{MANAGEMENT_PORT}")
    if not done.ok:
        raise EngineRefused(node.name, done.code, f"docker swarm init: {done.said}")
    return done.out


def join(node: Node, manager: Node, with_token: str) -> None:
    """Let *node* join the swarm of *manager*, advertised and listening at its own cluster address.

    Raises:
        EngineRefused: the engine refused, or the manager did.
    """
    body = {
        "RemoteAddrs": [f"{manager.address}:{MANAGEMENT_PORT}"],
        "JoinToken": with_token,
        "AdvertiseAddr": node.address,
        "ListenAddr": f"{node.address}:{MANAGEMENT_PORT}",
    }
    node.ask("POST", "/swarm/join", body=body)


def has_ingress(node: Node) -> bool:
    """Whether the node knows the routing mesh's network: an overlay of the swarm, marked as ingress."""
    networks = node.ask("GET", "/networks", filters={"driver": ["overlay"], "scope": ["swarm"]})
    return any(network["Ingress"] for network in networks)


def common(pairs: Iterable[tuple[Node, Node]], nodes: Sequence[Node]) -> list[str]:
    """The nodes that explain the failed *pairs* (from, to): those in most of them first, until no pair is left."""
    left = list(pairs)
    named: list[str] = []
    while left:
        share = {node.name: sum(node in pair for pair in left) for node in nodes}
        worst = [name for name, count in share.items() if count == max(share.values())]
        named += worst
        left = [pair for pair in left if not any(node.name in worst for node in pair)]
    return named


def _active(info: dict[str, Any]) -> bool:
    return bool(info["LocalNodeState"] == "active")


def _published(service: dict[str, Any]) -> list[int]:
    return [port.get("PublishedPort", 0) for port in service.get("Endpoint", {}).get("Ports", [])]


def _gone(manager: Node, network: str) -> State:
    try:
        manager.ask("DELETE", f"/networks/{network}")
    except EngineRefused as refused:
        return State(refused.status == 404, refused.explanation)
    return State(True)


def _agreement(views: dict[str, list[dict[str, Any]]]) -> dict[str, State]:
    """The conditions on which all managers' node lists must agree."""
    leaders = {
        name: [m["ID"] for m in view if m.get("ManagerStatus", {}).get("Leader")] for name, view in views.items()
    }
    agreed = len(set(map(tuple, leaders.values()))) == 1 and all(len(ids) == 1 for ids in leaders.values())
    members = [(name, member) for name, view in views.items() for member in view]
    unreachable = [
        f"{name} sees {member['Description']['Hostname']} {status['Reachability']}"
        for name, member in members
        if (status := member.get("ManagerStatus")) and status["Reachability"] != "reachable"
    ]
    down = [
        f"{name} sees {member['Description'].get('Hostname', member['ID'])} {member['Status']['State']}"
        for name, member in members
        if member["Status"]["State"] != "ready"
    ]
    roots = {member["Description"].get("TLSInfo", {}).get("TrustRoot", "") for _, member in members}
    return {
        "agreed leader": State(agreed, f"leader by manager: {leaders}"),
        "all managers reachable": State(not unreachable, ", ".join(unreachable)),
        "all nodes ready": State(not down, ", ".join(down)),
        "CA agreed": State(len(roots) == 1 and all(roots), f"{len(roots)} different roots of trust"),
    }


def _roles(view: list[dict[str, Any]], infos: dict[str, dict[str, Any]]) -> State:
    """Whether each engine acts in the role that the node list gives it; it can only with a certificate of that role."""
    roles = {member["ID"]: member["Spec"]["Role"] for member in view}
    wrong = [
        f"{name} is {role} and {'serves' if info['ControlAvailable'] else 'does not serve'} the API"
        for name, info in infos.items()
        if (role := roles.get(info["NodeID"], "unknown")) != ("manager" if info["ControlAvailable"] else "worker")
    ]
    return State(not wrong, ", ".join(wrong))
