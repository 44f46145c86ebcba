"""Published ports: their entries in a specification, what a service has of them, and who answers there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swarmlab.cluster.node import Node, on_each
from swarmlab.cluster.probe import Probe
from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import State, eventually, scaled

#: The port at which the server of `echo_server` listens, for connections and for datagrams.
ECHO = 9000
_SERVER = f"""
import socket, threading
name = socket.gethostname().encode()
def connections():
    server = socket.create_server(("", {ECHO}))
    while True:
        with server.accept()[0] as one:
            one.recv(100)  # closing with something unread would cut the answer off
            one.sendall(b"tcp " + name)
threading.Thread(target=connections, daemon=True).start()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
    server.bind(("", {ECHO}))
    while True:
        _, sender = server.recvfrom(2000)
        server.sendto(b"udp " + name, sender)
"""


def echo_server() -> list[str]:
    """Return the command of a server, in the image python:3, that answers with a protocol and its container's name."""
    return ["python3", "-c", _SERVER]


def entry(target: int, published: int = 0, *, mode: str = "ingress", protocol: str = "tcp") -> dict[str, Any]:
    """Return a port's entry in a specification; without a *published* port the swarm or the node chooses one."""
    port = {"Protocol": protocol, "TargetPort": target, "PublishMode": mode}
    return {**port, "PublishedPort": published} if published else port


def publish(service: Service, ports: Sequence[Mapping[str, Any]]) -> None:
    """Update a service so that it publishes these *ports* and no others."""

    def change(spec: dict[str, Any]) -> None:
        spec.setdefault("EndpointSpec", {})["Ports"] = [dict(port) for port in ports]

    service.update(change)


def published(service: Service) -> list[tuple[int, int, str, str]]:
    """Return published port, target port, protocol and mode of every port that the managers list for a service."""
    listed = service.inspect()["Endpoint"].get("Ports") or []
    return sorted(
        (port.get("PublishedPort", 0), port["TargetPort"], port["Protocol"], port["PublishMode"]) for port in listed
    )


def own_task_answers(nodes: Sequence[Node], tasks: Sequence[Task], port: int) -> State:
    """Whether each of *nodes* answers at *port*, over HTTP, with the container of its own task."""
    wrong: dict[str, str] = {}
    for node in nodes:
        own = {task.container[:12] for task in tasks if task.node == node.name}
        answer = node.get(port)
        if answer.container not in own:
            wrong[node.name] = f"{node} at port {port}: {answer}, by {answer.container or 'no container'}"
    each = {node.name: node.name not in wrong for node in nodes}
    return State(not wrong, few(wrong.values(), "; ") or "each answers with its own task", each=each)


def answering(nodes: Sequence[Node], port: int) -> State:
    """Whether each of *nodes* answers at *port* with a success."""
    answers = {node.name: node.get(port) for node in nodes}
    wrong = [f"{name}: {answer}" for name, answer in answers.items() if not answer.ok]
    said = few(wrong, "; ") or "all answer"
    return State(not wrong, said, each={name: answer.ok for name, answer in answers.items()})


def nobody_answers(nodes: Sequence[Node], port: int) -> State:
    """Whether none of *nodes* answers at *port*."""
    answers = {node.name: node.get(port) for node in nodes}
    open = [f"{name} answers on port {port}: {answer}" for name, answer in answers.items() if answer.status]
    each = {name: not answer.status for name, answer in answers.items()}
    return State(not open, few(open, "; ") or "none answers", each=each)


def heard(probe: Probe, node: Node, port: int, protocol: str) -> str:
    """Return what the server of `echo_server` at a node's *port* answers to a container elsewhere; empty if nothing."""
    udp = "-u " if protocol == "udp" else ""
    # A sender of datagrams cannot know that no more comes: nc ends after a second without any.
    return probe.run(f"echo ask | nc {udp}-w {max(1, round(scaled(1)))} {node.address} {port}").out.strip()


def expect_heard(probes: Mapping[str, Probe], node: Node, port: int, protocol: str, task: Task) -> None:
    """Expect that *task*, of `echo_server`, answers at its node's *port* to a container elsewhere.

    Judge connections to a node before datagrams, so that packets to its published ports are known to pass.

    Args:
        probes: a container on each node, by the node's name.
        node: the task's node.
        port: the published port.
        protocol: tcp or udp.
        task: the task.

    Raises:
        Blocked: datagrams alone do not pass between nodes, and the port takes them.
    """
    asking, wanted = elsewhere(probes, node), f"{protocol} {task.container[:12]}"

    def answered() -> State:
        told = []
        for probe in asking:  # the second is to tell a node that is not heard from one that does not hear
            answer = heard(probe, node, port, protocol)
            if answer == wanted:
                return State(True)
            told.append(f"{probe} asked, and the answer is {answer or 'none'}")
        return State(False, f"{'; '.join(told)}, not {wanted}")

    what = "datagrams" if protocol == "udp" else "connections"
    try:
        eventually(answered, f"{what} to port {port} of {node} to reach the task there", deadline=20)
    except AssertionError as failed:
        if protocol == "udp" and heard(probes[node.name], node, port, protocol) == wanted:
            passes = f"datagrams to published ports do not pass from {few(probe.node for probe in asking)} to {node}"
            raise Blocked(f"{passes}: port {port} answers on the node itself") from failed
        raise


def elsewhere(probes: Mapping[str, Probe], node: Node) -> list[Probe]:
    """Return up to two probes that are not on *node*, of *probes* by the name of their node.

    Raises:
        Blocked: the cluster has no other node.
    """
    others = [probe for name, probe in probes.items() if name != node.name]
    if not others:
        raise Blocked("the cluster has one node")
    return others[:2]


def probes_by_node(cluster: Swarm) -> dict[str, Probe]:
    """Start a client container on every node, and return its probe by the node's name."""
    probes = on_each(lambda node: Probe(node, cluster.bench(node).start("client")), cluster.nodes)
    return dict(zip([node.name for node in cluster.nodes], probes, strict=True))
