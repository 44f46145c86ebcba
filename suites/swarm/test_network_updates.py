"""networks: services that join and leave networks, change how their name resolves, and have further names."""

from fixtures.claims import claim
from suites.support.joined import boxes, held, join_networks, roomy, tasks_in
from suites.support.names import addresses_of, leads_nowhere, names_follow, resolve_to, tasks_resolve
from suites.support.traffic import GOSSIP, all_reached
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually


def reached_by_name(probes, name):
    """Whether every probe gets an answer from *name*."""
    fetched = parallel(lambda probe: probe.fetch([f"http://{name}/healthz"]), probes)
    wrong = [
        f"{probe.node}: {answer}" for probe, (answer,) in zip(probes, fetched, strict=True) if answer.status != 200
    ]
    return State(not wrong, "; ".join(wrong) or "all answered")


@claim("networks/joined-by-update")
def test_an_update_adds_a_network_and_takes_one_away(cluster):
    nodes = len(cluster.nodes)
    old, new = roomy(cluster, "old", "new")
    web = cluster.create_service(
        "web", "web:1", everywhere=True, networks=[old], endpoint_mode="dnsrr", update={"Parallelism": 0}
    )
    had = addresses_of(web.wait_running(nodes))
    inside = {network: boxes(cluster, network) for network in (old, new)}
    unknown = leads_nowhere(inside[new], web.name, had)
    assert unknown, f"{web} is not in {new} yet: {unknown.summary}"
    for networks in ([old, new], [new]):
        join_networks(web, networks)
        eventually(
            lambda networks=networks: tasks_in(web, nodes, networks),
            f"{nodes} tasks of {web} to be in the networks that an update names, {' and '.join(networks)}",
            deadline=90,
        )
        tasks = web.running()
        had |= addresses_of(tasks)
        for network in networks:
            eventually(
                lambda network=network, tasks=tasks: (
                    tasks_resolve(cluster, inside[network], web.name, tasks, network)
                    and all_reached(cluster, inside[network], tasks, network)
                    and reached_by_name(inside[network], web.name)
                ),
                f"containers in {network} to reach {web}, which an update put there",
                deadline=GOSSIP,
                alike=True,
            )
    eventually(
        lambda: leads_nowhere(inside[old], web.name, had),
        f"{web} to be unknown in {old}, which an update took away",
        deadline=GOSSIP,
        alike=True,
    )
    mine = {str(address.network) for box in inside[old] for address in held(box)}
    theirs = {str(address.network) for box in inside[new] for address in held(box)}
    for task in web.running():
        left = [str(it) for it in held(cluster.probe(task)) if str(it.network) in mine - theirs]
        assert not left, f"the task on {task.node} has still {', '.join(left)} of {old}, which an update took away"


@claim("networks/endpoint-mode-changes")
def test_an_update_changes_between_virtual_address_and_round_robin(cluster, network):
    web = cluster.create_service("web", "web:1", everywhere=True, networks=[network], update={"Parallelism": 0})
    nodes = len(cluster.nodes)
    web.wait_running(nodes)
    asked = boxes(cluster, network)
    eventually(
        lambda: names_follow(cluster, asked, web, network),
        f"{web} to resolve to its virtual address",
        deadline=GOSSIP,
        alike=True,
    )
    before = web.virtual_address(network)
    _change_mode(web, "dnsrr")
    web.expect_running(nodes)
    eventually(
        lambda: tasks_resolve(cluster, asked, web.name, web.running(), network) and reached_by_name(asked, web.name),
        f"{web} to resolve to its tasks after a change to dnsrr",
        deadline=GOSSIP,
        alike=True,
    )
    given = web.inspect()["Endpoint"].get("VirtualIPs") or []
    assert not given, f"{web} has mode dnsrr since an update, and yet the virtual address {given}"
    _change_mode(web, "vip")
    web.expect_running(nodes)
    eventually(
        lambda: names_follow(cluster, asked, web, network),
        f"{web} to resolve to a virtual address again after a change to vip",
        deadline=GOSSIP,
        alike=True,
    )
    assert web.virtual_address(network) not in {task.addresses[network] for task in web.running()}, (
        f"{web} has the virtual address of one of its tasks; before, it had {before}"
    )


def _change_mode(service, mode):
    service.update(lambda spec: spec.setdefault("EndpointSpec", {}).update(Mode=mode))


@claim("networks/alias")
def test_an_alias_is_a_name_in_the_network_that_it_is_given_for(cluster):
    with_alias, without = roomy(cluster, "known", "unknown")
    alias = cluster.unique("alias")
    web = cluster.create_service(
        "web", "web:1", everywhere=True, networks=[{"Target": with_alias, "Aliases": [alias]}, without]
    )
    tasks = web.wait_running(len(cluster.nodes))
    inside, outside = boxes(cluster, with_alias), boxes(cluster, without)
    virtual = {network: {web.virtual_address(network)} for network in (with_alias, without)}
    eventually(
        lambda: resolve_to(inside, {alias: virtual[with_alias], web.name: virtual[with_alias]}),
        f"the alias {alias} of {web} to resolve in {with_alias} on every node",
        deadline=GOSSIP,
        alike=True,
    )
    eventually(
        lambda: (
            resolve_to(outside, {web.name: virtual[without]})
            and leads_nowhere(outside, alias, addresses_of(tasks).union(*virtual.values()))
        ),
        f"the alias {alias} of {web} to be unknown in {without}, where it was not given",
        deadline=GOSSIP,
        alike=True,
    )
