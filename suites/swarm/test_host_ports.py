"""ports: ports of mode host, which each node publishes for its own tasks."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, table
from suites.support.placement import pending, stays
from suites.support.published import (
    ECHO,
    echo_server,
    entry,
    expect_heard,
    nobody_answers,
    own_task_answers,
    probes_by_node,
    publish,
)
from swarmlab.errors import Blocked
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually


@claim("ports/host-mode-protocols")
def test_connections_and_datagrams_reach_the_tasks_of_their_node(cluster, lab):
    probes = probes_by_node(cluster)
    both, shared = cluster.port(), cluster.port()
    settings = {"everywhere": True, "command": echo_server()}
    one = cluster.create_service(
        "both",
        "python:3",
        ports=[entry(ECHO, both, mode="host", protocol=protocol) for protocol in ("tcp", "udp")],
        **settings,
    )
    # The number that one service has for connections is free for datagrams of another.
    services = {(both, "tcp"): one, (both, "udp"): one}
    for protocol in ("tcp", "udp"):
        port = entry(ECHO, shared, mode="host", protocol=protocol)
        services[shared, protocol] = cluster.create_service(protocol, "python:3", ports=[port], **settings)
    tasks = {service: service.expect_running(len(cluster.nodes)) for service in set(services.values())}
    kept_away = []
    # Connections first: what keeps datagrams from one node does not keep all others from being judged.
    for (port, protocol), service in sorted(services.items(), key=lambda item: item[0][1]):

        def expect(task, port=port, protocol=protocol):
            try:
                expect_heard(probes, cluster.node(task.node), port, protocol, task)
            except Blocked as blocked:
                if not lab.standing:  # nobody's firewall is between its nodes
                    raise blocked.__cause__ or blocked from None
                kept_away.append(blocked)

        parallel(expect, tasks[service])
    if kept_away:
        raise kept_away[0]


@claim("ports/host-mode-clash-waits")
def test_a_task_whose_port_is_taken_everywhere_waits_for_it(cluster):
    port = cluster.port()
    first = cluster.create_service("first", "idle", everywhere=True, publish={port: 80}, publish_mode="host")
    first.wait_running(len(cluster.nodes))
    second = cluster.create_service("second", "web:1", publish={port: 80}, publish_mode="host")

    def waits():
        state = pending(second, 1)
        reason = "; ".join(f"{task.message} {task.error}".strip() for task in second.tasks())
        return State(state.done and "port" in reason, f"{state.summary}; its reason is {reason or 'none'}")

    eventually(waits, f"the task of {second} to wait, and to say that its port is taken")
    stays(waits, f"the task of {second} to wait while its port is taken on every node", polls=4)
    first.expect_running(len(cluster.nodes))
    first.remove()
    tasks = second.expect_running(1)
    host = cluster.node(tasks[0].node)
    eventually(
        lambda: own_task_answers([host], tasks, port), f"{second} to answer at the port once it is free", deadline=20
    )


@claim("ports/host-mode-chosen")
@pytest.mark.touches("publish ports of the engine's choice")
def test_a_port_that_a_node_chooses_is_told_with_the_task_and_answers(cluster):
    web = cluster.create_service("web", "web:1", everywhere=True, ports=[entry(80, mode="host")])
    tasks = web.expect_running(len(cluster.nodes))

    def each_is_told():
        ports = _told(web)
        without = [task.node for task in tasks if not ports.get(task.id)]
        return State(not without, f"no port with the task on {', '.join(without)}: {ports}")

    eventually(each_is_told, f"the managers to list a port with each task of {web}")
    rows = {row["NODE"]: row for row in table(accepted(cluster.manager, f"service ps --no-trunc {web}"))}
    for task in tasks:
        # Some engines publish for IPv4 and IPv6 apart, and list both.
        node, ports = cluster.node(task.node), _told(web)[task.id]
        shown, wanted = rows.get(task.node, {}).get("PORTS", ""), {f"*:{port}->80/tcp" for port in ports}
        assert set(shown.split(",")) == wanted, (
            f"the task on {node} has the ports {sorted(ports)}, and docker service ps shows {shown or 'none'}"
        )
        for port in ports:
            node.expect_reachable(port)

        def answers(node=node, ports=ports):
            states = [own_task_answers([node], tasks, port) for port in ports]
            return State(any(states), "; ".join(state.summary for state in states))

        eventually(answers, f"the task on {node} to answer at a port that the managers list: {ports}", deadline=10)


def _told(service):
    """Return the published ports that the managers list with each task of a service, by the task's id."""
    listed = service.swarm.manager.ask("GET", "/tasks", filters={"service": [service.id]})
    return {
        task["ID"]: {port["PublishedPort"] for port in (task["Status"].get("PortStatus") or {}).get("Ports") or []}
        for task in listed
    }


@claim("ports/follow-update")
def test_ports_come_and_go_by_update(cluster):
    old, new, nodes = cluster.port(), cluster.port(), cluster.nodes
    # An engine publishes a port of a container once, so that the server listens on two.
    command = ["sh", "-c", "sed -i 's/listen 80.*;/& listen 81;/' /etc/nginx/nginx.conf && exec web"]
    web = cluster.create_service(
        "web",
        "web:1",
        everywhere=True,
        command=command,
        ports=[entry(80, old, mode="host")],
        update={"Parallelism": 0, "Order": "stop-first"},
    )
    web.wait_running(len(nodes))
    publish(web, [entry(80, old, mode="host"), entry(81, new, mode="host")])
    tasks = _all_renewed(web, nodes, {old, new})
    for port in (old, new):
        eventually(
            lambda port=port, tasks=tasks: own_task_answers(nodes, tasks, port),
            f"each node to answer at port {port} after an update that adds {new}",
            deadline=20,
            alike=True,
        )
    publish(web, [entry(81, new, mode="host")])
    tasks = _all_renewed(web, nodes, {new})
    eventually(
        lambda: own_task_answers(nodes, tasks, new),
        f"each node to answer at port {new} after an update that removes {old}",
        deadline=20,
        alike=True,
    )
    eventually(lambda: nobody_answers(nodes, old), f"no node to answer at port {old}, which an update removed")


def _all_renewed(service, nodes, ports):
    """Return the tasks of a service once each node runs one that publishes these *ports*."""

    alive = []

    def renewed():
        given, tasks = _told(service), service.tasks()
        state = service.converged(len(nodes), tasks=tasks)
        alive[:] = [task for task in tasks if task.alive]
        other = [f"{task}: {given.get(task.id)}" for task in alive if given.get(task.id) != ports]
        done = state.done and not other
        return State(done, f"{state.summary}; with other ports {other or 'none'}", refused=state.refused)

    eventually(renewed, f"a task of {service} on each node to publish {sorted(ports)}", deadline=90)
    return alive
