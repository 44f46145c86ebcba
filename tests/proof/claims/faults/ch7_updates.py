"""Section 7.2.5: updates, updates that fail, and the way back."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, reword, wrap


def when(state: str, act: str) -> str:
    """Run commands on master for each service whose update reaches *state*; $service is its id."""
    state_now = "docker.real service inspect --format '{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}' $service"
    return background(
        # Another fault may have replaced the docker command.
        "[ -e /usr/bin/docker.real ] || ln -s /usr/bin/docker /usr/bin/docker.real\n"
        "while :; do for service in $(docker.real service ls -q); do\n"
        f"    case $({state_now}) in {state}) {act};; esac\n"
        "done; sleep 0.2; done"
    )


def lose(share: int) -> str:
    """Refuse some of the connections that a node's mesh passes on."""
    return (
        "nft 'add table ip gremlin; add chain ip gremlin way { type filter hook forward priority -350; };"
        f" add rule ip gremlin way tcp dport 8888-8987 tcp flags & (syn|ack) == syn numgen inc mod {share} == 0"
        " reject with tcp reset'"
    )


FAULTS = [
    ClaimFault(
        "an update replaces all tasks at once",
        {"7.2.5/rolling-update": r"at most [12] may be replaced at a time, and"},
        script=wrap(reword('"service update"*', ("1|2", "0"))),
        run="updates 1",
    ),
    ClaimFault(
        "an update that pauses kills old tasks on a node",
        {"7.2.5/failed-update-pauses": r"on slave02 was not updated, and|came to .*slave02|there was .* on slave02"},
        script=when(
            "paused",
            "su - hadoop -c \"ssh slave02 'docker kill \\$(docker ps -q --filter ancestor=registry:5000/web:1)'\"",
        ),
        nodes=("master",),
        run="updates 1",
    ),
    ClaimFault(
        "an update does not wait between tasks",
        {"7.2.5/rolling-update": r"6 s must pass between replacements"},
        script=wrap(reword('"service update"*', ("6s", "0s"))),
        run="updates 2",
    ),
    ClaimFault(
        "an update that paused goes on",
        {"7.2.5/failed-update-pauses": r"was paused, and is|which came to slot|to pause|was not updated, and"},
        script=when(
            "paused",
            "docker.real service update --detach --force --update-failure-action continue --update-delay 0s $service",
        ),
        nodes=("master",),
        run="updates 2",
    ),
    ClaimFault(
        "old tasks end after their replacements start",
        {"7.2.5/rolling-update": r"with stop-first, start of \S+ on \S+ came before die of"},
        script=wrap(reword('"service update"*', ("stop-first", "start-first"))),
        run="updates 3",
    ),
    ClaimFault(
        "a rollback leaves a variable as it was not",
        {"7.2.5/rollback": r"not that of the first edition: TaskTemplate.ContainerSpec.Env"},
        script=when("rollback*", "docker.real service update --detach --env-add EDITION=third $service"),
        nodes=("master",),
        run="updates 3",
    ),
    ClaimFault(
        "replacements start after old tasks ended",
        {"7.2.5/rolling-update": r"2 tasks ran at a time, wanted were at least 3"},
        script=wrap(reword('"service update"*', ("start-first", "stop-first"))),
    ),
    ClaimFault(
        "an image cannot be pulled on a node",
        {"7.2.5/rolling-update": r"every task to run .*@slave02 rejected"},
        script="until docker pull registry:5000/web:1; do sleep 0.5; done;"
        " iptables -I OUTPUT -p tcp --dport 5000 -j REJECT",
        nodes=("slave02",),
    ),
    ClaimFault(
        "a rollback brings only the image back",
        {"7.2.5/rollback": r"not that of the first edition: .*EDITION=second"},
        script=wrap(
            '"service rollback"*) shift 3; exec docker.real service update --detach --replicas 2'
            ' --image registry:5000/web:1 "$@"'
        ),
    ),
    ClaimFault(
        "a node's mesh refuses one connection of fifty",
        {
            "7.2.3/reachable-while-scaling": r"were lost: \d+ at slave02 \(",
            "7.2.5/no-request-lost": r"were lost: \d+ at slave02 \(",
            "8.1.2/drain-keeps-serving": r"were lost: \d+ at slave02 \(",
        },
        script=lose(50),
        nodes=("slave02",),
        lab="vagrant",
        run="machines 1",
    ),
]
