"""Jobs: engines that take no notice of what makes a service a job."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, wrap

CREATE = "/services/create"

FAULTS = [
    ClaimFault(
        "a job is complete one task early",
        {"jobs/replicated-completes": "7 tasks of .* to complete.*6 complete, wanted 7"},
        asks={CREATE: ('"TotalCompletions":7', '"TotalCompletions":6')},
        run="jobs a",
    ),
    ClaimFault(
        "a job runs one task more at a time",
        {"jobs/max-concurrent": r"2 tasks of .* to run at a time.* at most 2 may begin: .*@.*@.*@"},
        asks={CREATE: ('"TotalCompletions":5,"MaxConcurrent":2', '"TotalCompletions":5,"MaxConcurrent":3')},
        run="jobs b",
    ),
    ClaimFault(
        "a node runs again what is complete",
        {"jobs/global-completes": r"all 3 tasks of which are complete, to run no more.*running: \w+ on slave02"},
        script=background(
            "while sleep 0.2; do docker start $(docker ps -aq -f status=exited -f label=com.docker.swarm.task.id); done"
        ),
        nodes=("slave02",),
    ),
    ClaimFault(
        "a forced update does not run a job again",
        {"jobs/forced-update-runs-again": "a forced update to run .* job, again: 3 more.*0 complete"},
        script=wrap('"service update --detach --force"*) exit 0'),
        nodes=("master",),
        run="jobs a",
    ),
    ClaimFault(
        "failed tasks of jobs are left",
        {"jobs/failed-is-retried": "that failed with exit code 3 to be tried again.*no task"},
        asks={CREATE: ('"Condition":"on-failure"', '"Condition":"none"')},
        run="jobs a",
    ),
    ClaimFault(
        "the API miscounts what is complete",
        {"jobs/listed-completions": r"lists to show 0 of 3 .*the API of master says 2 run and 7 are complete"},
        answers={"/services": ('"CompletedTasks":0', '"CompletedTasks":7')},
        run="jobs a",
    ),
    ClaimFault(
        "docker service ls does not tell how far jobs are",
        {"jobs/listed-completions": "docker service ls on master shows .* replicated job"},
        script=wrap('"service ls"*) docker.real "$@" | sed "s/(. *.3 completed)//"; exit'),
        nodes=("master",),
        run="jobs b",
    ),
]
