"""Preflight's checks of what managers believe against what nodes hold and know.

The answers have the form of those of engine 20.10.24.
"""

import pytest

from swarmlab.preflight import checks as made
from swarmlab.preflight.holdings import networks_in_use
from tests.unit.test_preflight import found, network, only, set_answer, sound
from tests.unit.test_preflight_services import ago, service, task

ADDRESSES = {"master": "10.0.5.3", "slave01": "10.0.5.4", "slave02": "10.0.5.5"}


def attached(address):
    return [{"Network": {"ID": "id-app", "Spec": {"Name": "app"}}, "Addresses": [f"{address}/24"]}]


def container(name, address, **more):
    ends = {"app": {"NetworkID": "id-app", "IPAddress": address}}
    labels = {
        "com.docker.swarm.task.id": f"t-{name}",
        "com.docker.swarm.service.id": "s",
        "com.docker.swarm.service.name": "web",
    }
    fixed = {"Id": f"c-{name}", "State": "running", "Status": "Up 5 minutes", "Labels": labels, "ImageID": "sha256:a1"}
    return {**fixed, "NetworkSettings": {"Networks": ends}, **more}


@pytest.fixture
def sight():
    """A service with a task on each of three nodes, on an overlay network."""
    one = sound()
    one.services = [service(replicas=3)]
    one.networks.append(app())
    tables = [{"Name": "web", "EndpointIP": address} for address in ADDRESSES.values()]
    for slot, view in enumerate(one.nodes, 1):
        address = ADDRESSES[view.name]
        one.tasks.append(task(slot=slot, node=view.name, NetworksAttachments=attached(address)))
        one.tasks[-1] |= {"ID": f"t-{view.name}"}
        one.tasks[-1]["Status"]["ContainerStatus"] = {"ContainerID": f"c-{view.name}"}
        view.containers = [container(view.name, address)]
        view.networks.append(app())
        view.tables = {"id-app": {"Services": {"web": {"VIP": "10.0.5.2", "Tasks": list(tables)}}}}
    return one


def app(subnet="10.0.5.0/24", vni="4100"):
    return network("app", subnet, Options={"com.docker.network.driver.overlay.vxlanid_list": vni})


def test_nothing_is_found_where_managers_and_nodes_agree(sight):
    assert networks_in_use(sight, sight.nodes[1]) == ["id-app"]
    for check in ("task-containers", "task-networks", "task-names", "replicas", "stuck-tasks"):
        assert {level for level, _, _ in found(sight, check)} == {"ok"}, found(sight, check)


@pytest.mark.parametrize(
    ("changed", "level", "part"),
    [
        ({"State": "paused"}, "error", "the container of web.2 is paused, while the managers count it as running"),
        ({"State": "exited"}, "error", "the container of web.2 is exited"),
        ({"Status": "Up 5 minutes (unhealthy)"}, "warning", "the container of web.2 is unhealthy"),
        ({"Id": "another"}, "error", "web.2 runs, say the managers, and has no container"),
    ],
)
def test_a_task_whose_container_does_not_run_is_named(sight, changed, level, part):
    view = sight.nodes[1]
    view.containers = [view.containers[0] | changed]
    only(sight, "task-containers", level, ("slave01",), part)
    sight.members[1]["Status"]["State"] = "down"
    assert found(sight, "task-containers")[0][0] == "ok"  # the managers believe nothing of it


def test_a_container_that_nobody_wants_is_named(sight):
    labels = sight.nodes[2].containers[0]["Labels"] | {"com.docker.swarm.task.id": "t-gone"}
    sight.nodes[2].containers.append(container("gone", "", Labels=labels))
    only(
        sight, "task-containers", "warning", ("slave02",), "a container of web runs whose task the managers do not know"
    )
    sight.nodes[2].containers[-1]["State"] = "exited"
    assert found(sight, "task-containers")[0][0] == "ok"
    sight.nodes[2].containers[-1]["State"] = "running"
    sight.tasks.append(task("failed") | {"ID": "t-gone"})
    only(sight, "task-containers", "warning", ("slave02",), "whose task is failed, say the managers")
    # Older managers forget the tasks of a service before their containers have ended.
    sight.tasks.pop()
    sight.nodes[2].version["Version"] = "17.06.2-ce"
    labels["com.docker.swarm.service.id"] = "removed"
    assert found(sight, "task-containers")[0][0] == "ok"


