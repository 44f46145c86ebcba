"""8.4: the states of a task, each brought about and read through every manager."""

import re
import shlex
import time

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, table
from suites.support.health import slow_starter
from suites.support.subnets import free_subnets
from suites.support.task_states import all_listed, expect_all, listed_by
from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.fault import apply, kill
from swarmlab.cluster.leavings import LOOPBACK
from swarmlab.cluster.marks import removed
from swarmlab.cluster.service import TASK_LABEL
from swarmlab.errors import DeadlineExceeded
from swarmlab.lists import few
from swarmlab.wait import State, eventually, scaled, wait
from swarmlab.watching.events import Recorder

#: Ended tasks are not replaced.
NEVER_AGAIN = {"Condition": "none"}
#: An update replaces all tasks at the same time.
ALL_AT_ONCE = {"Parallelism": 0}


@claim("8.4/path")
def test_every_task_names_its_service_slot_and_node(cluster):
    replicas = 2 * len(cluster.nodes)
    for manager in cluster.managers:
        name = cluster.unique("path")
        command = f"service create --detach --replicas {replicas} --label {cluster.label} --name {name}"
        accepted(manager, f"{command} {cluster.image('client')}")
        service = cluster.service(name)
        tasks = service.expect_running(replicas)
        found = {
            container["Id"]: (node, container["Labels"])
            for node in cluster.nodes
            for container in service.containers(node)
        }
        for asked in cluster.managers:
            listed = asked.ask("GET", "/tasks", filters={"service": [name]})
            slots = sorted(raw.get("Slot", 0) for raw in listed)
            assert slots == list(range(1, replicas + 1)), f"{asked} lists slots {slots} of the {replicas} of {name}"
            services = {raw["ServiceID"] for raw in listed}
            assert services == {service.id}, f"{asked} lists tasks of {name} ({service.id}) as tasks of {services}"
        for task in tasks:
            assert task.container in found, (
                f"slot {task.slot} of {name} is on {task.node} by {manager}, and no node has it"
            )
            node, labels = found[task.container]
            assert task.node == node.name, f"slot {task.slot} of {name} is listed on {task.node}, and is on {node}"
            carried = labels.get("com.docker.swarm.task.name", "")
            wanted = f"{name}.{task.slot}.{task.id}"
            assert carried == wanted, f"the container of slot {task.slot} of {name} on {node} is named {carried}"
        service.remove()


@claim("8.4/state-new")
def test_a_task_that_nothing_is_allocated_to_is_new(cluster):
    # A network with room for five containers: all further tasks wait for an address.
    (wide,) = free_subnets(cluster)
    subnet = str(next(wide.subnets(new_prefix=29)))
    network = cluster.create_network("narrow", IPAM={"Config": [{"Subnet": subnet}]})
    service = cluster.create_service("many", "idle", replicas=9, networks=[network], endpoint_mode="dnsrr")

    def beginning():
        names = cluster.names()
        states = {}
        for manager in cluster.managers:
            tasks = [task for task in listed_by(manager, service, names) if not task.addresses]
            states[manager.name] = ", ".join(f"{task.slot} {task.state} on {task.node or 'no node'}" for task in tasks)
            if len(tasks) < 4 or any(task.state != "new" or task.node for task in tasks):
                return State(False, f"without an address {manager} lists: {states[manager.name] or 'none'}")
        return State(True, str(states))

    eventually(beginning, f"tasks of {service} that have no address yet to be new, on no node", stable=5, deadline=60)


@claim("8.4/state-pending")
def test_a_task_that_no_node_fits_is_pending(cluster):
    network = cluster.create_network("net")
    waiting = cluster.create_service(
        "waiting", "idle", replicas=3, networks=[network], constraints=[f"node.labels.{cluster.unique('no')}==node"]
    )
    expect_all(
        cluster,
        waiting,
        "pending",
        3,
        lambda task: not task.node and network in task.addresses,
        so=", with an address and without a node",
        stable=5,
    )


