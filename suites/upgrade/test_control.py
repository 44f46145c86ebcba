"""Reads and writes through managers of both engines."""

import base64

from fixtures.claims import claim
from fixtures.rehearsal import at
from suites.support.certificates import rotated
from suites.support.commands import accepted, last
from suites.support.placement import nothing_left
from swarmlab.cluster import pki
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually


@claim("upgrade/writes")
def test_what_is_written_through_one_manager_is_read_through_the_others(cluster):
    managers = cluster.managers
    for writer in managers:
        name = cluster.unique("written")
        body = {"Name": name, "Labels": {cluster.label: "", "written-through": writer.name}}
        data = base64.b64encode(name.encode()).decode()
        made = writer.ask("POST", "/configs/create", body={**body, "Data": data})["ID"]
        for reader in managers:
            read = reader.ask("GET", f"/configs/{made}")["Spec"]
            assert read["Data"] == data, f"what was written through {writer} is {read} through {reader}"
        writer.ask("DELETE", f"/configs/{made}")


@claim("upgrade/history", "known/read-commands-mixed")
@at("later")
def test_every_manager_tells_by_its_own_command_line(course, cluster):
    estate = course.estate
    replaced = {task.id for task in estate.history()}
    assert replaced, f"no manager remembers a task of {estate.front} that was replaced"

    def show_all(manager):
        for command, wanted in (
            ("node ls", [node.name for node in cluster.nodes]),
            ("service ls", [estate.web.name, "3/3"]),
            (f"service ps --no-trunc {estate.front}", list(replaced)),
            (f"service inspect --pretty {estate.web}", [estate.web.name]),
            (f"node ps {' '.join(node.name for node in cluster.nodes)}", [estate.site.name[:20]]),
            ("node inspect --pretty self", [manager.address]),
            ("network ls", [estate.network]),
            (f"network inspect {estate.network}", [estate.network]),
            ("config ls", [estate.config[1]]),
            ("secret ls", [estate.secret[1]]),
            ("stack ls", []),
            ("info", ["Is Manager: true"]),
        ):
            printed = accepted(manager, command)
            lacking = [word for word in wanted if word not in printed]
            assert not lacking, f"docker {command} on {manager} does not show {', '.join(lacking)}: {printed[-500:]}"
        # Nodes turn to a new leader for what it asks of their logs one after the other.
        eventually(
            lambda: gives_logs(manager, estate.agent), f"{manager} to give the logs of {estate.agent}", deadline=60
        )

    parallel(show_all, cluster.managers)


def gives_logs(manager, service):
    """Whether `docker service logs` on a manager has what all nodes have of a service."""
    done = manager.docker(f"service logs {service}")
    return State(done.ok, last(done))


@claim("upgrade/scheduling", "known/ghost-tasks")
@at("turns")
def test_services_come_and_go_on_nodes_of_both_engines(cluster):
    nodes = {node.name for node in cluster.nodes}
    everywhere = cluster.create_service("everywhere", "idle", everywhere=True)
    scaled = cluster.create_service("scaled", "idle", replicas=1)
    tasks = everywhere.expect_running(len(nodes))
    assert {task.node for task in tasks} == nodes, f"a global service has {'; '.join(map(str, tasks))}"
    scaled.expect_running(1)
    scaled.scale(2 * len(nodes))
    scaled.expect_running(2 * len(nodes))
    for service in (everywhere, scaled):
        service.remove()
    gone = {everywhere.id, scaled.id}
    eventually(lambda: nothing_left(cluster, gone), "tasks and containers of removed services to be gone", deadline=60)


@claim("upgrade/ca-rotation")
@at("middle")
def test_the_root_certificate_is_rotated_in_a_mixed_cluster(cluster):
    before = {node.name: pki.certificate_of(node).serial_number for node in cluster.nodes}
    accepted(cluster.manager, "swarm ca --rotate --detach")
    eventually(lambda: rotated(cluster), "the rotation to come to its end on every node", deadline=120)
    for node in cluster.nodes:
        eventually(
            lambda node=node: State(
                pki.certificate_of(node).serial_number != before[node.name], f"{node} has its old certificate"
            ),
            f"{node} to have a certificate of the new root",
            deadline=60,
        )
    cluster.expect_ready()


@claim("upgrade/token-rotation")
@at("middle")
def test_tokens_that_one_manager_rotates_are_those_of_all(cluster):
    for manager in cluster.managers:
        for role in ("worker", "manager"):
            old = accepted(manager, f"swarm join-token -q {role}").strip()
            new = accepted(manager, f"swarm join-token --rotate -q {role}").strip()
            assert new != old, f"{manager} rotated the {role}s' token, and it is the old one"
            for asked in cluster.managers:
                given = accepted(asked, f"swarm join-token -q {role}").strip()
                assert given == new, f"{asked} gives out another {role}s' token than {manager}, which rotated it"


@claim("known/alpn-after-renewal")
@at("middle")
def test_managers_with_renewed_certificates_offer_http2_by_name(course, cluster):
    without = [
        f"{manager} ({course.versions[manager.name]})"
        for manager in cluster.managers
        if pki.dial(manager, pki.identity_of(manager)).protocol != "h2"
    ]
    assert not without, f"after a renewal of their certificates these offer no HTTP/2 by name: {', '.join(without)}"