def test_a_difference_that_was_seen_once_only_is_none(sight):
    sight.nodes[1].containers = []
    sight.lasting = frozenset()
    assert found(sight, "task-containers")[0][0] == "ok"


def test_a_container_that_is_not_on_its_network_is_named(sight):
    sight.nodes[0].containers[0]["NetworkSettings"]["Networks"] = {}
    only(sight, "task-networks", "error", ("master",), "the container of web.1 is not on network app")
    sight.nodes[0].containers[0]["NetworkSettings"]["Networks"] = {
        "app": {"NetworkID": "id-app", "IPAddress": "10.0.5.9"}
    }
    only(
        sight, "task-networks", "error", ("master",), "web.1 has 10.0.5.9 on network app, and 10.0.5.3 say the managers"
    )


@pytest.mark.parametrize(
    ("here", "part"),
    [
        ([{"Name": "docker_gwbridge"}], "the engine has no network app, which web.2 is on"),
        ([app(vni="4101")], "network app has VXLAN id 4101 there, and 4100 say the managers"),
        ([app(subnet="10.0.6.0/24")], "network app has subnet 10.0.6.0/24 there, and 10.0.5.0/24 say the managers"),
    ],
)
def test_a_network_that_a_node_lacks_or_has_otherwise_is_named(sight, here, part):
    sight.nodes[1].networks = here
    only(sight, "task-networks", "error", ("slave01",), part)


def test_names_that_a_node_does_not_know_are_told(sight):
    tasks = sight.nodes[0].tables["id-app"]["Services"]["web"]["Tasks"]
    tasks[:] = tasks[:1]
    part = "on network app the node does not know tasks that run: web.2 (10.0.5.4), web.3 (10.0.5.5)"
    only(sight, "task-names", "error", ("master",), part)
    tasks[:] = [{"EndpointIP": address} for address in (*ADDRESSES.values(), "10.0.5.77")]
    only(sight, "task-names", "warning", ("master",), "knows addresses that no task has: 10.0.5.77")
    next(network for network in sight.networks if network["Name"] == "app")["Ingress"] = True
    assert found(sight, "task-names")[0][0] == "ok"
    sight.networks[-1]["Ingress"] = False
    # Its own service was changed a moment ago, so managers may have forgotten its task before nodes can.
    sight.services[0]["UpdatedAt"] = ago(10)
    assert found(sight, "task-names")[0][0] == "ok"
    del sight.services[0]["UpdatedAt"]
    # A task that is about to run, or to end, may be known.
    sight.tasks.append(task("starting", NetworksAttachments=attached("10.0.5.77")))
    assert found(sight, "task-names")[0][0] == "ok"


def test_what_was_not_read_is_unknown(sight):
    sight.nodes[1].containers = None
    for check in ("task-containers", "task-networks", "task-names"):
        assert ("unknown", ("slave01",)) in [one[:2] for one in found(sight, check)]
    sight.asked, sight.unasked = "", "no node is a manager"
    assert [one[0] for one in found(sight, "task-names")] == ["unknown"]
    assert made.look("task-names", sight)[0].summary == "no node is a manager"


@pytest.mark.parametrize(
    ("process", "held_up"),
    [
        (f"sleep containerd-shim {'b' * 64} {'a' * 64}", True),
        (f"sleep docker-init {'a' * 64}", True),
        (f"containerd-shim systemd {'a' * 64}", True),
        (f"sleep containerd-shim {'b' * 64}", False),
        (f"vim sh {'a' * 64}", False),  # somebody's job in a container
    ],
)
def test_a_task_whose_program_is_stopped_is_named(sight, process, held_up):
    sight.nodes[1].containers[0]["Id"] = "a" * 64
    sight.tasks[1]["Status"]["ContainerStatus"] = {"ContainerID": "a" * 64}
    set_answer(sight, "stopped", f"812 2 {process}")
    if held_up:
        program = process.split()[0]
        told = f"the container of web.2 is held up: {program} is stopped (SIGSTOP)"
        only(sight, "task-containers", "error", ("slave01",), told)
    else:
        assert {level for level, _, _ in found(sight, "task-containers")} == {"ok"}