@claim("8.4/state-assigned")
def test_a_task_given_to_a_node_is_assigned(cluster):
    wrong = passed_through(
        cluster,
        "assigned",
        lambda look: (look.node and look.state in ("new", "pending")) or (look.state == "assigned" and not look.node),
    )
    assert not wrong, wrong


@claim("8.4/state-accepted")
def test_a_task_that_the_node_took_is_accepted(cluster):
    wrong = passed_through(cluster, "accepted", lambda look: look.state == "accepted" and not look.node)
    assert not wrong, wrong


def passed_through(cluster, state, contradicts):
    """Watch many tasks start until some are seen in a short *state*.

    Args:
        cluster: the swarm.
        state: the state.
        contradicts: whether a look at a task contradicts the claim. The message of *state* in another state always
            does.

    Returns:
        What contradicts the claim; empty if nothing does.

    Raises:
        DeadlineExceeded: no task was seen in the state.
    """
    names = cluster.names()
    for replicas in (9, 18, 27, 36):
        service = cluster.create_service("short", "idle", replicas=replicas)
        with cluster.lifelines.sampled(cluster.nodes, every=0.01, share=1.0, label=cluster.label):
            service.wait_running(replicas)
        looks = [look for life in cluster.lifelines.lives(service.id).values() for look in life]
        service.remove()
        for look in looks:
            if contradicts(look) or (state in look.message.split() and look.state != state):
                where = names.get(look.node, look.node) or "no node"
                return (
                    f'{look.manager} lists slot {look.slot} of {service} on {where} as {look.state} ("{look.message}")'
                )
        if any(look.state == state for look in looks):
            return ""
    raise DeadlineExceeded(f"of {9 + 18 + 27 + 36} tasks that were watched while they started, none was seen {state}")


class Gate:
    """A way of one node to the lab's registry that can be shut: a proxy on the node's loopback address."""

    def __init__(self, cluster, node, port):
        """Start the proxy of *node* at this port of its loopback address."""
        registry = cluster.image("x").partition("/")[0]
        encrypted = node.run(f"curl -sk -o /dev/null -m 10 https://{registry}/v2/").ok
        there = f"{'https' if encrypted else 'http'}://{registry}"
        server = f"server {{ listen {LOOPBACK}:{port}; location / {{ proxy_pass {there}; }} }}"
        settings = f"daemon off; pid /run/gate.pid; events {{}} http {{ access_log off; {server} }}"
        command = f"printf %s {shlex.quote(settings)} > /run/gate.conf; exec nginx -c /run/gate.conf"
        self.node = node
        # An engine that remaps users gives the host's network to containers of the host's users alone.
        host = "--network host --userns host"
        self._box = cluster.bench(node).start("web:1", host, f"sh -c {shlex.quote(command)}")

    def shut(self):
        """Hold all requests back from now on."""
        self._switch("pause")

    def open(self):
        """Let all requests through, also those that were held back."""
        self._switch("unpause")

    def _switch(self, word):
        self.node.ask("POST", f"/containers/{self._box}/{word}")


@pytest.fixture
def gates(cluster):
    """An image under a name that no node knows yet, and the open gates through which nodes pull it."""
    port = cluster.port()
    # A loopback address is the node itself on every node, so that the name is the same on all.
    image = f"{LOOPBACK}:{port}/{cluster.image('redis').partition('/')[2]}"
    gates = [Gate(cluster, node, port) for node in cluster.nodes]
    for node in cluster.nodes:
        wait(
            lambda node=node: node.run(f"curl --noproxy '*' -fs http://{LOOPBACK}:{port}/v2/").ok,
            f"the gate of {node} to let through",
        )
    yield image, gates
    for gate in gates:
        if gate.node.containers(status="paused", label=cluster.label):
            gate.open()
    cluster.clean()
    for node in cluster.nodes:  # the node may have the image by another name too
        # Refused while a container of the image is left.
        wait(lambda node=node: removed(node, f"/images/{image}"), f"{node} to lose the name {image}")


