"""Placement: managers that take constraints, preferences and reservations for others, or do not act by them."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, wrap

CREATE, UPDATE = "/services/create", "/update"
_SPREAD = r'\{"Spread":\{"SpreadDescriptor":"[^"]*"\}\}'

FAULTS = [
    ClaimFault(
        "roles are taken for each other",
        {"placement/by-role": "constraint node.role==worker to run on slave01, slave02, and nowhere else"},
        asks={CREATE: ("node.role==worker", "node.role==manager")},
        run="placement a",
    ),
    ClaimFault(
        "a host name is not kept out",
        {"placement/by-identity": "constraint node.hostname!=slave02 to run on master, slave01, and nowhere else"},
        asks={CREATE: (r'\["node.hostname!=slave02"\]', "[]")},
        run="placement a",
    ),
    ClaimFault(
        "any platform will do",
        {"placement/by-platform": "constraint node.platform.os==plan9 to run on no node"},
        asks={CREATE: ("node.platform.os==plan9", "node.platform.os!=plan9")},
        run="placement a",
    ),
    ClaimFault(
        "the value of a label does not matter",
        {"placement/by-label": "==slow to run on slave01, and nowhere else"},
        asks={CREATE: ("==slow", "!=none")},
        run="placement a",
    ),
    ClaimFault(
        "one constraint of several is enough",
        {"placement/all-constraints": "==fast and .*==east to run on slave01, and nowhere else"},
        asks={CREATE: (r'"Constraints":\["([^"]*)",[^]]*\]', r'"Constraints":["\1"]')},
        run="placement b",
    ),
    ClaimFault(
        "a label that changes is not noticed",
        {"placement/leaves-node": "to run on slave01, as master no longer meets the constraint"},
        script=wrap('"node update --label-add "*=no" "*) exit 0'),
        nodes=("master",),
        run="placement b",
    ),
    ClaimFault(
        "a label that comes again is not noticed",
        {"placement/meets-again": "to run on master, which has its label again"},
        script=wrap('"node update --label-add "*pool*=yes*) [ -e /run/once ] && exit 0; : > /run/once'),
        nodes=("master",),
    ),
    ClaimFault(
        "preferences are ignored",
        {"placement/spread": "half of 6 tasks of .* 2 on slave02, wanted 3"},
        asks={CREATE: (rf'"Preferences":\[{_SPREAD}\]', '"Preferences":[]')},
        run="placement a",
    ),
    ClaimFault(
        "only the first preference counts",
        {"placement/several-preferences": "8 tasks to be spread by pool and then rack"},
        asks={CREATE: (rf'"Preferences":\[({_SPREAD}),{_SPREAD}\]', r'"Preferences":[\1]')},
        run="placement b",
    ),
    ClaimFault(
        "nodes take one replica more than the most",
        {"placement/max-replicas-per-node": "to have 2 tasks on every node.*tasks by node: .*: 3"},
        asks={CREATE: ('"MaxReplicas":2', '"MaxReplicas":3')},
        run="placement a",
    ),
    ClaimFault(
        "nobody says that the nodes have their most",
        {"placement/max-replicas-per-node": "a task waits, as each node has its most, and shows: .*no suitable node"},
        answers={"/tasks": ("max replicas per node limit exceed", "")},
        run="placement b",
    ),
    ClaimFault(
        "tasks move to a node that joins",
        {"placement/new-node-moves-nothing": "to stay where they are, though slave02 has none"},
        script=background(
            "while sleep 0.5; do [ $(docker node ls -q | wc -l) = 3 ] &&\n"
            "for one in $(docker service ls -q -f mode=replicated); do\n"
            "docker service update --detach --force $one; done; done"
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "labels of engines are taken for others",
        {"placement/by-engine-label": "constraint engine.labels.swc.storage==ssd to run on slave01"},
        asks={CREATE: ('engine.labels.swc.storage==ssd"', 'engine.labels.swc.storage!=ssd"')},
        run="placement c",
    ),
    ClaimFault(
        "a generic resource is not used up",
        {"placement/generic-resources-counted": "one of 2 tasks of .* to find a piece left"},
        asks={CREATE: ('"Kind":"swc-slot","Value":2', '"Kind":"swc-slot","Value":1')},
        run="placement c",
    ),
    ClaimFault(
        "two tasks are given the same piece",
        {"placement/generic-resources-named": "two tasks were to be given card-one, card-two, one each"},
        answers={"/json": ("=card-two", "=card-one")},
        run="placement c",
    ),
]
