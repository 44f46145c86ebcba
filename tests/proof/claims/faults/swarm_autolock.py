"""Swarm: autolock."""

from swarmlab.cluster.node import DATA_ROOT
from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import at_start, proxy, wrap

_KEY = "/root/gremlin.key"

FAULTS = [
    ClaimFault(
        "a manager unlocks itself",
        {"autolock/locked-after-restart": "master, which (nobody unlocks, to stay locked|restarted .* it is active)"},
        script=wrap(
            f'"swarm update --autolock=true") docker.real "$@" && docker.real swarm unlock-key -q > {_KEY}; exit'
        )
        + at_start(f"until [ -s {_KEY} ] && docker.real swarm unlock < {_KEY}; do sleep 0.1; done"),
    ),
    ClaimFault(
        "a locked manager says that it is busy",
        {"autolock/locked-answers-nothing": "master is locked, and refuses GET /nodes without a word of that"},
        answers={"/nodes": ("Swarm is encrypted and needs to be unlocked.*to unlock it.", "The swarm is busy.")},
        run="autolock",
    ),
    ClaimFault(
        "an unlocked manager has lost a config",
        {"autolock/unlocked-is-whole": "of its configs these are other or gone"},
        script=wrap('"swarm unlock") docker.real "$@" && docker.real config rm $(docker.real config ls -q); exit'),
    ),
    ClaimFault(
        "commands of autolock do nothing, or too much",
        {
            "autolock/wrong-key-refused": "master was unlocked with a key of another digit",
            "autolock/rotated-key": "rotated the unlock key, and it is the one from before",
            "autolock/turned-off": "keys on the disk of master to be sealed no more",
            "autolock/leave-locked": "master is locked, and left the swarm without --force",
            "autolock/promoted-is-locked": "keys on the disk of slave01 to be sealed",
            "autolock/workers-need-no-key": "slave01, demoted, to be a worker",
        },
        script=wrap(
            '"swarm unlock") exit 0',
            '"swarm unlock-key --rotate"*) exit 0',
            '"swarm update --autolock=false") exit 0',
            '"swarm leave") exec docker.real swarm leave --force',
            '"node promote"*) docker.real swarm update --autolock=false >/dev/null; exec docker.real "$@"',
            '"node demote"*) exit 0',
        ),
        run="autolock",
    ),
    ClaimFault(
        "what is not locked is unlocked",
        {"autolock/unlock-of-unlocked-refused": "slave02 is not locked, and takes an unlock"},
        script=proxy('if path.endswith("/swarm/unlock"): status, data = 200, b"{}"'),
        nodes=("slave02",),
        run="autolock",
    ),
    ClaimFault(
        "a manager writes what it is told beside its log",
        {"autolock/nothing-readable-on-disk": f"on slave02 the content is readable of a config in {DATA_ROOT}/swarm/"},
        script=proxy(f'if "/configs/" in path: open("{DATA_ROOT}/swarm/raft/in-words", "ab").write(data)'),
        nodes=("slave02",),
    ),
]