@claim("8.4/state-preparing")
def test_a_task_whose_image_is_fetched_is_preparing(cluster, gates):
    image, gates = gates
    for gate in gates:
        gate.shut()
    fetched = cluster.create_service("fetched", image, everywhere=True)
    count = len(cluster.nodes)
    expect_all(cluster, fetched, "preparing", count, lambda task: task.node, so=" while the image is fetched")
    running = [node.name for node in cluster.nodes if fetched.containers(node)]
    assert not running, f"without its image the task has a container on {few(running)}"
    for gate in gates:
        gate.open()
    fetched.wait_running(count)


@claim("8.4/state-starting")
def test_a_task_whose_container_is_being_started_is_starting(cluster):
    service = slow_starter(cluster)
    eventually(lambda: half_started(cluster, service), f"the tasks of {service} to be starting", stable=3, deadline=60)


@claim("8.4/state-running")
def test_a_task_is_running_when_its_container_runs_and_is_healthy(cluster):
    count = len(cluster.nodes)
    plain = cluster.create_service("plain", "idle", everywhere=True)
    checked = slow_starter(cluster)
    expect_all(cluster, plain, "running", count)
    for task in plain.tasks():
        running = [container["Id"] for container in cluster.node(task.node).containers()]
        assert task.container in running, f"{task.node} does not run the container of its task of {plain}: {task}"
    wait(
        lambda: all(containers_of(node, checked) for node in cluster.nodes), f"the containers of {checked}", deadline=60
    )
    for node in cluster.nodes:
        # Its health check has begun and not ended: the container runs, and is not known to be healthy yet.
        wait(
            lambda node=node: node.execute(containers_of(node, checked)[0], "[ -e /tmp/asked ]").ok, "a check to begin"
        )
        listed = {f"{manager} lists {listed_on(manager, cluster, checked, node)}" for manager in cluster.managers}
        early = [line for line in listed if "running" in line.partition(", wanted")[0]]
        assert not early, f"the container on {node} is not healthy yet, and {early[0]}"
        node.execute(containers_of(node, checked)[0], "touch /tmp/healthy").expect(error=AssertionError)
    expect_all(cluster, checked, "running", count, so=" once they are healthy")


def containers_of(node, service):
    """Return the ids of the running containers of *service* on *node*."""
    return [container["Id"] for container in service.containers(node)]


def listed_on(manager, cluster, service, node):
    """Return the tasks of *service* on *node* as *manager* lists them, for messages."""
    names = cluster.names()
    return "; ".join(str(task) for task in listed_by(manager, service, names) if task.node == node.name) or "nothing"


def half_started(cluster, service):
    """Whether the containers of *service* run on every node, and its tasks are starting."""
    idle = [node.name for node in cluster.nodes if not containers_of(node, service)]
    if idle:
        return State(False, f"no container on {few(idle)}")
    return all_listed(cluster, service, "starting", len(cluster.nodes))


@claim("8.4/state-complete")
def test_a_task_that_ended_with_exit_code_0_is_complete(cluster):
    done = ending(cluster, 0)
    expect_all(
        cluster, done, "complete", len(cluster.nodes), lambda task: task.exit_code == 0 and not task.error, stable=3
    )


@claim("8.4/state-failed")
def test_a_task_that_ended_with_another_exit_code_is_failed_and_shows_it(cluster):
    failed = ending(cluster, 37)
    count = len(cluster.nodes)
    expect_all(cluster, failed, "failed", count, lambda task: task.exit_code == 37, so=" with exit code 37", stable=3)
    for manager in cluster.managers:
        for task in listed_by(manager, failed, cluster.names()):
            shown = re.search(r"\b37\b", task.error)
            assert shown, (
                f"{manager} does not show the exit code 37 of the task on {task.node}: {task.error or 'no error'}"
            )


def ending(cluster, code):
    """Create a service with a task on every node that ends at once with this exit code, and is not replaced."""
    command = ["sh", "-c", f"exit {code}"]
    settings = {"command": command, "restart": NEVER_AGAIN, "update": ALL_AT_ONCE}
    return cluster.create_service(f"exit{code}", "idle", everywhere=True, **settings)


