"""7.3: volumes of services, and the document's examples with a volume."""

from ipaddress import ip_address

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.mesh import mesh_of
from suites.support.mounts import volume as known
from suites.support.subnets import free_subnets
from suites.support.traffic import GOSSIP, all_from, from_each, reached_from_all
from swarmlab.cluster.node import nodes_where
from swarmlab.cluster.probe import Probe
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait

#: Writes a file of several blocks, and prints its checksum.
_BLOB = "head -c 1048576 /dev/urandom > {place}/blob && sha256sum < {place}/blob"


def mount(cluster, volume, place="/data"):
    """Return the mount of a volume as the API takes it; every node makes the volume with the suite's label."""
    options = {"Labels": {cluster.label: ""}}
    return {"Type": "volume", "Source": volume, "Target": place, "VolumeOptions": options}


def on_machine(node, volume, file):
    """Return the content of a file of the volume, read on the machine itself; empty if there is no such file."""
    found = known(node, volume)
    kept = node.host.file(f"{found['Mountpoint']}/{file}") if found else None
    return kept.content_string.strip() if kept and kept.exists else ""


def inside(cluster, task, command):
    """Return the output of a command in a task's container, which must succeed."""
    done = cluster.probe(task).run(command)
    return done.expect(f"in the container on {task.node}, {command}", error=AssertionError).strip()


def expect_mounted(cluster, task, volume, place):
    """Judge that *volume* is on the task's node, and mounted read-write at *place* in its container."""
    node = cluster.node(task.node)
    made = known(node, volume)
    assert made, f"{node} runs the task and has no volume {volume}"
    assert made["Driver"] == "local", f"{volume} on {node} is of driver {made['Driver']}"
    mounts = node.ask("GET", f"/containers/{task.container}/json")["Mounts"]
    found = [
        (mount["Type"], mount.get("Name"), mount["Source"], mount["RW"])
        for mount in mounts
        if mount["Destination"] == place
    ]
    wanted = [("volume", volume, made["Mountpoint"], True)]
    assert found == wanted, f"mounted at {place} of the task on {node} is {found or 'nothing'}, not {wanted}"
    where = [line.split()[1] for line in inside(cluster, task, "cat /proc/mounts").splitlines()]
    assert place in where, f"in the container on {node} nothing is mounted at {place}"
    inside(cluster, task, f"echo {task.id} > {place}/made-by-{task.id}")
    got = on_machine(node, volume, f"made-by-{task.id}")
    assert got == task.id, f"what the task on {node} wrote to {place} is not in {made['Mountpoint']} of {node}: {got!r}"
    node.run(f"echo machine > {made['Mountpoint']}/by-machine")
    got = inside(cluster, task, f"cat {place}/by-machine")
    assert got == "machine", f"what was written in {made['Mountpoint']} of {node} is read inside as {got!r}"


@claim("7.3/service-volume")
def test_mount_makes_the_volume_where_the_task_runs_and_there_only(cluster):
    for host in cluster.sample:
        volume, name = cluster.unique("volume"), cluster.unique("uchin_v_test")
        given = f"type=volume,src={volume},dst=/data,volume-label={cluster.label}"
        options = f"--constraint node.hostname=={host} --label {cluster.label} --name {name} {cluster.image('client')}"
        accepted(cluster.manager, f"service create --detach --mount {given} {options}")
        (task,) = cluster.service(name).expect_running(1)
        assert task.node == host.name, f"the task that was bound to {host} runs on {task.node}"
        expect_mounted(cluster, task, volume, "/data")
        has = nodes_where(lambda node, volume=volume: known(node, volume), cluster.nodes)
        others = [node.name for node in has if node is not host]
        assert not others, f"the only task runs on {host}, and {volume} is also on {few(others)}"


@claim("7.3/volume-outlives-task")
def test_what_a_task_wrote_is_there_for_the_next_one_on_its_node(cluster):
    for host in cluster.sample:
        volume = cluster.unique("volume")
        settings = {"mounts": [mount(cluster, volume)], "constraints": [f"node.hostname=={host}"]}
        service = cluster.create_service("writer", "client", **settings)
        (task,) = service.wait_running(1)
        blob = inside(cluster, task, _BLOB.format(place="/data"))
        inside(cluster, task, "echo first > /data/lines")
        lines = ["first"]

        for end in ("was killed", "was replaced by an update"):
            if end == "was killed":
                accepted(host, f"kill {task.container}")
            else:
                service.renew()
            task = successor(service, task)
            expect_kept(cluster, task, lines, blob, f"the one before {end}")
            lines.append(task.id)
            inside(cluster, task, f"echo {task.id} >> /data/lines")

        service.remove()
        wait(
            lambda host=host, volume=volume: no_container(host, volume),
            f"the container of {service}, which was removed, to be gone from {host}",
            deadline=60,
        )
        got = on_machine(host, volume, "lines").split()
        assert got == lines, f"{service} was removed, and its volume on {host} holds {got}, not {lines}"
        (task,) = cluster.create_service("reader", "client", **settings).wait_running(1)
        expect_kept(cluster, task, lines, blob, "the service before was removed")


