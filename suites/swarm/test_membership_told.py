"""What an engine tells of its place in a swarm, and engines that are set so that they cannot be in one."""

import json

import pytest

from fixtures.claims import claim
from suites.support.commands import refusal
from suites.support.locking import restart
from suites.support.membership import init_with, ping
from swarmlab.cluster.swarm import join
from swarmlab.versions import parsed
from swarmlab.wait import State, eventually

#: The version of the API since which a ping names the role.
SINCE = "1.42"
_SETTINGS = "/etc/docker/daemon.json"


@claim("membership/ping-names-role")
def test_ping_names_the_role_of_a_node(cluster):
    managers = cluster.managers
    for node in cluster.nodes:
        if parsed(node.ask("GET", "/version")["ApiVersion"]) < parsed(SINCE):
            continue  # engines of one swarm may differ
        wanted = f"active/{'manager' if node in managers else 'worker'}"
        told = ping(node).get("Swarm", "nothing of it")
        assert told == wanted, f"{node} is {wanted}, and /_ping says {told}"


@claim("membership/info-names-managers")
def test_every_node_knows_the_addresses_of_all_managers(cluster):
    wanted = {
        member["ID"]: member["ManagerStatus"]["Addr"] for member in cluster.members() if member.get("ManagerStatus")
    }

    def known():
        wrong = []
        for node in cluster.nodes:
            told = {one["NodeID"]: one["Addr"] for one in node.info()["Swarm"].get("RemoteManagers") or []}
            if told != wanted:
                wrong.append(f"{node} knows {sorted(told.values())}")
        return State(not wrong, f"{'; '.join(wrong) or 'all know them'}; the managers are {sorted(wanted.values())}")

    eventually(known, "docker info of every node to name the managers")


@claim("membership/live-restore-refused")
@pytest.mark.cluster(managers=1, workers=0, spare=1)
def test_an_engine_with_live_restore_makes_and_joins_no_swarm(cluster):
    node = cluster.spare[0]
    had = node.run(f"cat {_SETTINGS}")
    settings = {**(json.loads(had.out) if had.ok and had.out.strip() else {}), "live-restore": True}
    cluster.bench(node).write(_SETTINGS, json.dumps(settings))
    restart(node)
    done = node.docker(init_with(node, ""))
    said = {"swarm init": "" if done.ok else done.output}
    said["swarm join"] = refusal(join, node, cluster.manager, cluster.tokens()["Worker"])
    for command, words in said.items():
        assert words, f"{node} is set to live-restore, and took {command}"
        assert "live-restore" in words, (
            f"{node} is set to live-restore, and refuses {command} for another reason: {words}"
        )
    state = node.swarm_state()
    assert state == "inactive", f"{node} is set to live-restore and refused a swarm, and is {state}"
