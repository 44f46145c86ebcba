"""A sound swarm that others made, with none of the document's own choices: no claim of the safe profile fails on it.

`make proof-existing` (half an hour; PYTEST_ARGS="-k foreign": this alone; FOREIGN_ARGS: which tests, else chapters 1, 4
and 5 and what else an owner's choice concerns).
"""

from __future__ import annotations

import os
import shlex

import pytest

from swarmlab.verdicts import catalogue
from tests.proof.existing.foreign import NAMES, USER, Foreign
from tests.proof.existing.test_unharmed import run, suites, verdicts

pytestmark = pytest.mark.lab

#: Which tests run on it.
ARGUMENTS = shlex.split(
    os.environ.get(
        "FOREIGN_ARGS",
        "suites/ch1_hosts suites/ch2_networks suites/ch3_volumes/test_volumes.py suites/ch4_dockerfile"
        " suites/ch5_compose/test_compose_installed.py suites/ch6_deployment suites/ch7_usage/test_networks.py"
        " suites/ch8_internals/test_certificates.py suites/ch8_internals/test_desired_state.py",
    )
)
CLAIMS = catalogue.load()


@pytest.fixture(scope="module", params=[1, 3], ids=["one-manager", "three-managers"])
def foreign(tmp_path_factory, request):
    world = Foreign(
        tmp_path_factory.mktemp("foreign"), request.config.getoption("--engine") or "", managers=request.param
    )
    yield world
    world.close()


def test_no_claim_fails_on_a_foreign_swarm(foreign):
    ran = run(suites(foreign, *ARGUMENTS))
    judged = verdicts(foreign.folder / "reports")
    red = {id: claim["reason"] for id, claim in judged.items() if claim["verdict"] not in ("pass", "blocked")}
    assert not red, red
    assert judged, ran.stdout + ran.stderr
    asking = [id for id, claim in CLAIMS.items() if any(need.startswith("declared:") for need in claim.needs)]
    for id in set(asking) & set(judged):
        assert judged[id]["verdict"] == "blocked"
        assert "the lab declares no" in judged[id]["reason"], judged[id]
    passed = [id for id, claim in judged.items() if claim["verdict"] == "pass"]
    assert len(passed) > len(judged) / 3, f"only {passed} were judged"


def test_what_the_owner_of_a_foreign_swarm_declares_is_judged(foreign):
    addresses = {node.name: node.address for node in foreign.nodes}
    declared = {"names": list(NAMES), "addresses": addresses, "user": USER, "hosts": True, "keys": True, "listen": True}
    inventory = foreign.write_inventory("declared.yaml", declared=declared)
    hosts = (f"suites/ch1_hosts/test_{part}.py" for part in ("names", "machines", "ssh", "docker_group"))
    listens = "suites/ch6_deployment/test_init.py::test_manager_listens_on_its_address_and_no_other"
    run(suites(foreign, *hosts, listens, inventory=inventory, reports="declared"))
    judged = verdicts(foreign.folder / "declared")
    for id in ("1.1/three-nodes", "1.1/static-addresses", "1.1/hostname-file", "1.3.2/docker-group"):
        assert judged[id]["verdict"] == "pass", judged[id]
    # What is declared and not so is found.
    wrong = {
        "1.1/hosts-mapping": "/etc/hosts of",
        "1.2/ssh-mesh": f"{USER} is not let in by key",
        "6.1/listen-address": "listens for managers on",
    }
    for id, part in wrong.items():
        assert (judged[id]["verdict"], part in judged[id]["reason"]) == ("fail", True), judged[id]
    declared = {"names": ["web1", "db1"], "addresses": {**addresses, NAMES[0]: "192.0.2.7"}}
    inventory = foreign.write_inventory("wrong.yaml", declared=declared)
    run(suites(foreign, "suites/ch1_hosts/test_machines.py", inventory=inventory, reports="wrong"))
    judged = verdicts(foreign.folder / "wrong")
    assert "the cluster's nodes are" in judged["1.1/three-nodes"]["reason"]
    assert f"{NAMES[0]} must have 192.0.2.7" in judged["1.1/static-addresses"]["reason"]
