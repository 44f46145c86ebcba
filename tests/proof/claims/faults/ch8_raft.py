"""Chapter 8.1.1: managers and Raft."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, drop, proxy, wrap, wrap_any

#: Managers that receive no messages: one of three and of four, two of five, three of seven.
DEAF = ("slave02", "slave04", "slave06")

#: Reasons for a manager that acknowledges a write which is not done.
FALSELY = "without quorum since .* writes were acknowledged|acknowledged and is not there"

FAULTS = [
    ClaimFault(
        "a manager's engine is frozen",
        {
            "8.1.1/one-leader": "engines do not answer: the engine of slave01",
            "8.1.1/api-on-every-manager": "engines do not answer: the engine of slave01",
            "8.1.1/one-consistent-state": "engines do not answer: the engine of slave01",
            "8.1.1/schedules": "engines do not answer: the engine of slave01",
        },
        script="kill -STOP $(pidof dockerd)",
        nodes=("slave01",),
        formed=True,
        run="raft frozen",
    ),
    ClaimFault(
        "a manager made a cluster of its own",
        {
            "8.1.1/one-leader": r"'slave01': \['slave01'\]",
            "8.1.1/one-consistent-state": "written through (master|slave02), to be read on slave01",
        },
        # Managers that can be reached would join the new cluster again.
        script=drop("tcp sport 2377")
        + "; "
        + drop("tcp dport 2377")
        + "; docker swarm init --force-new-cluster --advertise-addr $(hostname -i | cut -d ' ' -f 1)",
        nodes=("slave01",),
        formed=True,
        run="raft alone",
    ),
    ClaimFault(
        "a manager does not hear the others",
        {
            "8.1.1/one-leader": "slave01",
            "8.1.1/api-on-every-manager": "slave01, a manager, refused",
            "8.1.1/one-consistent-state": "slave01, a manager, refused",
        },
        script=drop("tcp sport 2377") + "; " + drop("tcp dport 2377"),
        nodes=("slave01",),
        formed=True,
        run="raft deaf",
    ),
    ClaimFault(
        "a manager takes writes and forgets them",
        {
            "8.1.1/api-on-every-manager": "slave02, a manager, refused GET /configs/",
            "8.1.1/one-consistent-state": "written through slave02, to be read on master: .* lists it 0 times",
            "8.1.1/tolerates-3": "through slave02 .*: acknowledged and is not there",
        },
        script=proxy(
            'if method == "POST" and path.endswith("/configs/create") and status == 201:'
            ' engine.close(); gone = Engine("localhost"); v = path.rpartition("/configs")[0];'
            ' gone.request("DELETE", v + "/configs/" + json.loads(data)["ID"]); gone.getresponse().read()'
        ),
        nodes=("slave02",),
        run="raft forgets",
    ),
    ClaimFault(
        "a manager cuts large configs short",
        {"8.1.1/one-consistent-state": "on slave01, .*, its Data is another"},
        script=proxy(
            'if method == "GET" and "/configs/" in path and len(data) > 100000:'
            ' told = json.loads(data); told["Spec"]["Data"] = told["Spec"]["Data"][:65536];'
            " data = json.dumps(told).encode()"
        ),
        nodes=("slave01",),
        run="raft short",
    ),
    ClaimFault(
        "a node is paused",
        {"8.1.1/schedules": "slave02: 0 tasks, 0 containers"},
        script="docker node update --availability pause slave02",
        nodes=("master",),
        formed=True,
        run="raft pause and promote",
    ),
    ClaimFault(
        "a worker is made manager",
        {"8.1.1/manager-count": "has 2 managers: master, slave01"},
        script="docker node promote slave01",
        nodes=("master",),
        formed=True,
        run="raft pause and promote",
    ),
    ClaimFault(
        "some managers do not hear the others",
        {
            "8.1.1/tolerates-3": "master, slave02|slave01, slave02",
            "8.1.1/leader-lost": "another manager to lead in place of master: .*slave02",
            "8.1.1/tolerates-5": "five managers, .*without",
            "8.1.1/tolerates-7": "seven managers, .*without",
            "8.1.1/even-gains-nothing": "four managers, .*without",
        },
        script=drop("tcp dport 2377"),
        nodes=DEAF,
        formed=True,
    ),
    ClaimFault(
        "managers acknowledge what they refuse",
        {
            "8.1.1/loses-quorum-3": FALSELY,
            "8.1.1/quorum-returns": FALSELY,
            "8.1.1/minority-partition": "to refuse a write|" + FALSELY,
            "8.1.1/tolerates-5": FALSELY,
            "8.1.1/tolerates-7": FALSELY,
            "8.1.1/even-gains-nothing": FALSELY,
        },
        script=proxy(
            'if method == "POST" and path.endswith("/configs/create") and status >= 500:'
            ' status, data = 201, json.dumps({"ID": secrets.token_hex(12)}).encode()'
        ),
    ),
    ClaimFault(
        "tasks end with quorum",
        {"8.1.1/tasks-outlive-quorum": r"requests to the task on \w+ while .* were not answered by it"},
        script=background(
            "until docker ps | grep -q web; do sleep 0.5; done\n"
            "while sleep 0.5; do timeout 5 docker node ls || docker kill $(docker ps --quiet); done"
        ),
    ),
    ClaimFault(
        "a manager that restarts has lost its state",
        {
            "8.1.1/manager-rejoins": "to be back and to know the leader",
            "8.1.1/quorum-returns": "to agree on a leader",
            "8.1.1/loses-quorum-3": "a majority, to have a leader again",
        },
        script=wrap_any("dockerd", "*) rm -rf /var/lib/docker/swarm", folder="/usr/sbin"),
    ),
    ClaimFault(
        "a manager that restarts hears nobody",
        {"8.1.1/manager-rejoins": "to be back and to know the leader"},
        script=wrap_any("dockerd", f"*) {drop('tcp dport 2377')}; {drop('tcp sport 2377')}", folder="/usr/sbin"),
    ),
    ClaimFault(
        "the log of a manager was damaged as its power was lost",
        # A disk that acknowledged what it had not written yet: the manager takes itself for the only one.
        {
            "8.1.1/manager-rejoins": r"to be back and to know the leader: .*'(\w+)': \['\1'\]",
            "8.1.1/quorum-returns": "to read the cluster's state and to agree on a leader",
        },
        script=wrap_any(
            "dockerd",
            "*) for F in /var/lib/docker/swarm/raft/wal-v3-encrypted/*.wal; do"
            ' [ ! -e "$F" ] || dd if=/dev/zero of="$F" bs=256 seek=4 count=4 conv=notrunc; done',
            folder="/usr/sbin",
        ),
    ),
    ClaimFault(
        "recovery does nothing",
        {"8.1.1/recovery-from-one": r"(master|slave\d\d)( to lead the new cluster| the managers are)"},
        script=wrap('"swarm init --force-new-cluster"*) exit 0'),
    ),
    ClaimFault(
        "recovery loses the services",
        {"8.1.1/recovery-from-one": "not found"},
        script=wrap(
            '"swarm init --force-new-cluster"*) docker.real "$@" && '
            "docker.real service rm $(docker.real service ls -q); exit"
        ),
    ),
]
