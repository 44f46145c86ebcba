"""ports: published ports."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import drop, proxy

#: Takes the ports out of every specification of a service on its way to the engine.
_NO_PORTS = """
if method == "POST" and "/services/" in path:
    told = json.loads(body)
    told.get("EndpointSpec", {}).pop("Ports", None)
    body = json.dumps(told).encode()
"""

FAULTS = [
    ClaimFault(
        "services are made without the ports that they ask for",
        {
            "ports/taken-is-refused": r"master gave a second service port \d+, in mode ingress",
            "ports/same-twice-refused": r"master made a service that publishes \d+ twice: not refused",
            "ports/protocols-apart": r"to publish \[.*'udp', 'ingress'\)\]: not so .* it has \[\]",
            "ports/dnsrr-in-mode-host-only": "master has a service of mode dnsrr in the mesh: not refused",
            "ports/chosen-by-the-swarm": r"the managers list the ports \[\[\], \[\]\]",
            "ports/follow-update": r"on each node to publish \[.*with other ports",
            "ports/host-mode-clash-waits": "to wait, and to say that its port is taken: not so .*running",
            "ports/host-mode-chosen": "no port with the task on master",
            "networks/no-ingress-no-publishing": r"master lets a service publish \d+, and the mesh has no network: not",
        },
        script=proxy(asked=_NO_PORTS),
        nodes=("master",),
    ),
    ClaimFault(
        "a node loses datagrams to published ports",
        {"ports/host-mode-protocols": r"datagrams to port \d+ of slave02 .* the answer is none"},
        script=drop("udp dport 8888-8988"),
        nodes=("slave02",),
        run="swarm ports and networks",
    ),
    ClaimFault(
        "the kernel has no IPVS for ports that change",
        {
            "ports/mesh-follows-update": "to pass requests to its port .* on to all replicas",
            "networks/ingress-anew-routes": "to pass requests to its port .* by the new network",
        },
        offers=("ipvs",),
    ),
]
