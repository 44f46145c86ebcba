"""Turns networks, configs and services of a swarm into plain data for copies, and lists what is left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from swarmlab.rehearsal.likeness.model import IPV6
from swarmlab.rehearsal.likeness.standins import StandIns

#: The most tasks of all copied services, and of one of them.
MOST_TASKS, MOST_REPLICAS = 60, 6

_RESOURCES = ("NanoCPUs", "MemoryBytes", "Pids")
_UPDATE = ("Parallelism", "Delay", "FailureAction", "Monitor", "MaxFailureRatio", "Order")
_RESTART = ("Condition", "Delay", "Window")
_OPTIONS = ("com.docker.network.driver.mtu",)
#: The option in which an overlay network keeps its VXLAN network id.
VXLAN_ID = "com.docker.network.driver.overlay.vxlanid_list"
#: Settings of containers that depend on the real image or could hold a secret: their names, by key of the API.
_OF_CONTAINER = {
    "Command": "command",
    "Args": "arguments",
    "Healthcheck": "health check",
    "User": "user",
    "Groups": "groups",
    "Dir": "working directory",
    "ReadOnly": "read-only root",
    "Privileges": "privileges",
    "Sysctls": "sysctls",
    "Ulimits": "ulimits",
    "CapabilityAdd": "capabilities",
    "CapabilityDrop": "capabilities",
    "Hosts": "entries of /etc/hosts",
    "DNSConfig": "DNS settings",
    "Init": "init",
    "TTY": "terminal",
    "OpenStdin": "open standard input",
    "StopSignal": "stop signal",
    "OomScoreAdj": "OOM score",
}


def networks(listed: Iterable[Mapping[str, Any]], left: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the overlay networks of a swarm except ingress, as far as they can be copied; append the rest to *left*."""
    for network in listed:
        if network.get("Ingress"):
            continue
        if network["Driver"] != "overlay":
            left.append(f"Network {network['Name']}, of driver {network['Driver']}.")
            continue
        options = dict(network.get("Options") or {})
        encrypted = "encrypted" in options
        for key in sorted(set(options) - {"encrypted", VXLAN_ID, *_OPTIONS}):
            left.append(f"Option {key} of network {network['Name']}.")
        pools = (network.get("IPAM") or {}).get("Config") or []
        if any(":" in pool.get("Subnet", "") for pool in pools) or network.get("EnableIPv6"):
            left.append(f"{IPV6}{network['Name']}.")
        yield {
            "name": network["Name"],
            "attachable": bool(network.get("Attachable")),
            "internal": bool(network.get("Internal")),
            "encrypted": encrypted,
            "subnets": [
                {"subnet": pool["Subnet"], "gateway": pool.get("Gateway", "")}
                for pool in pools
                if pool.get("Subnet") and ":" not in pool["Subnet"]
            ],
            "options": {key: options[key] for key in _OPTIONS if options.get(key, "").isdigit()},
        }


def size(spec: Mapping[str, Any]) -> int:
    """Return the size of a config's content, which is base64, in bytes."""
    data = spec.get("Data") or ""
    return len(data) * 3 // 4 - data.count("=")


# Services


def service(
    spec: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Any]],
    overlays: set[str],
    standins: StandIns,
    left: list[str],
) -> dict[str, Any] | None:
    """Return a service, as far as it can be copied; None if it cannot.

    Args:
        spec: Its specification.
        networks: The networks of the swarm, by id.
        overlays: Names of the networks that are copied.
        standins: The stand-ins for values of labels.
        left: Receives a sentence for each part that is left out.
    """
    name, template, mode = spec["Name"], spec["TaskTemplate"], spec.get("Mode") or {}
    container = template.get("ContainerSpec")
    if not container:
        left.append(f"Service {name}: it runs no containers.")
        return None
    if "Replicated" not in mode and "Global" not in mode:
        left.append(f"Service {name}: it is a job, which runs to its end.")
        return None
    restart = template.get("RestartPolicy") or {}
    if restart.get("Condition") == "none":
        left.append(f"Service {name}: it never restarts, so a drain ends its tasks for good, whatever the engine.")
        return None
    gone = [name for key, name in _OF_CONTAINER.items() if container.get(key)]
    if restart.get("MaxAttempts"):
        gone.append(f"its {restart['MaxAttempts']} attempts to restart at most (each drain counts as one)")
    if template.get("LogDriver"):
        gone.append("log driver")
    attached = list(_attached(spec, networks, overlays, gone))
    placement = template.get("Placement") or {}
    resources = template.get("Resources") or {}
    if (resources.get("Reservations") or {}).get("GenericResources"):
        gone.append("generic resources")
    endpoint = spec.get("EndpointSpec") or {}
    made = {
        "name": name,
        "labels": sorted(spec.get("Labels") or {}),
        "mode": "global" if "Global" in mode else "replicated",
        "replicas": 0 if "Global" in mode else (mode["Replicated"] or {}).get("Replicas", 1),
        "networks": attached,
        "constraints": list(_constraints(placement.get("Constraints") or [], standins, gone)),
        "preferences": list(_preferences(placement.get("Preferences") or [], gone)),
        "most_on_a_node": placement.get("MaxReplicas", 0),
        "endpoint_mode": endpoint.get("Mode", ""),
        "ports": [
            {
                "protocol": port.get("Protocol", "tcp"),
                "target": port["TargetPort"],
                "published": port.get("PublishedPort", 0),
                "mode": port.get("PublishMode", "ingress"),
            }
            for port in endpoint.get("Ports") or []
        ],
        "limits": _of(resources.get("Limits"), _RESOURCES),
        "reservations": _of(resources.get("Reservations"), _RESOURCES),
        "mounts": list(_mounts(container.get("Mounts") or [], gone)),
        "configs": list(_files(container.get("Configs") or [], "ConfigName")),
        "secrets": list(_files(container.get("Secrets") or [], "SecretName")),
        "environment": sorted({line.partition("=")[0] for line in container.get("Env") or []}),
        "hostname": container.get("Hostname", ""),
        "stop_grace": container.get("StopGracePeriod", 0),
        "restart": _of(restart, _RESTART),
        "update": _of(spec.get("UpdateConfig"), _UPDATE),
        "rollback": _of(spec.get("RollbackConfig"), _UPDATE),
    }
    if gone:
        left.append(f"Of service {name}: {', '.join(dict.fromkeys(gone))}.")
    return made


