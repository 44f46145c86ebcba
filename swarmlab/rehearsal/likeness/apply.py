"""Makes a lab like a swarm: bodies of API requests for copies of its networks, configs, secrets and services."""

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
from swarmlab.rehearsal.likeness.model import Likeness

#: Prefix of the node labels that stand for labels of the engine; constraints and preferences are mapped to these.
ENGINE_LABEL = "engine."
#: Label of nodes that are drained in the swarm but active in the lab. A constraint keeps copied services off them.
AVAILABILITY = "likeness.availability"
#: Folder below which files and volumes of copied services are mounted, so that they hide nothing of the lab's image.
FOLDER = "/likeness"
#: The least memory that the lab's image needs, in bytes.
LEAST_MEMORY = 64 * 1024**2
#: Characters of the original's name in the name of a copy. A service's name has at most 63, with the suite's prefix.
_NAME = 50
#: Environment variables that change how the lab's image, or any program, behaves. They are not copied.
_OURS = re.compile(r"PATH|HOME|HOSTNAME|LINGER|RELEASE|(?:LD|NGINX|PYTHON|MALLOC|GLIBC)(?:_.*)?|LANG(?:UAGE)?|LC_.*")
_DUMMY = "dummy"


@dataclass
class Names:
    """Names of the copies, by the names of the originals.

    Attributes:
        hosts: Host names of nodes.
        ids: Ids of nodes, by the ids in the swarm.
        networks: Names of networks.
        configs: Ids and names of configs.
        secrets: Ids and names of secrets.
        volumes: Names of volumes.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    configs: dict[str, tuple[str, str]] = field(default_factory=dict)
    secrets: dict[str, tuple[str, str]] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)


def shorter(name: str) -> str:
    """Return a name short enough to add the suite's prefix and digits."""
    return name[:_NAME].rstrip("-_.")


def dress(cluster: Swarm, likeness: Likeness) -> None:
    """Give a lab's swarm the settings of the likeness, and its nodes their labels."""
    manager = cluster.manager
    manager.revise("/swarm", lambda spec: spec.update(swarm(spec, likeness.data["settings"])))
    labels = {node["host"]: node_labels(node) for node in likeness.data["nodes"]}
    for member in cluster.members():
        cluster.label_member(member, labels[member["Description"]["Hostname"]])


def swarm(spec: Mapping[str, Any], settings: Mapping[str, int]) -> dict[str, Any]:
    """Return the specification of the lab's swarm with the settings of the likeness."""
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
    """Return the labels of a node's copy."""
    made = dict(node["labels"]) | {f"{ENGINE_LABEL}{key}": value for key, value in node["engine_labels"].items()}
    return made | ({AVAILABILITY: "drain"} if node["availability"] == "drain" else {})


def network(
    original: Mapping[str, Any], name: str, label: str, *, encryption: bool, taken: Sequence[str]
) -> dict[str, Any]:
    """Return the body of a network's copy.

    Args:
        original: The network in the likeness.
        name: Name of the copy.
        label: Label of the suite.
        encryption: Whether the lab's kernel can encrypt.
        taken: Subnets of the lab's machines, which no network may have.
    """
    body: dict[str, Any] = {
        "Name": name,
        "Driver": "overlay",
        "Attachable": original["attachable"],
        "Internal": original["internal"],
        "Labels": {label: ""},
        "Options": dict(original["options"]) | ({"encrypted": ""} if original["encrypted"] and encryption else {}),
    }
    if original["subnets"] and not overlaps(original, taken):
        body["IPAM"] = {
            "Config": [
                {"Subnet": pool["subnet"]} | ({"Gateway": pool["gateway"]} if pool["gateway"] else {})
                for pool in original["subnets"]
            ]
        }
    return body


def overlaps(original: Mapping[str, Any], taken: Sequence[str]) -> bool:
    """Whether a network has a subnet that overlaps a taken one."""
    pools = [ip_network(pool["subnet"], strict=False) for pool in original["subnets"]]
    return any(pool.overlaps(ip_network(other, strict=False)) for pool in pools for other in taken)


def dummy(size: int) -> str:
    """Return a unique text of *size* bytes, at least 16."""
    return secrets.token_hex(8).ljust(size, "x")


def payload(name: str, label: str, text: str) -> dict[str, Any]:
    """Return the body of a config or secret with this content."""
    return {"Name": name, "Labels": {label: ""}, "Data": base64.b64encode(text.encode()).decode()}


