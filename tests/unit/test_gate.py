from types import SimpleNamespace

import pytest

from suites.support.gate import Gate
from swarmlab.errors import EngineRefused

IMAGE = "127.0.0.1:8890/hello:latest"


def node(name, words):
    def pull(reference):
        assert reference == IMAGE
        if words:
            raise EngineRefused(name, 500, words)

    class Machine(SimpleNamespace):
        def __str__(self):
            return name

    return Machine(name=name, pull=pull)


@pytest.mark.parametrize(
    ("words", "shut"),
    [
        ("Head http://127.0.0.1:8890/v2/hello/manifests/latest: no basic auth credentials", True),
        ("failed to resolve reference: unexpected status: 401 Unauthorized", True),
        ("Get http://127.0.0.1:8890/v2/: dial tcp 127.0.0.1:8890: connect: connection refused", False),
        ("", False),
    ],
)
def test_the_gate_is_shut_where_every_engine_is_asked_for_a_password(words, shut):
    gate = object.__new__(Gate)
    gate.registry, gate._image = IMAGE.split("/")
    gate._cluster = SimpleNamespace(nodes=[node("m1", "unauthorized"), node("w1", words)])
    state = gate._shut()
    assert bool(state) is shut
    assert shut or state.summary.startswith("w1 has ")
