"""Data: what of it can be read on the way between nodes, where it leaves them, and where secrets are kept."""

import base64
import json
import secrets
from contextlib import ExitStack

from fixtures.claims import claim
from suites.support.hardening import as_it_stands
from suites.support.secret_words import revealing
from suites.support.traffic import GOSSIP, all_reached
from suites.support.wire import counted, of_vxlan, vxlan_of
from swarmlab.cluster.node import DATA_PORT
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import eventually

_MOUNT = "/run/secrets"


def web_everywhere(site, **options):
    """Return a network with *options*, and the tasks of a web server in it, one on each node of the sample."""
    if len(site.nodes) < 2:
        raise Blocked("the swarm has one node: nothing passes between nodes")
    network = site.create_network("wire", **options)
    web = site.create_service("web", "web:1", everywhere=True, networks=[network])
    return network, web.wait_running(len(site.nodes))


def arrivals(site, network, tasks, kinds):
    """Have all *tasks* reach each other; return by node how many packets of each of *kinds* arrived there meanwhile.

    *kinds* returns what to count on a node: nft's expressions by name.
    """
    probes = [site.probe(task) for task in tasks]
    with ExitStack() as held:
        counts = {node: held.enter_context(counted(node, kinds(node))) for node in site.nodes}
        eventually(
            lambda: all_reached(site, probes, tasks, network),
            "tasks to reach each other between nodes",
            deadline=GOSSIP,
            alike=True,
        )
        return {node: read() for node, read in counts.items()}


def data_port(site):
    """Return the port for data of the swarm."""
    return site.manager.ask("GET", "/swarm").get("DataPathPort") or DATA_PORT


@claim("cis/overlays-encrypted")
@as_it_stands
def test_no_payload_of_an_overlay_is_readable_between_nodes(site, lab):
    overlays = site.manager.ask("GET", "/networks", filters={"driver": ["overlay"], "scope": ["swarm"]})
    plain = [
        network["Name"]
        for network in overlays
        if not network["Ingress"]
        and site.label not in (network["Labels"] or {})
        and "encrypted" not in (network["Options"] or {})
    ]
    assert not plain, f"overlay networks that are not encrypted: {few(sorted(plain))}"
    if missing := lab.offers.missing(["encryption"]):
        raise Blocked(missing[0])
    network, tasks = web_everywhere(site, Options={"encrypted": ""})
    packets = of_vxlan(data_port(site), vxlan_of(site, network))
    # A packet that arrived encrypted comes by again after it is decrypted, and then has a security path.
    kinds = {"plain": f"{packets} meta secpath missing", "sealed": f"{packets} meta secpath exists"}
    for node, came in arrivals(site, network, tasks, lambda _: kinds).items():
        assert not came["plain"], f"{came['plain']} packets of an encrypted network came to {node} in the clear"
        assert came["sealed"], f"no packet of an encrypted network came to {node}"


@claim("cis/data-plane-apart")
@as_it_stands
def test_data_comes_and_goes_by_addresses_of_its_own(site):
    management, data = {}, {}
    for node in site.nodes:
        state = node.run(f"cat {node.data_root()}/swarm/docker-state.json").expect(f"reading the membership of {node}")
        management[node], data[node] = node.info()["Swarm"]["NodeAddr"], json.loads(state).get("DataPathAddr") or ""
        if data[node] and data[node] not in node.addresses():  # the name of an interface
            listed = node.look(f"ip -4 -oneline address show dev {data[node]}").out.split()
            data[node] = listed[3].partition("/")[0] if len(listed) > 3 else data[node]
    same = [node.name for node in site.nodes if data[node] in ("", management[node])]
    assert not same, f"data of {few(same)} goes by the address for management: there is no other (--data-path-addr)"
    network, tasks = web_everywhere(site)
    packets = of_vxlan(data_port(site), vxlan_of(site, network))

    def kinds(node):
        sources = ", ".join(data[other] for other in site.nodes if other is not node)
        return {"every": packets, "apart": f"{packets} ip daddr {data[node]} ip saddr {{ {sources} }}"}

    for node, came in arrivals(site, network, tasks, kinds).items():
        other = came["every"] - came["apart"]
        assert not other, (
            f"{other} of {came['every']} packets of data came to {node} by other addresses than {data[node]}"
        )
        assert came["apart"], f"no packet of data came to {node} at {data[node]}"


@claim("cis/secrets-used")
@as_it_stands
def test_no_service_has_in_its_environment_what_looks_like_a_secret(site, lab):
    services = [service["Spec"] for service in site.manager.ask("GET", "/services")]
    found = {
        spec["Name"]: names
        for spec in services
        if (names := revealing(spec["TaskTemplate"].get("ContainerSpec", {}).get("Env") or []))
    }
    told = [f"{service} has {few(names)}" for service, names in sorted(found.items())]
    assert not told, f"what looks like secrets is in environments of services, for all to read: {few(told, '; ')}"
    if lab.standing and not services:
        raise Blocked("the swarm has no service whose environment could be looked at")
    expect_hidden(site)


def expect_hidden(site):
    """Judge that a secret is readable for the tasks of its service, and in nothing that managers and engines show."""
    content = secrets.token_hex(16)
    name = site.unique("password")
    body = {"Name": name, "Labels": {site.label: ""}, "Data": base64.b64encode(content.encode()).decode()}
    made = site.manager.ask("POST", "/secrets/create", body=body)["ID"]
    service = site.create_service("reader", "client", command=["sleep", "infinity"], replicas=0)
    file = {"Name": "password", "UID": "0", "GID": "0", "Mode": 0o400}

    def given(spec):
        container = spec["TaskTemplate"]["ContainerSpec"]
        container["Secrets"] = [{"SecretID": made, "SecretName": name, "File": file}]
        container["Env"] = [f"PASSWORD_FILE={_MOUNT}/password"]
        spec["Mode"]["Replicated"]["Replicas"] = 1

    service.update(given)
    [task] = service.wait_running(1)
    node = site.node(task.node)
    read = node.execute(task.container, f"cat {_MOUNT}/password; echo; env")
    assert content in read.out.partition("\n")[0], f"a task on {node} cannot read the secret of its service"
    shown = {
        f"the environment of the task on {node}": read.out.partition("\n")[2],
        f"what {node} shows of the container": json.dumps(node.ask("GET", f"/containers/{task.container}/json")),
        "what managers show of the service": json.dumps(service.inspect()),
        "what managers show of the secret": json.dumps(site.manager.ask("GET", f"/secrets/{made}")),
    }
    forms = (content, body["Data"])
    for where, text in shown.items():
        assert not any(form in text for form in forms), f"the content of a secret is readable in {where}"
