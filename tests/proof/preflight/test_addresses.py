"""Nodes have other addresses, names, identities and name servers than they should; preflight names each by its node.

Run by `make proof-preflight`, as `test_findings` is. The faults are healed one after another, except for the last ones.
"""

import contextlib
from dataclasses import replace

import pytest

from swarmlab.cluster.swarm import Swarm, join
from swarmlab.preflight import Level, preflight
from swarmlab.preflight.resolvers import _NDOTS_READ
from swarmlab.versions import parsed
from swarmlab.wait import State, wait
from tests.proof.preflight.faults import (
    COPIED,
    DATA_GONE,
    GONE,
    HOST_BITS,
    NAMED_ALIKE,
    RESOLVERS,
    ROUTED,
    SEEN_ELSEWHERE,
    TAKEN,
    TRANSLATED,
)
from tests.proof.preflight.test_findings import always as always
from tests.proof.preflight.test_findings import done, fired, hold_against

pytestmark = pytest.mark.lab

#: What follows from an address that a node does not have.
_FOLLOWING = {
    "membership",
    "quorum",
    "port-management-tcp",
    "port-gossip-tcp",
    "port-gossip-udp",
    "port-data-udp",
    "path-mtu",
}


@pytest.fixture(scope="module")
def swarm(lab):
    """Three managers and a worker."""
    nodes = lab.more(4)
    yield Swarm.form(nodes, managers=3, image=lab.image)
    lab.remove(nodes)


@contextlib.contextmanager
def planted(node, script, healing):
    """Have a fault on a node in this context."""
    node.run(script).expect(error=AssertionError)
    try:
        yield
    finally:
        node.run(healing).expect()


def started_after(command):
    """Have the node's engine start after a command, from its next start on: the engine is its first process."""
    return (
        "D=$(command -v dockerd) && mv $D $D.real && "
        f"printf '#!/bin/sh\\n{command}\\nexec dockerd.real \"$@\"\\n' > $D && chmod +x $D"
    )


def beside(node, last):
    """Return the address of the network of a node with another last number."""
    return f"{node.address.rpartition('.')[0]}.{last}"


def test_nothing_is_found_where_nothing_is_wrong(swarm, always):
    hold_against(preflight(swarm), [], always)


def test_resolv_conf_is_judged_by_what_the_engine_makes_of_it(swarm, always):
    reads = parsed(swarm.nodes[1].ask("GET", "/version")["Version"]) >= _NDOTS_READ
    faults = [replace(fault, level="info") if reads and "ndots" in fault.name else fault for fault in RESOLVERS]
    with contextlib.ExitStack() as stack:
        for node in swarm.nodes:
            mine = [fault.script for fault in faults if node.name in fault.nodes and fault.script]
            stack.enter_context(
                planted(
                    node,
                    "; ".join(["cp /etc/resolv.conf /root/resolv.conf", *mine]),
                    "cat /root/resolv.conf > /etc/resolv.conf",
                )
            )
        hold_against(preflight(swarm), faults, {*always, "name-servers-alike"})


def test_a_subnet_with_host_bits_is_named(swarm, always):
    manager = swarm.nodes[0]
    if parsed(manager.ask("GET", "/version")["Version"]) >= (25,):
        pytest.skip("engines from 25.0 on refuse to make such a network")
    done(manager, "network create --driver overlay --subnet 10.90.0.1/24 odd")
    hold_against(preflight(swarm), [HOST_BITS], always)
    done(manager, "network rm odd")


def test_packets_with_another_source_are_named_and_blame_nobody(swarm, always):
    _, routed, translated, _ = swarm.nodes
    other, network = beside(routed, 201), beside(routed, 0)
    change = f"ip route change {network}/24 dev eth0 src"
    with planted(
        routed,
        f"ip address add {other}/24 dev eth0; {change} {other}",
        f"{change} {routed.address}; ip address del {other}/24 dev eth0",
    ):
        hold_against(preflight(swarm), [ROUTED], always)
    rule = f"ip daddr {network}/24 udp dport {{ 4789, 7946 }} snat to {beside(translated, 210)}"
    chain = "add table ip plant; add chain ip plant out { type nat hook postrouting priority 90; }"
    script = f"nft '{chain}; add rule ip plant out {rule}'"
    with planted(translated, script, "nft delete table ip plant"):
        hold_against(preflight(swarm), [TRANSLATED], {*always, "packets"})
    hold_against(preflight(swarm), [], always)


