"""The two interfaces that every kind of lab implements: `Lab` and `LabKind`."""

from __future__ import annotations

import contextlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from swarmlab.cluster.node import Node, facts_of, on_each
from swarmlab.cluster.sample import Sample
from swarmlab.errors import LabError, NoAnswer, SwarmlabError, UsageError
from swarmlab.files import shown
from swarmlab.host import Progress
from swarmlab.images.engines import EngineChoice
from swarmlab.images.given import GivenImage
from swarmlab.images.recipes import REGISTRY
from swarmlab.labs.hosts import COMPOSE, DOCUMENT, USER
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.speed import calibrate
from swarmlab.labs.state import NodeState
from swarmlab.lists import few
from swarmlab.needs import DECLARED, Offers
from swarmlab.timing import Meter

#: Called with each node that a lab makes, or restores from a snapshot, before the lab hands it out. Planted faults
#: break nodes here.
on_new_node: list[Callable[[Node], None]] = []


@dataclass(frozen=True)
class Declared:
    """The properties that a lab declares for one of its nodes.

    Those with a default are the document's own choices, which every lab of the project makes. An inventory declares
    what its owner made so.

    Attributes:
        system: settings of its /etc/os-release; empty if nothing is declared.
        engine: the version of its engine, without a distribution's suffix ("+dfsg1"); empty if it is not declared.
        network: the first three octets of the cluster network; empty if they are not declared. They differ from the
            document's if the document's network is in use on the outer engine.
        packaged: whether its engine is from a repository of packages, and not from files that the user named.
        names: the host names of all nodes of its cluster; empty if they are not declared.
        addresses: the cluster addresses of the nodes by host name; empty for the document's in `network`.
        hosts: whether its /etc/hosts maps the names of all nodes to their cluster addresses.
        user: the cluster user, who is a member of the group docker on every node; empty if there is none.
        keys: whether the cluster user logs in from every node to every node by key.
        compose: the release of docker-compose; empty if it is not declared.
        outside: whether the node has a way to the outside.
        listen: whether managers were given their own address to listen on (``--listen-addr``), and no other.
    """

    system: Mapping[str, str]
    engine: str
    network: str
    packaged: bool = True
    names: tuple[str, ...] = tuple(DOCUMENT)
    addresses: Mapping[str, str] = field(default_factory=dict)
    hosts: bool = True
    user: str = USER
    keys: bool = True
    compose: str = COMPOSE
    outside: bool = True
    listen: bool = True

    @property
    def places(self) -> Mapping[str, str]:
        """The cluster addresses of the nodes by host name; empty if none are declared."""
        document = {name: f"{self.network}.{octet}" for name, octet in DOCUMENT.items()} if self.network else {}
        return self.addresses or document

    @property
    def properties(self) -> frozenset[str]:
        """The names of `swarmlab.needs.DECLARED` that are declared."""
        declared = {name for name in DECLARED if getattr(self, name)}
        return frozenset(declared | ({"addresses"} if self.places else set()))

    @classmethod
    def debian(cls, choice: EngineChoice, release: str, package: str, network: str) -> Declared:
        """Return the declaration for a node of a Debian release.

        Args:
            choice: the engine that was asked for.
            release: the node's release.
            package: the version of the package of Debian that the node was made with, which may be newer than the
                version in engines.yaml; empty if it is not known, or the engine is from elsewhere.
            network: see `Declared`.
        """
        packaged = choice.source == "debian"
        upstream = re.split("[+-]", package.rpartition(":")[2])[0] if packaged else ""
        return cls({"ID": "debian", "VERSION_CODENAME": release}, upstream or choice.version, network, packaged)


@dataclass(frozen=True)
class Ended:
    """A part of a lab has ended, and neither the suite nor a verb of ``swarmlab`` ended it.

    Attributes:
        summary: one line that names the part and the mend.
        over: no further test can be judged on the lab.
    """

    summary: str
    over: bool


