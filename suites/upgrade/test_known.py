"""Known incidents (claims/known.yaml), looked for when all else is judged; those that hurt a node come last."""

import json

from fixtures.claims import claim
from fixtures.rehearsal import at, in_stage
from suites.support.commands import accepted
from suites.support.names import resolve_to
from suites.support.rolling_updates import AT_ONCE, status
from suites.support.subnets import addresses_in_use, create_overlay, disjoint, free_subnets, subnets, told
from suites.support.traffic import GOSSIP, all_reached
from suites.support.upgrade.course import answers
from suites.support.upgrade.incidents import (
    demoted_and_promoted,
    manager_loses_power,
    names_after_a_cut,
    node_loses_power,
)
from suites.support.upgrade.leftovers import not_each_once, refused_for_vxlan
from suites.support.upgrade.moving_tag import MovingTag, all_run
from swarmlab.errors import Blocked
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, wait

#: How often all tasks are replaced, so that each of few addresses is used several times.
CHURN = 3
_NETNS = "/run/docker/netns"

pytestmark = in_stage("last")


@claim("known/firewall-backend-nftables")
@at("ends")
def test_no_node_is_set_to_the_backend_nftables(cluster):
    for node in cluster.nodes:
        file = node.run("cat /etc/docker/daemon.json")
        chosen = json.loads(file.out).get("firewall-backend", "") if file.ok and file.out.strip() else ""
        command = node.run("tr '\\0' ' ' < /proc/$(pidof dockerd)/cmdline").out
        assert chosen != "nftables", f"{node} has firewall-backend nftables in /etc/docker/daemon.json"
        assert "firewall-backend=nftables" not in command, f"the engine of {node} runs as {command}"


@claim("known/firewall-programs-differ")
@at("ends")
def test_nodes_filter_with_one_program(cluster):
    programs = {
        node.name: node.run("iptables --version").out.strip().rpartition("(")[2].rstrip(")") for node in cluster.nodes
    }
    assert len(set(programs.values())) == 1, f"iptables of the nodes differ: {programs}"


@claim("known/minimum-api")
@at("after")
def test_the_new_engine_takes_calls_of_the_old_api(course, cluster):
    for node in cluster.nodes:
        for version in (course.engines["before"][node.name]["api"], "1.24"):
            url = f"http://localhost/v{version}/info"
            asked = node.run(f"curl -s -w '\\n%{{http_code}}' --unix-socket /run/docker.sock {url}")
            body, _, code = asked.out.rpartition("\n")
            assert code == "200", f"{node} refuses a call of API {version} with {code}: {body[:300]}"


@claim("known/overlays-of-one-subnet", "known/overlay-takes-bridge-subnet")
@at("after")
def test_new_overlays_overlap_nothing(cluster):
    networks = [create_overlay(cluster, f"net{number}") for number in range(5)]
    with told(cluster, networks):
        eventually(lambda: disjoint(cluster, networks), "subnets of new networks to overlap nothing", deadline=20)
    for network in networks:
        cluster.remove_network(network)


@claim("known/addresses-run-out")
@at("after")
def test_networks_have_addresses_left(cluster):
    tasks, services = (cluster.manager.ask("GET", f"/{kind}") for kind in ("tasks", "services"))
    chosen = subnets(cluster.manager)
    for network in cluster.manager.ask("GET", "/networks", filters={"driver": ["overlay"], "scope": ["swarm"]}):
        size = sum(subnet.num_addresses - 3 for subnet in chosen[network["Name"]])
        if not size:  # no task uses it, so that nobody tells its subnet
            continue
        # Every node may have an address there.
        used = addresses_in_use(network["Id"], tasks, services) + len(cluster.nodes)
        assert used < 0.9 * size, f"network {network['Name']} has {used} of {size} addresses in use"

    def none_new():
        waiting = [task for task in cluster.manager.ask("GET", "/tasks") if task["Status"]["State"] == "new"]
        return State(not waiting, f"{len(waiting)} tasks are new, such as {waiting[0]['ID'] if waiting else ''}")

    eventually(none_new, "no task to stay new", deadline=30)


@claim("known/incomplete-logs")
@at("after")
def test_every_manager_gives_a_log_whole(cluster):
    command = ["sh", "-c", "for number in 1 2 3 4 5; do echo line-$number; done; exec sleep infinity"]
    service = cluster.create_service("speaker", "client", everywhere=True, command=command)
    tasks = service.expect_running(len(cluster.nodes))
    for manager in cluster.managers:

        def whole(manager=manager):
            log = manager.docker(f"service logs --no-task-ids {service}")
            counts = {task.node: sum(f"@{task.node} " in line for line in log.out.splitlines()) for task in tasks}
            full = log.ok and "incomplete" not in log.output and all(count == 5 for count in counts.values())
            return State(full, f"{manager} gives of 5 lines a node {counts}, and says {log.err[-200:]!r}")

        eventually(whole, f"{manager} to give the whole log", deadline=20)
    service.remove()