def test_an_address_that_two_nodes_have_is_named(swarm, always):
    _, second, _, last = swarm.nodes
    with planted(last, f"ip address add {second.address}/32 dev eth0", f"ip address del {second.address}/32 dev eth0"):
        hold_against(preflight(swarm), [TAKEN], {*always, *_FOLLOWING})
    swarm.wait_ready()


def test_an_advertised_address_that_is_gone_is_named_and_what_follows_is_below_it(swarm, always):
    last = swarm.nodes[-1]
    other = beside(last, 190)
    # With its address, a node loses the routes by it.
    swap = "D=$(ip route show default); ip address del {}/24 dev eth0; ip address add {}/24 dev eth0; ip route add $D"
    with planted(last, swap.format(last.address, other), swap.format(other, last.address)):

        def seen():
            address = next(
                member["Status"].get("Addr")
                for member in swarm.members()
                if member["ID"] == last.info()["Swarm"]["NodeID"]
            )
            return State(address == other, f"the managers see it at {address}")

        wait(seen, "the node to talk to the managers again", deadline=60, every=1)
        found = preflight(swarm)
        hold_against(found, [GONE, SEEN_ELSEWHERE], {*always, *_FOLLOWING, "source-addresses"})
        alone = [f for f in fired(found) if f.check in _FOLLOWING and f.level is Level.ERROR and not f.because]
        assert not alone, f"they do not stand below their cause: {[f.to_json() for f in alone]}"
    swarm.wait_ready()


def test_a_data_path_address_is_where_data_goes(lab, always):
    nodes = lab.more(2)
    try:
        first, last = nodes
        for place, node in enumerate(nodes, start=1):
            node.run(f"ip address add 10.66.0.{place}/24 dev eth0").expect()
        done(first, f"swarm init --advertise-addr {first.address} --data-path-addr 10.66.0.1")
        swarm = Swarm(nodes, image=lab.image)
        body = {
            "RemoteAddrs": [f"{first.address}:2377"],
            "JoinToken": swarm.tokens()["Worker"],
            "AdvertiseAddr": last.address,
            "ListenAddr": f"{last.address}:2377",
            "DataPathAddr": "10.66.0.2",
        }
        last.ask("POST", "/swarm/join", body=body)
        swarm.wait_ready()
        always = {*always, "quorum", "subnets-and-routes"}  # the pool has the network of data in it
        hold_against(preflight(swarm), [], always)
        last.run("ip address del 10.66.0.2/24 dev eth0").expect()
        fault = replace(DATA_GONE, nodes=(last.name,))
        hold_against(preflight(swarm), [fault], {*always, "source-addresses", "port-data-udp", "path-mtu"})
    finally:
        lab.remove(nodes)


def test_two_nodes_of_one_host_name_are_named(swarm, always):
    *_, third, last = swarm.nodes
    last.run(started_after(f"hostname {third.name}")).expect()
    last.stop()
    last.start()
    swarm.wait_ready()
    hold_against(preflight(swarm), [NAMED_ALIKE], always)


def test_a_copy_of_a_node_is_named_and_the_mend_makes_a_node_of_it(swarm, lab, always):
    first, *_, last = swarm.nodes
    last.run("mv $(command -v dockerd).real $(command -v dockerd)").expect()
    last.stop()
    last.start()
    swarm.wait_ready()
    nodes = lab.more(1)
    (copy,) = nodes
    copy.name = "copy"  # its host name is that of the first node
    try:
        packed = last.run("tar -C /var/lib/docker -cz swarm | base64 -w0").expect()
        copy.run(f"echo {packed} | base64 -d | tar -C /var/lib/docker -xz").expect()
        copy.stop()
        copy.start()
        both = Swarm([*swarm.nodes, copy], image=lab.image)

        def member():
            state = copy.info()["Swarm"]["LocalNodeState"]
            return State(state == "active", state)

        wait(member, "the copy to be in the swarm", deadline=30)
        found = preflight(both)
        fault = replace(COPIED, nodes=(last.name, copy.name), finding=COPIED.finding.replace("slave04", copy.name))
        hold_against(found, [fault], {finding.check for finding in fired(found)})
        mend = next(finding.mend for finding in found if finding.check == "copies" and finding.level is Level.ERROR)
        assert "rm -r /var/lib/docker/swarm" in mend
        gone = "rm -rf /var/lib/docker/swarm /var/lib/docker/engine-id /etc/docker/key.json"
        copy.run(started_after(gone)).expect()
        copy.stop()
        copy.start()
        join(copy, first, swarm.tokens()["Worker"])
        last.stop()
        last.start()
        both.wait_ready()
        hold_against(preflight(both), [], {*always, "host-names"})
    finally:
        lab.remove(nodes)
