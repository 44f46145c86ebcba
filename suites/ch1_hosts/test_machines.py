"""1.1: the three machines: addresses, reachability, interfaces, disks, operating system."""

import re

import pytest

from fixtures.claims import claim
from fixtures.cluster import on_every_node
from suites.support.interfaces import addresses
from suites.support.listening import answers
from suites.support.traffic import without_loss
from swarmlab.cluster.node import GOSSIP_PORT
from swarmlab.errors import Blocked
from swarmlab.labs.hosts import NETWORK
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually, scaled

#: Size of each machine's disk in GB.
DISKS = {"master": 100, "slave01": 50, "slave02": 50}
#: The URL that shows that a node reaches the outside; the packages of its engine come from there.
OUTSIDE = "http://deb.debian.org/"


@claim("1.1/three-nodes")
def test_the_cluster_has_the_nodes_of_the_declared_names(cluster, lab):
    wanted = sorted(lab.declared(cluster.nodes[0].name).names)
    members = sorted(cluster.names().values())
    assert members == wanted, f"the cluster's nodes are {few(members)}, not {few(wanted)}"
    for node in cluster.nodes:
        running = node.run("uname -n").out.strip()
        assert running == node.name, f"the host name of {node} is {running}"


@claim("1.1/static-addresses")
@pytest.mark.document_network
def test_each_node_holds_its_documented_address_statically(cluster, lab):
    for node in cluster.nodes:
        declared = lab.declared(node.name)
        wanted = declared.places
        assert node.name in wanted, f"{node} is none of the nodes with a declared address, {few(wanted)}"
        held = addresses(node.run)
        at = [card for card, listed in held.items() for entry in listed if entry.split("/")[0] == wanted[node.name]]
        assert at, f"{node} must have {wanted[node.name]}, and has {held}"
        others = [entry for listed in held.values() for entry in listed if entry.split("/")[0] in wanted.values()]
        assert len(others) == 1, f"{node} must have one address of the cluster's, and has {others}"
        lines = node.run(f"ip -4 -oneline address show dev {at[0]}").out.splitlines()
        (line,) = [entry for entry in lines if f" {wanted[node.name]}/" in entry]
        # An address from a DHCP server lives as long as its lease.
        lease = "dynamic" in line.split() or "valid_lft forever" not in line
        assert not lease, f"{wanted[node.name]} of {node} is leased and not static: {' '.join(line.split())}"
    if not declared.addresses and declared.network != NETWORK:
        taken = f"{NETWORK}.0/24 was taken when the lab was made"
        raise Blocked(f"{taken}, and its nodes are in {declared.network}.0/24")


@claim("1.1/mutual-reachability")
def test_every_node_reaches_every_other(cluster, lab):
    # The document pings. An owner may have his firewall drop pings: then a connection shows the same.
    pings = not lab.offers.missing(["power"])  # machines that are a lab's own

    def reached():
        lost = unreached(cluster.nodes)
        pairs = [(node, other) for node in cluster.nodes for other in cluster.nodes if other is not node]
        return without_loss(lost if pings else unconnected(lost), cluster.nodes, pairs)

    eventually(reached, "every node to reach every other", deadline=15, alike=True)


@claim("1.1/outside-reachable")
def test_every_node_reaches_the_outside(cluster):
    inside = {address for node in cluster.nodes for address in node.addresses()}
    for node in cluster.nodes:
        eventually(
            lambda node=node: answered_by_another(node, inside), f"{node} to be answered by {OUTSIDE}", deadline=20
        )


