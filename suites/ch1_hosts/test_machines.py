"""1.1: interfaces and disks of the three machines."""

from fixtures.claims import claim

#: Size of each machine's disk in GB.
DISKS = {"master": 100, "slave01": 50, "slave02": 50}


@claim("1.1/two-interfaces")
def test_each_node_has_a_nat_and_a_host_only_interface(cluster):
    for node in cluster.nodes:
        cards = node.run("for card in /sys/class/net/*/device; do basename $(dirname $card); done").out.split()
        assert len(cards) == 2, f"{node} has the network cards {', '.join(cards) or 'none'}, not two"
        held = addresses(node)
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
        # A provider's GB may be 10^9 bytes or 2^30.
        fitting = [size for size in sizes.values() if DISKS[node.name] in (round(size / 1e9), round(size / 2**30))]
        assert fitting, f"{node} is to have a disk of {DISKS[node.name]} GB; its disks have {sizes} bytes"


def addresses(node):
    """The node's IPv4 addresses by interface."""
    held = {}
    for line in node.run("ip -4 -oneline address show").out.splitlines():
        held.setdefault(line.split()[1], []).append(line.split()[3].split("/")[0])
    return held
