"""From a likeness to what the API of a lab's manager is sent, so that the lab has copies of what the swarm has."""

from __future__ import annotations

import base64
import copy
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

from swarmlab.cluster.swarm import Swarm
from swarmlab.rehearsal.likeness import Likeness

#: A constraint or preference on an engine's own labels becomes one on labels of the node that begin so.
ENGINE_LABEL = "engine."
#: The label of nodes that are drained in the swarm and active in the lab; copied services are kept off them.
AVAILABILITY = "likeness.availability"
#: What files and volumes of copied services are mounted below: the lab's image needs its own.
FOLDER = "/likeness"
#: Fewer bytes of memory are not enough for the lab's image.
LEAST_MEMORY = 64 * 1024**2
#: Characters of a copied thing's own name in that of its copy: services have at most 63 with the suite's beside it.
_NAME = 50
#: Variables that the lab's image, or any program, goes by.
_OURS = re.compile(r"PATH|HOME|HOSTNAME|LINGER|RELEASE|(?:LD|NGINX|PYTHON|MALLOC|GLIBC)(?:_.*)?|LANG(?:UAGE)?|LC_.*")
_DUMMY = "dummy"


@dataclass
class Names:
    """What the copies of things are called, by the things' own names.

    Attributes:
        hosts: host names of nodes.
        ids: ids of nodes, by those of the swarm.
        networks: names.
        configs: ids and names.
        secrets: the same.
        volumes: names.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    configs: dict[str, tuple[str, str]] = field(default_factory=dict)
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)


def shorter(name: str) -> str:
    """A name that the suite's prefix and digits can be added to."""
    return name[:_NAME].rstrip("-_.")


def dress(cluster: Swarm, likeness: Likeness) -> None:
    """Give a lab's swarm the settings of the likeness, and its nodes the labels."""
    manager = cluster.manager
    manager.revise("/swarm", lambda spec: spec.update(swarm(spec, likeness.told["settings"])))
    labels = {one["host"]: node_labels(one) for one in likeness.told["nodes"]}
    for member in cluster.members():
        cluster.label_member(member, labels[member["Description"]["Hostname"]])


def swarm(spec: Mapping[str, Any], settings: Mapping[str, int]) -> dict[str, Any]:
    """The specification of the lab's swarm with the likeness's settings."""
    made = copy.deepcopy(dict(spec))
    for part, key, name in (
        ("Orchestration", "TaskHistoryRetentionLimit", "task_history"),
        ("Raft", "SnapshotInterval", "snapshot_interval"),
        ("Dispatcher", "HeartbeatPeriod", "heartbeat"),
        ("CAConfig", "NodeCertExpiry", "certificates"),
    ):
        made[part] = {**(made.get(part) or {}), key: settings[name]}
    return made


def node_labels(node: Mapping[str, Any]) -> dict[str, str]:
    """The labels that the copy of a node has."""
    made = dict(node["labels"]) | {f"{ENGINE_LABEL}{key}": value for key, value in node["engine_labels"].items()}
    return made | ({AVAILABILITY: "drain"} if node["availability"] == "drain" else {})


def network(one: Mapping[str, Any], name: str, label: str, *, encryption: bool, taken: Sequence[str]) -> dict[str, Any]:
    """A network's copy.

    Args:
        one: the network, of the likeness.
        name: what the copy is called.
        label: the suite's.
        encryption: the lab's kernel can encrypt.
        taken: subnets of the lab's machines, which no network may have.
    """
    body: dict[str, Any] = {
        "Name": name,
        "Driver": "overlay",
        "Attachable": one["attachable"],
        "Internal": one["internal"],
        "Labels": {label: ""},
        "Options": dict(one["options"]) | ({"encrypted": ""} if one["encrypted"] and encryption else {}),
    }
    if one["subnets"] and not overlaps(one, taken):
        body["IPAM"] = {
            "Config": [
                {"Subnet": pool["subnet"]} | ({"Gateway": pool["gateway"]} if pool["gateway"] else {})
                for pool in one["subnets"]
            ]
        }
    return body


def overlaps(one: Mapping[str, Any], taken: Sequence[str]) -> bool:
    """Whether a network has a subnet that is taken."""
    pools = [ip_network(pool["subnet"], strict=False) for pool in one["subnets"]]
    return any(pool.overlaps(ip_network(other)) for pool in pools for other in taken)


def dummy(size: int) -> str:
    """Text of so many bytes, and of 16 at least, that nothing else has."""
    return secrets.token_hex(8).ljust(size, "x")


def payload(name: str, label: str, text: str) -> dict[str, Any]:
    """A config or secret of this content."""
    return {"Name": name, "Labels": {label: ""}, "Data": base64.b64encode(text.encode()).decode()}


