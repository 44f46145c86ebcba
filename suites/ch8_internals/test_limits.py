"""8.2: the specification of a service, and the limits of its tasks."""

import json

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.memory import expect_tasks_killed
from suites.support.placement import one_on_each
from swarmlab.lists import few
from swarmlab.wait import State, eventually, scaled

MIB = 1024**2
SECOND = 10**9
#: Settings of the service of 8.2/specification, as the API takes them.
LIMITS = {"NanoCPUs": SECOND // 2, "MemoryBytes": 128 * MIB}
RESERVATIONS = {"NanoCPUs": SECOND // 100, "MemoryBytes": 16 * MIB}
UPDATE = {
    "Parallelism": 2,
    "Delay": 3 * SECOND,
    "FailureAction": "rollback",
    "Monitor": 7 * SECOND,
    "MaxFailureRatio": 0.25,
    "Order": "start-first",
}

MEMORY = 64 * MIB
#: A quarter of a processor: in billionths of a processor (NanoCPUs), and in microseconds of each 100 000.
CPU, QUOTA = SECOND // 4, 25_000

#: Waits for a file, then asks for three times its memory; if it is not killed, it ends with exit code 0.
EATS = "trap exit TERM; until [ -e /run/eat ]; do sleep 0.2; done; exec dd if=/dev/zero of=/dev/null bs=192M count=1"
#: Is busy as long as there is a file.
BUSY = "trap exit TERM; while :; do while [ -e /run/busy ]; do :; done; sleep 0.2; done"
#: The container's cgroup, of version 2: the root, unless the engine is set to show containers the host's cgroups.
CGROUP = "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)"
#: Print the limits of the container's cgroup, of version 2 or 1: bytes; microseconds, and the period that they are of.
READ_MEMORY = f"cat {CGROUP}/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
READ_CPU = (
    f"cat {CGROUP}/cpu.max 2>/dev/null || cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us"
)
#: Prints how often the container was throttled, its processor time in nanoseconds, and the clock in nanoseconds.
READ_USE = (
    f"sed -n 's/^nr_throttled //p' {CGROUP}/cpu.stat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null;"
    f" sed -n 's/^usage_usec \\(.*\\)/\\1000/p' {CGROUP}/cpu.stat 2>/dev/null;"
    " cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null; date +%s%N"
)


@claim("8.2/specification")
@pytest.mark.parametrize("made_by", ["command line", "API"])
def test_inspect_returns_what_the_service_was_given(cluster, network, made_by):
    port = cluster.port()
    create = by_command if made_by == "command line" else by_api
    name = create(cluster, network, port)
    identity = cluster.manager.ask("GET", f"/networks/{network}")["Id"]
    given = {
        "image": cluster.image("web:1"),
        "command": ["sh", "-c", "exec web"],
        "published ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "ingress"}],
        "networks": [identity],
        "limits": LIMITS,
        "reservations": RESERVATIONS,
        "update policy": UPDATE,
        "replicas": 2,
    }
    (inspected,) = json.loads(accepted(cluster.manager, f"service inspect {name}"))
    for source, spec in (
        ("docker service inspect", inspected["Spec"]),
        ("the API", cluster.service(name).inspect()["Spec"]),
    ):
        described = parts(spec)
        for what, value in given.items():
            found = described[what]
            assert found == value, f"made by {made_by}, {what}: {source} shows {found}, and {value} was given"
    cluster.service(name).expect_running(2)


def by_command(cluster, network, port):
    """Create the service with the command line, and return its name."""
    name = cluster.unique("specified")
    options = (
        f"--name {name} --label {cluster.label} --replicas 2 --publish {port}:80 --network {network}"
        " --limit-cpu 0.5 --limit-memory 128M --reserve-cpu 0.01 --reserve-memory 16M"
        " --update-parallelism 2 --update-delay 3s --update-failure-action rollback --update-monitor 7s"
        " --update-max-failure-ratio 0.25 --update-order start-first"
    )
    accepted(cluster.manager, f"service create --detach {options} {cluster.image('web:1')} sh -c 'exec web'")
    return name


def by_api(cluster, network, port):
    """Create the same service with a call of the API, and return its name."""
    return cluster.create_service(
        "specified",
        "web:1",
        replicas=2,
        command=["sh", "-c", "exec web"],
        publish={port: 80},
        networks=[network],
        limits=LIMITS,
        reservations=RESERVATIONS,
        update=UPDATE,
    ).name


def parts(spec):
    """Return the parts of a specification that the document names, as inspect shows them."""
    task, container = spec["TaskTemplate"], spec["TaskTemplate"]["ContainerSpec"]
    resources = task.get("Resources", {})
    return {
        "image": container["Image"].split("@")[0],
        # The command line sets arguments (Args); the image has no entry point, so that they are the command.
        "command": container.get("Command") or container.get("Args"),
        "published ports": spec.get("EndpointSpec", {}).get("Ports"),
        "networks": [attached["Target"] for attached in task.get("Networks") or spec.get("Networks") or []],
        "limits": resources.get("Limits"),
        "reservations": resources.get("Reservations"),
        "update policy": spec.get("UpdateConfig"),
        "replicas": spec["Mode"].get("Replicated", {}).get("Replicas"),
    }


@claim("8.2/limits-enforced")
def test_a_task_over_its_memory_limit_is_killed_and_replaced(cluster):
    eater = cluster.create_service(
        "eater",
        "client",
        everywhere=True,
        command=["sh", "-c", EATS],
        limits={"MemoryBytes": MEMORY},
        restart={"Delay": 0},
    )
    eventually(lambda: one_on_each(eater, cluster.nodes), "a task on every node", deadline=60)
    tasks = eater.running()
    for task in tasks:
        held = cluster.probe(task).run(READ_MEMORY).out.strip()
        assert held == str(MEMORY), f"memory on {task.node} is limited to {held} bytes, not to {MEMORY}"
    expect_tasks_killed(cluster)
    for task in tasks:
        cluster.probe(task).run("touch /run/eat")
    ids = {task.id for task in tasks}

    def killed():
        ended = [task for task in eater.tasks() if task.id in ids]
        wrong = [
            f"{task} with exit code {task.exit_code}"
            for task in ended
            if (task.state, task.exit_code) != ("failed", 137)
        ]
        # A task that has ended with exit code 0, or is not listed, can no longer be killed.
        hopeless = any(task.state == "complete" for task in ended) or len(ended) < len(ids)
        return State(not wrong and not hopeless, f"not killed: {'; '.join(wrong) or 'none'}", hopeless=hopeless)

    eventually(killed, f"tasks that take 192 MiB to be killed at their limit of {MEMORY // MIB} MiB", deadline=60)
    eventually(lambda: one_on_each(eater, cluster.nodes), "every killed task to be replaced", deadline=60)
    again = ids & {task.id for task in eater.running()}
    assert not again, f"tasks were killed and run again: {again}"


@claim("8.2/limits-enforced")
def test_a_busy_task_gets_no_more_than_its_share_of_the_processor(cluster):
    busy = cluster.create_service(
        "busy",
        "client",
        everywhere=True,
        command=["sh", "-c", BUSY],
        limits={"NanoCPUs": CPU},
    )
    eventually(lambda: one_on_each(busy, cluster.nodes), "a task on every node", deadline=60)
    tasks = busy.running()
    for task in tasks:
        quota, period = map(int, cluster.probe(task).run(READ_CPU).out.split())
        assert quota * 100_000 == QUOTA * period, f"a task on {task.node} has {quota} of {period} us, not a quarter"
    most = most_busy(cluster)
    for some in (tasks[place : place + most] for place in range(0, len(tasks), most)):
        for task in some:
            cluster.probe(task).run("touch /run/busy").expect()
        first = {task.node: used(cluster, task) for task in some}
        eventually(
            lambda some=some, first=first: held_back(cluster, some, first),
            "a busy task of a quarter of a processor to be held back on every node",
            deadline=60,
        )
        for task in some:
            cluster.probe(task).run("rm /run/busy").expect()


def most_busy(cluster):
    """Return on how many nodes a task may be busy at the same time, so that their processors could give it more."""
    if all(node.own_processors for node in cluster.nodes):
        return len(cluster.nodes)
    processors = min(member["Description"]["Resources"]["NanoCPUs"] for member in cluster.members())
    return max(processors // (2 * CPU), 1)


def held_back(cluster, tasks, first):
    """Whether busy tasks were held back since the first look, each for long enough to show."""
    free, span = [], int(scaled(3) * SECOND)
    for task in tasks:
        throttled, had, at = (now - then for now, then in zip(used(cluster, task), first[task.node], strict=True))
        # A busy node gives the task less than its share, so that there is nothing to hold back.
        if at < span or (throttled < 5 and had > 0.9 * at * CPU / SECOND):
            free.append(f"{task.node} {throttled} times in {at / SECOND:.0f} s")
        # One period may have begun before the first look.
        elif had > 1.5 * (at * CPU / SECOND) + CPU:
            return State(False, f"on {task.node} it had {had / SECOND:.1f} s of {at / SECOND:.1f}", hopeless=True)
    return State(not free, f"hardly held back: {few(free) or 'none'}")


def used(cluster, task):
    """Return the numbers of `READ_USE`: how often the task was throttled, its processor time, and the clock."""
    return tuple(map(int, cluster.probe(task).run(READ_USE).out.split()))
