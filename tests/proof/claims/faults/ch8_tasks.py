"""8.4 and 8.2.2: managers that report other states, and nodes that start ended tasks again.

No engine has tasks in other states, so the managers' answers are changed.
"""

import itertools
from datetime import datetime, timedelta

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, wrap


def instead_of(state, instead):
    """Return answers in which tasks in *state* are in another state."""
    return {"/tasks": (f'"State":"{state}"', f'"State":"{instead}"')}


def now_and_then():
    """Return a replacement that reports a running task as starting, one time in a hundred."""
    count = itertools.count()

    def change(found):
        return found[0].replace("running", "starting") if next(count) % 100 == 99 else found[0]

    return change


def an_hour_ago(found):
    """Return a matched time, one hour earlier."""
    earlier = datetime.fromisoformat(found[2][:19]) - timedelta(hours=1)
    return found[1] + earlier.isoformat() + found[2][19:]


TOGETHER = "tasks in other states"
APART = "tasks with other facts"

#: By fault: a state, the state that managers report in its place, and the reason that the claim must fail with.
OTHER_STATES = [
    ("no task is new", "new", "pending", "without an address master lists: .* pending"),
    ("no task is assigned", "assigned", "pending", r"\w+ lists slot \d+ of \S+ on \w+ as pending"),
    ("no task is accepted", "accepted", "ready", r"\w+ lists slot \d+ of \S+ on \w+ as \w+ \(\"accepted\"\)"),
    ("no task is preparing", "preparing", "ready", r"master lists @slave02 (ready|starting)"),
    ("what ended well failed", "complete", "failed", "master lists @slave02 failed"),
    ("what was stopped ended by itself", "shutdown", "complete", "master lists @slave02 (complete|failed)"),
]

FAULTS = [
    *(
        ClaimFault(name, {f"8.4/state-{state}": reason}, answers=instead_of(state, instead), run=TOGETHER)
        for name, state, instead, reason in OTHER_STATES
    ),
    ClaimFault(
        "tasks go back",
        {"8.2.2/one-way": r"task \w+ of slot \d+ of \S+ on \w+ went back from running .* to starting \(reported by "},
        answers={"/tasks": ('"State":"running"', now_and_then())},
    ),
    ClaimFault(
        "a node starts ended tasks again",
        {
            "8.2.2/one-way": r"task \w+ on slave01 was started again",
            "8.4/complete-is-final": r"task \w+ on slave01 was started again|task on slave01 is complete, and its",
        },
        script=background(
            "while :; do for box in $(docker ps -aq -f label=com.docker.swarm.task.id -f status=exited); do"
            " docker start $box; done; sleep 0.2; done"
        ),
        nodes=("slave01",),
    ),
    ClaimFault(
        "tasks run before they are healthy",
        {
            "8.4/state-starting": "master lists @slave02 running",
            "8.4/state-running": "is not healthy yet, and|does not run the container of its task",
        },
        answers=instead_of("starting", "running"),
        run=TOGETHER,
    ),
    ClaimFault(
        "exit codes are not shown",
        {"8.4/state-failed": "with exit code 37: .* master lists @slave02 failed"},
        answers={"/tasks": ('"ExitCode":37', '"ExitCode":0')},
        run=TOGETHER,
    ),
    ClaimFault(
        "nobody says why a task is rejected",
        {"8.4/state-rejected": "naming /var/tmp/.*master lists @slave02 rejected"},
        answers={"/tasks": (r"swc-missing-\w+", "somewhere")},
        run=TOGETHER,
    ),
    ClaimFault(
        "no task is pending",
        {"8.4/state-pending": r"master lists \d@no node assigned"},
        answers=instead_of("pending", "assigned"),
        run=APART,
    ),
    ClaimFault(
        "errors lack the exit code",
        {"8.4/state-failed": r"master does not show the exit code 37 of the task on slave0\d"},
        answers={"/tasks": (r"exit \(37\)", "exit")},
        run=APART,
    ),
    ClaimFault(
        "two tasks share a slot",
        {"8.4/path": r"\w+ lists slots \[1, 1, 3"},
        answers={"/tasks": ('"Slot":2', '"Slot":1')},
        run=APART,
    ),
    ClaimFault(
        "service ps shows no ages",
        {"8.4/service-ps": "on (master|slave01|slave02) as CURRENT STATE Running"},
        script=wrap('"service ps"*) docker.real "$@" | sed "s/ago/   /"; exit'),
    ),
    ClaimFault(
        "service ps shows no errors",
        {"8.4/service-ps": "on (master|slave01|slave02) as ERROR nothing"},
        script=wrap('"service ps"*) docker.real "$@" | sed \'s/"task: .*//\'; exit'),
    ),
    ClaimFault(
        "clocks of nodes are an hour late",
        {"8.4/service-ps": r"task of \S+ on \w+ is running since -3[56]\d\d s"},
        answers={"/tasks": (r'("Status":\{"Timestamp":")([^"]*)', an_hour_ago)},
    ),
]