@claim("8.4/state-shutdown")
def test_a_task_that_the_swarm_stopped_is_shutdown(cluster):
    service = cluster.create_service("stopped", "idle", everywhere=True, update=ALL_AT_ONCE)
    count = len(cluster.nodes)
    old = {task.id for task in service.wait_running(count)}
    # Tasks that are replaced stay in the history.
    service.renew()
    eventually(
        lambda: replaced(cluster, service, old), f"the {count} tasks that were replaced to be shutdown", deadline=90
    )
    for node in cluster.nodes:
        running = {container["Labels"][TASK_LABEL] for container in service.containers(node)}
        assert not running & old, f"a task of {service} that was stopped still has a running container on {node}"


def replaced(cluster, service, old, state="shutdown"):
    """Whether every manager lists the *old* tasks (ids) of *service*, all in *state*."""
    names = cluster.names()
    wrong = []
    for manager in cluster.managers:
        tasks = listed_by(manager, service, names)
        wrong += [f"{manager} lists {task}" for task in tasks if task.id in old and task.state != state]
        if missing := old - {task.id for task in tasks}:
            wrong.append(f"{manager} has forgotten {len(missing)}")
    return State(not wrong, few(wrong, "; ") or "all are")


@claim("8.4/state-rejected")
def test_a_task_that_the_node_cannot_take_is_rejected_and_shows_why(cluster):
    missing = f"/var/tmp/{cluster.unique('missing')}"
    mounts = [{"Type": "bind", "Source": missing, "Target": "/data"}]
    service = cluster.create_service("refused", "idle", everywhere=True, mounts=mounts, restart=NEVER_AGAIN)
    count = len(cluster.nodes)
    where = f", naming {missing} as the reason"
    expect_all(cluster, service, "rejected", count, lambda task: names(task.error, missing), so=where, stable=3)
    for node in cluster.nodes:
        assert not containers_of(node, service), f"{node} rejected its task of {service}, and runs a container of it"


def names(error, missing):
    """Whether a task's error says that the source of its mount is missing; some engines leave the path out."""
    return missing in error or error.endswith("bind source path does not exist")


@claim("8.4/complete-is-final")
def test_a_complete_task_never_runs_again(cluster):
    count = len(cluster.nodes)
    closely = cluster.lifelines.sampled(cluster.nodes, every=0.05, share=0.5, label=cluster.label)
    with Recorder(cluster.nodes, every=0.5) as events, closely:
        service = ending(cluster, 0)
        expect_all(cluster, service, "complete", count)
        first = {task.id: task for task in service.tasks()}
        # New tasks of the same service are an occasion to run the old ones again.
        service.renew()
        wait(lambda: ended_twice(service, count), f"as many new tasks of {service} to end", deadline=90)
    for task in first.values():
        node = cluster.node(task.node)
        for life in (cluster.lifelines.lives(service.id)[task.id],):
            states = [got.state for got in life]
            after = states[states.index("complete") :] if "complete" in states else []
            assert set(after) <= {"complete"}, f"the task on {node} was complete, and then {', '.join(after)}"
        container = node.ask("GET", f"/containers/{task.container}/json")["State"]
        assert not container["Running"], f"the task on {node} is complete, and its container runs again"
    again = events.started_again()
    assert not again, "; ".join(again)
    still = all_listed(cluster, service, "complete", 2 * count)
    assert still, f"not all tasks of {service} are complete: {still.summary}"


def ended_twice(service, count):
    """Whether the tasks of *service* are twice *count*, all of them complete."""
    states = [task.state for task in service.tasks()]
    return State(states == ["complete"] * 2 * count, few(states))


