"""8.1.2 and 8.1.3: workers, drained and paused nodes, promotion and demotion."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, drop, reword, wrap

FAULTS = [
    ClaimFault(
        "a worker is drained all the time",
        {"8.1.2/worker-runs-containers": "every worker.* 0 on slave02"},
        script=background("while sleep 0.2; do docker node update --availability drain slave02; done"),
        nodes=("master",),
        run="roles c",
    ),
    ClaimFault(
        "a worker lists secrets",
        {"8.1.2/worker-has-no-api": "slave02, a worker, accepted: docker secret ls"},
        script=wrap('"secret ls") exit 0'),
        nodes=("slave02",),
        run="roles a",
    ),
    ClaimFault(
        "a worker passes on what it refuses",
        {"8.1.2/worker-has-no-api": "slave01 refused every call, and yet they changed: nodes"},
        script=wrap('"node update"*) su - hadoop -c "ssh master docker node update --availability pause slave02"'),
        nodes=("slave01",),
        run="roles b",
    ),
    ClaimFault(
        "the manager is drained all the time",
        {
            "8.1.2/single-manager-swarm": "2 running tasks .* 0 running",
            "8.1.2/single-manager-runs-all": "4 running tasks .* 0 running",
            "8.1.2/manager-also-works": "to be given a task.* 0 on master",
        },
        script=background("while sleep 0.2; do docker node update --availability drain master; done"),
        nodes=("master",),
        run="roles e",
    ),
    ClaimFault(
        "the last manager leaves without force",
        {"8.1.2/no-worker-without-manager": "master, the last manager, left without force"},
        script=wrap('"swarm leave") exec docker.real swarm leave --force'),
    ),
    ClaimFault(
        "drain does nothing",
        {
            "8.1.2/manager-also-works": "master, which is drained, to lose its task",
            "8.1.2/drain-moves-tasks": "when master is drained",
            "8.1.2/drain-gets-nothing-new": "one on master",
        },
        script=wrap('"node update --availability drain"*) exit 0'),
        nodes=("master",),
        run="roles a",
    ),
    ClaimFault(
        "a node is set active again at once",
        {"8.1.2/drain-gets-nothing-new": "one on slave01|slave01, which is drained, to be given no task"},
        script=background("while sleep 0.5; do docker node update --availability active slave01; done"),
        nodes=("master",),
    ),
    ClaimFault(
        "drain demotes",
        {"8.1.2/drain-keeps-manager": "to stay managers.* slave01, a manager, (has|does|as)"},
        # Not the manager that is asked: it would refuse what is asked next.
        script=wrap('"node update --availability drain slave01") docker.real "$@"; exec docker.real node demote "$5"'),
    ),
    ClaimFault(
        "active does nothing",
        {"8.1.2/active-again": "master, which is active again, to be given new tasks"},
        script=wrap('"node update --availability active"*) exit 0'),
        nodes=("master",),
        run="roles c",
    ),
    ClaimFault(
        "active moves tasks",
        {"8.1.2/active-again": "to stay where they are when master is active again"},
        script=wrap(
            '"node update --availability active"*) docker.real "$@";'
            " for one in $(docker.real service ls -q); do docker.real service update --detach --force $one; done; exit"
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "pause drains",
        {"8.1.2/pause-keeps-tasks": "master was paused, and its task was .* is gone"},
        script=wrap(reword('"node update --availability pause "*', ("pause", "drain"))),
        nodes=("master",),
        run="roles b",
    ),
    ClaimFault(
        "pause does nothing",
        {"8.1.2/pause-keeps-tasks": "one on master"},
        script=wrap('"node update --availability pause"*) exit 0'),
    ),
    ClaimFault(
        "a node that is drained restarts all else",
        {"8.1.2/drain-leaves-standalone": "the container of docker run on slave01"},
        script=background(
            'while sleep 0.2; do [ "$(docker ps -q --filter label=com.docker.swarm.task.id)" ]'
            " || docker ps -q --filter label=swarm-conformance | xargs -r docker restart; done"
        ),
        nodes=("slave01",),
        run="roles b",
    ),
    ClaimFault(
        "promote does nothing",
        {
            "8.1.3/promote": "slave01, which was promoted, to be a manager",
            "8.1.3/promote-replaces-lost": "slave03 to be a manager in the place of slave02",
        },
        script=wrap('"node promote"*) exit 0'),
        nodes=("master",),
        run="roles e",
    ),
    ClaimFault(
        "a node cannot be reached as a manager",
        {"8.1.3/promote": "slave02, which was promoted, to be a manager"},
        script=drop("tcp dport 2377"),
        nodes=("slave02",),
    ),
    ClaimFault(
        "demote does nothing",
        {
            "8.1.3/demote": "slave01, which was demoted, to be a worker",
            "8.1.2/no-worker-without-manager": "master, the last manager, was demoted",
            "8.1.3/demote-leader": "master, the leader that was demoted, to be a worker",
        },
        script=wrap('"node demote"*) exit 0'),
    ),
    ClaimFault(
        "demote drains",
        {"8.1.3/demote": "tasks of .* to be those from before"},
        script=wrap('"node demote"*) docker.real "$@"; exec docker.real node update --availability drain "$3"'),
    ),
    ClaimFault(
        "a manager that comes later has no say",
        {"8.1.3/promote-replaces-lost": "master and slave03 to be a majority without slave01"},
        # It becomes a member, and from then on the leader does not receive its messages.
        script=wrap(
            '"node demote"*) docker.real "$@" || exit; until [ $(docker.real node ls --format "{{.ManagerStatus}}"'
            " | grep -c .) = 3 ]; do sleep 0.2; done; there=$(docker.real node inspect slave03 --format"
            ' "{{.Status.Addr}}"); nft "add table ip gremlin; add chain ip gremlin in { type filter hook prerouting'
            " priority -350; }; add rule ip gremlin in ip saddr $there tcp dport 2377 drop;"
            ' add rule ip gremlin in ip saddr $there tcp sport 2377 drop"; exit 0'
        ),
        nodes=("master",),
    ),
]
