"""Events of the cluster. No engine can be made to leave one out, so what it answers is changed on its way."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import proxy


def lost(kind, action):
    """Return answers in which the event of an action on objects of a kind is one of another action."""
    return {"/events": (f'"Type":"{kind}","Action":"{action}"', f'"Type":"{kind}","Action":"lost"')}


FAULTS = [
    *(
        ClaimFault(
            f"nobody tells of the {action} of a {kind}",
            {f"events/{kind}s": f"told nothing of the {action} of {kind} "},
            answers=lost(kind, action),
            run="events a",
        )
        for kind, action in (
            ("service", "create"),
            ("secret", "remove"),
            ("config", "create"),
            ("network", "remove"),
            ("node", "update"),
        )
    ),
    ClaimFault(
        "an update does not say what is new",
        {"events/attributes": r"(master|slave0\d) tells of the update .*'replicas.new': '1'"},
        answers={"/events": ('"replicas.new":"2"', '"replicas.new":"1"')},
        run="events a",
    ),
    ClaimFault(
        "a manager keeps events of services to itself",
        {"events/services": "^slave02 told nothing of the create of service [^;]*$"},
        script=proxy(
            "if '/events' in path: data = b''.join(line for line in data.splitlines(True)"
            ' if b\'"Type":"service"\' not in line)'
        ),
        nodes=("slave02",),
        run="events b",
    ),
    ClaimFault(
        "all events are of their node alone",
        {"events/secrets": r"(master|slave0\d) tells of the create of secret .* with scope 'local'"},
        answers={"/events": ('"scope":"swarm"', '"scope":"local"')},
        run="events c",
    ),
    ClaimFault(
        "a manager's filters pass everything",
        {"events/filters": "on slave02 the filter (type|event|secret)=.* passes"},
        script=proxy(
            "if '/events' in path and 'filters' in path: engine = Engine('localhost');"
            " engine.request('GET', path.split('&filters')[0]); data = engine.getresponse().read()"
        ),
        nodes=("slave02",),
        run="events d",
    ),
    ClaimFault(
        "a worker tells of services",
        {"events/managers-only": r"told of the cluster: \['slave01'\]"},
        script=proxy(
            'if \'/events\' in path: data += b\'{"Type":"service","Action":"create","scope":"swarm",'
            '"Actor":{"ID":"none","Attributes":{"name":"none"}},"time":1,"timeNano":1}\\n\''
        ),
        nodes=("slave01",),
        run="events e",
    ),
]
