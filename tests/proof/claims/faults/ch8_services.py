"""8.2 to 8.2.4: services, tasks and their containers."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, reword, wrap

_OF_SERVICE = "$(docker inspect --format '{{index .Config.Labels \"com.docker.swarm.service.id\"}}' $id)"
_OF_TASK = "$(docker inspect --format '{{index .Config.Labels \"com.docker.swarm.task.id\"}}' $id)"
_ENDED = "docker ps -aq --filter status=exited --filter label=com.docker.swarm.task.id"


def written(value: str, *files: str) -> str:
    """Keep writing *value* into files of every container's cgroup, in this order."""
    writing = "; ".join(f"echo {value} > $at/{file}" for file in files)
    return background(
        f"while sleep 0.05; do for at in $(find /sys/fs/cgroup -path '*docker/*' -name {files[0]} -printf '%h\\n'); do"
        f" {writing}; done; done"
    )


FAULTS = [
    ClaimFault(
        "create takes another limit",
        {"8.2/specification": "made by command line, limits: docker service inspect shows"},
        script=wrap(reword('"service create --detach --name"*', ("128M", "256M"))),
        nodes=("master",),
        run="services a",
    ),
    ClaimFault(
        "the API shows another update policy",
        {"8.2/specification": "update policy: the API shows"},
        answers={"": ('"FailureAction":"rollback"', '"FailureAction":"pause"')},
    ),
    ClaimFault(
        "a node does not limit memory",
        {"8.2/limits-enforced": "memory on slave01 is limited to"},
        script=written("-1", "memory.memsw.limit_in_bytes", "memory.limit_in_bytes"),
        nodes=("slave01",),
        run="services a",
    ),
    ClaimFault(
        "a node does not kill what is over its limit",
        {"8.2/limits-enforced": "to be killed at their limit.* not killed: @slave02"},
        script=written("1", "memory.oom_control"),
        nodes=("slave02",),
        run="services c",
    ),
    ClaimFault(
        "a node does not limit the processor",
        {"8.2/limits-enforced": "a task on slave01 has -1 of"},
        script=written("-1", "cpu.cfs_quota_us"),
        nodes=("slave01",),
        run="services b",
    ),
    ClaimFault(
        "a node replaces nothing that is killed",
        {"8.2.1/desired-state": "killed to be replaced on every node.* 0 on slave02"},
        script=wrap('"kill "*) su - hadoop -c "ssh master docker node update --availability pause slave02"'),
        nodes=("slave02",),
    ),
    ClaimFault(
        "a failure takes the node's other containers along",
        {"8.2.1/tasks-independent": "a task on slave01 failed, and others"},
        script=wrap('"exec "*"echo 1 > /run/end") docker.real "$@"; docker.real kill $(docker.real ps -q); exit 0'),
        nodes=("slave01",),
        run="services a",
    ),
    ClaimFault(
        "a container is left over for a task that ended",
        {
            "8.2.1/one-container-per-task": "running without a running task: .*slave02",
            "8.2.1/task-ends-with-container": "containers run: .* on slave02",
        },
        script=background(
            f"while sleep 0.3; do for id in $({_ENDED}); do\n"
            f"docker run -d --label com.docker.swarm.service.id={_OF_SERVICE}"
            f" --label com.docker.swarm.task.id={_OF_TASK} registry:5000/client; sleep 2\ndone; done"
        ),
        nodes=("slave02",),
    ),
    ClaimFault(
        "no node replaces what crashed",
        {"8.2.2/slot-refilled": "crashed tasks to be replaced"},
        script=wrap(
            '"exec "*"echo 1 > /run/end") for node in master slave01 slave02; do'
            ' su - hadoop -c "ssh master docker node update --availability pause $node"; done'
        ),
        nodes=("slave02",),
    ),
    ClaimFault(
        "a node starts what failed once more",
        {"8.2.2/failed-is-not-restarted": "failed tasks to stay as they ended.*slave02.* runs again"},
        script=background(
            f": > /run/none; while sleep 0.3; do for id in $({_ENDED}); do\n"
            "docker cp /run/none $id:/run/end && docker start $id\ndone; done"
        ),
        nodes=("slave02",),
        run="services a",
    ),
    ClaimFault(
        "no history is kept",
        {"8.2.2/failed-is-not-restarted": "is in no history"},
        script=background("until docker swarm update --task-history-limit 0; do sleep 0.2; done"),
        nodes=("master",),
    ),
    ClaimFault(
        "a node is active all the time",
        {
            "8.2.3/pending-all-drained": "pending.*@slave01",
            "8.2.3/first-active-takes-all": "pending.*@slave01|to run all.*@slave01",
        },
        script=background("while sleep 0.3; do docker node update --availability active slave01; done"),
        nodes=("master",),
    ),
    ClaimFault(
        "another node is activated too",
        {"8.2.3/first-active-takes-all": "master, the first active node, to run all .*@slave02"},
        script=wrap(
            '"node update --availability active master") docker.real node update --availability active slave02;'
            ' exec docker.real "$@"'
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "what waits is given less",
        {"8.2.3/pending-memory": "pending.*@(master|slave)"},
        script=background(
            "while sleep 0.5; do for one in $(docker service ls --format '{{.Name}} {{.Replicas}}' | grep ' 0/' |"
            " cut -d ' ' -f 1); do docker service update --detach --reserve-memory 4M $one; done; done"
        ),
        nodes=("master",),
        run="services b",
    ),
    ClaimFault(
        "no reason is given",
        {
            "8.2.3/pending-memory": "waits for memory that no node has, and its task shows: pending",
            "8.2.3/pending-constraint": "waits for a label, and its task shows: pending",
        },
        answers={"/tasks": ('"Err":"no suitable[^"]*"', '"Err":""')},
        run="services a",
    ),
    ClaimFault(
        "a node is given every label",
        {"8.2.3/pending-constraint": "pending.*@slave02"},
        script=background(
            "while sleep 0.3; do for one in $(docker service ls -q); do\n"
            "for label in $(docker service inspect --format '{{.Spec.TaskTemplate.Placement}}' $one |"
            " grep -o 'node.labels.[^=]*' | cut -d . -f 3-); do\n"
            "docker node update --label-add $label=yes slave02; done; done; done"
        ),
        nodes=("master",),
        run="services c",
    ),
    ClaimFault(
        "nothing stays at zero",
        {"8.2.3/scale-zero": "scaled to 0, to have no task"},
        script=background(
            "while sleep 0.3; do for one in $(docker service ls --format '{{.Name}} {{.Replicas}}' | grep ' 0/0' |"
            " cut -d ' ' -f 1); do docker service scale --detach $one=1; done; done"
        ),
        nodes=("master",),
        run="services a",
    ),
    ClaimFault(
        "a node takes no tasks",
        {
            "8.2.4/replicated": "slave02",
            "8.2.4/global": "0 on slave02",
            "8.2.4/global-follows-nodes": "slave02, which joined, to be given the global service's task",
        },
        script=background("while sleep 0.2; do docker node update --availability pause slave02; done"),
        nodes=("master",),
    ),
    ClaimFault(
        "global services take a count",
        {"8.2.4/global-has-no-count": "took a count of replicas"},
        script=wrap('"service create --detach --mode global --replicas"*) exit 0'),
        nodes=("master",),
        run="services b",
    ),
    ClaimFault(
        "global services are scaled",
        {"8.2.4/global-has-no-count": "a global service took docker service scale"},
        script=wrap('"service scale"*) exit 0'),
        nodes=("master",),
        run="services c",
    ),
    ClaimFault(
        "who leaves keeps its containers",
        {"8.2.4/global-follows-nodes": "slave01, which left, to stop"},
        script=wrap(
            '"swarm leave") id=$(docker.real ps -q --filter label=com.docker.swarm.task.id | head -n 1);'
            f' of={_OF_SERVICE}; docker.real "$@"; exec docker.real run -d'
            " --label com.docker.swarm.service.id=$of registry:5000/client"
        ),
        nodes=("slave01",),
    ),
]
