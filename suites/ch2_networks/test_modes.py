"""2.2: the network modes of a container, and which names resolve in each."""

from functools import partial

from fixtures.claims import claim
from suites.support.commands import accepted, last
from suites.support.interfaces import addresses, eth0_of, links, stack
from swarmlab.lists import few
from swarmlab.wait import State, eventually, scaled

#: Seconds at reference speed after which a name counts as unknown. A name that is known resolves at once; an unknown
#: one takes long where no name server can be reached.
_PATIENCE = 4


@claim("2.2/mode-bridge")
def test_bridge_gives_a_network_stack_of_its_own_on_docker0(node, bench):
    box = bench.start("client", "--net bridge")
    inside = partial(bench.execute, box)
    assert stack(inside) != stack(node.run), f"on {node}, a container of --net bridge has the node's network stack"
    eth0 = eth0_of(bench, box)
    ends = [link for link in links(node.run).values() if link.index == eth0.peer]
    masters = [link.master for link in ends]
    assert masters == ["docker0"], f"on {node}, a container of --net bridge is a port of {masters}, not of docker0"


@claim("2.2/bridge-is-default")
def test_a_run_without_net_attaches_as_one_with_net_bridge(node, bench):
    without, with_net = (attachment(bench, bench.start("client", options)) for options in ("", "--net bridge"))
    assert without == with_net, f"on {node}, without --net a container is attached {without}, with it {with_net}"


@claim("2.2/mode-none")
def test_none_gives_a_loopback_interface_only(node, bench):
    box = bench.start("client", "--net none")
    inside = partial(bench.execute, box)
    assert stack(inside) != stack(node.run), f"on {node}, a container of --net none has the node's network stack"
    # The kernel may put unused tunnel devices into every new stack; they hold no address and are down.
    held = addresses(inside)
    assert list(held) == ["lo"], f"on {node}, a container of --net none has addresses on {list(held)}"
    wired = [link.name for link in links(inside).values() if link.peer != link.index and link.peer]
    assert not wired, f"on {node}, a container of --net none has the interfaces {wired}"
    routes = inside("ip -4 route").out.strip()
    assert not routes, f"on {node}, a container of --net none has the route {routes}"
    reached = inside(f"ping -c 1 -W 2 {node.address}")
    assert not reached.ok, f"on {node}, a container of --net none reaches {node.address}"


@claim("2.2/mode-host")
def test_host_gives_the_nodes_own_interfaces_and_ports(node, bench):
    port = bench.port()
    serve = f"while :; do printf 'HTTP/1.0 200 OK\\r\\n\\r\\nserved' | nc -l -N {port}; done"
    box = bench.start("client", "--net host", f'sh -c "{serve}"')
    url = node.url(port) if ":" not in node.address else f"http://127.0.0.1:{port}/"  # nc listens by IPv4
    inside = partial(bench.execute, box)
    assert stack(inside) == stack(node.run), f"on {node}, a container of --net host has a network stack of its own"

    def alike():
        own, nodes = (set(links(run)) for run in (inside, node.run))
        return State(own == nodes, f"the container has {few(sorted(own))}, the node has {few(sorted(nodes))}")

    # Interfaces of other containers come and go between two looks.
    eventually(alike, f"on {node}, a container of --net host to have the interfaces of the node", deadline=10)
    eventually(
        lambda: State((done := node.run(f"curl --noproxy '*' -sS -m 3 {url}")).out == "served", last(done)),
        f"port {port}, on which a container of --net host listens, to be a port of {node}",
        deadline=10,
    )