def successor(service, task):
    """Return the task that replaces *task*, which was ended."""
    eventually(
        lambda: (
            State(task.id not in [running.id for running in service.running()], f"it is {task}")
            and service.converged(1)
        ),
        f"a task to replace the one of {service} on {task.node}",
        deadline=60,
    )
    return service.running()[0]


def expect_kept(cluster, task, lines, blob, after):
    """Judge that *task* finds in its volume what the tasks before it wrote.

    Args:
        cluster: the swarm.
        task: the task.
        lines: the lines of the file lines.
        blob: the checksum of the file blob.
        after: what happened before, for messages.
    """
    got = inside(cluster, task, "cat /data/lines || :").split()
    assert got == lines, f"on {task.node}, {after}; it left {lines} in the volume, the next task reads {got}"
    same = inside(cluster, task, "sha256sum < /data/blob || :")
    assert same == blob, f"on {task.node}, {after}; the 1 MB that it left in the volume is other data to the next task"


def no_container(node, volume):
    """Whether no container on the node has the volume."""
    left = [container["Id"][:12] for container in node.containers(all=True, volume=volume)]
    return State(not left, f"{node} has {', '.join(left)}")


@claim("7.3/volume-is-per-node")
def test_each_node_has_a_volume_of_its_own(cluster):
    volume = cluster.unique("volume")
    service = cluster.create_service("mover", "client", mounts=[mount(cluster, volume)])
    service.wait_running(1)
    held = {}
    for host in cluster.sample:
        task = service.move_to(host)
        if host.name not in held:
            found = inside(cluster, task, "ls -A /data").split()
            assert not found, f"the task moved to {host}, which had no {volume}, and finds in it {found}"
        inside(cluster, task, f"echo {host} > /data/of-{host} && echo {host} > /data/same")
        held[host.name] = host
        expect_own(held.values(), volume)
    # The task finds the same data again when it moves back.
    for host in cluster.sample:
        task = service.move_to(host)
        names = inside(cluster, task, "ls -A /data").split()
        assert names == sorted([f"of-{host}", "same"]), f"the task moved back to {host}, which wrote other than {names}"
        got = inside(cluster, task, "cat /data/same")
        assert got == host.name, f"the task moved back to {host}, and reads what {got} wrote"
    # The same with a task on every node at once.
    every = cluster.create_service("everywhere", "client", everywhere=True, mounts=[mount(cluster, volume)])
    for task in every.wait_running(len(cluster.nodes)):
        names = inside(cluster, task, "ls -A /data").split()
        wanted = [f"of-{task.node}", "same"] if task.node in held else []  # of a large cluster, only the sample wrote
        assert names == sorted(wanted), f"one of several tasks, on {task.node}, finds in {volume} {names}, not {wanted}"
        if wanted:
            got = inside(cluster, task, "cat /data/same")
            assert got == task.node, f"one of several tasks, on {task.node}, reads in {volume} what {got} wrote"


def expect_own(nodes, volume):
    """Judge that *volume* on each of *nodes* holds what a task wrote there, and nothing else."""
    for node in nodes:
        kept = known(node, volume)
        assert kept, f"{node} had the task before it moved, and no longer has {volume}"
        names = sorted(node.host.file(kept["Mountpoint"]).listdir())
        assert names == sorted([f"of-{node}", "same"]), f"{volume} on {node} holds {names}, and not what {node} wrote"
        got = on_machine(node, volume, "same")
        assert got == node.name, f"{volume} on {node} holds what was written on {got}"


@pytest.fixture
def documented(cluster):
    """The document's names under the suite's prefix, a subnet, its first address, and the suite's label."""
    (subnet,) = free_subnets(cluster)
    return {
        "kafka": cluster.unique("kafka"),
        "volume_kafka": cluster.unique("volume_kafka"),
        "subnet": subnet,
        "gateway": subnet[1],
        "label": f"--label {cluster.label}",
    }


