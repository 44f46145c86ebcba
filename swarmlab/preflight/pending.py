"""What an engine loses at its next start by its settings, and what changes then."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_interface, ip_network
from typing import Any

from swarmlab.cluster.node import DATA_ROOT
from swarmlab.preflight.ahead import Ahead
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.options import Settings, pairs
from swarmlab.preflight.plugins import untagged
from swarmlab.preflight.refused import GONE_DRIVERS, bad_pool
from swarmlab.versions import Version

_LOST = "the engine starts with an empty state: it is in no swarm, and has no containers, images or volumes"
_BARE = "the engine starts without the images and containers that it has, and pulls all anew"
_LOG_DRIVERS = "json-file local syslog journald gelf fluentd awslogs splunk etwlogs gcplogs logentries none"


def loses(ahead: Ahead) -> Iterator[tuple[str, str, str]]:
    """Yield what an engine loses at its next start, each with the risk and the mend."""
    settings, info = ahead.settings, ahead.info
    security = [str(option).split(",")[0] for option in info.get("SecurityOptions") or []]
    now = str(info.get("DockerRootDir") or "")
    then = settings.get("data-root") or settings.get("graph") or DATA_ROOT
    if now and "name=rootless" not in security and isinstance(then, str):
        real = ahead.paths.get(then) or then
        # With userns-remap the engine has a folder for the user within.
        if not re.fullmatch(rf"{re.escape(real.rstrip('/'))}(/\d+\.\d+)?", now):
            yield (
                f"data-root is {then}, and the engine's state is in {now}",
                _LOST,
                f"set data-root to {now}, or move the state there while the engine is stopped",
            )
    driver, used = settings.get("storage-driver"), str(info.get("Driver") or "")
    if driver and used and driver != used and ahead.release < GONE_DRIVERS.get(driver, (999,)):
        summary = f"storage-driver is {driver}, and the engine's images and containers are in {used}"
        yield summary, _BARE, f"set storage-driver to {used}, or drain the node before its restart"
    remapped = "name=userns" in security
    if bool(settings.get("userns-remap")) != remapped:
        state = "set, and the engine runs without" if not remapped else "not set, and the engine runs with it"
        yield f"userns-remap is {state}", _LOST, "restore it, or drain the node first and join it to the swarm anew"
    features = settings.file.get("features")
    snapshotter = features.get("containerd-snapshotter") if isinstance(features, dict) else None
    status = [row for row in info.get("DriverStatus") or [] if isinstance(row, list)]
    if isinstance(snapshotter, bool) and status:
        uses = any("io.containerd.snapshotter" in str(value) for row in status for value in row)
        if snapshotter != uses:
            place = "containerd" if uses else used
            summary = f"features: containerd-snapshotter is {str(snapshotter).lower()}, and the engine's images are in"
            yield f"{summary} {place}", _BARE, "restore it, or drain the node before its restart"


# What changes


def changes(ahead: Ahead) -> Iterator[Finding]:
    """Yield what is set otherwise than the engine works now, and what of it does not work."""
    settings, info = ahead.settings, ahead.info
    pending = [*_pending(settings, info, ahead.release)]
    now = [cidr for interface, cidr in ahead.addresses if interface == "docker0"]
    if settings.get("bip") and now and settings.get("bip") not in now:
        pending.append("bip")
    if pending:
        yield Finding(
            Level.WARNING,
            f"set since the engine's start, and in force from its next on: {', '.join(pending)}",
            "the node behaves otherwise after its next restart, upgrade or reboot",
            mend="restart the engine now, at a time of your choice (drain the node first): systemctl restart docker",
        )
    log = settings.get("log-driver")
    # The driver that is in force may be of a managed plugin, which the managers alone tell of.
    in_force = str(info.get("LoggingDriver") or "")
    drivers = [*_LOG_DRIVERS.split(), in_force, *((info.get("Plugins") or {}).get("Log") or [])]
    if isinstance(log, str) and log and untagged(log) not in map(untagged, drivers):
        yield Finding(
            Level.ERROR,
            f"log-driver {log}: the engine has no such driver",
            "from its next start on, no container starts on the node",
            mend="correct log-driver in /etc/docker/daemon.json (docker info lists the drivers)",
        )
    known = [*ahead.interfaces, *(cidr.partition("/")[0] for _, cidr in ahead.addresses)]
    if (target := settings.get("swarm-default-advertise-addr")) and target not in known:
        yield Finding(
            Level.WARNING,
            f"swarm-default-advertise-addr {target}: on no interface of the node",
            "the node cannot make or join a swarm by it",
            mend="correct swarm-default-advertise-addr in /etc/docker/daemon.json",
        )
    yield from _bridge(str(settings.get("bip") or ""), ahead)


def _bridge(bip: str, ahead: Ahead) -> Iterator[Finding]:
    try:
        subnet = ip_interface(bip).network
    except ValueError:
        return
    for interface, cidr in ahead.addresses:
        if interface != "docker0" and subnet.overlaps(ip_interface(cidr).network):
            yield Finding(
                Level.WARNING,
                f"bip gives docker0 {subnet}, which overlaps {ip_interface(cidr).network} of {interface}",
                "the node does not reach addresses there",
                mend="set bip in /etc/docker/daemon.json to a free subnet, and restart the engine",
            )


def _pending(settings: Settings, info: Mapping[str, Any], release: Version) -> Iterator[str]:
    """Yield the names of options that are set otherwise than the engine tells that it works now."""
    now = info.get("LoggingDriver")
    if now and untagged(str(settings.get("log-driver") or "json-file")) != untagged(now):
        yield "log-driver"
    if info.get("DefaultRuntime") and (settings.get("default-runtime") or "runc") != info["DefaultRuntime"]:
        yield "default-runtime"
    for option in settings.listed("exec-opts"):
        name, _, value = option.partition("=")
        if name.strip() == "native.cgroupdriver" and info.get("CgroupDriver") not in (None, "", "none", value.strip()):
            yield "exec-opts native.cgroupdriver"
    registries = info.get("RegistryConfig") or {}
    if registries:
        mirrors = {mirror.rstrip("/") for mirror in registries.get("Mirrors") or []}
        if {mirror.rstrip("/") for mirror in settings.listed("registry-mirrors")} != mirrors:
            yield "registry-mirrors"
        insecure = [*(registries.get("InsecureRegistryCIDRs") or [])]
        insecure += [name for name, one in (registries.get("IndexConfigs") or {}).items() if not one.get("Secure")]
        # Every engine trusts its own node.
        now = {_registry(one) for one in insecure} - {"127.0.0.0/8", "::1/128"}
        if {_registry(one) for one in settings.listed("insecure-registries")} - {"127.0.0.0/8", "::1/128"} != now:
            yield "insecure-registries"
    labels = settings.listed("labels")
    if "Labels" in info and sorted(set(labels)) != sorted(set(info["Labels"] or [])):
        yield "labels"
    pools = info.get("DefaultAddressPools") or []
    if release >= (20, 10) and settings.get("default-address-pools"):
        in_force = {(str(pool.get("Base")), pool.get("Size")) for pool in pools}
        then = set()
        for pool in settings.get("default-address-pools"):
            parts = pool if isinstance(pool, dict) else pairs(str(pool))
            if not bad_pool(pool):
                then.add((str(parts["base"]), int(parts["size"])))
        if then != in_force:
            yield "default-address-pools"
    plugins = settings.listed("authorization-plugins")
    if "Plugins" in info and set(plugins) != set(info["Plugins"].get("Authorization") or []):
        yield "authorization-plugins"
    kinds = set()
    for resource in info.get("GenericResources") or []:
        for spec in resource.values():
            kinds.add(str(spec.get("Kind")))
    resources = {one.partition("=")[0] for one in settings.listed("node-generic-resources")}
    if resources and resources != kinds:
        yield "node-generic-resources"


def _registry(name: str) -> str:
    """Return a registry's name or network as engines write it."""
    bare = re.sub(r"^https?://", "", name.lower()).rstrip("/")
    try:
        return str(ip_network(bare, strict=False)) if "/" in bare else bare
    except ValueError:
        return bare