@claim("2.2/mode-container")
def test_container_shares_the_others_interfaces_and_addresses(node, bench):
    first = bench.start("web:1")
    second = bench.start("client", f"--net container:{first}")
    inside, outside = partial(bench.execute, second), partial(bench.execute, first)
    assert stack(inside) == stack(outside), f"on {node}, --net container gave another network stack"
    assert stack(inside) != stack(node.run), f"on {node}, --net container gave the node's network stack"
    own, shared = addresses(inside), addresses(outside)
    assert own == shared, f"on {node}, --net container gave {own}, the shared container has {shared}"
    eventually(
        lambda: State((done := inside("curl --noproxy '*' -sS -m 3 http://127.0.0.1/")).ok, last(done)),
        f"the server of the shared container to answer at 127.0.0.1 on {node}",
        deadline=10,
    )


@claim("2.2/four-modes-listed")
def test_network_ls_shows_bridge_host_and_none(node):
    lines = accepted(node, "network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'").splitlines()
    for wanted in ("bridge bridge local", "host host local", "none null local"):
        assert wanted in lines, f"docker network ls on {node} does not show {wanted}; it shows {', '.join(lines)}"


@claim("2.2/no-names-on-default-bridge")
def test_a_container_is_not_reachable_by_name_on_docker0(node, bench):
    asked = bench.start("web:1")
    asking = bench.start("client")
    eventually(
        lambda: State((done := curl(bench, asking, bench.address(asked))).ok, last(done)),
        f"a container on {node} to reach the other by address",
        deadline=10,
    )
    # A record for every name in the search domain may lead elsewhere.
    found = resolved(bench, asking, asked)
    assert found != bench.address(asked), f"on docker0 of {node}, a container is reached by its name"


@claim("2.2/link-resolves")
def test_link_makes_the_linked_name_resolve_on_docker0(node, bench):
    linked = bench.start("web:1")
    asking = bench.start("web:1", f"--link {linked}")
    found = resolved(bench, asking, linked)
    address = bench.address(linked)
    assert found == address, f"on {node}, the linked container is {address}, its name resolves to {found or 'nothing'}"
    eventually(
        lambda: State((done := curl(bench, asking, linked)).ok, last(done)),
        f"the linked container on {node} to answer by its name",
        deadline=10,
    )
    back = resolved(bench, linked, asking)
    assert back != bench.address(asking), (
        f"--link works one way only, and on {node} the linked container resolves the other's name: {back}"
    )


@claim("2.2/names-on-custom-network")
def test_containers_resolve_each_other_on_a_network_of_their_own(node, bench):
    network = bench.network()
    boxes = [bench.start("web:1", f"--net {network}") for _ in range(2)]
    for asking, asked in (boxes, reversed(boxes)):
        found, address = resolved(bench, asking, asked), bench.address(asked, network)
        assert address, f"on {node}, a container that was given {network} has no address in it"
        assert found == address, f"on {node}, {asked} has {address}, its name resolves to {found or 'nothing'}"
        eventually(
            lambda asking=asking, asked=asked: State((done := curl(bench, asking, asked)).ok, last(done)),
            f"a container on {node} to answer by its name on a network that a user made",
            deadline=10,
        )


def attachment(bench, box):
    """Return how a container is attached, without what differs between any two: addresses and ids of its own."""
    known = bench.inspect(box)
    networks = known["NetworkSettings"]["Networks"]
    kept = {name: {key: on[key] for key in ("NetworkID", "Gateway", "IPPrefixLen")} for name, on in networks.items()}
    inside = partial(bench.execute, box)
    return {"networks": kept, "interfaces": sorted(links(inside)), "route": inside("ip -4 route show default").out}


def curl(bench, box, name):
    """Ask a web server by name or address from inside a container."""
    return bench.execute(box, f"curl --noproxy '*' -sS -m {scaled(_PATIENCE):.0f} -o /dev/null http://{name}/")


def resolved(bench, box, name):
    """Return the address to which *name* resolves in a container; empty if it does not."""
    found = bench.execute(box, f"timeout {scaled(_PATIENCE):.0f} getent ahostsv4 {name}")
    return found.out.split()[0] if found.ok and found.out.split() else ""
