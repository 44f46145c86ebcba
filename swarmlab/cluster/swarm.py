"""A swarm: the cluster under test, as its managers list it, and what tests make in it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from swarmlab.cluster.lifelines import Lifelines
from swarmlab.cluster.marks import STACK_LABEL, SUITE_LABEL, network_removed, of_a_stack, unique
from swarmlab.cluster.node import MANAGEMENT_PORT, Node, nodes_where, on_each
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Service, Task, specification
from swarmlab.cluster.workbench import PORTS, Workbench, sweep
from swarmlab.errors import EngineRefused, LabError
from swarmlab.lists import few
from swarmlab.wait import State, wait

T = TypeVar("T")


@dataclass(frozen=True)
class Made:
    """A resource that a test made in a cluster.

    Attributes:
        kind: its kind as in the API's paths, such as services.
        id: its id.
        name: its name.
    """

    kind: str
    id: str
    name: str


class Swarm:
    """A cluster under test.

    Attributes:
        nodes: its nodes, the first manager first.
        chosen: host names of the nodes that stand for all of a large cluster (see `sample`); empty for all.
        spare: machines of the same lab that are in no swarm, for tests in which one joins.
        image: returns the reference by which nodes pull a workload image: ``cluster.image("web:1")``.
        ports: the published ports that tests may use.
        damage: the faults that are not healed yet (see `swarmlab.cluster.fault`).
        lifelines: the states of the cluster's tasks so far.

    Example:
        web = cluster.create_service("web", "web:1", replicas=3, publish={cluster.port(): 80})
        web.wait_running(3)
        assert all(web.get(node).ok for node in cluster.nodes)
    """

    #: The label on every resource that a test makes here.
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
        self.chosen: Sequence[str] = ()
        self.spare = list(spare)
        self.image = image
        self.damage: list[str] = []
        # Several swarms may have the same nodes: they share the states of their tasks.
        members = [*self.nodes, *self.spare]
        known = (node.lifelines for node in members)
        self.lifelines = (
            next((lifelines for lifelines in known if isinstance(lifelines, Lifelines)), None) or Lifelines()
        )
        for node in members:
            node.lifelines = self.lifelines
        self._given: list[int] = []
        self._kept: dict[object, Any] = {}
        # A test may run on several nodes at the same time.
        self._giving, self._keeping = threading.Lock(), threading.RLock()

    @classmethod
    def form(
        cls, nodes: Sequence[Node], *, managers: int, spare: Sequence[Node] = (), image: Callable[[str], str] = str
    ) -> Swarm:
        """Make a swarm as the document does (6.1): init on the first node, the others join with a token.

        Args:
            nodes: machines that are in no swarm.
            managers: number of managers; they are the first of *nodes*.
            spare: machines that stay outside.
            image: see `Swarm`.

        Raises:
            LabError: a node could not join, or the swarm was not ready in time.
        """
        for node in (*nodes, *spare):
            node.lifelines = None  # those of the swarm that these machines were in before
        swarm = cls(nodes, spare=spare, image=image)
        first, *others = nodes
        try:
            init(first)
            tokens = swarm.tokens()
            for node in others[: managers - 1]:  # one after the other: each changes the quorum
                join(node, first, tokens["Manager"])
            on_each(lambda node: join(node, first, tokens["Worker"]), others[managers - 1 :])
        except EngineRefused as refused:
            raise LabError(f"the swarm could not be formed: {refused}") from refused
        swarm.wait_ready()
        return swarm

    # Members

    def members(self, asked: Node | None = None) -> list[dict[str, Any]]:
        """Return the node list of the manager *asked*, or of the first that answers.

        The managers do not know the host name of a node that has just joined: its id stands in for it.
        """
        listed: list[dict[str, Any]] = (asked or self.manager).ask("GET", "/nodes")
        for member in listed:
            member["Description"].setdefault("Hostname", member["ID"])
        return listed

    def label_member(self, member: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        """Add *labels* to a member of `members`."""

        def change(spec: dict[str, Any]) -> None:
            spec["Labels"] = {**(spec.get("Labels") or {}), **labels}

        self.manager.revise(f"/nodes/{member['ID']}", change)

    @property
    def managers(self) -> list[Node]:
        """The nodes that serve the cluster's API."""
        return nodes_where(lambda node: node.serves_cluster(), self.nodes)

    @property
    def workers(self) -> list[Node]:
        """The nodes that are not managers."""
        managers = self.managers
        return [node for node in self.nodes if node not in managers]

    @property
    def manager(self) -> Node:
        """The first node that serves the cluster's API.

        Raises:
            LabError: no node does.
        """
        for node in self.nodes:
            if node.serves_cluster():
                return node
        raise LabError("no node of the cluster serves the cluster's API")

    @property
    def leader(self) -> Node:
        """The manager that leads, as the first manager that answers names it.

        Raises:
            LabError: that manager names none, or several.
        """
        asked = self.manager
        named = leaders(self.members(asked))
        if len(named) != 1:
            raise LabError(f"{asked} names {' and '.join(named) or 'no node'} as leader")
        return self.node(named[0])

    def node(self, name: str) -> Node:
        """Return the node or spare machine with this host name.

        Raises:
            LabError: the lab has none.
        """
        for node in self.nodes + self.spare:
            if node.name == name:
                return node
        raise LabError(f"the lab has no node {name}; it has {few(map(str, self.nodes + self.spare))}")

    @property
    def sample(self) -> list[Node]:
        """The nodes for a test that goes from node to node: all, or in a large cluster those that stand for all."""
        return [node for node in self.nodes if node.name in self.chosen] or self.nodes

    def names(self, asked: Node | None = None) -> dict[str, str]:
        """Return the host name of every member by node id (see `members`)."""
        return {member["ID"]: member["Description"]["Hostname"] for member in self.members(asked)}

    def roles(self, asked: Node | None = None) -> dict[str, str]:
        """Return the role, manager or worker, of every member by host name (see `members`)."""
        return {member["Description"]["Hostname"]: member["Spec"]["Role"] for member in self.members(asked)}

    def identity(self) -> dict[str, str]:
        """Return the cluster's id and the members' host names by node id: neither may change by itself."""
        return {"cluster": self.manager.ask("GET", "/swarm")["ID"], **self.names()}

    def state_of(self, node_id: str) -> str:
        """Return the state of a member, such as ready or down; empty if there is no such member."""
        return next((member["Status"]["State"] for member in self.members() if member["ID"] == node_id), "")

    def tokens(self) -> dict[str, str]:
        """Return the join tokens by "Worker" and "Manager"."""
        tokens: dict[str, str] = self.manager.ask("GET", "/swarm")["JoinTokens"]
        return tokens

    def probe(self, task: Task) -> Probe:
        """Return a probe in the container of a running task."""
        return Probe(self.node(task.node), task.container)

    # Readiness

    def conditions(self) -> dict[str, State]:
        """Return the state of each condition of a ready swarm, by its name."""
        asked = on_each(lambda node: node.info()["Swarm"], self.nodes)
        infos = dict(zip(map(str, self.nodes), asked, strict=True))
        inactive = [
            f"{name} is {info['LocalNodeState']}{': ' * bool(info.get('Error'))}{info.get('Error') or ''}"
            for name, info in infos.items()
            if not _active(info)
        ]
        conditions = {"every engine is in the swarm": State(not inactive, few(inactive) or "all active")}
        managers = [node for node in self.nodes if infos[node.name]["ControlAvailable"]]
        try:
            views = dict(zip(map(str, managers), on_each(self.members, managers), strict=True))
        except EngineRefused as refused:
            conditions["managers answer"] = State(False, str(refused))
            return conditions
        conditions["managers answer"] = State(bool(views), few(views) or "no manager")
        if not views:
            return conditions
        conditions |= _agreement(views)
        conditions["role equals certificate"] = _roles(next(iter(views.values())), infos)
        lacking = nodes_where(lambda node: not has_ingress(node), self.nodes)
        conditions["ingress present"] = State(not lacking, f"missing on {few(lacking)}" if lacking else "on all")
        return conditions

    def ready(self) -> State:
        """Whether all `conditions` hold; if not, the summary names those that do not, and why."""
        broken = [f"{name}: {state.summary}" for name, state in self.conditions().items() if not state]
        return State(not broken, few(broken, "; ") or "ready")

    def wait_ready(self, deadline: float = 120) -> None:
        """Wait until all `conditions` hold.

        Args:
            deadline: seconds at reference speed.

        Raises:
            LabError: a condition does not hold in time; the message names it.
        """
        wait(self.ready, "the swarm to be ready", deadline=deadline, every=0.5, error=LabError)

    def expect_ready(self, deadline: float = 120) -> None:
        """`wait_ready` where a claim promises it: a missed deadline raises an AssertionError."""
        wait(self.ready, "the swarm to be ready", deadline=deadline, every=0.5, error=AssertionError)

    # Resources of tests

    def unique(self, name: str) -> str:
        """Return a new name for a resource of the suite (see `marks.unique`)."""
        return unique(name)

    def bench(self, node: Node, *, kept: bool = False) -> Workbench:
        """Return a workbench on *node*; what is made there is removed after the test, or with the cluster if *kept*."""
        return Workbench(node, self.image, self.port, kept=kept)

    def keep(self, key: object, make: Callable[[], T]) -> T:
        """Return the result of the first *make* with this *key*, for resources that tests of a cluster share."""
        with self._keeping:
            if key not in self._kept:
                self._kept[key] = make()
            shared: T = self._kept[key]
        return shared

    def port(self) -> int:
        """Return a port of the suite's range that no service publishes: a new one, or the one returned longest ago.

        Raises:
            LabError: services publish all of them.
        """
        used = {port for service in self.manager.ask("GET", "/services") for port in _published(service)}
        with self._giving:
            for port in [port for port in self.ports if port not in self._given] + self._given:
                if port not in used:
                    self._given = [*(given for given in self._given if given != port), port]
                    return port
        raise LabError(f"no free port in {self.ports[0]} to {self.ports[-1]}")

    def create_service(
        self, name: str, image: str, *, alter: Callable[[dict[str, Any]], None] = lambda _: None, **settings: Any
    ) -> Service:
        """Create a service through the manager's API.

        Args:
            name: the middle of its name.
            image: name of a workload image ("web:1"), or a reference with a slash.
            alter: changes the specification in place before it is sent, for settings that `specification` does not
                have.
            settings: further arguments of `specification`.

        Raises:
            EngineRefused: the manager refused.

        Example:
            web = cluster.create_service("web", "web:1", replicas=3)
        """
        reference = image if "/" in image else self.image(image)
        spec = specification(self.unique(name), reference, labels={SUITE_LABEL: ""}, **settings)
        alter(spec)
        created = self.manager.ask("POST", "/services/create", body=spec)
        return Service(self, created["ID"], spec["Name"])

    def service(self, name: str) -> Service:
        """Return the service of this name, whoever created it."""
        return Service(self, self.manager.ask("GET", f"/services/{name}")["ID"], name)

    def with_tasks(self) -> set[str]:
        """Return the ids of all services that have tasks, also of removed ones."""
        return {task["ServiceID"] for task in self.manager.ask("GET", "/tasks")}

    def create_network(self, name: str, **settings: Any) -> str:
        """Create an attachable overlay network and return its name.

        Args:
            name: the middle of the name.
            settings: further keys of the API's network specification.
        """
        full = self.unique(name)
        spec = {"Name": full, "Driver": "overlay", "Attachable": True, "Labels": {SUITE_LABEL: ""}, **settings}
        self.manager.ask("POST", "/networks/create", body=spec)
        return full

    def remove_network(self, name: str, identity: str = "") -> None:
        """Remove a network once no task uses it.

        Args:
            name: its name.
            identity: its id, if several networks may have the name.

        Raises:
            LabError: it stays in use.
        """
        manager = self.manager
        wait(lambda: network_removed(manager, identity or name), f"network {name} to be free", error=LabError)

    def made(self, *kinds: str) -> list[Made]:
        """Return the resources of these *kinds* that tests made: services, configs, secrets, networks."""
        found = []
        manager = self.manager  # which each use of the property would look for again
        for kind in kinds:
            only = {"scope": ["swarm"]} if kind == "networks" else {}
            labelled = manager.ask("GET", f"/{kind}", filters={"label": [SUITE_LABEL], **only})
            stacked = manager.ask("GET", f"/{kind}", filters={"label": [STACK_LABEL], **only})
            for resource in (*labelled, *filter(of_a_stack, stacked)):
                found.append(
                    Made(kind, resource.get("ID") or resource["Id"], resource.get("Name") or resource["Spec"]["Name"])
                )
        return list(dict.fromkeys(found))

    def remove(self, made: Iterable[Made]) -> None:
        """Remove resources that tests made. It does not wait for their tasks to end."""
        for resource in made:
            if resource.kind == "networks":
                self.remove_network(resource.name, resource.id)
            else:
                self.manager.ask("DELETE", f"/{resource.kind}/{resource.id}")

    def clean(self, *, kept: bool = False) -> None:
        """Remove all resources that tests made, and if *kept* also those that several tests share.

        A network that ending tasks still use is left for the next call, as an engine takes seconds to end a task of an
        overlay network. Only with *kept* it is waited for.
        """
        made = self.made("services", "configs", "secrets", "networks")
        networks = [resource for resource in made if resource.kind == "networks"]
        self.remove([resource for resource in made if resource not in networks])
        on_each(lambda node: sweep(node, kept=kept), self.nodes)
        if kept:
            self.remove(networks)
            self._kept.clear()
        elif networks:
            manager = self.manager
            for network in networks:
                network_removed(manager, network.id)

    def diagnosis(self) -> dict[str, str]:
        """Return the diagnosis of every node, and the managers' lists, by "NODE: NAME"."""

        def told_by(node: Node) -> dict[str, str]:
            texts = {}
            try:
                texts = {f"{node.name}: {name}": text for name, text in node.diagnosis().items()}
                if node.info()["Swarm"]["ControlAvailable"]:
                    texts[f"{node.name}: nodes"] = node.docker("node ls").output
                    texts[f"{node.name}: services"] = node.docker("service ls").output
            except Exception as failed:  # that a node does not answer is worth knowing, and must not hide the others
                texts[f"{node.name}: no answer"] = str(failed)
            return texts

        told = on_each(told_by, self.nodes + self.spare)
        return {name: text for texts in told for name, text in texts.items()}


