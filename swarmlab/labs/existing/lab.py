"""A swarm that exists: its machines are reached over SSH, as an inventory says, and nothing of it is changed.

What the suite makes there carries its label and prefix, and goes with the run; what a killed run left, with the next
(see `swarmlab.cluster.leavings`). No port of an engine is opened, and no machine is switched off.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swarmlab import netns, ownership
from swarmlab.cluster import leavings
from swarmlab.cluster.leavings import LOOPBACK, REGISTRY_IMAGE
from swarmlab.cluster.node import MANAGEMENT_PORT, Node, facts_of, look_for
from swarmlab.cluster.workbench import SUITE_LABEL, unique
from swarmlab.errors import EngineRefused, LabError, SwarmlabError, UsageError
from swarmlab.host import Progress, run_folder
from swarmlab.images import recipes, workshop
from swarmlab.images.given import GivenImage
from swarmlab.labs.base import Declared
from swarmlab.labs.containers import outer
from swarmlab.labs.existing import inventory
from swarmlab.labs.existing.inventory import Inventory
from swarmlab.labs.speed import calibrate
from swarmlab.labs.ssh import Connection, SshNode, write_config
from swarmlab.needs import Offers
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: Seconds within which a machine that can be reached takes a connection, or refuses it.
_REACH = 5.0
#: The label on the suite's own registry, which tests' leavings are removed around.
_REGISTRY_LABEL = f"{SUITE_LABEL}.registry"


class InventoryLab:
    """The lab of a swarm that exists (see `swarmlab.labs.base.Lab`)."""

    kind = "inventory"
    standing = True
    speed = 1.0
    free = 0

    def __init__(
        self, known: Inventory, *, may_disrupt: str = "", owner: str = "", progress: Progress = lambda _: None
    ) -> None:
        """Describe it; nothing is asked before `connect`.

        Args:
            known: what the inventory says.
            may_disrupt: the id of the cluster that may be hurt; empty: none may.
            owner: the process that runs the suites, as `swarmlab.ownership.this_process` puts it.
            progress: called with a line for every step that takes time.
        """
        self.known = known
        self.name = known.source
        self.cluster = ""
        self.steps: dict[str, float] = {}
        self._may_disrupt = may_disrupt
        self._owner = owner or ownership.this_process()
        self._progress = progress
        self._connections: list[Connection] = []
        self._nodes: list[SshNode] = []
        self._folder: Path | None = None
        self._taken = False

    def tell(self, progress: Progress) -> None:
        """Have *progress* called from now on."""
        self._progress = progress

    # Reaching it

    def connect(self, *, to_judge: bool = True) -> None:
        """Reach every machine, and see that they are one swarm, whole, and may be used as was asked.

        Args:
            to_judge: see also that the swarm is fit to be judged; to remove what a run left it need not be.

        Raises:
            UsageError: one cannot be reached, is of another swarm, or is missing; the ports are not free, or the
                cluster is not the one that may be hurt. Nothing is left open then.
        """
        end_stale()
        try:
            self._open(self.known.machines)
            if self.known.discover:
                self._learn()
            self._join_up(to_judge=to_judge)
            if to_judge:
                self._check_ports()
                self._see_ways()
        except BaseException:
            self.disconnect()
            raise

    def _open(self, machines: Sequence[inventory.Machine]) -> None:
        if self._folder is None:
            self._folder = _folder_of(self._owner)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(mode=0o700, parents=True)
        config = write_config(self._folder, machines)
        known = {one.machine: one for one in self._connections}
        self._connections = [known.get(one) or Connection(one, place, config) for place, one in enumerate(machines)]
        parallel(lambda one: one.open(), [one for one in self._connections if one.machine not in known])

    def _learn(self) -> None:
        """Reach the machines that the one manager knows, as it is reached itself."""
        (manager,) = self._connections
        here = SshNode(manager, str(manager.machine), manager.machine.address)
        own = here.info()["Swarm"]
        if not own["ControlAvailable"]:
            raise UsageError(f"node {manager.machine}: is no manager (its swarm is {own['LocalNodeState']}); name one")
        machines = [manager.machine]
        for member in here.ask("GET", "/nodes"):
            # A manager may be listed at 0.0.0.0; where it is known as a manager it has its address.
            as_manager = member.get("ManagerStatus", {}).get("Addr", "").rpartition(":")[0]
            address = as_manager or member["Status"].get("Addr", "")
            name = member["Description"].get("Hostname", member["ID"])
            if member["ID"] == own["NodeID"]:
                continue
            if member["Status"]["State"] == "down":
                raise UsageError(f"node {name} ({address}): is down, by the swarm; start it, or: docker node rm {name}")
            machines.append(inventory.learned(manager.machine, address))
        self._open(machines)

    def _join_up(self, *, to_judge: bool) -> None:
        """Make nodes of the machines, the managers first, after seeing that they are all of one swarm."""
        told = dict(zip(self._connections, parallel(_info, self._connections), strict=True))
        for one, info in told.items():
            state = info["Swarm"]["LocalNodeState"]
            if state != "active":
                raise UsageError(f"node {one.machine}: is in no swarm that works (its state is {state})")
            if one.machine.name and one.machine.name != info["Name"]:
                raise UsageError(f"node {one.machine}: its host name is {info['Name']}; mend its name or its address")
        managers = [one for one, info in told.items() if info["Swarm"]["ControlAvailable"]]
        if not managers:
            listed = ", ".join(str(one.machine) for one in told)
            raise UsageError(f"inventory {self.known.source}: none of {listed} is a manager; add the managers")
        first = managers[0]
        self.cluster = str(told[first]["Swarm"]["Cluster"]["ID"])
        self.name = self.cluster
        for one in managers:
            other = told[one]["Swarm"]["Cluster"]["ID"]
            if other != self.cluster:
                raise UsageError(
                    f"node {one.machine}: is of another swarm ({other}) than {first.machine} ({self.cluster}); "
                    "an inventory has the nodes of one"
                )
        asked = SshNode(first, told[first]["Name"], first.machine.address)
        try:
            members = {member["ID"]: member for member in asked.ask("GET", "/nodes")}
        except EngineRefused as refused:
            raise UsageError(f"node {first.machine}: does not tell the swarm's nodes: {refused}") from refused
        self._check_members(told, members, first, to_judge=to_judge)
        order = [*managers, *(one for one in told if one not in managers)]
        self._nodes = [SshNode(one, told[one]["Name"], told[one]["Swarm"]["NodeAddr"]) for one in order]
        if self._may_disrupt and self._may_disrupt != self.cluster:
            raise UsageError(
                f"--may-disrupt {self._may_disrupt}: the inventory's cluster is {self.cluster}; "
                "name the one that may be hurt by its id, as docker info tells it"
            )

    def _check_members(
        self,
        told: dict[Connection, dict[str, Any]],
        members: dict[str, dict[str, Any]],
        manager: Connection,
        *,
        to_judge: bool,
    ) -> None:
        for one, info in told.items():
            identity = info["Swarm"]["NodeID"]
            if identity not in members:
                raise UsageError(
                    f"node {one.machine}: is of another swarm than {manager.machine}, which does not know it; "
                    "an inventory has the nodes of one"
                )
            role = members[identity]["Spec"]["Role"]
            if one.machine.role and one.machine.role != role:
                raise UsageError(f"node {one.machine}: is a {role}, by the swarm; mend its role in the inventory")
        reached = [info["Swarm"]["NodeID"] for info in told.values()]
        for identity, member in members.items():
            name = member["Description"].get("Hostname", identity)
            where = f"node {name} ({member['Status'].get('Addr', 'no address')})"
            if identity not in reached:
                raise UsageError(
                    f"{where}: is of the swarm and not of the inventory; add it, or: docker node rm {name}"
                )
            if to_judge and member["Status"]["State"] != "ready":
                raise UsageError(f"{where}: is {member['Status']['State']}, by the swarm; mend it first")
            if to_judge and (availability := member["Spec"]["Availability"]) != "active":
                raise UsageError(
                    f"{where}: is set to {availability}, and the suites need every node to take tasks; "
                    f"docker node update --availability active {name}"
                )
        names = [info["Name"] for info in told.values()]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise UsageError(f"node {twice}: two machines have this host name, or one is named twice")

    def _check_ports(self) -> None:
        """See that the ports which the suite may publish are free, on every node and in the swarm."""
        wanted = set(self.known.ports)
        for service in self._nodes[0].ask("GET", "/services"):
            for port in service.get("Endpoint", {}).get("Ports") or []:
                if port.get("PublishedPort") in wanted and not leavings.ours(
                    service["Spec"]["Name"], service["Spec"].get("Labels")
                ):
                    self._refuse_port(port["PublishedPort"], f"the service {service['Spec']['Name']} publishes it")
        theirs = {
            port["PublicPort"]
            for node in self._nodes
            for one in node.containers()
            if leavings.ours(one["Names"][0].strip("/"), one["Labels"])
            for port in one["Ports"]
            if "PublicPort" in port
        }
        left = bool(leavings.holder(self._nodes[0]))  # what a killed run left is removed before ports are used
        for node in self._nodes:
            for port in sorted(_listening(node) & wanted - theirs):
                if not left:
                    self._refuse_port(port, f"something listens on it on {node}")

    def _refuse_port(self, port: int, why: str) -> None:
        first, last = self.known.ports.start, self.known.ports.stop - 1
        raise UsageError(f"port {port}: {why}; give the suites other ports than {first}-{last} (--ports FIRST-LAST)")

    def _see_ways(self) -> None:
        """Find out which ports can be reached from here: a connection that is refused tells as much as one taken."""
        probed = [(node, self.known.ports.start) for node in self._nodes]
        published = any(parallel(lambda one: _reaches(one[0].address, one[1]), probed))
        managers = [node for node in self._nodes if node.serves_cluster()]
        management = any(parallel(lambda node: _reaches(node.address, MANAGEMENT_PORT), managers))
        for node in self._nodes:
            node.published, node.management = published, management
        if not published:
            addresses = ", ".join(node.address for node in self._nodes)
            self._progress(f"no port of {addresses} can be reached from here: claims that ask there are blocked")

    def disconnect(self) -> None:
        """Close what `connect` opened."""
        parallel(lambda one: one.close(), self._connections)
        self._connections = []
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # The protocol

    def up(self) -> None:
        """Note on the swarm that a run is at work, remove what a killed one left, and start the suite's registry.

        Raises:
            UsageError: another run is at work.
            LabError: the registry did not come up; what was made is removed.
        """
        manager = self.manager
        held = leavings.holder(manager)
        if held and ownership.alive(held) is not False:
            raise UsageError(
                f"the suites are at work on this swarm already ({held}); wait, or if that run was killed: "
                f"python -m swarmlab cleanup --inventory {self.known.source}"
            )
        self.clean()
        if held:
            leavings.release(manager)
        leavings.take(manager, self._owner, self._nodes)
        self._taken = True
        try:
            if not self.known.registry:
                with self._step("registry", "on each node's loopback, with the suite's images"):
                    self._serve()
        except BaseException:
            self.down()
            raise

    def clean(self) -> list[str]:
        """Remove what runs left; gives what was removed, a line each."""
        found = self.leavings()
        if found:
            self._progress(f"removing {len(found)} things that a run left")
        left = leavings.remove(found, self._nodes)
        for line in left:
            self._progress(f"could not be removed: {line}")
        return [str(one) for one in found]

    def leavings(self) -> list[leavings.Leaving]:
        """What runs left on the swarm."""
        return leavings.find(self._nodes, self.manager, self.known.registry)

    def down(self) -> None:
        """Remove all that the run made, and let go of the machines; the swarm stays as it is."""
        if self._taken:
            try:
                left = leavings.remove(self.leavings(), self._nodes)
                leavings.release(self.manager)
            except SwarmlabError as failed:  # a cluster that is down has been judged as such
                left = [str(failed)]
            for line in left:
                self._progress(f"NOT REMOVED: {line}; python -m swarmlab cleanup --inventory {self.known.source}")
            self._taken = False
        self.disconnect()

    def measure(self) -> None:
        with contextlib.suppress(SwarmlabError):  # nodes that are down are judged, not what deadlines are measured by
            self.speed = calibrate(self._nodes)

    @property
    def manager(self) -> Node:
        """The first machine that serves the cluster's API.

        Raises:
            LabError: none does.
        """
        for node in self._nodes:
            with contextlib.suppress(SwarmlabError):
                if node.serves_cluster():
                    return node
        raise LabError("no node of the inventory serves the cluster's API")

    @property
    def ports(self) -> range:
        """The ports that the suites may publish; the last of the inventory's is the registry's."""
        return self.known.ports if self.known.registry else self.known.ports[:-1]

    def nodes(self) -> list[Node]:
        return list(self._nodes)

    def more(self, count: int) -> list[Node]:
        raise LabError(f"a swarm that exists has no {count} machines to give")

    def remove(self, nodes: Sequence[Node]) -> None:
        """Nothing: no machine was made."""

    def give(self, images: Sequence[GivenImage]) -> None:
        if images:
            raise UsageError("--image: images are not brought to a swarm that exists; leave it out")

    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:  # noqa: ARG002
        raise UsageError(f"{node} of a swarm that exists is not given engine {engine}; rehearse on --lab dind")

    def image(self, name: str) -> str:
        return f"{self.known.registry or f'{LOOPBACK}:{self.known.ports[-1]}'}/{name}"

    @functools.cached_property
    def offers(self) -> Offers:
        features = set()
        engines = {node.ask("GET", "/version")["Version"] for node in self._nodes}
        if len(engines) > 1:
            features.add("mixed-engines")
        return Offers(
            len(self._nodes),
            frozenset(features),
            frozenset(name.partition(":")[0] for name in recipes.workloads()),
            look_for(self._nodes[0]),
            disruptable=bool(self._may_disrupt),
        )

    def declared(self, node: str) -> Declared:  # noqa: ARG002 - the inventory says one thing of all
        return Declared(self.known.system, self.known.engine, self.known.network)

    def facts(self) -> list[dict[str, str]]:
        return [facts_of(node) for node in self._nodes]

    def account(self) -> dict[str, Any]:
        """What the report says of the lab as a whole."""
        return {"cluster": self.cluster, "speed": round(self.speed, 1), "seconds": dict(self.steps)}

    def shell(self, node: str, command: str) -> list[str]:
        """The command that opens a shell on a machine, or runs *command* there.

        Raises:
            UsageError: there is no such machine.
        """
        for one in self._nodes:
            if one.name == node:
                where = one.connection.engine_socket
                words = [where.stem, command] if command else ["-t", where.stem]
                return ["ssh", "-F", str(where.parent / "ssh_config"), *words]
        raise UsageError(f"the inventory has no node {node!r}; it has {', '.join(map(str, self._nodes))}")

    # Making

    def _serve(self) -> None:
        """Start a registry with the suite's images on the loopback of every node, from where its engine pulls them.

        An engine trusts a registry on its own loopback, so no setting of it is changed, and no port is opened.
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

        def one(node: SshNode) -> None:
            node.load(file)
            body = {
                "Image": name,
                "Env": [f"REGISTRY_HTTP_ADDR={LOOPBACK}:{port}"],
                "Labels": {_REGISTRY_LABEL: ""},
                "HostConfig": {"NetworkMode": "host"},
            }
            made = node.ask("POST", "/containers/create", body=body, name=unique("registry"))["Id"]
            node.ask("POST", f"/containers/{made}/start")

            def serves() -> State:
                done = node.docker(f"pull -q {self.image('hello')}")
                running = node.ask("GET", f"/containers/{made}/json")["State"]["Running"]
                return State(done.ok, done.said.replace("\n", " "), hopeless=not running)

            wait(serves, f"the suite's registry on {node} to serve", deadline=30, error=LabError)

        parallel(one, self._nodes)

    @contextlib.contextmanager
    def _step(self, name: str, what: str) -> Iterator[None]:
        self._progress(f"{name} {what}")
        start = time.monotonic()
        yield
        self.steps[name] = round(time.monotonic() - start, 1)


def _info(one: Connection) -> dict[str, Any]:
    return SshNode(one, str(one.machine), one.machine.address).info()


def _listening(node: Node) -> set[int]:
    """The TCP ports on which anything listens on a node, by the kernel's own table."""
    rows = [line.split() for line in node.look("cat /proc/net/tcp /proc/net/tcp6").out.splitlines()]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if len(row) > 3 and row[3] == "0A"}


def _reaches(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=_REACH).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


# Connections on this machine


def _home() -> Path:
    return run_folder() / "inventory"


def _folder_of(owner: str) -> Path:
    _, pid, started = owner.split("/")
    return _home() / f"{pid}-{started}"


def end_stale() -> None:
    """Close the connections that a run which was killed left open on this machine."""
    for folder in _home().glob("*-*") if _home().exists() else []:
        pid, _, started = folder.name.partition("-")
        if ownership.alive(f"{socket.gethostname()}/{pid}/{started}") or pid == str(os.getpid()):
            continue
        for master in folder.glob("*.ssh"):
            words = ["ssh", "-F", str(folder / "ssh_config"), "-O", "exit", master.stem]
            subprocess.run(words, check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
