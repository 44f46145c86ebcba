"""What nodes show is added to the reason of a claim about traffic; tests/proof/mesh shows it on real machines."""

from types import SimpleNamespace

import pytest

from fixtures import at_failure
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import DeadlineExceeded, LabError
from swarmlab.preflight import CHECKS, OF_TRAFFIC
from swarmlab.preflight.finding import Finding, Level

WEIGHT = Finding(Level.ERROR, "IPVS has weight 0 for task web.2 (10.0.0.7)", nodes=("slave01",), check="load-balancers")
ROOM = Finding(Level.WARNING, "99 of 100 connections are tracked", nodes=("slave02",), check="limits")
LOST = Finding(Level.ERROR, "gossip does not arrive", nodes=("slave02",), check="port-gossip-udp", because="limits: …")
UNLIKE = Finding(Level.INFO, "differs from the other nodes: …", nodes=("master",), check="packets")
ALONE = Finding(Level.INFO, "one manager", check="quorum")


def fail(monkeypatch, error, *, claim="7.2.1/reachable-on-any-node", damage=(), found=(WEIGHT,)):
    """Let a test of a claim fail; return the error that comes of it, and the checks that were asked for."""
    swarm, asked = Swarm([]), []
    swarm.damage = list(damage)

    def preflight(_, skip):
        asked.extend(name for name in CHECKS if name not in skip)
        if isinstance(found, Exception):
            raise found
        return list(found)

    monkeypatch.setattr(at_failure, "preflight", preflight)
    monkeypatch.setattr(at_failure, "judged_by", lambda _: [SimpleNamespace(id=claim)])
    call = at_failure.pytest_runtest_call(SimpleNamespace(funcargs={"cluster": swarm}))
    next(call)
    with pytest.raises(type(error)) as raised:
        call.throw(error)
    return str(raised.value), asked


def test_a_claim_about_traffic_says_what_the_nodes_show(monkeypatch):
    said, asked = fail(monkeypatch, AssertionError("master: Connection refused\nassert x == y"))
    seen = "load-balancers: slave01: IPVS has weight 0 for task web.2 (10.0.0.7)"
    assert said == f"master: Connection refused; seen on the nodes: {seen}\nassert x == y"
    assert set(asked) == set(OF_TRAFFIC)
    assert "seen on the nodes" in fail(monkeypatch, DeadlineExceeded("3 running tasks"))[0]


@pytest.mark.parametrize(
    "how",
    [
        {"claim": "1.2/key-pair"},  # nothing passes between nodes
        {"damage": ["slave02 is lost"]},  # the test itself has broken what would be found
        {"found": ()},
        {"found": (ALONE,)},
        {"found": LabError("no manager answers")},
    ],
)
def test_other_reasons_stay_as_they_are(monkeypatch, how):
    assert fail(monkeypatch, AssertionError("as it was"), **how)[0] == "as it was"


def test_causes_come_first_and_what_follows_from_them_is_left_out():
    assert at_failure.chosen([UNLIKE, ROOM, LOST, ALONE, WEIGHT]) == [WEIGHT, ROOM, UNLIKE]


def test_what_a_known_defect_explains_comes_first():
    anew = Finding(Level.ERROR, "it has no end of the routing mesh (ingress_sbox), which web needs")
    found = [WEIGHT, ROOM, anew]
    assert at_failure.chosen(found, ["networks/ingress-anew-routes"]) == [anew, WEIGHT, ROOM]
    assert at_failure.chosen(found, ["7.2.1/reachable-on-any-node"]) == [WEIGHT, anew, ROOM]


def test_a_node_that_left_and_a_bridge_that_is_gone_are_looked_for(monkeypatch):
    _, asked = fail(monkeypatch, AssertionError("lost"))
    assert {"membership", "gateway-bridge"} <= set(asked)


def test_a_reason_has_few_findings_and_none_too_long(monkeypatch):
    many = [Finding(Level.ERROR, f"{place} " + "x" * 500, check="limits") for place in range(9)]
    said, _ = fail(monkeypatch, AssertionError("lost"), found=many)
    assert said.count("…") == 2
    assert len(said) < 700