# For swarms that tests form step by step


@dataclass(frozen=True)
class JoinCommand:
    """A complete join command, as ``swarm init`` and ``swarm join-token`` print it.

    Attributes:
        line: the command line.
        token: its token.
        remote: address and port of the manager.
    """

    line: str
    token: str
    remote: str


def join_command(printed: str) -> JoinCommand | None:
    """Return the join command in the output of a docker command, or None if there is no complete one."""
    # Engines before 17.12 break the line after the token.
    found = re.search(r"docker swarm join\s+\\?\s*--token (\S+)\s+\\?\s*(\S+:\d+)", printed)
    return JoinCommand(f"docker swarm join --token {found[1]} {found[2]}", found[1], found[2]) if found else None


def init(node: Node) -> str:
    """Run ``docker swarm init`` as the document does, and return its output.

    Raises:
        EngineRefused: the command failed.
    """
    addresses = f"--advertise-addr {node.address} --listen-addr {node.address}:{MANAGEMENT_PORT}"
    return node.docker(f"swarm init --autolock=false {addresses}").expect("docker swarm init", error=EngineRefused)


def join(node: Node, manager: Node, with_token: str) -> None:
    """Let *node* join the swarm of *manager* through the API; it advertises and listens on its own address.

    Args:
        node: the machine that joins.
        manager: a manager of the swarm.
        with_token: the join token, which decides the role.

    Raises:
        EngineRefused: the engine or the manager refused.
    """
    body = {
        "RemoteAddrs": [f"{manager.address}:{MANAGEMENT_PORT}"],
        "JoinToken": with_token,
        "AdvertiseAddr": node.address,
        "ListenAddr": f"{node.address}:{MANAGEMENT_PORT}",
    }
    node.ask("POST", "/swarm/join", body=body)


