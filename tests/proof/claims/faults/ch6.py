"""Chapter 6: making the cluster."""

from tests.proof.claims.planting import Fault, background, wrap

FAULTS = [
    Fault(
        "init advertises another address",
        {
            "6.1/init": "master advertises 172.17.0.1",
            "6.1/join-command-printed": "worker leads to 172.17.0.1:2377",
        },
        wrap('"swarm init"*) exec docker.real swarm init --advertise-addr 172.17.0.1'),
    ),
    Fault(
        "init listens on every address",
        {"6.1/listen-address": r"master listens for managers on \['\*'\]"},
        wrap('"swarm init"*) exec docker.real "$@" --listen-addr 0.0.0.0:2377'),
    ),
    Fault(
        "init chooses one of several addresses",
        {"6.1/several-interfaces": "init chose an address by itself"},
        wrap('"swarm init") exec docker.real swarm init --advertise-addr eth0'),
    ),
    Fault(
        "init locks",
        {"6.1/autolock-off": "made with autolock"},
        wrap('"swarm init"*) exec docker.real "$@" --autolock=true'),
    ),
    Fault(
        "init in a swarm makes a new one",
        {"6.1/second-init-refused": "in a swarm, and init was accepted"},
        wrap('"swarm init"*) docker.real swarm leave --force >/dev/null 2>&1'),
    ),
    Fault(
        "tokens of another form",
        {"6.1/token-form": "another form"},
        answers={"/swarm": ('"Manager":"SWMTKN-1-', '"Manager":"SWMTKN-9-')},
    ),
    Fault(
        "one token for both roles",
        {"6.1/two-tokens": "same secret"},
        answers={"/swarm": (r'("Worker":")([^"]*)(","Manager":")[^"]*', r"\1\2\3\2")},
    ),
    Fault(
        "quiet is not quiet",
        {"6.1/quiet-token": "-q printed more or other"},
        wrap('"swarm join-token -q"*) echo "Your token:"'),
    ),
    Fault(
        "join-token prints the other role's command",
        {"6.1/worker-token": "manager", "6.1/manager-token": "worker"},
        wrap(
            '"swarm join-token worker") exec docker.real swarm join-token manager',
            '"swarm join-token manager") exec docker.real swarm join-token worker',
        ),
    ),
    Fault(
        "a worker is drained for ever",
        {"6.1/many-of-each": "no task on slave03"},
        background("while sleep 0.3; do docker node update --availability drain slave03; done"),
        nodes=("master",),
    ),
    Fault(
        "rotation does nothing",
        {"6.1/rotate-changes": "the old one", "6.1/rotated-token-refused": "let in with the token from before"},
        wrap('"swarm join-token --rotate"*) exit 0'),
    ),
    Fault(
        "rotation throws members out",
        {"6.1/rotate-keeps-members": "slave01"},
        wrap('"swarm join-token --rotate"*) docker.real node rm --force slave01'),
    ),
    Fault(
        "leave does nothing",
        {"6.1/leave-and-rejoin": "slave01 left and is still active"},
        wrap('"swarm leave") exit 0'),
    ),
]
