"""Swarm: nodes that join, leave and are removed, and what a swarm is given when it is made."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import proxy, reword, wrap

#: Leaves a container of a service behind, as an engine does that cleans up half.
_LEFTOVER = (
    '"swarm leave") docker.real "$@"; docker.real create --label com.docker.swarm.service.id=gone --name left-behind'
    " $(docker.real images -q | head -n 1) sleep 1 >/dev/null; exit"
)
#: Removes a node as if nothing could be in the way.
_REMOVES = (
    '"node rm"*) for node do :; done; docker.real node demote $node >/dev/null;'
    " until docker.real node rm --force $node; do sleep 0.3; done; exit"
)

FAULTS = [
    ClaimFault(
        "commands of members do otherwise",
        {
            "membership/joined-drained": "slave01 joined with --availability drain, and is active",
            "membership/init-drained": "master made a swarm with --availability drain, and is active",
            "membership/leave-clears-node": "slave01, which left, .*left there: container left-behind",
            "membership/pending-join-left": "slave01 left while its join was pending, and is",
            "membership/removed-only-down": "slave01 is up, and node rm removed it without --force",
            "membership/removed-by-force": "slave01, removed, to be listed no more",
            "membership/manager-not-removed": "slave01 is a manager, and node rm .*removed it",
            "membership/standalone-starts-again": "box-.* of (master|slave01) .* is exited",
            "membership/live-restore-refused": "slave01 is set to live-restore, and took swarm init",
        },
        script=wrap(
            reword('"swarm join"*', ("drain", "active")),
            reword('"swarm init"*', ("drain", "active")).replace('exec docker.real "$@"', 'docker.real "$@"; exit 0'),
            '"swarm leave --force") exit 0',
            _LEFTOVER,
            '"node rm --force"*) exit 0',
            _REMOVES,
            reword('"run --detach"*', ("always", "no")),
        ),
    ),
    ClaimFault(
        "a ping names no role",
        {"membership/ping-names-role": "slave01 is active/worker, and /_ping says nothing of it"},
        script=proxy("pass"),
        nodes=("slave01",),
        engine="forky",
        run="members told",
    ),
    ClaimFault(
        "engines name another manager",
        {"membership/info-names-managers": "master knows .*192.0.2.1:2377"},
        answers={"/info": ('"Addr":"[^"]*:2377"', '"Addr":"192.0.2.1:2377"')},
        engine="forky",
        run="members told",
    ),
    ClaimFault(
        "init takes no pool and no port",
        {
            "pools/default-pool": "and the swarm was given the pool",
            "pools/data-path-port": "data was to use port 7789, and .* packets came to (master|slave01) on 4789",
        },
        script=wrap('"swarm init"*) exec docker.real swarm init --advertise-addr eth0 --listen-addr eth0'),
    ),
    ClaimFault(
        "init takes whatever it is given",
        {
            "pools/bad-addresses-refused": "master made a swarm with the advertised address 0.0.0.0",
            "pools/bad-pools-refused": "master made a swarm with a pool that is no subnet",
            "pools/bad-ports-refused": "master made a swarm with port 1023 for data",
        },
        script=proxy('if path.endswith("/swarm/init"): status, data = 200, b\'"id"\''),
    ),
]