def has_ingress(node: Node) -> bool:
    """Whether the node has the network of the routing mesh: an overlay network that is marked as ingress."""
    networks = node.ask("GET", "/networks", filters={"driver": ["overlay"], "scope": ["swarm"]})
    return any(network["Ingress"] for network in networks)


def leads(member: Mapping[str, Any]) -> bool:
    """Whether a member is the leader, according to the node list that it is from."""
    return bool((member.get("ManagerStatus") or {}).get("Leader"))


def manager_address(member: Mapping[str, Any]) -> str:
    """Return the address at which managers reach a manager, without its port; empty of a worker.

    It is the manager's true address also where its ``Status.Addr`` is 0.0.0.0.
    """
    return str((member.get("ManagerStatus") or {}).get("Addr", "")).rpartition(":")[0].strip("[]")


def leaders(members: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the host names of the leaders in a node list: exactly one in a swarm with quorum."""
    return sorted(member["Description"].get("Hostname", member["ID"]) for member in members if leads(member))


def suspects(pairs: Iterable[tuple[Node | str, Node | str]], nodes: Iterable[Node | str]) -> list[str]:
    """Return host names of nodes that explain which *pairs* (from, to) failed.

    Nodes in most of the pairs come first. Further nodes follow until every pair has one of the returned nodes.

    Args:
        pairs: the pairs that failed.
        nodes: all nodes.
    """
    left = [(str(source), str(target)) for source, target in pairs]
    names = [str(node) for node in nodes]
    named: list[str] = []
    while left:
        share = {name: sum(name in pair for pair in left) for name in names}
        worst = [name for name, count in share.items() if count == max(share.values())]
        named += worst
        left = [pair for pair in left if not set(worst).intersection(pair)]
    return named


def _active(info: dict[str, Any]) -> bool:
    return bool(info["LocalNodeState"] == "active")


def _published(service: dict[str, Any]) -> list[int]:
    return [port.get("PublishedPort", 0) for port in service.get("Endpoint", {}).get("Ports", [])]


def _agreement(views: dict[str, list[dict[str, Any]]]) -> dict[str, State]:
    """Return the conditions that depend on the node lists of all managers."""
    leaders = {name: [member["ID"] for member in view if leads(member)] for name, view in views.items()}
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
        "all managers reachable": State(not unreachable, few(unreachable)),
        "all nodes ready": State(not down, few(down)),
        "CA agreed": State(len(roots) == 1 and all(roots), f"{len(roots)} different roots of trust"),
    }


def _roles(view: list[dict[str, Any]], infos: dict[str, dict[str, Any]]) -> State:
    """Whether each engine in a swarm acts in its role of the node list, for which it needs a certificate of it."""
    roles = {member["ID"]: member["Spec"]["Role"] for member in view}
    wrong = [
        f"{name} is {role} and {'serves' if info['ControlAvailable'] else 'does not serve'} the API"
        for name, info in infos.items()
        if _active(info)
        and (role := roles.get(info["NodeID"], "unknown")) != ("manager" if info["ControlAvailable"] else "worker")
    ]
    return State(not wrong, few(wrong))
