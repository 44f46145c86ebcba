"""Requests of the suites: the servers that answer them, the requests' sizes, and what the answers say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from swarmlab.cluster.node import Answer, Node, on_each
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Task
from swarmlab.cluster.swarm import Swarm, suspects
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, of_each, scaled
from swarmlab.watching.events import History
from swarmlab.watching.watch import Watch

#: Seconds that a server serves on after SIGTERM: at reference speed, and at most.
_LINGER, _LONGEST = 5, 40

T = TypeVar("T")

#: Bytes of bodies: from one that fits into any packet to one that needs many. 1400 bytes fit into a plain packet, and
#: not into one that VXLAN wraps.
SIZES = (1024, 1400, 65536, 1048576)
#: Bytes of the shortest body, which leaves room for headers in any packet.
SHORT = 3
#: Paths of the image web by the size of the body.
PATHS = {SHORT: "/healthz"} | {size: f"/bytes/{size}" for size in SIZES}
#: Padding that makes a request about 1380 bytes long: it fills one packet where VXLAN leaves 1450 bytes.
FILLING = 1280

#: Seconds until every node knows of a change of names and ways to tasks. Gossip that busy nodes lose is made up for by
#: networkdb's bulk sync, every 30 s.
GOSSIP = 45

#: How many requests a container sends at the same time where all ask all, and how many containers do. So each of the
#: few processors that a lab of containers shares has to do with a score of them, and a node that answers nobody keeps
#: the others waiting once.
REQUESTS, PROBES = 5, 4

#: The outcome of each lost request, by its two nodes (from, to).
Lost = Mapping[tuple[Node, Node], str]


def hands_over(linger: float = _LINGER) -> dict[str, Any]:
    """Settings of a service of the image web whose tasks are replaced without a loss.

    The routing mesh sends requests to a container from the moment it is healthy until the other nodes learn that it is
    being stopped. So the server has a health check, and serves on after SIGTERM.

    Args:
        linger: seconds that it serves on, at least; more on slow nodes, which learn later.

    Returns:
        Keyword arguments of `swarmlab.cluster.service.specification`.
    """
    return {
        "health": ["curl", "-fsS", "http://localhost/healthz"],
        "environment": {"LINGER": f"{min(max(linger, scaled(1.5)), _LONGEST):.0f}"},
        "stop_grace": _LONGEST + 20,
    }


def note_mesh(cluster: Swarm) -> None:
    """Record every node's IPVS table of the routing mesh in the evidence."""
    on_each(lambda node: node.ipvs(), cluster.nodes)


def asked_in_turn(node: Node, port: int, count: int) -> list[Answer]:
    """Return the answers of a node's port to so many requests; one that gets none is the last, as it takes long."""
    answers: list[Answer] = []
    while len(answers) < count and (not answers or answers[-1].status):
        answers.append(node.get(port))
    return answers


def spread(answers: Iterable[Answer]) -> Counter[str]:
    """Return how many of *answers* each container gave; every failure is counted under its message."""
    return Counter(answer.container if answer.status == 200 else str(answer) for answer in answers)


def all_answer(tasks: Iterable[Task], answers: Iterable[Answer]) -> State:
    """Whether *answers* come from the containers of all *tasks* and from no other, and none is missing."""
    nodes = {task.container[:12]: task.node for task in tasks}
    answered = spread(answers)
    silent = [f"{container} on {node}" for container, node in nodes.items() if container not in answered]
    counts = {
        f"{sender} on {nodes[sender]}" if sender in nodes else sender: count for sender, count in answered.items()
    }
    gave = few(f"{container}: {count}" for container, count in counts.items())
    summary = f"no answer from {few(silent) or 'none'}; answered {gave or 'none'}"
    each = {f"{container} on {node}": container in answered for container, node in nodes.items()}
    return State(set(answered) == set(nodes), summary, each=each)


def from_each(places: Iterable[T], look: Callable[[T], State], *, at_once: int = PROBES) -> State:
    """Whether a condition holds at each of many nodes or probes, which are looked at at the same time.

    Args:
        places: the nodes or probes.
        look: returns the state of the condition at one of them.
        at_once: how many of them there may be at the same time.
    """
    asked = list(places)
    states = zip(asked, parallel(look, asked, at_once=at_once), strict=True)
    return of_each({str(place): replace(state, summary=f"{place}: {state.summary}") for place, state in states})