class Lab(ABC):
    """A place that has nodes: containers, virtual machines, or the machines of a swarm that exists.

    Attributes:
        kind: the value of ``--lab`` that chooses its kind.
        name: its name, by which it differs from other labs of its kind.
        standing: it exists before the run, is judged as it stands, and stays after the run.
        speed: the factor by which deadlines are scaled on it; measured once it is up.
        steps: seconds that each step of bringing it up took.
        given: references of images that the user gave, by name.
        kept: it has been handed to its user (see `keep`).
        has_room: further nodes are made while others are in use (see `more`).
        gives_images: the engines of its nodes hold the workloads at first, unless they are asked for bare (see `more`).
        own_processors: its nodes have processors of their own, so that work on one of them slows no other.
        sample: the nodes of a large cluster on which tests of one node run; None for all.
    """

    kind: str
    name: str
    standing = False
    kept = False
    has_room = False
    gives_images = False
    own_processors = False
    speed = 1.0
    sample: Sample | None = None

    def __init__(self, progress: Progress) -> None:
        """Start with nothing made.

        Args:
            progress: called with a line for every step that takes time.
        """
        self.steps: dict[str, float] = {}
        self.given: dict[str, str] = {}
        self._progress = progress

    @contextlib.contextmanager
    def _step(self, name: str, what: str = "", *, add: bool = False) -> Iterator[None]:
        """Report a step as progress, and note for the report how long it takes.

        Args:
            name: the step.
            what: the object of the step, for the progress.
            add: for a step that recurs: add its seconds up, and report no progress.
        """
        if not add:
            self._progress(f"{name} {what}".strip())
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        if not add:
            self._progress(f"{name} took {seconds:.0f} s")
        self.steps[name] = round(seconds + (self.steps.get(name, 0) if add else 0), 1)

    def report_to(self, progress: Progress) -> None:
        """Call *progress* with lines from now on."""
        self._progress = progress

    # What it has

    @property
    @abstractmethod
    def ports(self) -> range:
        """The published ports that the suites use."""

    @property
    @abstractmethod
    def offers(self) -> Offers:
        """The offers of the lab, found by looking once it is up."""

    @property
    @abstractmethod
    def free(self) -> int:
        """The number of nodes that `more` can give now."""

    def holds(self, count: int) -> bool:  # noqa: ARG002
        """Whether the memory that is free now holds so many further nodes with their tasks, as far as is known."""
        return True

    @abstractmethod
    def declared(self, node: str) -> Declared:
        """Return the declared properties of the node of this host name: as it was asked for, not as it runs."""

    def facts(self) -> list[dict[str, str]]:
        """Return the facts of each node of the default cluster, for reports."""
        return on_each(facts_of, self.nodes())

    def account(self) -> dict[str, Any]:
        """Return the facts of the lab as a whole, for reports: speed, seconds of its steps, and what its kind adds."""
        return {
            "speed": round(self.speed, 1),
            "standing": self.standing,
            **({"seconds": dict(self.steps)} if self.steps else {}),
            **({"sample": self.sample.to_json()} if self.sample else {}),
        }

    def meters(self) -> Sequence[Meter]:
        """Return what counts the processor time of the lab's nodes on this machine; nothing if they are elsewhere.

        It is called from any thread, also while nodes are made and removed.
        """
        return ()

    # Up and down

    @abstractmethod
    def up(self) -> None:
        """Bring the nodes of the default cluster up. They are in no swarm yet, unless the lab is one that exists."""

    def keep(self) -> None:
        """Hand a lab that `up` has brought up to its user: it stays when the process ends. Until then it is removed.

        Raises:
            LabError: the lab cannot be kept.
        """
        raise LabError(f"lab {self.name} was not made by this process")

    @abstractmethod
    def down(self) -> None:
        """Remove everything that `up` and `more` made; do nothing if this process has made nothing."""

    def ended(self, used: Sequence[Node] = (), *, thorough: bool = True) -> Ended | None:  # noqa: ARG002
        """Return which part of the lab itself has ended, by no doing of the suite; None if none has.

        A lab that stands, or a swarm that exists, has also ended if none of its engines answers: a part of them is the
        state of the cluster, and judged.

        Args:
            used: the nodes that a test uses, whose end breaks the test where the lab can give others in their place.
            thorough: ask the engines, too. Without, it takes no longer than a request.
        """
        if not thorough or not self.standing:
            return None
        nodes = self.nodes()
        silent = dict(zip(nodes, on_each(_silence, nodes), strict=True))
        if not silent or not all(silent.values()):
            return None
        listed = ", ".join(map(str, silent))
        summary = f"no engine of {self.name} answers any more ({listed}); start them, and run the tests again"
        return Ended(summary, over=True)

    def measure(self) -> None:
        """Measure the nodes' speed, and scale all deadlines by it; do nothing if no engine works."""
        with contextlib.suppress(SwarmlabError):
            self.speed = calibrate(self.nodes(), self._progress)

    # Nodes

    @abstractmethod
    def nodes(self) -> list[Node]:
        """Return the nodes of the default cluster: master, slave01 and slave02 first."""

    @abstractmethod
    def more(self, count: int, *, bare: bool = False) -> list[Node]:
        """Make *count* nodes for a further cluster, beside the existing nodes.

        Args:
            count: the number of nodes.
            bare: their engines hold no image yet, also where the lab gives its nodes the workloads.

        Raises:
            LabError: the lab has no room for them.
        """

    def spare_node(self) -> Node:
        """Return a node beside the default cluster, in no swarm, also while the cluster is in use.

        Raises:
            LabError: the lab has none (see the feature ``spare`` of `offers`).
        """
        [node] = self.more(1)
        return node

    @abstractmethod
    def remove(self, nodes: Sequence[Node]) -> None:
        """Remove nodes that `nodes`, `more` or `spare_node` returned."""

    @abstractmethod
    def shell(self, node: str, command: str) -> list[str]:
        """Return the command that opens a root shell on a node, or runs *command* there if it is not empty.

        Raises:
            UsageError: the default cluster has no node of this host name.
        """

    def no_node(self, name: str, names: Iterable[object]) -> UsageError:
        """Return the error that the default cluster has no node of a host name.

        Args:
            name: what the user wrote.
            names: the nodes that there are, or their host names.
        """
        return UsageError(f"lab {self.name} has no node {shown(repr(name), 60)}; it has {few(names)}")

    # Engines

    def prepare_upgrades(self, engines: Sequence[EngineChoice]) -> None:  # noqa: B027 - most labs have nothing to do
        """Make what `upgrade` to each of *engines* needs, so that no upgrade waits for it. Optional to call."""

    @abstractmethod
    def upgrade(self, node: Node, engine: str, *, reboot: bool = False) -> None:
        """Give a node another engine, as a machine is given a newer package, or an older one.

        Afterwards the node has the same name, address, settings and engine state. Its engine is stopped while the
        upgrade takes place; drain the node first to have its tasks elsewhere.

        Args:
            node: a node that `nodes` or `more` returned.
            engine: see `swarmlab.images.engines.engine_choice`.
            reboot: restart the node's operating system afterwards, where it has one of its own.

        Raises:
            UsageError: the lab cannot, or there is no such engine.
            NotSetUp: the node could not be set up anew for an older engine.
            LabError: the new engine does not answer.
        """

    def restart(self, node: Node, *, reboot: bool = False) -> None:  # noqa: ARG002 - most nodes have no system of their own
        """Restart a node's engine as it is, in the way in which `upgrade` gives it another.

        Args:
            node: a node that `nodes` or `more` returned.
            reboot: restart the node's operating system, where it has one of its own.

        Raises:
            LabError: the engine does not answer.
        """
        node.stop_engine()
        node.start_engine()

    def wipe(self, node: Node) -> None:
        """Stop a node's engine, and remove all that it keeps, as on a machine that is set up anew.

        Args:
            node: a node that `spare_node` returned; its engine need not run.

        Raises:
            LabError: the lab cannot.
        """
        raise LabError(f"lab {self.name} does not set {node} up anew")

    # Images

    @abstractmethod
    def give(self, images: Sequence[GivenImage]) -> None:
        """Offer images that the user gave; they replace images of the lab that have the same name.

        Raises:
            UsageError: the nodes cannot get an image.
        """

    def image(self, name: str) -> str:
        """Return the reference by which nodes pull the workload image *name*, such as web:1."""
        return self.given.get(name.partition(":")[0]) or f"{REGISTRY}/{name}"