def service(original: Mapping[str, Any], name: str, label: str, image: str, names: Names) -> dict[str, Any]:
    """Return the body of a service's copy.

    Args:
        original: The service in the likeness.
        name: Name of the copy.
        label: Label of the suite.
        image: Image of the copy: a web server at port 80.
        names: Names of the other copies.
    """
    container: dict[str, Any] = {
        "Image": image,
        "Mounts": [_mount(mount, label, names) for mount in original["mounts"]],
    }
    container["Env"] = [f"{key}={_DUMMY}" for key in original["environment"] if not _OURS.fullmatch(key)]
    container["Configs"] = _files(original["configs"], "Config", names.configs)
    container["Secrets"] = _files(original["secrets"], "Secret", names.secrets)
    if original["hostname"]:
        container["Hostname"] = original["hostname"]
    if original["stop_grace"]:
        container["StopGracePeriod"] = original["stop_grace"]
    placement: dict[str, Any] = {
        "Constraints": [*(_constraint(constraint, names) for constraint in original["constraints"]), _awake()],
        "Preferences": [{"Spread": {"SpreadDescriptor": _label(over)}} for over in original["preferences"]],
    }
    if original["most_on_a_node"]:
        placement["MaxReplicas"] = original["most_on_a_node"]
    limits = dict(original["limits"])
    if limits.get("MemoryBytes"):
        limits["MemoryBytes"] = max(limits["MemoryBytes"], LEAST_MEMORY)
    return {
        "Name": name,
        # With the labels of a stack, docker stack would take the copy for a part of one.
        "Labels": {key: _DUMMY for key in original["labels"] if not key.startswith("com.docker.")} | {label: ""},
        "TaskTemplate": {
            "ContainerSpec": container,
            "Placement": placement,
            "Resources": {"Limits": limits, "Reservations": dict(original["reservations"])},
            "RestartPolicy": dict(original["restart"]),
            "Networks": [
                {"Target": names.networks[each["network"]], "Aliases": list(each["aliases"])}
                for each in original["networks"]
                if each["network"] in names.networks
            ],
        },
        "Mode": {"Global": {}} if original["mode"] == "global" else {"Replicated": {"Replicas": original["replicas"]}},
        "EndpointSpec": {
            "Mode": original["endpoint_mode"] or "vip",
            "Ports": [_port(port) for port in original["ports"]],
        },
        **({"UpdateConfig": dict(original["update"])} if original["update"] else {}),
        **({"RollbackConfig": dict(original["rollback"])} if original["rollback"] else {}),
    }


def _awake() -> str:
    return f"node.labels.{AVAILABILITY}!=drain"


def _label(key: str) -> str:
    """Return a label of a constraint or preference as the copies of nodes have it."""
    return f"node.labels.{ENGINE_LABEL}{key.removeprefix('engine.labels.')}" if key.startswith("engine.") else key


def _constraint(constraint: Mapping[str, str], names: Names) -> str:
    known = {"node.hostname": names.hosts, "node.id": names.ids}.get(constraint["key"], {})
    # The engine also compares constraints without regard to case.
    value = {key.lower(): copied for key, copied in known.items()}.get(constraint["value"].lower(), constraint["value"])
    return f"{_label(constraint['key'])}{constraint['sign']}{value}"


def _mount(mount: Mapping[str, Any], label: str, names: Names) -> dict[str, Any]:
    made: dict[str, Any] = {"Type": mount["type"], "Target": f"{FOLDER}/{mount['target'].lstrip('/')}"}
    if mount["type"] == "tmpfs":
        return made | {"TmpfsOptions": dict(mount["options"])}
    if mount["source"]:
        made["Source"] = names.volumes[mount["source"]]
    return made | {"ReadOnly": mount["read_only"], "VolumeOptions": {"Labels": {label: ""}}}


def target(kind: str, file: str) -> str:
    """Return the path of a config's or secret's copy in a container.

    Args:
        kind: Config or Secret.
        file: The file as the service names it.
    """
    if kind == "Secret" and not file.startswith("/"):
        return f"/run/secrets/{file}"
    return f"{FOLDER}/{file.lstrip('/')}"


def _files(given: Sequence[Mapping[str, Any]], kind: str, made: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            f"{kind}ID": made[file["name"]][0],
            f"{kind}Name": made[file["name"]][1],
            "File": {"Name": target(kind, file["file"]), "UID": "0", "GID": "0", "Mode": file["mode"]},
        }
        for file in given
        if file["name"] in made
    ]


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    inner = 80 if port["protocol"] == "tcp" else port["target"]
    made = {"Protocol": port["protocol"], "TargetPort": inner, "PublishMode": port["mode"]}
    return made | ({"PublishedPort": port["published"]} if port["published"] else {})