def all_reached(
    cluster: Swarm,
    probes: Sequence[Probe],
    tasks: Collection[Task],
    network: str,
    sizes: Sequence[int] = (SHORT,),
    *,
    padding: int = 0,
    timeout: float = 2,
) -> State:
    """Whether every probe fetches bodies of all *sizes* from every task, at the task's own address.

    Args:
        cluster: the swarm.
        probes: the containers that ask.
        tasks: tasks of a service of the image web.
        network: a network that all of them are in.
        sizes: bytes of the bodies; keys of `PATHS`.
        padding: bytes by which each request is made longer.
        timeout: seconds for each request, at reference speed.
    """
    lost: dict[tuple[Node, Node], str] = {}
    how = " (the request fills a packet)" if padding else ""
    asked = [(task, size) for task in tasks for size in sizes]
    urls = [f"http://{task.addresses[network]}{PATHS[size]}" for task, size in asked]
    fetched = parallel(
        lambda probe: probe.fetch(urls, timeout=timeout, padding=padding, at_once=REQUESTS), probes, at_once=PROBES
    )
    for probe, answers in zip(probes, fetched, strict=True):
        for (task, size), answer in zip(asked, answers, strict=True):
            if answer.status != 200 or answer.size != size or answer.container != task.container[:12]:
                pair = probe.node, cluster.node(task.node)
                lost.setdefault(pair, f"{probe.node} -> {task.node}, {size} bytes{how}: {answer}")
    pairs = [(probe.node, cluster.node(task.node)) for probe in probes for task in tasks]
    return without_loss(lost, cluster.nodes, pairs)


def every_size_reached(cluster: Swarm, probes: Sequence[Probe], tasks: Collection[Task], network: str) -> State:
    """`all_reached` for all `SIZES`, after full packets and requests that fill one.

    Full packets come first, and get short answers: after a container has sent a full packet over a link that is too
    narrow for it, it knows the link's width and asks for smaller packets.
    """
    return (
        full_packets_reach(cluster, probes, tasks, network)
        and all_reached(cluster, probes, tasks, network, padding=FILLING, timeout=5)
        and all_reached(cluster, probes, tasks, network, SIZES, timeout=5)
    )


def full_packets_reach(cluster: Swarm, probes: Sequence[Probe], tasks: Iterable[Task], network: str) -> State:
    """Whether packets of the network interface's full size pass from every probe to every other task."""
    lost: dict[tuple[Node, Node], str] = {}
    pairs: list[tuple[Node, Node]] = []

    def ask(probe: Probe) -> tuple[dict[str, Task], dict[str, int]]:
        to = {task.addresses[network]: task for task in tasks if task.container != probe.container}
        return to, probe.refused_whole(to)

    for probe, (to, refused) in zip(probes, parallel(ask, probes), strict=True):
        pairs += [(probe.node, cluster.node(task.node)) for task in to.values()]
        for address, size in refused.items():
            pair = probe.node, cluster.node(to[address].node)
            lost[pair] = f"{probe.node} -> {to[address].node}, a packet of {size} bytes does not pass"
    return without_loss(lost, cluster.nodes, pairs)


def all_from(task: Task, answers: Iterable[Answer]) -> State:
    """Whether all *answers* came from the container of *task*."""
    wrong = [str(answer) for answer in answers if answer.status != 200 or answer.container != task.container[:12]]
    return State(not wrong, few(wrong, "; "))


def reached_from_all(states: Mapping[Node, State], host: Node) -> State:
    """Whether every node reached a task.

    Args:
        states: whether it did, by node.
        host: the node of the task. It is blamed only if no other node reached the task.
    """
    elsewhere = any(state for node, state in states.items() if node is not host)
    lost = {
        (node, node if elsewhere else host): f"{node} to the task on {host}: {state.summary}"
        for node, state in states.items()
        if not state
    }
    state = without_loss(lost, list(states))
    return replace(state, each={f"{node} -> {host}": reached.done for node, reached in states.items()})


def without_loss(lost: Lost, nodes: Sequence[Node], asked: Iterable[tuple[Node, Node]] = ()) -> State:
    """Whether *lost* is empty; if not, the summary names the nodes that explain it.

    Args:
        lost: the lost requests.
        nodes: all nodes.
        asked: all pairs of nodes (from, to) between which there were requests, so that it is known which came through.
    """
    blame = few(suspects(lost, nodes), " and ")
    summary = f"no way between nodes, with {blame}: {few(lost.values(), '; ')}" if lost else "all passed"
    return State(not lost, summary, each={f"{pair[0]} -> {pair[1]}": pair not in lost for pair in asked})


def strangers(watch: Watch, history: History) -> dict[str, int]:
    """Return the number of answers of *watch* from containers that are no task's of *history*, by host name."""
    known = {task.container[:12] for tasks in history.looks for task in tasks}
    return {name or "a server without name": count for name, count in watch.shares.items() if name not in known}