@dataclass(frozen=True)
class Option:
    """An option that one kind of lab takes beside the options that all kinds take.

    Attributes:
        name: its name, with the dashes.
        metavar: the placeholder for its value in the help.
        summary: its description in the help.
    """

    name: str
    metavar: str
    summary: str


@dataclass(frozen=True)
class Request:
    """A lab as a user asks for it.

    Attributes:
        name: the lab's name; empty for the kind's default.
        engines: the engines of its nodes in turn (see `swarmlab.images.engines.engine_choice`).
        nodes: how many nodes its default cluster has; None for the kind's default.
        options: values of the kind's own options, by their names with dashes.
        aside: the document's network is left to another lab, if others are free.
        spare: the engine of the node beside the default cluster that somebody will ask for (see `Lab.spare_node`); None
            if nobody will. Labs that make nodes when they are asked for do without.
    """

    name: str = ""
    engines: Sequence[str] = ("",)
    nodes: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    aside: bool = False
    spare: str | None = None

    def option(self, name: str) -> str:
        """Return the value of one of the kind's own options; empty if it was not given."""
        return self.options.get(name) or ""


class LabKind(ABC):
    """A kind of lab: its options, and how a lab of it is checked and requested.

    Attributes:
        word: the value of ``--lab`` that chooses it.
        summary: a description of the nodes of such a lab, for reports.
        options: the options that only this kind takes.
        refuses: options of all kinds that make no sense for it, each with the reason; "-n" stands for xdist's.
        engine_log: the file of the engine's log on its nodes, which have no systemd; empty if they have.
    """

    word: str
    summary: str
    options: Sequence[Option] = ()
    refuses: ClassVar[Mapping[str, str]] = {}
    engine_log: str = ""

    @abstractmethod
    def check(self, request: Request) -> None:
        """Check that such a lab is possible, before anything is started for it.

        Raises:
            UsageError: it is not; the message names the option and the mend.
        """

    @abstractmethod
    def disruptable(self, request: Request) -> bool:
        """Whether tests may disrupt such a lab."""

    def request(self, value_of: Callable[[str], str | None], **fields: Any) -> Request:
        """Return a request for such a lab.

        Args:
            value_of: returns the value of an option, given its name with dashes.
            fields: the other attributes of the request.
        """
        values = {option.name: value_of(option.name) or "" for option in self.options}
        return Request(options=values, **fields)


