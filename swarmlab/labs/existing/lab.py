"""The lab of a swarm that exists: its machines are reached over SSH, as an inventory describes them.

What the suite makes there carries its label or a name of its form, and is removed at the end of the run; what a killed
run left is removed by the next (see `swarmlab.cluster.leavings`). No port of an engine is opened, and no machine is
switched off.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from swarmlab import netns, ownership, signals
from swarmlab.cluster import deadline, leavings, run_lock
from swarmlab.cluster.discretion import be_discreet
from swarmlab.cluster.leavings import LOOPBACK, REGISTRY_IMAGE
from swarmlab.cluster.marks import SUITE_LABEL, unique
from swarmlab.cluster.node import MANAGEMENT_PORT, Node, look_for, oldest
from swarmlab.cluster.run_lock import RunLock
from swarmlab.cluster.swarm import Swarm, manager_address
from swarmlab.errors import EngineRefused, LabError, SwarmlabError, UsageError
from swarmlab.files import shown
from swarmlab.host import Progress, drop_folder, ended, make_folder, run_folder
from swarmlab.images import recipes, workshop
from swarmlab.images.given import GivenImage
from swarmlab.labs import outer
from swarmlab.labs.base import Declared, Lab
from swarmlab.labs.existing import fitness, inventory, logins, routes, settings
from swarmlab.labs.existing.images import check_registry
from swarmlab.labs.existing.inventory import Inventory
from swarmlab.labs.existing.names import FINGERPRINT, names_of
from swarmlab.labs.existing.node import RESTART, Connection, SshNode, write_config
from swarmlab.labs.existing.places import is_reachable
from swarmlab.labs.existing.routes import Route
from swarmlab.labs.existing.watchdog import Watchdog
from swarmlab.labs.ssh import Ssh
from swarmlab.lists import few
from swarmlab.needs import Offers
from swarmlab.parallel import ELSEWHERE, parallel
from swarmlab.paths import command
from swarmlab.wait import State, scaled, wait

#: The word of the kind.
WORD = "inventory"
#: Seconds at reference speed in which a machine must be reached where it may be left out; and where all that is wrong
#: with it is to be told, or it is to be cleaned up.
_REACHED, _THOROUGHLY = 8.0, 40.0
#: The label on the suite's registry, which stays when a test's leavings are removed.
_REGISTRY_LABEL = f"{SUITE_LABEL}.registry"


class InventoryLab(Lab):
    """The lab of a swarm that exists.

    Attributes:
        known: the inventory.
        cluster: the id of the swarm, once it is reached.
        unreached: why machines were left out, by name, if `connect` may leave some out.
        members: the nodes of the swarm, as a manager lists them; none if no manager was asked.
        routes: how ssh reaches each machine.
        identities: the nodes that were reached, by their ids in the swarm.
    """

    kind = WORD
    standing = own_processors = True
    free = 0

    def __init__(self, known: Inventory, *, may_disrupt: str = "", progress: Progress = lambda _: None) -> None:
        """Describe the lab; nothing is asked before `connect`.

        Args:
            known: the inventory.
            may_disrupt: the id of the swarm that tests may disrupt; empty for none.
            progress: called with a line for every step that takes time.
        """
        super().__init__(progress)
        self.known = known
        self.name = known.source
        self.cluster = ""
        self.unreached: dict[str, str] = {}
        self.members: Sequence[Mapping[str, Any]] = ()
        self.routes: dict[inventory.Machine, Route] = {}
        self.identities: dict[str, SshNode] = {}
        self._partly = False
        self._wrong: list[str] | None = None
        self._time = _REACHED
        self._may_disrupt = may_disrupt
        self._owner = ownership.this_process()
        self._tried: list[inventory.Machine] = []
        self._connections: list[Connection] = []
        self._nodes: list[SshNode] = []
        self._folder: Path | None = None
        self._watchdog: Watchdog | None = None
        self._lock: RunLock | None = None

    # Reaching it

    def connect(
        self,
        *,
        to_judge: bool = True,
        partly: bool = False,
        patiently: bool = False,
        wrong: list[str] | None = None,
    ) -> None:
        """Reach every machine, and check that together they are one swarm that the run may use.

        Args:
            to_judge: check also that the swarm is fit to be judged. False to only read it, or to clean it up.
            partly: leave out machines that cannot be reached in a short time (see `unreached`), and take a swarm as it
                is whose managers do not answer.
            patiently: give machines more time before they are left out: there is more to do there than to look.
            wrong: takes a line for all that is wrong with the swarm but `unreached`, in place of an error: nothing
                hides what else is wrong. It is for who only looks, so ports and other runs are not looked at.

        Raises:
            UsageError: a machine cannot be reached, is of another swarm, or is missing; another run is at work; the
                ports are not free, or ``--may-disrupt`` names another swarm. Nothing is left open then.
        """
        end_stale()
        self._partly, self._wrong = partly or wrong is not None, wrong
        self._time = _REACHED if wrong is None and not patiently else _THOROUGHLY
        try:
            self._open(self.known.machines)
            if self.known.discover and self._connections:
                self._learn()
            self._join_up(to_judge=to_judge)
            be_discreet(self._nodes, hurried=self._partly)
            if to_judge and wrong is None:
                self._check_unused()
                fitness.check_ports(self.known.ports, self._nodes)
                self._find_reachable()
        except BaseException:
            self.disconnect()
            raise

    def enter(self, node: str) -> None:
        """Reach one machine for a shell on it, whether or not its engine answers; all, if only the swarm knows it.

        Args:
            node: its host name, or its address.

        Raises:
            UsageError: it cannot be reached, or no manager can, which would know it. Nothing is left open then.
        """
        end_stale()
        try:
            found = [machine for machine in self.known.machines if node in (machine.name, machine.address)]
            if not found:
                self.connect(to_judge=False, partly=True)
                addresses = self._addresses(node) if node in self.unreached else set()
                found = [machine for machine in self._tried if machine.address in addresses]
            if found:
                self.disconnect()
                self._partly = False
                self._open(found[:1], to_ask=False)
                self._nodes = [SshNode(connection, node, node) for connection in self._connections]
        except BaseException:
            self.disconnect()
            raise

    def shells(self) -> list[Node]:
        """Reach the machines whose engines kept them out of the lab by their shells alone, as far as that works.

        Call it once the lab is connected in part. They stay in `unreached`, with the reason.
        """
        before = {connection.machine for connection in self._connections}
        why = dict(self.unreached)
        self._open(list(dict.fromkeys(self._tried)), to_ask=False)
        self.unreached = why
        names = {address: name for name in why for address in self._addresses(name)}
        return [
            SshNode(connection, names.get(machine.address, str(machine)), machine.address)
            for connection in self._connections
            if (machine := connection.machine) not in before
        ]

    def _addresses(self, name: str) -> set[str]:
        """Return the addresses that a node has by this name, its own among them."""
        told = [one for one in self.members if name in (one["ID"], one["Description"].get("Hostname"))]
        named = {machine.address for machine in self._tried if name in (machine.name, machine.address)}
        known = {manager_address(one) for one in told} | {str(one["Status"].get("Addr", "")) for one in told}
        return {name, *named, *known} - {""}

    def _refuse(self, wrong: Sequence[str]) -> None:
        """Refuse the swarm for what is wrong with it; where all of that is to be told, only note it.

        Raises:
            UsageError: something is wrong, and the swarm is to be used.
        """
        if self._wrong is None:
            inventory.refuse(wrong)
        else:
            self._wrong += wrong

    def _open(self, machines: Sequence[inventory.Machine], *, to_ask: bool = True) -> None:
        """Open connections to machines, beside those that are open; their engines have to answer if they are asked."""
        if self._folder is None:
            self._folder = _folder_of(self._owner)
            shutil.rmtree(self._folder, ignore_errors=True)
            make_folder(self._folder)
            self._watchdog = Watchdog(self._folder)
        folder = self._folder
        self._tried += machines
        found = parallel(lambda machine: _route(machine, folder), machines)
        routeless = {machine: why for machine, why in zip(machines, found, strict=True) if isinstance(why, str)}
        if self._wrong is None:
            inventory.refuse(list(routeless.values()))
        self.unreached |= {machine.name or machine.address: why for machine, why in routeless.items()}
        reached = [route for route in found if isinstance(route, Route)]
        self.routes |= {route.machine: route for route in reached}
        config = write_config(folder, reached)
        known = {connection.machine: connection for connection in self._connections}
        self._connections = [
            known.get(route.machine) or Connection(route.machine, place, config, route.through)
            for place, route in enumerate(reached)
        ]
        fresh = [connection for connection in self._connections if connection.machine not in known]
        opened = functools.partial(self._opened, to_ask=to_ask)
        wrong = dict(zip(fresh, parallel(opened, fresh, at_once=ELSEWHERE), strict=True))
        self._leave_out({connection: why for connection, why in wrong.items() if why})

    def _in_time(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which a machine has a limited time, where some may be left out."""
        if not self._partly:
            return contextlib.nullcontext()
        return deadline.within(scaled(self._time))

    def _opened(self, connection: Connection, *, to_ask: bool) -> str:
        """Open a connection; return why it cannot be opened, or an empty text."""
        try:
            # A login of its own, as the time until its turn is not the machine's.
            with logins.turn(connection.through), self._in_time():
                connection.log_in()
            with self._in_time():
                connection.open(to_ask=to_ask)
        except UsageError as failed:
            return str(failed)
        return ""

    def _leave_out(self, wrong: Mapping[Connection, str]) -> None:
        """Go on without machines, each with the reason.

        Raises:
            UsageError: none may be left out, or none is left.
        """
        if not self._partly or (self._wrong is None and len(wrong) == len(self._connections)):
            inventory.refuse(list(wrong.values()))
        for connection, why in wrong.items():
            self.unreached[connection.machine.name or connection.machine.address] = why
            connection.close()
        self._connections = [connection for connection in self._connections if connection not in wrong]

    def _learn(self) -> None:
        """Reach all other members of the one manager's swarm, with the manager's user, key and port."""
        (manager,), (given,) = self._connections, self.known.machines
        here = _node(manager)
        own = here.info()["Swarm"]
        if not own["ControlAvailable"]:
            state = own["LocalNodeState"]
            self._refuse([f"node {manager.machine}: is not a manager (its swarm is {state}); name a manager"])
            return
        machines = [given]
        wrong: dict[str, str] = {}
        members = self._members(here)
        hosts = [member["Description"].get("Hostname", member["ID"]) for member in members]
        for member in members:
            address = manager_address(member) or member["Status"].get("Addr", "")
            name = member["Description"].get("Hostname", member["ID"])
            if member["ID"] == own["NodeID"]:
                continue
            one = member["ID"] if hosts.count(name) > 1 else name
            if member["Status"]["State"] == "down":
                wrong[one] = f"node {name} ({address}): is down in the swarm; start it, or: docker node rm {one}"
                if self._partly:
                    continue
            elif not is_reachable(address):
                wrong[one] = (
                    f"node {name}: the swarm has {address or 'no address'} for it, where it cannot be reached from "
                    "elsewhere; write an inventory with its address (swarmlab init)"
                )
                continue
            machines.append(inventory.learned(given, address))
        if not self._partly:
            inventory.refuse(list(wrong.values()))
        self.unreached |= wrong
        self._open(machines)

    def _members(self, manager: Node) -> list[dict[str, Any]]:
        """Return the members that a manager lists; none where the swarm is taken as it is, and the manager refuses."""
        try:
            with self._in_time():
                members: list[dict[str, Any]] = manager.ask("GET", "/nodes")
        except SwarmlabError:
            if not self._partly:
                raise
            return []
        return members

    def _join_up(self, *, to_judge: bool) -> None:
        """Check that the machines are the members of one swarm, and make nodes of them, the managers first."""
        asked = parallel(self._info, self._connections, at_once=ELSEWHERE)
        told = dict(zip(self._connections, asked, strict=True))
        self._leave_out({connection: info for connection, info in told.items() if isinstance(info, str)})
        infos = {connection: info for connection, info in told.items() if not isinstance(info, str)}
        wrong = []
        for connection, info in infos.items():
            state = info["Swarm"]["LocalNodeState"]
            if state != "active" and (not self._partly or self._wrong is not None):
                wrong.append(
                    f"node {connection.machine}: is not in a working swarm (the state of its swarm is {state})"
                )
            if connection.machine.name and connection.machine.name != info["Name"]:
                wrong.append(
                    f"node {connection.machine}: its host name is {info['Name']}; mend its name or its address"
                )
        self._refuse(wrong)
        if self._wrong is not None:  # what is in no swarm has been told, and the others are looked at
            infos = {one: info for one, info in infos.items() if info["Swarm"]["LocalNodeState"] == "active"}
        managers = [connection for connection, info in infos.items() if info["Swarm"]["ControlAvailable"]]
        if managers:
            self._check_one_swarm(infos, managers, to_judge=to_judge)
        elif not self._partly:
            listed = few(str(connection.machine) for connection in infos)
            raise UsageError(f"inventory {self.known.source}: none of {listed} is a manager; add the managers")
        elif self._wrong is not None and infos and not self._wrong:
            listed = few(str(connection.machine) for connection in infos)
            self._refuse([f"inventory {self.known.source}: none of {listed} is a manager; add the managers"])
        order = [*managers, *(connection for connection in infos if connection not in managers)]
        names = names_of(infos)
        self._nodes = [
            SshNode(connection, names[connection], infos[connection]["Swarm"]["NodeAddr"]) for connection in order
        ]
        self.identities = {
            infos[connection]["Swarm"]["NodeID"]: node for connection, node in zip(order, self._nodes, strict=True)
        }
        # Where all that is wrong is told, an unknown cluster is told by its reason.
        known = self.cluster or self._wrong is None
        if self._may_disrupt and self._may_disrupt != self.cluster and known:
            self._refuse(
                [
                    f"--may-disrupt {self._may_disrupt}: the inventory's cluster is {self.cluster}; "
                    "write the id that docker info shows of the swarm that tests may hurt"
                ]
            )

    def _info(self, connection: Connection) -> dict[str, Any] | str:
        """Return what a machine's engine tells of itself, or why it may be left out."""
        try:
            with self._in_time():
                return _node(connection).info()
        except SwarmlabError as failed:
            if not self._partly:
                raise
            return f"node {connection.machine}: its engine does not answer ({failed}); {RESTART}"

    def _check_one_swarm(
        self, infos: Mapping[Connection, dict[str, Any]], managers: Sequence[Connection], *, to_judge: bool
    ) -> None:
        """Check that the machines are the members of one swarm, and note which swarm that is."""
        first = managers[0]
        # A manager without a leader does not tell of the swarm.
        clusters = {
            connection: str(cluster["ID"])
            for connection in managers
            if (cluster := infos[connection]["Swarm"].get("Cluster") or {}).get("ID") or not self._partly
        }
        self.cluster = next(iter(clusters.values()), "")
        self.name = self.cluster or self.name
        for connection, other in clusters.items():
            if other != self.cluster:
                self._refuse(
                    [
                        f"node {connection.machine}: is of another swarm ({other}) than {first.machine} "
                        f"({self.cluster}); an inventory has the nodes of one swarm"
                    ]
                )
        members: dict[str, dict[str, Any]] = {}
        for connection in managers if self._partly else [first]:
            asked = SshNode(connection, infos[connection]["Name"], connection.machine.address)
            try:
                members = members or {member["ID"]: member for member in self._members(asked)}
            except EngineRefused as refused:
                raise UsageError(f"node {first.machine}: does not list the nodes of the swarm: {refused}") from refused
        self.members = list(members.values())
        self._rename(members.values())
        # Else members are missing, which preflight tells.
        if members and (not self.unreached or self._wrong is not None):
            identities = [info["Swarm"]["NodeID"] for info in infos.values()]
            doubtful = [one for one, info in infos.items() if identities.count(info["Swarm"]["NodeID"]) > 1]
            prints = dict(zip(doubtful, parallel(_fingerprint, doubtful, at_once=ELSEWHERE), strict=True))
            self._refuse(
                fitness.member_faults(
                    infos, members, first, to_judge=to_judge, prints=prints, left_out=list(self.unreached)
                )
            )

    def _rename(self, members: Iterable[Mapping[str, Any]]) -> None:
        """Give machines that were left out the names that the swarm has for their addresses."""
        for member in members:
            for address in (manager_address(member), member["Status"].get("Addr", "")):
                if address in self.unreached:
                    self.unreached[member["Description"].get("Hostname", address)] = self.unreached.pop(address)

    def _find_reachable(self) -> None:
        """Note on the nodes which of their ports this machine reaches."""
        first = self.known.ports.start
        published = any(parallel(lambda node: fitness.reaches(node.address, first), self._nodes, at_once=ELSEWHERE))
        managers = Swarm(self._nodes).managers
        reached = parallel(lambda node: fitness.reaches(node.address, MANAGEMENT_PORT), managers, at_once=ELSEWHERE)
        management = any(reached)
        for node in self._nodes:
            node.published, node.management = published, management
        if not published:
            addresses = few(node.address for node in self._nodes)
            self._progress(f"no port of {addresses} can be reached from here; claims that need one are blocked")

    def disconnect(self) -> None:
        """Close what `connect` opened."""
        parallel(Connection.close, self._connections, at_once=ELSEWHERE)
        self._connections = []
        if self._watchdog:
            self._watchdog.close()  # which removes the folder, too
            drop_folder(_home())
            self._watchdog = self._folder = None

    # Up and down

    def up(self) -> None:
        """Mark the swarm as in use by this run, remove what a killed run left, and start the suite's registry.

        Raises:
            UsageError: another run uses the swarm.
            LabError: the registry did not come up, or nodes cannot pull from that of the inventory; what was made is
                removed.
        """
        self._check_unused()
        begun = run_lock.times(self._nodes)
        if unknown := [name for name, time in begun.items() if time is None]:
            self._progress(f"the build cache of {few(unknown)} cannot be read; what the run adds to it stays")
        with signals.deferred():
            self._lock, killed = run_lock.take(self.manager, self._owner, begun)
        ownership.note(f"swarm {self.name}", f"has what the run made; the next run or `{self._cleanup}` removes it")
        try:
            self.clean(killed)
            settings = unique("cli-{user}")
            for node in self._nodes:
                node.client_settings = settings
            if not self.known.registry:
                with self._step("registry", "on each node's loopback, with the suite's images"):
                    self._serve()
            else:
                with self._step("images", f"pulled from {self.known.registry} by each node, to see that they can be"):
                    check_registry(self._nodes, self.known.registry)
        except BaseException:
            self.down()
            raise

    def _check_unused(self) -> None:
        """Check that no run is at work on the swarm.

        Raises:
            UsageError: a run is at work there.
        """
        held = run_lock.on(self.manager)
        if held and held.alive is not False:
            raise UsageError(f"{held}; wait until it ends, or if it was killed: {self._cleanup}")

    def clean(self, lock: RunLock | None) -> None:
        """Remove what runs left.

        Args:
            lock: the lock of the run that was killed; None if there is none.
        """
        found = self._find(lock)
        if found.leavings:
            self._progress(f"removing {len(found.leavings)} leavings of a killed run")
        for line in [*found.missed, *found.unknown, *leavings.remove(found)]:
            self._progress(f"could not be removed: {line}")

    def _find(self, lock: RunLock | None) -> leavings.Found:
        """Return what the run of a lock left on the swarm, and others before."""
        manager: Node | None = None
        with contextlib.suppress(LabError):  # what is on the nodes can be removed all the same
            manager = self.manager
        return leavings.find(self._nodes, manager, self.known.registry, lock.begun if lock else None)

    def down(self) -> None:
        """Remove all that the run made, and close the connections. The swarm stays as it is."""
        if lock := self._lock:
            with signals.deferred(f"the cleaning of swarm {self.name}"):
                for node in self._nodes:
                    node.client_settings = ""
                found = self._find(lock)
                left = [*found.missed, *leavings.remove(found)]
                if not leavings.need_lock(found.missed, left):
                    try:
                        run_lock.release(self.manager, lock)
                    except SwarmlabError as failed:  # a swarm that is down has been judged
                        left.append(f"config {run_lock.LOCK}: {failed}")
                for line in left:
                    self._progress(f"NOT REMOVED: {line}; remove it with: {self._cleanup}")
                if not left:
                    ownership.note(f"swarm {self.name}", "was cleaned of all that the run made")
                self._lock = None
        self.disconnect()

    @property
    def _cleanup(self) -> str:
        return command("swarmlab", "cleanup", *self.known.options)

    @property
    def manager(self) -> Node:
        """The first node that serves the swarm's API.

        Raises:
            LabError: no node does.
        """
        for node in self._nodes:
            with contextlib.suppress(SwarmlabError):
                if node.serves_cluster():
                    return node
        raise LabError("no node of the inventory serves the swarm's API")

    @property
    def ports(self) -> range:
        """The ports that the suites may publish. The registry takes the last port of the inventory's range."""
        return self.known.ports if self.known.registry else self.known.ports[:-1]

    @override
    def nodes(self) -> list[Node]:
        return list(self._nodes)

    @override
    def more(self, count: int, *, bare: bool = False) -> list[Node]:
        raise LabError(f"a swarm that exists has no further {count} machines")

    def remove(self, nodes: Sequence[Node]) -> None:
        """Do nothing, as no machine was made."""

    @override
    def give(self, images: Sequence[GivenImage]) -> None:
        if images:
            raise UsageError("--image: a swarm that exists is given no images; leave it out")

    @override
    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:
        raise UsageError(f"{node} is of a swarm that exists and keeps its engine; rehearse {engine} on another --lab")

    @override
    def image(self, name: str) -> str:
        return f"{self.known.registry or f'{LOOPBACK}:{self.known.ports[-1]}'}/{name}"

    @functools.cached_property
    @override
    def offers(self) -> Offers:
        features = set()
        engines = set(parallel(lambda node: node.ask("GET", "/version")["Version"], self._nodes, at_once=ELSEWHERE))
        if len(engines) > 1:
            features.add("mixed-engines")
        if self.known.declared.keys:
            features.add("node-ssh")
        return Offers(
            len(self._nodes),
            frozenset(features),
            frozenset(name.partition(":")[0] for name in recipes.workloads()),
            {**look_for(oldest(self._nodes)), **settings.look_for(self._nodes, self.manager, self.known.ports[0])},
            disruptable=bool(self._may_disrupt),
            declared=self.known.declared.properties,
            task_history=settings.task_history(self.manager),
        )

    @override
    def declared(self, node: str) -> Declared:
        return self.known.declared

    def account(self) -> dict[str, Any]:
        """Return the facts of the swarm as a whole, for reports: its id, speed, and seconds of each step."""
        return {"cluster": self.cluster, **super().account()}

    @override
    def shell(self, node: str, command: str) -> list[str]:
        for member in self._nodes:
            if node in (member.name, member.connection.machine.address, member.address):
                return member.connection.shell(command)
        if why := self.unreached.get(node, ""):
            raise UsageError(why)
        raise UsageError(f"the inventory has no node {shown(repr(node), 60)}; it has {few(map(str, self._nodes))}")

    # Making

    def _serve(self) -> None:
        """Start a registry with the suite's images on the loopback address of every node.

        An engine trusts a registry on its own loopback address, so no setting changes and no port is opened.
        """
        port = self.known.ports[-1]
        name = f"{REGISTRY_IMAGE}:{recipes.registry_reference().rpartition(':')[2]}"
        file = workshop.archive_file(name)
        if not file.exists():
            engine = outer.connect(self._progress)
            try:
                workshop.Workshop(engine.client, self._progress, outside=netns.outside()).prepare([])
                file = workshop.archive(engine.client, name, self._progress)
            finally:
                engine.release()

        def serve(node: SshNode) -> None:
            node.load(file)
            body = {
                "Image": name,
                "Env": [f"REGISTRY_HTTP_ADDR={LOOPBACK}:{port}"],
                "Labels": {_REGISTRY_LABEL: ""},
                # An engine that remaps users gives the host's network to containers of the host's users alone.
                "HostConfig": {"NetworkMode": "host", "UsernsMode": "host"},
            }
            made = node.ask("POST", "/containers/create", body=body, name=unique("registry"))["Id"]
            node.ask("POST", f"/containers/{made}/start")

            def serves() -> State:
                done = node.docker(f"pull {self.image('hello')}")
                running = node.ask("GET", f"/containers/{made}/json")["State"]["Running"]
                return State(done.ok, done.output.replace("\n", " "), hopeless=not running)

            wait(serves, f"the suite's registry on {node} to serve", deadline=30, error=LabError)

        parallel(serve, self._nodes, at_once=ELSEWHERE)


def _route(machine: inventory.Machine, folder: Path) -> Route | str:
    """Return how a machine is reached, or what is wrong with what is said of it."""
    try:
        return routes.route(machine, folder)
    except UsageError as wrong:
        return str(wrong)


def _node(connection: Connection) -> SshNode:
    """Return the node at the end of a connection, before its name in the swarm is known."""
    return SshNode(connection, str(connection.machine), connection.machine.address)


def _fingerprint(connection: Connection) -> str:
    return _node(connection).look(FINGERPRINT).out


# Connections on this machine


def _home() -> Path:
    return run_folder() / "inventory"


def _folder_of(owner: str) -> Path:
    _, pid, started = owner.split("/")
    return _home() / f"{pid}-{started}"


def end_stale() -> None:
    """Close the connections of killed runs on this machine, where what closes them was killed with the run."""
    for folder in _home().glob("*-*") if _home().exists() else []:
        if not ended(folder.name):
            continue
        for master in folder.glob("*.ssh"):
            Ssh(folder / "ssh_config", master.stem).close()
        shutil.rmtree(folder, ignore_errors=True)
    drop_folder(_home())
