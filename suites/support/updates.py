"""How an update went, judged from what was seen of a service's tasks and containers while it went on."""

from dataclasses import dataclass

from swarmlab.cluster.service import ENDED
from swarmlab.wait import State
from swarmlab.watching.events import moment

#: Seconds by which times of one clock may be off: it may be corrected meanwhile.
CORRECTION = 0.3
#: For how long an update looks at a task before it goes on, in nanoseconds: where that is not what is judged.
AT_ONCE = int(1e8)


@dataclass(frozen=True)
class Replacement:
    """A task that was replaced by one of the new image.

    Attributes:
        old: the last task of the slot that ran before.
        new: the first of the new image.
        began: when the new one was made, in seconds by the leading manager's clock.
        unfinished: when it was last known not to run yet, by the same clock, as far as clocks are known.
    """

    old: object
    new: object
    began: float
    unfinished: float

    def __str__(self):
        return f"slot {self.new.slot} ({self.old.node} to {self.new.node or 'no node yet'})"


def leader(cluster):
    """Host name of the leading manager, whose clock gives the times of tasks."""
    leading = [one for one in cluster.members() if (one.get("ManagerStatus") or {}).get("Leader")]
    return leading[0]["Description"]["Hostname"]


def replacements(history, image, recorder=None, leader=""):
    """The replacements by tasks of *image*, one a slot, in the order in which they began.

    What a task was at each look tells when it did not run yet, and the containers' events that *recorder* has tell it
    more closely where looks are rare; *leader* is the host name of the leading manager.
    """
    lives = list(history.lives().values())
    first = {}
    for life in lives:
        if life[-1].image == image:
            first.setdefault(life[-1].slot, life)
    made = []
    for slot, life in first.items():
        old = [one[-1] for one in lives if one[-1].slot == slot and one[-1].image != image]
        waiting = [moment(task.updated) for task in life if task.state not in ENDED and task.state != "running"]
        if recorder:
            # The engine knows of both before the managers are told that the task runs.
            known = [recorder.of(action, life[0].id) for action in ("start", "health_status: healthy")]
            waiting += [recorder.clock(leader, event.earliest)[0] for event in known if event]
        began = moment(life[0].created)
        made.append(Replacement(old[-1] if old else life[-1], life[-1], began, max([began, *waiting])))
    return sorted(made, key=lambda one: one.began)


def pace(made, parallelism, delay):
    """What was wrong with how replacements followed each other, empty if nothing; *delay* is in seconds.

    However fast or slow the cluster is: when a replacement begins, all before it but at most P - 1 run already, and
    have run for the delay. Of a task's start only a moment is known at which it did not run yet, and which is before.
    """
    for place, one in enumerate(made):
        before = made[:place]
        under_way = [other for other in before if other.unfinished > one.began + CORRECTION]
        if len(under_way) >= parallelism:
            return (
                f"at most {parallelism} were to be replaced at a time, and {one} was when "
                f"{' and '.join(map(str, under_way))} did not run yet"
            )
        rested = [other for other in before if other.unfinished + delay <= one.began + CORRECTION]
        if len(rested) < place - parallelism + 1:
            early = next(other for other in reversed(before) if other not in rested)
            return (
                f"{delay} s were to pass between replacements of {parallelism} at a time, and {one} came "
                f"{one.began - early.unfinished:.1f} s after {early}"
            )
    return ""


def crowd(history, image, parallelism):
    """What was wrong with how many tasks were on their way at one moment, empty if nothing."""
    for tasks in history.looks:
        coming = [task for task in tasks if task.image == image and task.state not in ENDED and task.state != "running"]
        if len(coming) > parallelism:
            return f"at most {parallelism} were to be replaced at a time, and there were {'; '.join(map(str, coming))}"
    return ""


def shortage(history, wanted):
    """The look at which fewest tasks ran, in words, if they were fewer than *wanted*; empty if not."""
    fewest = min(history.looks, key=lambda tasks: sum(task.alive for task in tasks))
    count = sum(task.alive for task in fewest)
    recent = "; ".join(str(task) for task in fewest if task.state not in ENDED)
    return f"{count} tasks ran at a time, wanted were at least {wanted}: {recent}" if count < wanted else ""


def out_of_order(made, recorder, order):
    """Where a task was not replaced in the *order* wanted, told by its containers' events; empty if nowhere."""
    for one in made:
        first, second = (
            (recorder.of("die", one.old.id), recorder.of("start", one.new.id))
            if order == "stop-first"
            else (recorder.of("health_status: healthy", one.new.id), recorder.of("kill", one.old.id))
        )
        for event, what in ((first, "first"), (second, "second")):
            if event is None:
                return f"{one}: of what was to happen with {order}, the {what} did not: {seen(recorder, one)}"
        if second.before(first):
            return f"{one}: with {order}, {second} came before {first}"
    return ""


def seen(recorder, one):
    """The events of both containers of a replacement."""
    mine = [event for event in recorder.events if event.task in (one.old.id, one.new.id)]
    return ", ".join(map(str, mine)) or "no events"


def lacking(cluster, service, variable):
    """The running containers of a service that lack an environment variable ("RELEASE=2"), and what they have."""
    wrong = []
    for node in cluster.nodes:
        for container in node.containers(label=f"com.docker.swarm.service.id={service.id}"):
            has = node.ask("GET", f"/containers/{container['Id']}/json")["Config"]["Env"]
            if variable not in has:
                wrong.append(f"{container['Id'][:12]} on {node} has {', '.join(has)}")
    return wrong


def status(service):
    """How far the service's update or rollback is: updating, paused, completed, rollback_completed …; empty before."""
    return (service.inspect().get("UpdateStatus") or {}).get("State", "")


def updated(history, recorder, replicas, image):
    """Whether all tasks run *image*, with a look at how it goes; hopeless if the update was given up."""
    recorder.poll()
    tasks = history.look()
    state = history.service.converged(replicas, lambda task: task.image == image, tasks)
    if state:
        return state
    now = status(history.service)
    given_up = now == "paused" or now.startswith("rollback")
    if errors := history.errors():
        return State(False, f"the update is {now}; failed: {'; '.join(errors)}; {state.seen}", hopeless=given_up)
    return State(False, f"the update is {now}; {state.seen}", hopeless=given_up)


def differences(wanted, got, path=""):
    """Where two specifications differ, a line each: the key, what was wanted and what it is."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        keys = dict.fromkeys([*wanted, *got])
        return [line for key in keys for line in differences(wanted.get(key), got.get(key), f"{path}.{key}".strip("."))]
    return [] if wanted == got else [f"{path} is {got} and was {wanted}"]