class MadeKind(LabKind):
    """A kind whose labs are made on the outer engine, and found again by their labels.

    Attributes:
        default_name: the name of a lab where none is given.
        shape: managers and workers of the cluster of a rehearsal.
        reboots: its nodes have an operating system of their own, which can be restarted.
        has_room: a second cluster can be made beside the cluster of a rehearsal.
        on_any_engine: a lab can be made from a container of its engine, wherever that is (see `swarmlab.courier`).
        limits: for the page of a rehearsal: what a rehearsal on such a lab does not show.
    """

    default_name: str
    shape: tuple[int, int]
    reboots: bool
    has_room: bool
    limits: str
    on_any_engine = False

    def disruptable(self, request: Request) -> bool:  # noqa: ARG002
        """Whether tests may disrupt such a lab: always, as it was made to be judged."""
        return True

    @abstractmethod
    def own_name(self, purpose: str) -> str:
        """Return a name for a lab that the calling process makes for one *purpose*, such as "run"."""

    def own(self, request: Request, purpose: str) -> Request:
        """Return the request for a lab that the calling process makes for itself, under a name of its own."""
        return replace(request, name=self.own_name(purpose))

    @abstractmethod
    def make(self, outer: OuterEngine, request: Request, progress: Progress) -> Lab:
        """Describe a new lab; nothing is made before its `up`. It belongs to this process until its `keep`.

        Raises:
            UsageError: see `check`.
        """

    @abstractmethod
    def attach(self, outer: OuterEngine, name: str, progress: Progress) -> Lab:
        """Return the lab of this name as it stands.

        Raises:
            UsageError: it has no nodes.
        """

    @abstractmethod
    def describe(self, outer: OuterEngine, name: str) -> list[NodeState]:
        """Return the state of each node of a lab, as far as it is known.

        Raises:
            SwarmlabError: Nothing is known of its nodes.
        """

    def remove(self, outer: OuterEngine, name: str, progress: Progress) -> None:
        """Remove the parts of a lab that carry no label on the outer engine, such as virtual machines."""


class FoundKind(LabKind):
    """A kind whose labs exist before the run and stay after it; nothing is made on the outer engine."""

    @abstractmethod
    def reach(self, request: Request, progress: Progress, *, to_judge: bool = True) -> Lab:
        """Reach the machines of such a lab, and check that they are fit for use.

        Args:
            request: which lab.
            progress: called with a line for every step that takes time.
            to_judge: check also that the swarm is fit to be judged.

        Returns:
            The lab; its `down` closes what was opened.

        Raises:
            UsageError: a machine cannot be reached, or the swarm is not fit. Nothing is left open then.
        """


def _silence(node: Node) -> str:
    """Return why a node's engine does not answer; empty if it does."""
    try:
        node.greet()
    except NoAnswer as silent:
        return str(silent)
    return ""