def _of(settings: Mapping[str, Any] | None, keys: Sequence[str]) -> dict[str, Any]:
    return {key: settings[key] for key in keys if settings and key in settings}


def _attached(
    spec: Mapping[str, Any], networks: Mapping[str, Mapping[str, Any]], overlays: set[str], gone: list[str]
) -> Iterator[dict[str, Any]]:
    for attachment in spec["TaskTemplate"].get("Networks") or spec.get("Networks") or []:
        name = (networks.get(attachment["Target"]) or {}).get("Name", attachment["Target"])
        if name not in overlays:
            gone.append(f"network {name}")
            continue
        if attachment.get("DriverOpts"):
            gone.append(f"driver options on network {name}")
        yield {"network": name, "aliases": list(attachment.get("Aliases") or [])}


_CONSTRAINT = re.compile(r"^\s*(?P<key>\S+?)\s*(?P<sign>==|!=)\s*(?P<value>.+?)\s*$")
#: The keys of constraints that can be copied: the lab's nodes differ in these as the real nodes do.
_PLACES = ("node.id", "node.hostname", "node.role", "node.labels.", "engine.labels.")


def _constraints(given: Sequence[str], standins: StandIns, gone: list[str]) -> Iterator[dict[str, str]]:
    for constraint in given:
        found = _CONSTRAINT.match(constraint)
        if not found or not found["key"].startswith(_PLACES):
            gone.append(f"constraint on {found['key'] if found else 'an unknown key'}")
            continue
        key = found["key"]
        value = standins.of(key, found["value"]) if ".labels." in key else found["value"]
        yield {"key": key, "sign": found["sign"], "value": value}


def _preferences(given: Sequence[Mapping[str, Any]], gone: list[str]) -> Iterator[str]:
    for preference in given:
        over = (preference.get("Spread") or {}).get("SpreadDescriptor", "")
        if over.startswith(("node.labels.", "engine.labels.")):
            yield over
        else:
            gone.append(f"preference {over or 'of another kind'}")


def _mounts(given: Sequence[Mapping[str, Any]], gone: list[str]) -> Iterator[dict[str, Any]]:
    for mount in given:
        kind, target = mount.get("Type", "bind"), mount["Target"]
        source = mount.get("Source", "")
        if kind == "tmpfs":
            yield {"type": kind, "target": target, "options": _of(mount.get("TmpfsOptions"), ("SizeBytes", "Mode"))}
        elif kind == "volume" and "{{" not in source:
            driver = (mount.get("VolumeOptions") or {}).get("DriverConfig") or {}
            if driver.get("Options") or driver.get("Name", "local") not in ("", "local"):
                gone.append(f"driver of volume {source or 'without a name'}")
            yield {"type": kind, "target": target, "source": source, "read_only": bool(mount.get("ReadOnly"))}
        else:
            gone.append(f"{kind} mount at {target}")


def _files(given: Sequence[Mapping[str, Any]], name: str) -> Iterator[dict[str, Any]]:
    for reference in given:
        if reference.get("File"):
            yield {
                "name": reference[name],
                "file": reference["File"]["Name"],
                "mode": reference["File"].get("Mode", 0o444),
            }


def bounded(services: Sequence[dict[str, Any]], nodes: int, left: list[str], limits: list[str]) -> list[dict[str, Any]]:
    """Cut replicas to `MOST_REPLICAS` in place, and return the services that fit into `MOST_TASKS`.

    Args:
        services: The services; their replicas are changed.
        nodes: Number of nodes, on each of which a global service has a task.
        left: Takes a line for each service that is dropped.
        limits: Takes a line for each service whose replicas are cut.
    """
    kept, room = [], MOST_TASKS
    for service in services:
        if service["mode"] == "replicated" and service["replicas"] > MOST_REPLICAS:
            limits.append(
                f"Service {service['name']} has {service['replicas']} replicas, rehearsed with {MOST_REPLICAS}."
            )
            service["replicas"] = MOST_REPLICAS
        tasks = nodes if service["mode"] == "global" else service["replicas"]
        if tasks > room:
            left.append(f"Service {service['name']}: with it there would be more than {MOST_TASKS} tasks.")
            continue
        room -= tasks
        kept.append(service)
    return kept
