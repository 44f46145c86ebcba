"""Chapter 6: making the cluster."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, wrap

FAULTS = [
    ClaimFault(
        "init advertises another address",
        {
            "6.1/init": "master advertises 172.17.0.1",
            "6.1/join-command-printed": "worker leads to 172.17.0.1:2377",
        },
        script=wrap('"swarm init"*) exec docker.real swarm init --advertise-addr 172.17.0.1'),
    ),
    ClaimFault(
        "init listens on every address",
        {"6.1/listen-address": r"master listens for managers on \['\*'\]"},
        script=wrap('"swarm init"*) exec docker.real "$@" --listen-addr 0.0.0.0:2377'),
    ),
    ClaimFault(
        "init chooses one of several addresses",
        {"6.1/several-interfaces": "init chose an address by itself"},
        script=wrap('"swarm init") exec docker.real swarm init --advertise-addr eth0'),
    ),
    ClaimFault(
        "init locks",
        {"6.1/autolock-off": "made with autolock"},
        script=wrap('"swarm init"*) exec docker.real "$@" --autolock=true'),
    ),
    ClaimFault(
        "init in a swarm makes a new one",
        {"6.1/second-init-refused": "slave02 is in a swarm, and init was accepted"},
        script=wrap('"swarm init"*) docker.real swarm leave --force >/dev/null 2>&1'),
        nodes=("slave02",),
    ),
    ClaimFault(
        "tokens of another form",
        {"6.1/token-form": "another form"},
        answers={"/swarm": ('"Manager":"SWMTKN-1-', '"Manager":"SWMTKN-9-')},
    ),
    ClaimFault(
        "one token for both roles",
        {"6.1/two-tokens": "same secret"},
        answers={"/swarm": (r'("Worker":")([^"]*)(","Manager":")[^"]*', r"\1\2\3\2")},
    ),
    ClaimFault(
        "quiet is not quiet",
        {"6.1/quiet-token": "-q printed more or other"},
        script=wrap('"swarm join-token -q"*) echo "Your token:"'),
    ),
    ClaimFault(
        "join-token prints the other role's command",
        {"6.1/worker-token": "manager", "6.1/manager-token": "worker"},
        script=wrap(
            '"swarm join-token worker") exec docker.real swarm join-token manager',
            '"swarm join-token manager") exec docker.real swarm join-token worker',
        ),
    ),
    ClaimFault(
        "a worker is drained for ever",
        {"6.1/many-of-each": "no task on slave03"},
        script=background("while sleep 0.3; do docker node update --availability drain slave03; done"),
        nodes=("master",),
    ),
    ClaimFault(
        "rotation does nothing",
        {"6.1/rotate-changes": "the old one", "6.1/rotated-token-refused": "let in with the token from before"},
        script=wrap('"swarm join-token --rotate"*) exit 0'),
    ),
    ClaimFault(
        "rotation throws members out",
        {"6.1/rotate-keeps-members": "slave01"},
        script=wrap('"swarm join-token --rotate"*) docker.real node rm --force slave01'),
    ),
    ClaimFault(
        "leave does nothing",
        {"6.1/leave-and-rejoin": "slave01 left and is still active"},
        script=wrap('"swarm leave") exit 0'),
    ),
]
