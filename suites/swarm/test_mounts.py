"""Mounts of services beside volumes: file systems in memory, options of volumes, folders of nodes, read-only ones."""

from fixtures.claims import claim
from suites.support.mounts import volume as known
from suites.support.payloads import create, on_every_node, printed
from swarmlab.cluster.node import nodes_where
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait

MIB = 2**20
#: What a program is told that writes to a full, or to a read-only, file system.
FULL, READ_ONLY = "No space left", "Read-only file system"
#: A new task soon takes the place of one that ended.
SOON = {"Condition": "any", "Delay": int(1e9)}


def expect_room(cluster, task, place, room):
    """Judge that the task can write half of *room* bytes at *place*, and not twice as many."""
    printed(cluster, task, f"dd if=/dev/zero of={place}/fits bs=1024 count={room // 2048}")
    more = cluster.probe(task).run(f"dd if=/dev/zero of={place}/more bs=1024 count={room // 512}")
    held = printed(cluster, task, f"cat {place}/* | wc -c")
    assert int(held) <= room, f"in the task on {task.node}, {place} has room for {room} bytes, and it took {held}"
    assert FULL in more.output, f"in the task on {task.node}, a write to the full {place} failed with: {more.output}"


def expect_refused(cluster, task, path):
    """Judge that the task cannot write to *path*, as that is read-only."""
    done = cluster.probe(task).run(f"echo x > {path}")
    assert not done.ok, f"in the task on {task.node}, {path} could be written, which is read-only"
    assert READ_ONLY in done.output, f"in the task on {task.node}, a write to {path} failed with: {done.output}"


@claim("mounts/tmpfs")
def test_a_tmpfs_has_its_size_and_mode_in_the_task_on_every_node(cluster):
    mount = {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": MIB, "Mode": 0o1750}}
    _, tasks = on_every_node(cluster, "scratch", mounts=[mount])
    for task in tasks:
        kind = printed(cluster, task, "stat -f -c %T /scratch; stat -c %a /scratch").split()
        wanted = ["tmpfs", "1750"]
        assert kind == wanted, f"in the task on {task.node}, /scratch is of file system and mode {kind}, not {wanted}"
        expect_room(cluster, task, "/scratch", MIB)


@claim("mounts/tmpfs-ends-with-task")
def test_what_is_in_a_tmpfs_is_gone_with_its_task(cluster):
    mount = {"Type": "tmpfs", "Target": "/scratch"}
    for host in cluster.sample:
        settings = {"restart": SOON, "constraints": [f"node.hostname=={host}"]}
        service = create(cluster, "scratch", mounts=[mount], **settings)
        (first,) = service.expect_running(1)
        printed(cluster, first, "echo kept > /scratch/file")
        host.docker(f"kill {first.container}").expect(f"docker kill on {host}")
        eventually(
            lambda service=service, first=first: (
                State(first.id not in [task.id for task in service.running()]) and service.converged(1)
            ),
            f"a task in place of the one that was killed on {host}",
            deadline=60,
        )
        (second,) = service.running()
        found = printed(cluster, second, "ls -A /scratch")
        assert not found, f"the next task on {host} finds in its tmpfs what the task before it wrote: {found}"


@claim("mounts/volume-options")
def test_a_volume_has_the_options_of_the_mount_where_the_task_runs(cluster):
    options, labels = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, {cluster.label: "", "colour": "blue"}
    for host in cluster.sample:
        volume = cluster.unique("volume")
        mount = {"Type": "volume", "Source": volume, "Target": "/data"}
        mount["VolumeOptions"] = {"Labels": labels, "DriverConfig": {"Name": "local", "Options": options}}
        service = create(cluster, "keeper", mounts=[mount], constraints=[f"node.hostname=={host}"])
        (task,) = service.expect_running(1)
        made = known(host, volume)
        assert made, f"{host} runs the task, and has no volume {volume}"
        found = made["Driver"], made["Labels"], made["Options"]
        assert found == ("local", labels, options), f"{volume} on {host} has driver, labels and options {found}"
        expect_room(cluster, task, "/data", MIB)
        has = nodes_where(lambda node, volume=volume: known(node, volume), cluster.nodes)
        elsewhere = [node.name for node in has if node is not host]
        assert not elsewhere, f"the only task runs on {host}, and {volume} is also on {few(elsewhere)}"


@claim("mounts/bind-needs-source")
def test_a_task_is_rejected_where_the_folder_is_missing_and_runs_where_it_is(cluster):
    host = cluster.sample[-1]
    others = [node for node in cluster.nodes if node is not host]
    bench = cluster.bench(host)
    folder = bench.folder({"file": "of the node"})
    try:
        mount = {"Type": "bind", "Source": folder, "Target": "/data"}
        service = create(cluster, "reader", mounts=[mount], everywhere=True, restart={"Condition": "none"})
        eventually(lambda: told(service, host, others, folder), f"tasks to run on {host} alone", deadline=60, stable=2)
        (task,) = service.running()
        read = printed(cluster, task, "cat /data/file")
        assert read == "of the node", f"the task on {host} reads {read!r} in the folder of {host}"
        printed(cluster, task, "echo of the task > /data/answer")
        answer = host.run(f"cat {folder}/answer").out.strip()
        assert answer == "of the task", f"what the task on {host} wrote is not in {folder} of {host}: {answer!r}"
        made = nodes_where(lambda node: node.run(f"test -e {folder}").ok, others)
        assert not made, f"{few(made)} rejected the task that wants {folder}, and has it now"
        service.remove()
        wait(lambda: State(not service.containers(host, all=True)), f"the container on {host} to be gone", deadline=60)
    finally:
        bench.clear()


def told(service, host, others, folder):
    """Whether the task on *host* runs and those on *others* were rejected, naming the folder."""
    tasks = {task.node: task for task in service.tasks()}
    wrong = [] if host.name in tasks and tasks[host.name].alive else [f"on {host}: {tasks.get(host.name, 'no task')}"]
    for node in others:
        task = tasks.get(node.name)
        # Some engines leave the path out.
        because = task and (folder in task.error or task.error.endswith("bind source path does not exist"))
        if not (because and task.state == "rejected"):
            wrong.append(f"on {node}: {task or 'no task'}")
    return State(not wrong, few(wrong, "; "))


@claim("mounts/read-only-root")
def test_a_task_with_a_read_only_root_writes_to_its_mounts_alone(cluster):
    mount = {"Type": "tmpfs", "Target": "/scratch"}
    _, tasks = on_every_node(cluster, "sealed", mounts=[mount], container={"ReadOnly": True})
    for task in tasks:
        for path in ("/new", "/tmp/new", "/bin/new"):
            expect_refused(cluster, task, path)
        printed(cluster, task, "echo x > /scratch/new")


@claim("mounts/read-only")
def test_a_read_only_mount_is_read_and_not_written(cluster):
    name = cluster.unique("volume")
    mount = {"Type": "volume", "Source": name, "VolumeOptions": {"Labels": {cluster.label: ""}}}
    both = [{**mount, "Target": "/data"}, {**mount, "Target": "/shown", "ReadOnly": True}]
    _, tasks = on_every_node(cluster, "reader", mounts=both)
    for task in tasks:
        printed(cluster, task, f"echo {task.id} > /data/file")
        shown = printed(cluster, task, "cat /shown/file")
        assert shown == task.id, (
            f"in the task on {task.node}, the read-only mount shows {shown!r}, not what was written"
        )
        expect_refused(cluster, task, "/shown/file")