@claim("known/names-after-update", "known/update-freezes")
@at("after")
def test_names_follow_a_rolling_update(course, cluster):
    network, nodes = course.estate.network, len(cluster.nodes)
    alias, image = cluster.unique("alias"), cluster.image("web:2")
    service = cluster.create_service(
        "rolling",
        "web:1",
        replicas=nodes,
        networks=[{"Target": network, "Aliases": [alias]}],
        endpoint_mode="dnsrr",
        update={"Parallelism": 2, "Order": "start-first", "Monitor": AT_ONCE},
    )
    service.wait_running(nodes)
    service.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=image))
    eventually(
        service.updated,
        "an update to come to its end",
        deadline=120,
    )
    service.expect_running(nodes)
    probes = [cluster.probe(task) for task in course.estate.site.running()]

    def follow():
        addresses = {task.addresses[network] for task in service.running()}
        return resolve_to(probes, {service.name: addresses, f"tasks.{service}": addresses, alias: addresses})

    eventually(follow, "names and alias of an updated service to lead to its present tasks", deadline=GOSSIP, stable=2)
    asked = parallel(lambda probe: probe.fetch([f"http://{alias}/"] * 25), probes)
    for probe, given in zip(probes, asked, strict=True):
        wrong = [str(answer) for answer in given if answer.status != 200]
        assert not wrong, f"on {probe.node} {len(wrong)} of 25 requests by name were lost: {wrong[0]}"
    service.remove()


@claim("known/rollback-kills-good-task")
@at("after")
def test_a_rollback_leaves_good_tasks_alone(cluster):
    service = cluster.create_service(
        "good",
        "web:1",
        replicas=4,
        update={"Parallelism": 1, "FailureAction": "rollback", "Monitor": int(3e9), "Delay": int(5e9)},
        rollback={"Parallelism": 1},
        restart={"Condition": "any", "Delay": int(1e8)},
    )
    before = {task.slot: task.id for task in service.wait_running(4)}
    image = cluster.image("web:broken")
    service.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=image))
    eventually(
        lambda: State(status(service) == "rollback_completed", f"the update is {status(service)}"),
        "an update to an image that does not start to be rolled back",
        deadline=120,
    )
    after = service.expect_running(4)
    # The update may reach a second task before the first is known to have failed.
    reached = {task.slot for task in service.tasks() if task.image == image}
    good = set(before) - reached
    wait(
        lambda: State(bool(good), "it reached all"),
        "an update to be rolled back before it reaches all tasks",
        deadline=1,
    )
    killed = [slot for slot in good if before[slot] not in {task.id for task in after}]
    assert not killed, f"good tasks in slots {killed} were stopped, and the update had reached {sorted(reached)}"
    wrong = [str(task) for task in after if not task.image.endswith("web:1")]
    assert not wrong, f"after the rollback there run {'; '.join(wrong)}"
    service.remove()


@claim("known/stale-entries-after-churn")
@at("after")
def test_no_entry_of_a_task_that_is_gone_misleads(cluster):
    [wide] = free_subnets(cluster, 1)
    nodes = len(cluster.nodes)
    # So few addresses that each is used again: two for each task that is replaced, and one for each node.
    prefix = 32 - (3 * nodes + 2).bit_length()
    network = cluster.create_network("churn", IPAM={"Config": [{"Subnet": str(next(wide.subnets(new_prefix=prefix)))}]})
    service = cluster.create_service(
        "churn",
        "web:1",
        replicas=nodes,
        networks=[network],
        endpoint_mode="dnsrr",
        update={"Parallelism": 0, "Monitor": AT_ONCE},
    )
    service.wait_running(nodes)
    for _ in range(CHURN):
        service.renew()
        wait(service.updated, "tasks to be replaced", deadline=120)
        service.wait_running(nodes)
    tasks = service.running()
    identity = cluster.manager.ask("GET", f"/networks/{network}")["Id"]
    eventually(lambda: none_misleads(cluster, identity, network, tasks), "no entry to mislead", deadline=GOSSIP)
    probes = [cluster.probe(task) for task in tasks]
    eventually(
        lambda: all_reached(cluster, probes, tasks, network), "all tasks to reach each other", deadline=GOSSIP, stable=2
    )
    service.remove()


