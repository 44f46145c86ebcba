"""Services: managers that replace too many tasks or too few, and engines that stop containers otherwise."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, wrap

CREATE, UPDATE = "/services/create", "/update"

FAULTS = [
    ClaimFault(
        "scaling replaces all tasks",
        {"services/scale-keeps-tasks": "was scaled up, and tasks that ran were replaced"},
        asks={UPDATE: ('"ForceUpdate":0', '"ForceUpdate":1')},
        run="services d",
    ),
    ClaimFault(
        "a label replaces all tasks",
        {"services/label-replaces-no-task": "services that were given a label to run on.*new is "},
        script=wrap(
            '"service update --detach --label-add"*) docker.real "$@"; for last; do :; done;'
            " exec docker.real service update --detach --force $last"
        ),
        nodes=("master",),
        run="services d",
    ),
    ClaimFault(
        "a forced update replaces nothing",
        {"services/force-replaces-all": "a forced update to replace every task.*kept: "},
        script=wrap('"service update --detach --force "*) exit 0'),
        nodes=("master",),
        run="services e",
    ),
    ClaimFault(
        "tasks are replaced although they must not be",
        {"services/restart-none": "that ended with 0, with the restart condition none, to end and not to be replaced"},
        asks={CREATE: ('"Condition":"none"', '"Condition":"any"')},
        run="services d",
    ),
    ClaimFault(
        "what ended well is replaced like what failed",
        {"services/restart-on-failure": "that ended well, with the restart condition on-failure, to end and not to be"},
        asks={CREATE: ('"Condition":"on-failure"', '"Condition":"any"')},
        run="services d",
    ),
    ClaimFault(
        "what ended well is left",
        {"services/restart-any": "that ended with 0, with the restart condition any, to be replaced"},
        asks={CREATE: ('"Condition":"any"', '"Condition":"on-failure"')},
        run="services e",
    ),
    ClaimFault(
        "nobody counts restarts",
        {"services/restart-max-attempts": "that were replaced 2 times, as often as they may, to end and not to be"},
        asks={CREATE: ('"MaxAttempts":2', '"MaxAttempts":0')},
        run="services d",
    ),
    ClaimFault(
        "restarts count for ever",
        {"services/restart-window": "may be replaced once in the window, and were before it, to be replaced"},
        asks={CREATE: (r'"Window":\d+', '"Window":0')},
        run="services d",
    ),
    ClaimFault(
        "no other node is tried",
        {"services/placed-where-it-starts": "to run on slave02, as master lacks the folder that they mount"},
        script=background("while sleep 0.2; do docker node update --availability pause slave02; done"),
        nodes=("master",),
    ),
    ClaimFault(
        "a node that was restarted is given nothing",
        {"services/back-after-restart": "slave01, which was restarted, to run its part.*0 on slave01"},
        # A node runs this file when it starts, so for the first time when it is started again.
        script="sed -i \"4i (su - hadoop -c 'ssh master docker node update --availability pause slave01') &\""
        " /usr/local/sbin/node-start",
        nodes=("slave01",),
    ),
    ClaimFault(
        "the replicas of all nodes are replaced when one is restarted",
        {"services/back-after-restart": r"slave01 was restarted, and tasks of other nodes were replaced: \w+ on "},
        script="sed -i \"4i (su - hadoop -c 'ssh master docker service ls -q --filter mode=replicated |"
        " xargs -I {} ssh master docker service update --detach --force {}') &\" /usr/local/sbin/node-start",
        nodes=("slave01",),
    ),
    ClaimFault(
        "every process is told to end in the same way",
        {"containers/stop-signal": "ends with 41 at SIGUSR1 was stopped, and ended with 42"},
        asks={CREATE: ('"StopSignal":"SIGUSR1"', '"StopSignal":"SIGTERM"')},
        run="services d",
    ),
    ClaimFault(
        "no process is given the time that it is promised",
        {"containers/stop-grace-period": r"was killed after \d\.\d s, its grace is"},
        asks={CREATE: (r'"StopGracePeriod":\d+', '"StopGracePeriod":500000000')},
        run="services d",
    ),
]
