"""2.3: the commands that make, show and change networks."""

import json
from functools import partial

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted, last
from suites.support.interfaces import addresses
from swarmlab.cluster.marks import unique


@pytest.fixture
def created(node, bench):
    """A network that was made with the document's command."""
    name = unique("net")
    accepted(node, f"network create --label {bench.label} {name}")
    return name


@claim("2.3/create")
def test_create_makes_a_network_that_ls_and_inspect_show(node, bench):
    name = unique("net")
    id = accepted(node, f"network create --label {bench.label} {name}").strip()
    rows = accepted(node, "network ls --no-trunc --format '{{.ID}} {{.Name}} {{.Driver}}'").splitlines()
    assert f"{id} {name} bridge" in rows, f"network create on {node} gave {id}; ls shows no such network {name}: {rows}"
    (shown,) = json.loads(accepted(node, f"network inspect {name}"))
    inspected = (shown["Id"], shown["Name"], shown["Driver"])
    created = (id, name, "bridge")
    assert inspected == created, f"network create on {node} gave {id} for {name}; inspect shows {inspected}"
    # See that the network works: attach a container.
    box = bench.start("client", f"--net {name}")
    assert bench.address(box, name), f"on {node}, a container on the new network {name} has no address"


@claim("2.3/connect")
def test_connect_adds_an_interface_to_a_running_container(node, bench, created):
    # An engine may have no network bridge.
    box = bench.start("client", f"--net {bench.network()}")
    peer = bench.start("client", f"--net {created}")
    before = addresses(partial(bench.execute, box))
    accepted(node, f"network connect {created} {box}")
    after = addresses(partial(bench.execute, box))
    new = [held for name, held in after.items() if name not in before]
    given = bench.address(box, created)
    assert len(new) == 1, f"on {node}, connect must add one interface to a container; it added {new}"
    assert given == new[0][0].split("/")[0], f"on {node}, connect gave the container {given}, and eth1 {new[0]}"
    kept = {name: held for name, held in after.items() if name in before}
    assert kept == before, f"on {node}, connect changed the interfaces that a container had: {before} to {kept}"
    ping = bench.execute(box, f"ping -c 1 -W 3 {bench.address(peer, created)}")
    assert ping.ok, f"on {node}, the connected container does not reach its peer on {created}: {last(ping)}"


@claim("2.3/disconnect")
def test_disconnect_takes_the_interface_away(node, bench, created):
    # Inside, as no filter of an engine may keep its networks apart.
    box = bench.start("client", f"--net {bench.network(internal=True)}")
    accepted(node, f"network connect {created} {box}")
    peer = bench.start("client", f"--net {created}")
    address = bench.address(peer, created)
    inside = partial(bench.execute, box)
    before = addresses(inside)
    ping = inside(f"ping -c 1 -W 3 {address}")
    assert ping.ok, f"on {node}, the connected container does not reach its peer on {created}: {last(ping)}"
    mine = bench.address(box, created)
    accepted(node, f"network disconnect {created} {box}")
    after = addresses(inside)
    wanted = {name: held for name, held in before.items() if not any(entry.startswith(f"{mine}/") for entry in held)}
    assert after == wanted, f"on {node}, disconnect must leave {wanted}; the container has {after}"
    ping = inside(f"ping -c 1 -W 2 {address}")
    assert not ping.ok, f"on {node}, the disconnected container still reaches its peer {address} on {created}"


@claim("2.3/ls")
def test_ls_lists_id_name_driver_and_scope(node, created):
    header, *rows = accepted(node, "network ls").splitlines()
    columns = header.replace("NETWORK ID", "ID").split()
    assert columns == ["ID", "NAME", "DRIVER", "SCOPE"], f"docker network ls on {node} has the columns {header.split()}"
    listed = {row.split()[1]: row.split() for row in rows}
    known = {network["Name"]: network for network in node.ask("GET", "/networks")}
    for name in (created, "bridge", "host", "none"):
        wanted = [known[name]["Id"][:12], name, known[name]["Driver"], known[name]["Scope"]]
        assert listed.get(name) == wanted, f"docker network ls on {node} shows {listed.get(name)}, not {wanted}"


@claim("2.3/rm")
def test_rm_removes_an_unused_network_and_refuses_one_in_use(node, bench, created):
    box = bench.start("client", f"--net {created}")
    refused = node.docker(f"network rm {created}")
    assert not refused.ok, f"docker network rm on {node} accepted {created}, which a container is attached to"
    assert known(node, created), f"docker network rm on {node} refused {created}, which is in use, and it is gone"
    assert bench.address(box, created), f"docker network rm on {node} refused {created}, and cut its container off"
    bench.remove(box)
    accepted(node, f"network rm {created}")
    assert not known(node, created), f"docker network rm on {node} accepted the unused {created}, and it is still there"


@claim("2.3/inspect")
def test_inspect_shows_driver_scope_subnet_gateway_and_containers(node, bench, created):
    box = bench.start("client", f"--net {created}")
    (shown,) = json.loads(accepted(node, f"network inspect {created}"))
    attached = bench.inspect(box)
    on = attached["NetworkSettings"]["Networks"][created]
    kind = (shown["Driver"], shown["Scope"])
    assert kind == ("bridge", "local"), f"docker network inspect on {node} shows driver and scope {kind}, not bridge's"
    (pool,) = [entry for entry in shown["IPAM"]["Config"] if ":" not in entry["Subnet"]]
    gateway = pool["Gateway"].split("/")[0]
    assert gateway == on["Gateway"], (
        f"docker network inspect on {node} shows gateway {gateway}, a container of it has {on['Gateway']}"
    )
    listed = {id: (container["Name"], container["IPv4Address"]) for id, container in shown["Containers"].items()}
    wanted = {attached["Id"]: (box, f"{on['IPAddress']}/{on['IPPrefixLen']}")}
    assert listed == wanted, f"docker network inspect on {node} shows the containers {listed}, attached are {wanted}"
    assert pool["Subnet"].endswith(f"/{on['IPPrefixLen']}"), f"{node} shows subnet {pool['Subnet']} for {wanted}"


def known(node, network):
    """Return the ids of the networks of this name on the node."""
    return [listed["Id"] for listed in node.ask("GET", "/networks") if listed["Name"] == network]
