"""Health: nodes whose tasks do not become unhealthy, and engines that take no notice of a setting of the check."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background

CREATE, UPDATE = "/services/create", "/update"
_WELL = background("while sleep 0.05; do rm -f /proc/[0-9]*/root/run/sick; done")

FAULTS = [
    ClaimFault(
        "a node's tasks do not become unhealthy",
        {
            "health/unhealthy-is-replaced": "that became unhealthy to be replaced on every node.*@slave02 running",
            "health/unhealthy-leaves-names": "to leave tasks.* before .* ended.*have ended: none; on ",
        },
        script=_WELL,
        nodes=("slave02",),
    ),
    ClaimFault(
        "a health check may take as long as it likes",
        {"health/slow-check-fails": "whose health check did not end in time to be replaced.*@slave"},
        asks={CREATE: (r'"Timeout":\d+', '"Timeout":600000000000')},
        run="health a",
    ),
    ClaimFault(
        "one failed check less is allowed",
        {"health/retries": "to outlive two failed checks in a row.*tasks that ended: on "},
        asks={CREATE: ('"Retries":3', '"Retries":2')},
        run="health a",
    ),
    ClaimFault(
        "there is no start period",
        {"health/start-period": "in their start period, to live on though their checks fail.* failed"},
        asks={CREATE: (r'"StartPeriod":\d+', '"StartPeriod":0')},
        run="health a",
    ),
    ClaimFault(
        "an update does not know of the new health check",
        {"health/update-waits": "to wait until its first new task is healthy"},
        asks={UPDATE: (r'"Healthcheck":\{"Test":\["CMD-SHELL"', '"Healthcheck":{"Test":["NONE"')},
        run="health a",
    ),
    ClaimFault(
        "nodes do not hear of each other's tasks",
        {"health/named-when-healthy": r"its 1 healthy tasks of 3, on every node.*on (master|slave0\d) it is"},
        script="nft 'add table ip gremlin; add chain ip gremlin in { type filter hook prerouting priority -350; };"
        " add rule ip gremlin in udp dport 7946 drop; add rule ip gremlin in tcp dport 7946 drop'",
        formed=True,
    ),
    ClaimFault(
        "the check of the image is used although the service has none",
        {"health/none-disables": "3 running tasks of .*-without-"},
        asks={CREATE: (r'"Healthcheck":\{"Test":\["NONE"\]\}', '"Healthcheck":null')},
        run="health a",
    ),
]
