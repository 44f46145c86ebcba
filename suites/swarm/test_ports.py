"""ports: published ports, who may have which, and what follows when a service changes them."""

import pytest

from fixtures.claims import claim
from suites.support.commands import refusal
from suites.support.published import entry, nobody_answers, publish, published
from suites.support.traffic import GOSSIP, all_answer, asked_in_turn, from_each
from swarmlab.wait import State, eventually, wait

#: The ports from which a swarm chooses.
CHOSEN = range(30000, 32768)


@claim("ports/taken-is-refused")
def test_a_port_of_one_service_is_refused_to_another(cluster):
    manager, taken, free = cluster.manager, cluster.port(), cluster.port()
    cluster.create_service("holder", "idle", replicas=0, publish={taken: 80})
    rival = cluster.create_service("rival", "idle", replicas=0, publish={free: 80})
    for mode in ("ingress", "host"):
        refused = refusal(cluster.create_service, "late", "idle", replicas=0, publish={taken: 80}, publish_mode=mode)
        assert refused, f"{manager} gave a second service port {taken}, in mode {mode}"
        assert f"{taken}" in refused, f"{manager} refused port {taken} without its number, in mode {mode}: {refused}"
        assert "in use" in refused, f"{manager} refused port {taken} for another reason, in mode {mode}: {refused}"
        refused = refusal(publish, rival, [entry(80, taken, mode=mode)])
        assert f"{taken}" in refused, (
            f"{manager} gave a second service port {taken} by an update, in mode {mode}: {refused or 'not refused'}"
        )
    eventually(
        lambda: State((kept := published(rival)) == [(free, 80, "tcp", "ingress")], f"it publishes {kept}"),
        f"{rival} to publish {free} still, after it was refused {taken}",
    )


@claim("ports/same-twice-refused")
def test_one_service_cannot_publish_a_port_twice(cluster):
    manager, port = cluster.manager, cluster.port()
    twice = [entry(80, port), entry(81, port)]
    refused = refusal(cluster.create_service, "twice", "idle", replicas=0, ports=twice)
    assert "duplicate" in refused, f"{manager} made a service that publishes {port} twice: {refused or 'not refused'}"
    once = cluster.create_service("once", "idle", replicas=0, ports=twice[:1])
    refused = refusal(publish, once, twice)
    assert "duplicate" in refused, f"{manager} took an update that publishes {port} twice: {refused or 'not refused'}"


@claim("ports/protocols-apart")
def test_one_number_is_a_port_for_each_protocol(cluster):
    both, shared = cluster.port(), cluster.port()
    ports = [entry(80, both), entry(81, both, protocol="udp")]
    one = cluster.create_service("both", "idle", replicas=0, ports=ports)
    first = cluster.create_service("first", "idle", replicas=0, ports=[entry(80, shared)])
    other = cluster.create_service("other", "idle", replicas=0, ports=[entry(81, shared, protocol="udp")])
    for service, wanted in (
        (one, [(both, 80, "tcp", "ingress"), (both, 81, "udp", "ingress")]),
        (first, [(shared, 80, "tcp", "ingress")]),
        (other, [(shared, 81, "udp", "ingress")]),
    ):
        eventually(
            lambda service=service, wanted=wanted: State((found := published(service)) == wanted, f"it has {found}"),
            f"{service} to publish {wanted}",
        )


@claim("ports/dnsrr-in-mode-host-only")
def test_a_service_without_virtual_address_cannot_publish_through_the_mesh(cluster):
    manager, port = cluster.manager, cluster.port()
    direct = {"replicas": 0, "endpoint_mode": "dnsrr", "publish": {port: 80}}
    refused = refusal(cluster.create_service, "direct", "idle", **direct)
    assert "dnsrr" in refused, f"{manager} has a service of mode dnsrr in the mesh: {refused or 'not refused'}"
    refused = refusal(cluster.create_service, "direct", "idle", **direct, publish_mode="host")
    assert not refused, f"{manager} refused a service of mode dnsrr a port in mode host: {refused}"


@claim("ports/chosen-by-the-swarm")
@pytest.mark.touches("publish ports of the swarm's choice")
def test_a_port_without_a_number_gets_one_and_keeps_it(cluster):
    services = [cluster.create_service("open", "idle", replicas=0, ports=[entry(80)]) for _ in range(2)]

    def chosen():
        ports = [[port for port, *_ in published(service)] for service in services]
        given = [port for each in ports for port in each if port in CHOSEN]
        done = [len(each) for each in ports] == [1, 1] and len(set(given)) == 2
        return State(done, f"the managers list the ports {ports}")

    eventually(chosen, f"two services to have a port each of {CHOSEN[0]} to {CHOSEN[-1]}")
    for service in services:
        before = published(service)
        service.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Env=["CHANGED=yes"]))
        service.scale(1)
        service.wait_running(1)
        after = published(service)
        assert after == before, f"{service} published {before} before an update of something else, and now {after}"


@claim("ports/mesh-follows-update")
def test_the_mesh_routes_a_port_that_an_update_adds_and_none_that_it_removes(cluster):
    old, new = cluster.port(), cluster.port()
    web = cluster.create_service("web", "web:1", replicas=2, publish={old: 80})
    web.wait_running(2)
    tasks = _publishing(web, old, new)
    for port in (old, new):
        _routed(cluster, port, tasks)
    tasks = _publishing(web, new)
    _routed(cluster, new, tasks)

    eventually(
        lambda: nobody_answers(cluster.nodes, old),
        f"port {old}, which an update removed, to answer nowhere",
        deadline=GOSSIP,
        alike=True,
    )


def _publishing(web, *ports):
    """Have a service publish these *ports*, and return the tasks that it has when all are replaced."""
    publish(web, [entry(80, port) for port in ports])
    wait(web.updated, f"an update of the ports of {web} to be completed", deadline=120)
    return web.expect_running(2)


def _routed(cluster, port, tasks):
    """Expect that every node passes requests to *port* on to all *tasks*."""

    eventually(
        lambda: from_each(cluster.nodes, lambda asked: all_answer(tasks, asked_in_turn(asked, port, 12))),
        f"every node to pass requests to its port {port} on to all replicas",
        deadline=GOSSIP,
        alike=True,
    )
