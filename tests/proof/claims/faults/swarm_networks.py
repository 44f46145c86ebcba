"""networks: overlay networks, and those that nodes have by themselves."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, drop, proxy, reword, wrap

#: Answers to what was refused as if it had been done.
_CREATED = """
if method == "POST" and path.endswith("/networks/create") and status >= 400:
    status, data = 201, json.dumps({"Id": "none"}).encode()
"""
_DELETED = """
if method == "DELETE" and "/networks/" in path and status >= 400:
    status, data = 200, b"{}"
"""
#: Takes from the specifications of networks what they are given; of some the test must know the subnet.
_BARE = """
if method == "POST" and path.endswith("/networks/create"):
    told = json.loads(body)
    kept = "first" in told["Name"] or "ranged" in told["Name"]
    pools = (told.get("IPAM") or {}).get("Config") or []
    told["IPAM"] = {"Config": [{"Subnet": pool["Subnet"]} for pool in pools if kept]}
    told.update(Internal=False, Options={})
    body = json.dumps(told).encode()
"""
#: Puts each service into the networks of the services before it, too.
_TOGETHER = """
if method == "POST" and path.endswith("/services/create"):
    told = json.loads(body)
    seen = globals().setdefault("SEEN", [])
    seen += [net["Target"] for net in told["TaskTemplate"].get("Networks") or []]
    told["TaskTemplate"]["Networks"] = [{"Target": net} for net in dict.fromkeys(seen)]
    body = json.dumps(told).encode()
"""
#: Takes aliases from services, confuses the networks host and bridge, and updates to the first network and to vip.
_OTHERWISE = """
if method == "POST" and "/services/" in path:
    told = json.loads(body)
    other = {"host": "bridge", "bridge": "host"}
    nets = [net["Target"] for net in told["TaskTemplate"].get("Networks") or []]
    updated = "/update" in path
    told["TaskTemplate"]["Networks"] = [{"Target": other.get(net, net)} for net in (nets[:1] if updated else nets)]
    if updated:
        told.setdefault("EndpointSpec", {})["Mode"] = "vip"
    body = json.dumps(told).encode()
"""
#: On a worker: a container in each network of a test that it knows.
_SQUATTER = """
while sleep 0.2; do
    for net in $(docker network ls --quiet --filter driver=overlay --filter name=swc-net-); do
        docker ps --quiet --filter network=$net --filter label=gremlin | grep -q . ||
            docker run --detach --label gremlin --label swarm-conformance --network $net registry:5000/client
    done
done
"""
#: One more address for every container, in each of its networks of 256 addresses.
_ONE_MORE = """
while sleep 0.2; do
    for id in $(docker ps --quiet); do
        process=$(docker inspect --format '{{.State.Pid}}' $id)
        nsenter --net --target $process ip -4 -oneline address show | grep /24 | while read -r _ link _ address _; do
            nsenter --net --target $process ip address add ${address%.*}.200/24 dev $link
        done
    done
done
"""

FAULTS = [
    ClaimFault(
        "managers say that they made networks which they refused",
        {
            "networks/name-once": "master made a second network .*: not refused",
            "networks/subnets-checked": "master made a network with a range of another subnet",
        },
        script=proxy(_CREATED),
        nodes=("master",),
    ),
    ClaimFault(
        "an engine takes no notice of a wish for no IPv4",
        {"networks/ipv4-stays": "made without IPv4: not refused"},
        offers=("api",),
        run="swarm ports and networks",
    ),
    ClaimFault(
        "managers say that they removed networks which are in use",
        {
            "networks/in-use-stays": "master was to remove swc-used-.*: not refused",
            "networks/ingress-in-use-stays": "master was to remove .* while .* publishes: not refused",
        },
        script=proxy(_DELETED),
        nodes=("master",),
    ),
    ClaimFault(
        "a worker puts a container into every network that it knows",
        {"networks/only-where-used": "no other node than slave02 to keep .*slave01 has its interfaces"},
        script=background(_SQUATTER),
        nodes=("slave01",),
        run="swarm ports and networks",
    ),
    ClaimFault(
        "networks are made without their ranges, subnets and options",
        {
            "networks/ip-range": "was given the range .*, and outside of it are",
            "networks/overlap-unused": "has tasks: master",
            "networks/internal": "in an internal network reaches",
            "networks/mtu-option": "has MTU 1450, not 1250",
            "networks/encrypted-unreadable": "sends through an encrypted network can be read",
            "networks/ingress-made-anew": "publishes .* has 10.*, and swc-mesh-.* has 172.30",
        },
        script=proxy(asked=_BARE),
        nodes=("master",),
        offers=("encryption",),
    ),
    ClaimFault(
        "the data path is closed on a node for networks of the swarm",
        {
            "networks/attach-by-id": "no way between nodes, with .*slave02",
            "networks/encrypted-passes": "no way between nodes, with .*slave02",
        },
        script=drop("udp dport 4789"),
        nodes=("slave02",),
        offers=("encryption",),
    ),
    ClaimFault(
        "services join the networks of the services before them",
        {"networks/isolated": "of swc-two-.* resolves for tasks in swc-one-.* leads on"},
        script=proxy(asked=_TOGETHER),
        nodes=("master",),
    ),
    ClaimFault(
        "managers take other networks, modes and names for services than they are given",
        {
            "networks/joined-by-update": "to be in the networks that an update names",
            "networks/endpoint-mode-changes": "to resolve to its tasks after a change to dnsrr",
            "networks/alias": "the alias .* to resolve in swc-known",
            "networks/predefined-host": "the task on master is in network .*, and the node's own is",
            "networks/predefined-bridge": "and the bridge 172|is on the bridge, and has",
        },
        script=proxy(asked=_OTHERWISE),
        nodes=("master",),
    ),
    ClaimFault(
        "a node gives containers other addresses, and leaves no swarm",
        {
            "networks/attach-fixed-address": "a container on slave02 asked for .*, and has",
            "networks/attach-ends-at-leave": "slave02, which left, to forget",
        },
        script=wrap(reword('"run --detach --name swc-one"*', ("--ip", "--env")), '"swarm leave"*) exit 0'),
        nodes=("slave02",),
    ),
    ClaimFault(
        "a node keeps the address of a container that failed",
        {"networks/attach-released": "to get .*, which one on slave02 had, of a command that is not there"},
        script=wrap(
            '"run --rm"*--ip*) docker.real $(echo "$*" | sed "s/--rm/--detach/; s#--entrypoint [^ ]*##"); exit 127'
        ),
        nodes=("slave02",),
        run="swarm ports and networks",
    ),
    ClaimFault(
        "a node puts no container into a network",
        {"networks/attach-released": r"slave02 was to run a command that is not there in .*, and says \(125\)"},
        script=wrap('"run --rm"*--ip*) echo "no such network" >&2; exit 125'),
        nodes=("slave02",),
    ),
    ClaimFault(
        "a node gives all of its containers one more address",
        {"networks/addresses-unique": "one address is of several"},
        script=background(_ONE_MORE),
        nodes=("slave01",),
    ),
    ClaimFault(
        "a node configures another subnet and range",
        {
            "networks/node-configurations": "the task on slave01 has .* is there configured with",
            "networks/macvlan": "the task on slave01 has .* is there configured with",
        },
        script=wrap(
            reword('"network create --config-only"*--ip-range*', ("*.1.0/24", "${word%.1.0/24}.77.0/24")),
            reword('"network create --config-only"*', ("*.1.0/24", "${word%.1.0/24}.99.0/24")),
        ),
        nodes=("slave01",),
        run="swarm ports and networks",
    ),
]