def none_misleads(cluster, identity, network, tasks):
    """Whether every node's forwarding entries lead to the nodes where tasks run; a missing entry is not wrong."""
    wrong, used = [], {task.node for task in tasks}
    for node in cluster.nodes:
        # Engines put a number before the id, which is not always 1.
        spaces = node.run(f"ls {_NETNS} | grep -x '[0-9]*-{identity[:10]}'").out.split()
        if not spaces:
            wrong += [f"{node} runs a task and has no namespace of {network}"] if node.name in used else []
            continue
        here = f"nsenter --net={_NETNS}/{spaces[-1]}"
        neighbours = [line.split() for line in node.run(f"{here} ip neigh show").out.splitlines()]
        macs = {fields[0]: fields[fields.index("lladdr") + 1] for fields in neighbours if "lladdr" in fields}
        entries = [line.split() for line in node.run(f"{here} bridge fdb show").out.splitlines()]
        ways = {fields[0]: fields[fields.index("dst") + 1] for fields in entries if "dst" in fields}
        for task in tasks:
            address = task.addresses[network]
            way = ways.get(macs.get(address, ""), "")
            if task.node != node.name and way and way != cluster.node(task.node).address:
                wrong.append(f"{node} sends what is for {address} to {way}, and its task is on {task.node}")
    return State(not wrong, "; ".join(wrong) or "none")


@claim("known/one-node-id-twice")
@at("ends")
def test_every_node_has_an_id_of_its_own(cluster):
    own = {node.name: node.node_id() for node in cluster.nodes}
    for manager in cluster.managers:
        listed = [(member["ID"], member["Description"]["Hostname"]) for member in cluster.members(manager)]
        wrong = not_each_once(own, listed)
        assert not wrong, f"as {manager} lists them: {'; '.join(wrong)}"


@claim("known/apparmor-without-parser")
@at("ends")
def test_nodes_with_apparmor_have_its_parser(cluster):
    enabled = [node for node in cluster.nodes if node.run("cat /sys/module/apparmor/parameters/enabled").out[:1] == "Y"]
    if not enabled:
        raise Blocked("no node's kernel has AppArmor enabled")
    # The engine looks in the folders that it was started with, which may be fewer than those of a login.
    lacking = [
        str(node)
        for node in enabled
        if not node.run("PATH=/usr/sbin:/sbin:/usr/bin:/bin command -v apparmor_parser").ok
    ]
    assert not lacking, (
        f"the kernel of {' and '.join(lacking)} has AppArmor, and apparmor_parser is not installed there"
    )


@claim("known/vxlan-file-exists")
@at("after")
def test_no_interface_is_left_of_an_overlay_network(course, cluster):
    tasks = cluster.manager.ask("GET", "/tasks")
    wrong = refused_for_vxlan(tasks, course.new_lines(), cluster.names())
    assert not wrong, f"an interface was left on {'; '.join(wrong)}"


def moved(cluster, name):
    """Return a tag that has moved to the second release, and a service that was made with the first under it."""
    tag = MovingTag(cluster)
    tag.move("web:1")
    service = tag.create(name)
    wait(lambda: all_run(cluster, service, "1"), "a service to run with the content of its tag", deadline=90)
    tag.move("web:2")
    return tag, service


@claim("known/tag-moved")
@at("after")
def test_replaced_tasks_have_the_content_that_their_service_was_made_with(cluster):
    _, service = moved(cluster, "pinned")
    service.renew()
    eventually(
        lambda: service.updated() and all_run(cluster, service, "1"),
        "replaced tasks to run the content that the service was made with",
        deadline=120,
    )
    service.remove()


@claim("known/update-keeps-tag")
@at("after")
def test_an_update_to_a_tag_that_moved_brings_its_content(cluster):
    tag, service = moved(cluster, "updated")
    accepted(cluster.manager, f"service update --detach --image {tag.name} {service}")
    eventually(
        lambda: all_run(cluster, service, "2"), "an update to the same tag to bring its new content", deadline=120
    )
    service.remove()


@claim("known/demote-and-promote")
@at("after")
def test_a_leader_that_is_demoted_and_promoted_at_once_is_a_manager(course, second_cluster):
    second_cluster.judge(demoted_and_promoted, course)


@claim("known/names-after-disconnect")
@at("after")
def test_names_resolve_after_a_node_was_cut_off(course, second_cluster):
    second_cluster.judge(names_after_a_cut, course)


@claim("known/wal-after-power-loss")
@at("after")
def test_a_manager_comes_back_from_a_loss_of_power(course, second_cluster):
    second_cluster.judge(manager_loses_power, course)


@claim("known/down-but-running")
@at("after")
def test_replicas_run_elsewhere_when_a_node_loses_its_power(course, second_cluster):
    second_cluster.judge(node_loses_power, course)


@claim("known/ingress-after-engine-restart")
@at("after")
def test_ports_answer_after_engines_were_started_anew(course, cluster):
    for node in cluster.nodes:
        eventually(lambda node=node: answers(node, course.estate.port), f"the port of {node} to answer", deadline=60)
