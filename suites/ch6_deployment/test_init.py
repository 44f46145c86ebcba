"""6.1, first half: what ``swarm init`` makes, and what it prints."""

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.listening import answers, manager_ports
from suites.support.membership import random_secret, with_field
from swarmlab.cluster.swarm import init, join_command, leads


@claim("6.1/init")
@pytest.mark.cluster(managers=0, workers=0, spare=1)
def test_init_makes_the_node_manager_and_leader(cluster):
    node = cluster.spare[0]
    init(node)
    swarm = node.info()["Swarm"]
    assert swarm["LocalNodeState"] == "active", f"{node} is {swarm['LocalNodeState']} after init"
    assert swarm["NodeAddr"] == node.address, f"{node} advertises {swarm['NodeAddr']}"
    members = cluster.members(node)
    assert len(members) == 1, f"the new swarm of {node} has {len(members)} members"
    role, status = members[0]["Spec"]["Role"], members[0].get("ManagerStatus", {})
    assert role == "manager", f"{node} is a {role}"
    assert leads(members[0]), f"{node} is no leader: {status}"
    assert status["Addr"] == f"{node.address}:2377", f"{node} manages at {status['Addr']}"


@claim("6.1/listen-address")
@pytest.mark.smoke
def test_manager_listens_on_its_address_and_no_other(cluster):
    assert cluster.managers, "no node of the cluster is a manager"
    ports = manager_ports(cluster.members())
    for manager in cluster.managers:
        assert manager.name in ports, f"the swarm knows no address at which {manager} manages"
        port = ports[manager.name]
        listening = manager.listening(port)
        assert listening == {manager.address}, f"{manager} listens for managers on {sorted(listening)}, port {port}"
        for other in manager.addresses() - {manager.address}:
            assert not answers(manager, other, port), f"port {port} of {manager} answers on {other} too"
        assert answers(manager, manager.address, port), f"port {port} of {manager} does not answer"


@claim("6.1/several-interfaces")
@pytest.mark.cluster(managers=0, workers=0, spare=1)
def test_init_asks_which_of_several_addresses(cluster):
    node = cluster.spare[0]
    second = "ip link add swc0 type veth peer name swc1 && ip addr add 192.0.2.1/24 dev swc0 && ip link set swc0 up"
    assert node.run(second).ok
    refused = node.docker("swarm init")
    assert not refused.ok, f"init chose an address by itself: {node.info()['Swarm']['NodeAddr']}"
    assert "--advertise-addr" in refused.output, f"the refusal does not ask for --advertise-addr: {refused.output}"
    assert node.swarm_state() == "inactive", f"init was refused, and {node} is {node.swarm_state()}"


@claim("6.1/autolock-off")
@pytest.mark.cluster(managers=1, workers=0)
def test_manager_needs_no_unlock_after_a_restart(cluster):
    manager = cluster.manager
    spec = manager.ask("GET", "/swarm")["Spec"]
    assert not spec.get("EncryptionConfig", {}).get("AutoLockManagers"), "the swarm was made with autolock"
    manager.stop()
    manager.start()
    assert manager.swarm_state() != "locked", f"{manager} asks to be unlocked"
    cluster.expect_ready()
    accepted(manager, "node ls")


@claim("6.1/join-command-printed")
@pytest.mark.cluster(managers=0, workers=0, spare=1)
def test_complete_join_commands_are_printed(cluster):
    node = cluster.spare[0]
    printed = {"worker": init(node)}
    printed["manager"] = accepted(node, "swarm join-token manager")
    asked_again = accepted(node, "swarm join-token worker")
    tokens = node.ask("GET", "/swarm")["JoinTokens"]
    for role, text in [*printed.items(), ("worker", asked_again)]:
        command = join_command(text)
        assert command, f"no join command for a {role} in: {text}"
        assert command.token == tokens[role.capitalize()], f"the command for a {role} holds another token"
        assert command.remote == f"{node.address}:2377", f"the command for a {role} leads to {command.remote}"


@claim("6.1/second-init-refused")
def test_init_and_join_are_refused_inside_a_swarm(cluster):
    before = cluster.identity(), memberships(cluster)
    # An engine in a swarm does not look at the token. The swarm's own would be seen in lists of processes.
    token = with_field(cluster.tokens()["Worker"], 3, random_secret())
    for node in cluster.sample:
        for command in (
            f"swarm init --advertise-addr {node.address}",
            f"swarm join --token {token} {cluster.manager.address}:2377",
        ):
            refused = node.docker(command)
            verb = command.split()[1]
            assert not refused.ok, f"{node} is in a swarm, and {verb} was accepted"
            assert "already part of a swarm" in refused.output, f"{verb} on {node}: {refused.output}"
            after = cluster.identity(), memberships(cluster)
            assert after == before, f"the {verb} that {node} refused changed the swarm: {before} became {after}"


def memberships(cluster):
    """Every engine's own state and node id; managers still list a node that has left."""
    infos = {node.name: node.info()["Swarm"] for node in cluster.nodes}
    return {name: (info["LocalNodeState"], info["NodeID"]) for name, info in infos.items()}
