"""How containers of tasks are stopped: signal and grace period."""

import math

from fixtures.claims import claim
from suites.support.ending import AT_ONCE
from swarmlab.cluster.service import ENDED
from swarmlab.lists import few
from swarmlab.wait import State, scaled, wait
from swarmlab.watching.events import Recorder

#: Ends with an exit code of its own for each of two signals.
TELLS_SIGNALS = ["sh", "-c", "trap 'exit 41' USR1; trap 'exit 42' TERM; while :; do sleep 0.1; done"]
#: Ignores the request to end.
DEAF = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]
#: Ends by itself two seconds after it was asked to, or once it has this file.
SLOW = ["sh", "-c", "trap 'sleep 2; exit 43' TERM; while :; do sleep 0.1; done"]


def with_container(**keys):
    """Return a change of a specification that sets these keys of its containers."""
    return lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(keys)


def stopped(cluster, service):
    """Stop the tasks of a service by replacing them all; return how each container ended, by node.

    Returns:
        Exit code by host name.
    """
    tasks = service.wait_running(len(cluster.nodes))
    service.renew()
    ids = {task.id for task in tasks}

    def all_ended():
        going = [str(task) for task in service.tasks() if task.id in ids and task.state not in ENDED]
        return State(not going, few(going, "; "))

    wait(all_ended, f"the tasks of {service} to be stopped", deadline=90)
    ended = {}
    for task in tasks:
        state = cluster.node(task.node).ask("GET", f"/containers/{task.container}/json")["State"]
        ended[task.node] = state["ExitCode"]
    return ended


ALL = {"Parallelism": 0}


@claim("containers/stop-signal")
def test_the_stop_signal_of_a_service_reaches_its_process(cluster):
    for signal, code in (("SIGUSR1", 41), ("SIGTERM", 42)):
        work = cluster.create_service(
            "signalled",
            "idle",
            everywhere=True,
            command=TELLS_SIGNALS,
            update=ALL,
            restart=AT_ONCE,
            alter=with_container(StopSignal=signal),
        )
        ended = stopped(cluster, work)
        wrong = [f"{found} on {node}" for node, found in ended.items() if found != code]
        assert not wrong, f"a process that ends with {code} at {signal} was stopped, and ended with {few(wrong)}"
        work.remove()


@claim("containers/stop-grace-period")
def test_a_process_that_does_not_end_is_killed_after_the_grace_period(cluster):
    grace = math.ceil(scaled(4))  # engines take whole seconds and cut the rest
    settings = {"everywhere": True, "update": ALL, "restart": AT_ONCE}
    deaf = cluster.create_service("deaf", "idle", command=DEAF, stop_grace=grace, **settings)
    slow = cluster.create_service("slow", "idle", command=SLOW, stop_grace=scaled(30), **settings)
    tasks = deaf.wait_running(len(cluster.nodes))
    with Recorder(cluster.nodes, every=0.5) as events:
        ended = stopped(cluster, deaf)
        patient = stopped(cluster, slow)
    wrong = [f"{code} on {node}" for node, code in ended.items() if code != 137]
    assert not wrong, f"a process that ignores SIGTERM must be killed (137), and ended with {few(wrong)}"
    for task in tasks:
        asked, died = events.of("kill", task.id), events.of("die", task.id)
        assert asked, f"{task.node} tells nothing of a signal to {task.container[:12]}"
        assert died, f"{task.node} tells nothing of the end of {task.container[:12]}"
        took = died.earliest - asked.earliest
        assert took > grace - 0.5, f"a task on {task.node} was killed after {took:.1f} s, its grace is {grace:.0f} s"
        late = grace + scaled(20)
        assert took < late, f"a task on {task.node} was killed after {took:.1f} s only, its grace is {grace:.0f} s"
    wrong = [f"{code} on {node}" for node, code in patient.items() if code != 43]
    assert not wrong, f"a process that ends with 43 within its grace period was stopped, and ended with {few(wrong)}"
