"""Which network a new lab gets beside what the engine and the host have already."""

from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest

from swarmlab.labs import routes, standing
from swarmlab.labs.standing import SUBNET
from swarmlab.ownership import LABEL

#: As an x86-64 kernel shows them: a default route, a VPN's, VirtualBox's, one host, and one that is refused.
TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t0000A8C0\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
vboxnet0\t0038A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wg0\t0739A8C0\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
*\t003AA8C0\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


class Outer:
    """An engine with *subnets* of networks and of labs, on a host with *known* routes."""

    own = None

    def __init__(self, subnets=(), labs=(), known=""):
        networks = [
            SimpleNamespace(name=name, attrs={"IPAM": {"Config": [{"Subnet": subnet}]}}) for name, subnet in subnets
        ]
        networks.append(SimpleNamespace(name="host", attrs={"IPAM": {"Config": None}}))
        self.client = SimpleNamespace(networks=SimpleNamespace(list=lambda: networks))
        self._labs = [SimpleNamespace(labels={SUBNET: subnet, LABEL: name}) for name, subnet in labs]
        self._known = known

    def containers(self, *_):
        return self._labs

    def routes(self):
        return routes.parse(self._known)


def lines(*kept):
    first, *others = TABLE.splitlines()
    return "\n".join([first, *(line for line in others if line.startswith(kept))])


def test_the_kernels_table_is_read():
    assert routes.parse(TABLE) == {
        IPv4Network("192.168.0.0/16"): "tun0",
        IPv4Network("192.168.56.0/24"): "vboxnet0",
        IPv4Network("192.168.57.7/32"): "wg0",
        IPv4Network("192.168.58.0/24"): "",
    }


def test_the_documents_network_is_first():
    assert standing.free_networks(Outer())[:2] == ["192.168.56.0/24", "192.168.57.0/24"]


@pytest.mark.parametrize(
    ("outer", "first", "by"),
    [
        (Outer(subnets=[("x", "192.168.56.0/24")]), "192.168.57.0/24", "the engine's network x"),
        (Outer(subnets=[("x", "192.168.48.0/20")]), "192.168.64.0/24", "the engine's network x"),
        (
            Outer([("six", "fd00::/64"), ("x", "192.168.56.128/25")]),
            "192.168.57.0/24",
            "the engine's network x",
        ),
        (Outer(labs=[("machines", "192.168.56.0")]), "192.168.57.0/24", "lab machines"),
        (Outer(known=lines("vboxnet0")), "192.168.57.0/24", "vboxnet0"),
        (Outer(known=lines("vboxnet0", "wg0", "*")), "192.168.59.0/24", "vboxnet0"),
    ],
)
def test_a_network_that_something_has_is_passed_over(outer, first, by):
    assert standing.free_networks(outer)[0] == first
    assert standing.taken_networks(outer)[IPv4Network("192.168.56.0/24")] == by


def test_a_part_of_a_vpns_network_may_be_taken_if_nothing_else_is_there():
    assert standing.free_networks(Outer(known=lines("tun0", "vboxnet0")))[0] == "192.168.57.0/24"


def test_a_network_outside_a_vpns_comes_first():
    known = "head\ntun0\t0038A8C0\t0\t1\t0\t0\t0\t00F8FFFF\t0\t0\t0"  # 192.168.56.0/21
    assert standing.free_networks(Outer(known=known))[0] == "192.168.64.0/24"


def test_virtualbox_takes_its_own_interface_over():
    outer = Outer(known=lines("vboxnet0"))
    assert standing.free_networks(outer, "vboxnet")[0] == "192.168.56.0/24"


def test_none_is_left_if_all_are_taken():
    assert standing.free_networks(Outer(subnets=[("x", "192.168.0.0/16")])) == []