@claim("8.4/service-ps")
def test_service_ps_shows_node_desired_and_current_state_with_age_and_error(cluster):
    count = len(cluster.nodes)
    begun = {manager.name: clock(manager) for manager in cluster.managers}
    running = cluster.create_service("running", "idle", everywhere=True)
    failed = ending(cluster, 37)
    waiting = cluster.create_service("waiting", "idle", constraints=[f"node.labels.{cluster.unique('no')}==node"])
    running.wait_running(count)
    for service, state, tasks in ((failed, "failed", count), (waiting, "pending", 1)):
        wait(lambda s=service, w=state, n=tasks: all_listed(cluster, s, w, n), f"{service} to be {state}", deadline=60)
    for manager in cluster.managers:
        for service in (running, failed, waiting):
            # The table first: the ages in it are then no older than those of the tasks.
            printed = accepted(manager, f"service ps --no-trunc {service.name}")
            rows = {row.get("ID", ""): row for row in table(printed)}
            tasks = listed_by(manager, service, cluster.names())
            ids = {task.id for task in tasks}
            assert rows.keys() == ids, (
                f"{manager} shows {len(rows)} tasks of {service}: {set(rows)}, and there are {ids}"
            )
            age = clock(manager) - begun[manager.name] + LENIENT
            for task in tasks:
                wrong = misshown(rows[task.id], task, age)
                assert not wrong, f"{manager} shows of the task of {service} on {task.node or 'no node'} {wrong}"
                # The node's clock stamps the state of a task, the manager's clock gives its age.
                since = seconds_of(task.at) - begun[manager.name]
                assert -LENIENT <= since <= age, (
                    f"the task of {service} on {task.node or 'no node'} is {task.state} since {since:+.0f} s from its "
                    f"creation by the clock of {manager}, and that was {age - LENIENT:.0f} s ago"
                )


#: Seconds by which clocks may differ.
LENIENT = 180


def clock(node):
    """Return the time by a node's clock, in seconds."""
    return float(node.run("date +%s").out)


def misshown(row, task, oldest):
    """Return what a row of service ps shows wrong of a task at most *oldest* seconds old; empty if nothing is wrong."""
    current, _, age = row.get("CURRENT STATE", "").partition(" ")
    wanted = {"NODE": task.node, "DESIRED STATE": task.desired, "ERROR": f'"{task.error}"' if task.error else ""}
    for column, value in wanted.items():
        found = row.get(column, "(no such column)")
        if found.lower() != value.lower():
            return f"as {column} {found or 'nothing'}, and it is {value or 'nothing'}"
    if current.lower() != task.state:
        return f"as CURRENT STATE {current or 'nothing'}, and it is {task.state}"
    if (shown := seconds(age)) is None or shown > oldest:
        return f"as CURRENT STATE {row['CURRENT STATE']}, and it was created {oldest - LENIENT:.0f} s ago"
    return ""


def seconds(age):
    """Return the least seconds that an age such as "About a minute ago" stands for; None if it is no age."""
    found = re.fullmatch(
        r"(?:less than a |about an? )?(\d+ )?(second|minute|hour|day|week|month|year)s? ago", age.lower()
    )
    units = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2e6, "year": 3e7}
    return int(found[1] or 1) * units[found[2]] if found else None


@claim("8.4/state-orphaned")
@pytest.mark.takes(hours=25)
def test_the_tasks_of_a_node_that_is_away_for_24_hours_are_orphaned(cluster):
    lost = next(node for node in cluster.nodes if node not in cluster.managers)
    service = cluster.create_service("left", "idle", constraints=[f"node.hostname=={lost}"])
    (task,) = service.wait_running(1)
    apply(kill(lost), cluster)
    killed = time.monotonic()

    def orphaned():
        hours = (time.monotonic() - killed) / 3600
        states = [listed.state for listed in service.tasks() if listed.id == task.id]
        early = not states or (states == ["orphaned"] and hours < 23)
        summary = f"{hours:.1f} hours after the node was lost it is {few(states) or 'not listed'}"
        return State(states == ["orphaned"] and not early, summary, hopeless=early)

    hour = 3600 / scaled(1)  # an hour by the clock, also on a slow lab
    # The managers count the 24 hours from when they noticed.
    eventually(orphaned, f"the task of {lost}, which is away, to be orphaned", deadline=25 * hour, every=60)