@claim("1.1/two-interfaces")
def test_each_node_has_a_nat_and_a_host_only_interface(cluster):
    for node in cluster.nodes:
        cards = node.run("for card in /sys/class/net/*/device; do basename $(dirname $card); done").out.split()
        assert len(cards) == 2, f"{node} has the network cards {', '.join(cards) or 'none'}, not two"
        held = {card: [entry.split("/")[0] for entry in listed] for card, listed in addresses(node.run).items()}
        inside = [card for card in cards if node.address in held.get(card, [])]
        assert len(inside) == 1, f"{node.address} of {node} is on none of its cards: {held}"
        (outside,) = set(cards) - set(inside)
        assert held.get(outside), f"{outside}, the other interface of {node}, has no address"
        routes = node.run("ip -4 route show default").out.strip().splitlines()
        through = [line.partition(" dev ")[2].split()[0] for line in routes]
        assert through[:1] == [outside], f"{node} reaches the outside by {through}, its NAT interface is {outside}"
        assert inside[0] not in through, f"{node} reaches the outside by {inside[0]}, which is for the cluster alone"


@claim("1.1/disks")
def test_master_has_a_disk_of_100_gb_and_the_slaves_50(cluster):
    for node in cluster.nodes:
        disks = node.run("lsblk --bytes --nodeps --noheadings --output NAME,TYPE,SIZE").out.splitlines()
        sizes = {line.split()[0]: int(line.split()[2]) for line in disks if line.split()[1] == "disk"}
        # One provider's GB is 10^9 bytes, another's 2^30.
        fitting = [size for size in sizes.values() if DISKS[node.name] in (round(size / 1e9), round(size / 2**30))]
        assert fitting, f"{node} must have a disk of {DISKS[node.name]} GB; its disks have {sizes} bytes"


@claim("1.1/operating-system")
@on_every_node
def test_node_runs_the_declared_system(node, lab):
    wanted = dict(lab.declared(node.name).system)
    show = ". /etc/os-release; " + "; ".join(f'echo "{key}=${key}"' for key in wanted)
    running = dict(line.split("=", 1) for line in node.run(show).out.splitlines() if "=" in line)
    assert running == wanted, f"{node} runs {running}, the lab declares {wanted}"


def unreached(nodes):
    """Return how many of three pings came back, for each pair of nodes (from, to) that lost one."""
    lost = {}
    for asking, printed in zip(nodes, parallel(lambda asking: pinged(asking, nodes), nodes), strict=True):
        for asked in nodes:
            if asking is not asked:
                output = printed.get(asked.address, "ping printed nothing")
                received = re.search(r"(\d+) (packets )?received", output)
                if not (received and received[1] == "3"):
                    of = f"{received[1]} of 3 pings came back" if received else output
                    lost[asking, asked] = f"{asking} to {asked} at {asked.address}: {of}"
    return lost


def pinged(asking, nodes):
    """Return what ping prints on a node for each other node, by address; all are pinged at the same time."""
    ping = f"LC_ALL=C ping -c 3 -i 0.2 -W {scaled(2):.0f}"
    others = " ".join(node.address for node in nodes if node is not asking)
    done = asking.run(f"for A in {others}; do (P=$({ping} $A 2>&1 | tr '\\n' ' '); echo \"$A $P\") & done; wait")
    return {address: printed for address, _, printed in (line.partition(" ") for line in done.out.splitlines())}


def unconnected(lost):
    """Return those of the pairs of `unreached` that make no connection either, to the port of the nodes' gossip."""
    connects = parallel(lambda pair: answers(pair[0], pair[1].address, GOSSIP_PORT), lost)
    return {pair: why for (pair, why), connected in zip(lost.items(), connects, strict=True) if not connected}


def answered_by_another(node, inside):
    """Whether `OUTSIDE` answers a node, and not a machine of the cluster in its place."""
    limit = f"--connect-timeout {scaled(5):.0f} --max-time {scaled(10):.0f}"
    done = node.run(f"curl -sS -I -o /dev/null {limit} -w '%{{remote_ip}} %{{http_code}}' {OUTSIDE}")
    address, _, status = done.out.partition(" ")
    # A proxy that finds no way out, or a portal that wants a login, answers with an error.
    return State(done.ok and status[:1] in ("2", "3") and address not in inside, f"{done.out} {done.err}".strip())