def service(one: Mapping[str, Any], name: str, label: str, image: str, names: Names) -> dict[str, Any]:
    """A service's copy.

    Args:
        one: the service, of the likeness.
        name: what the copy is called.
        label: the suite's.
        image: what it runs: a web server at port 80.
        names: what the copies of other things are called.
    """
    container: dict[str, Any] = {"Image": image, "Mounts": [_mount(mount, label, names) for mount in one["mounts"]]}
    container["Env"] = [f"{key}={_DUMMY}" for key in one["environment"] if not _OURS.fullmatch(key)]
    container["Configs"] = _files(one["configs"], "Config", names.configs)
    container["Secrets"] = _files(one["secrets"], "Secret", names.secrets)
    if one["hostname"]:
        container["Hostname"] = one["hostname"]
    if one["stop_grace"]:
        container["StopGracePeriod"] = one["stop_grace"]
    placement: dict[str, Any] = {
        "Constraints": [*(_constraint(words, names) for words in one["constraints"]), _awake()],
        "Preferences": [{"Spread": {"SpreadDescriptor": _label(over)}} for over in one["preferences"]],
    }
    if one["most_on_a_node"]:
        placement["MaxReplicas"] = one["most_on_a_node"]
    limits = dict(one["limits"])
    if limits.get("MemoryBytes"):
        limits["MemoryBytes"] = max(limits["MemoryBytes"], LEAST_MEMORY)
    return {
        "Name": name,
        # What a stack's tools go by would make one of it.
        "Labels": {key: _DUMMY for key in one["labels"] if not key.startswith("com.docker.")} | {label: ""},
        "TaskTemplate": {
            "ContainerSpec": container,
            "Placement": placement,
            "Resources": {"Limits": limits, "Reservations": dict(one["reservations"])},
            "RestartPolicy": dict(one["restart"]),
            "Networks": [
                {"Target": names.networks[each["network"]], "Aliases": list(each["aliases"])}
                for each in one["networks"]
                if each["network"] in names.networks
            ],
        },
        "Mode": {"Global": {}} if one["mode"] == "global" else {"Replicated": {"Replicas": one["replicas"]}},
        "EndpointSpec": {"Mode": one["endpoint_mode"] or "vip", "Ports": [_port(port) for port in one["ports"]]},
        **({"UpdateConfig": dict(one["update"])} if one["update"] else {}),
        **({"RollbackConfig": dict(one["rollback"])} if one["rollback"] else {}),
    }


def _awake() -> str:
    return f"node.labels.{AVAILABILITY}!=drain"


def _label(key: str) -> str:
    """A label that a constraint or preference speaks of, as the copies of nodes have it."""
    return f"node.labels.{ENGINE_LABEL}{key.removeprefix('engine.labels.')}" if key.startswith("engine.") else key


def _constraint(words: Mapping[str, str], names: Names) -> str:
    known = {"node.hostname": names.hosts, "node.id": names.ids}.get(words["key"], {})
    # The engine does not tell capitals from others either.
    value = {key.lower(): copied for key, copied in known.items()}.get(words["value"].lower(), words["value"])
    return f"{_label(words['key'])}{words['sign']}{value}"


def _mount(mount: Mapping[str, Any], label: str, names: Names) -> dict[str, Any]:
    made: dict[str, Any] = {"Type": mount["type"], "Target": f"{FOLDER}/{mount['target'].lstrip('/')}"}
    if mount["type"] == "tmpfs":
        return made | {"TmpfsOptions": dict(mount["options"])}
    if mount["source"]:
        made["Source"] = names.volumes[mount["source"]]
    return made | {"ReadOnly": mount["read_only"], "VolumeOptions": {"Labels": {label: ""}}}


def target(kind: str, file: str) -> str:
    """Where the copy of a config or secret is in a container: the path of its file.

    Args:
        kind: Config or Secret.
        file: the file as the service names it.
    """
    if kind == "Secret" and not file.startswith("/"):
        return f"/run/secrets/{file}"
    return f"{FOLDER}/{file.lstrip('/')}"


def _files(given: Sequence[Mapping[str, Any]], kind: str, made: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            f"{kind}ID": made[one["name"]][0],
            f"{kind}Name": made[one["name"]][1],
            "File": {"Name": target(kind, one["file"]), "UID": "0", "GID": "0", "Mode": one["mode"]},
        }
        for one in given
        if one["name"] in made
    ]


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    inner = 80 if port["protocol"] == "tcp" else port["target"]
    made = {"Protocol": port["protocol"], "TargetPort": inner, "PublishMode": port["mode"]}
    return made | ({"PublishedPort": port["published"]} if port["published"] else {})