def create_network(cluster, names, word=""):
    """Create the example's network with the document's command."""
    options = f"--driver overlay {word} --subnet {names['subnet']} --gateway {names['gateway']} {names['label']}"
    accepted(cluster.manager, f"network create {names['kafka']} {options}")


def volume_mount(cluster, names):
    """Return the document's option for the volume."""
    return f"--mount type=volume,src={names['volume_kafka']},dst=/home,volume-label={cluster.label}"


def expect_address(names, task):
    """Judge that the task has an address of the example's subnet that is not the gateway's."""
    address = task.addresses.get(names["kafka"])
    assert address, f"the task on {task.node} has no address in the network: {task.addresses}"
    fits = ip_address(address) in names["subnet"] and ip_address(address) != names["gateway"]
    assert fits, f"the task on {task.node} has {address}, of {names['subnet']} with gateway {names['gateway']}"


@claim("7.3/network-volume-replicas")
def test_documents_network_volume_and_two_replicas(cluster, documented):
    names, manager = documented, cluster.manager
    create_network(cluster, names)
    printed = accepted(manager, f"volume create {names['label']} --name {names['volume_kafka']}")
    assert printed.strip() == names["volume_kafka"], f"volume create on {manager} printed {printed!r}"
    assert known(manager, names["volume_kafka"]), f"{manager} created {names['volume_kafka']}, and does not have it"
    name = cluster.unique("uchin_test")
    options = f"--name {name} --network {names['kafka']} {volume_mount(cluster, names)} --replicas 2 {names['label']}"
    accepted(manager, f"service create --detach {options} {cluster.image('client')}")
    tasks = cluster.service(name).expect_running(2)
    for task in tasks:
        expect_address(names, task)
        expect_mounted(cluster, task, names["volume_kafka"], "/home")
    for task in tasks:
        wanted = {f"made-by-{other.id}" for other in tasks if other.node == task.node}
        got = {other for other in inside(cluster, task, "ls -A /home").split() if other.startswith("made-by-")}
        assert got == wanted, f"the task on {task.node} finds {sorted(got)} in its volume, not {sorted(wanted)}"

    def meet():
        at = {task.addresses[names["kafka"]]: task.node for task in tasks}
        for task in tasks:
            probe = cluster.probe(task)
            if (found := probe.resolve(f"tasks.{name}")) != set(at):
                return State(False, f"on {task.node} tasks.{name} is {sorted(found)}, not {sorted(at)}")
            for address, node in at.items():
                if not (asked := probe.run(f"ping -c 1 -W 2 {address}")).ok:
                    return State(False, f"{task.node} to {node}: {address} does not answer: {asked.output[-200:]}")
        return State(True, "both")

    eventually(meet, "the two replicas to know and to reach each other", deadline=GOSSIP)


@claim("7.3/network-port-volume")
def test_documents_network_port_and_volume(cluster, documented, lab):
    names = documented
    create_network(cluster, names, "--attachable")
    port, name = cluster.port(), cluster.unique("my-nginx")
    options = f"--network {names['kafka']} -p {port}:80 --name {name} {volume_mount(cluster, names)} {names['label']}"
    accepted(cluster.manager, f"service create --detach {options} {cluster.image('web:1')}")
    service = cluster.service(name)
    (task,) = service.expect_running(1)
    expect_address(names, task)
    expect_mounted(cluster, task, names["volume_kafka"], "/home")
    assert mesh_of(cluster) in task.addresses, f"the task on {task.node} is not attached to the routing mesh's network"
    published = [
        (entry["PublishedPort"], entry["TargetPort"]) for entry in service.inspect()["Endpoint"].get("Ports", [])
    ]
    assert published == [(port, 80)], f"{port}:80 must be published; {published} is published"
    # The last line of the document's example: a container of docker run in the same network.
    urls = [f"http://tasks.{name}/", f"http://{task.addresses[names['kafka']]}/"]
    probes = [Probe(node, cluster.bench(node).start("client", f"--network {names['kafka']}")) for node in cluster.nodes]
    host = cluster.node(task.node)

    def reached():
        return reached_from_all({probe.node: all_from(task, probe.fetch(urls, timeout=2)) for probe in probes}, host)

    eventually(
        reached,
        f"the task on {host} to answer to docker run on every node, by name and by address",
        deadline=GOSSIP,
        alike=True,
    )
    if not lab.offers.missing(["ipvs"]):  # else no node has a routing mesh, which other claims judge
        eventually(
            lambda: from_each(cluster.nodes, lambda node: all_from(task, [node.get(port)])),
            f"port {port} of every node to lead to the task on {task.node}",
            deadline=GOSSIP,
            alike=True,
        )
