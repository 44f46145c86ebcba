"""The settings with which an engine does not start, or not in a swarm.

What each engine refuses was tried with engines of 18.03.1, 24.0.9 and 29.1.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any
from urllib.parse import urlsplit

from swarmlab.cluster.quotes import said
from swarmlab.preflight.ahead import Ahead
from swarmlab.preflight.options import OPTIONS, Settings, pairs
from swarmlab.versions import Version

#: Storage drivers that engines no longer have, and the first release without each.
GONE_DRIVERS: dict[str, Version] = {"aufs": (24,), "overlay": (24,), "devicemapper": (25,)}
#: What the two drivers that write files take as log-opts.
_LOG_OPTIONS = {
    "json-file": "max-size max-file compress labels labels-regex env env-regex tag mode max-buffer-size",
    "local": "max-size max-file compress mode max-buffer-size labels labels-regex env env-regex tag",
}


def refused(ahead: Ahead) -> Iterator[tuple[str, str]]:
    """Yield the settings that an engine of its release takes for errors, each with the mend."""
    settings, release = ahead.settings, ahead.release
    if doubled := settings.doubled():
        summary = f"{', '.join(doubled)}: set in daemon.json and on the engine's command line"
        yield summary, f"remove {them(doubled)} from daemon.json or from the unit (systemctl edit docker.service)"
    if ahead.verdict:
        if not (doubled and "both as a flag" in ahead.verdict):
            yield f"the engine refuses its settings: {quoted(ahead.verdict)}", "correct /etc/docker/daemon.json"
        return
    for key in _FORMS:
        if bad := [one for one in settings.listed(key) if not _FORMS[key](one)]:
            yield f"{key}: {len(bad)} of {len(settings.listed(key))} malformed", f"correct {key}"
    if ahead.verdict == "":
        return
    if strange := settings.strange(release):
        yield f"{', '.join(strange)}: no options of this engine", f"remove {them(strange)}"
    if mistyped := settings.mistyped():
        kinds = ", ".join(f"{key} must be {_KINDS[OPTIONS[key].kind]}" for key in mistyped)
        yield f"wrong types in daemon.json: {kinds}", f"correct {them(mistyped)}"


_KINDS = {bool: "true or false", int: "a number", str: "a text", list: "a list", dict: "an object of texts"}


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _is_subnet(text: str) -> bool:
    try:
        return "/" in text and bool(ip_interface(text))
    except ValueError:
        return False


def _is_mirror(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and not parts.query and not parts.fragment


def _is_registry(text: str) -> bool:
    return "://" not in re.sub(r"^https?://", "", text.lower())


_FORMS: dict[str, Callable[[str], bool]] = {
    "insecure-registries": _is_registry,
    "dns": _is_address,
    "registry-mirrors": _is_mirror,
    "labels": lambda text: "=" in text,
    "node-generic-resources": lambda text: "=" in text,
}


def incompatible(ahead: Ahead) -> Iterator[tuple[str, str]]:
    """Yield the settings that are valid and with which an engine does not start, or not in a swarm."""
    settings, release = ahead.settings, ahead.release
    if settings.get("live-restore") is True:
        yield "live-restore is on, with which no engine starts in a swarm", "remove live-restore"
    for key in ("cluster-store", "cluster-advertise"):
        if settings.get(key) and release < (23,):
            yield f"{key} is set, with which no engine starts in a swarm", f"remove {key}"
    driver = settings.get("storage-driver")
    if driver in GONE_DRIVERS and release >= GONE_DRIVERS[driver]:
        yield f"storage-driver {driver}: this engine does not have it", "move the node to overlay2"
    if settings.get("data-root") and settings.get("graph"):
        yield "data-root and graph are both set", "remove graph"
    if settings.get("iptables") is False and settings.get("icc") is False:
        yield "iptables and icc are both false", "remove both"
    bridge = settings.get("bridge")
    if bridge and settings.get("bip"):
        yield "bridge and bip are both set", "remove one of them"
    for key in ("bip", "fixed-cidr"):
        if (value := settings.get(key)) and not _is_subnet(str(value)):
            yield f"{key} is no address with a prefix length", f'set {key} like "172.26.0.1/16"'
    if ahead.interfaces and isinstance(bridge, str) and bridge not in ("", "none", *ahead.interfaces):
        yield f"bridge {bridge}: no interface of that name", "make the interface, or remove bridge"
    for pool in settings.get("default-address-pools") or []:
        if told := bad_pool(pool):
            yield f"default-address-pools: {told}", 'set it like [{"base": "10.200.0.0/16", "size": 24}]'
    runtime = settings.get("default-runtime")
    runtimes = [*(ahead.info.get("Runtimes") or {}), *(settings.file.get("runtimes") or {})]
    runtimes += [one.partition("=")[0] for one in settings.flags.get("runtimes", [])]
    if (
        ahead.info
        and isinstance(runtime, str)
        and runtime not in runtimes
        and not runtime.startswith(("io.containerd.", "/"))
    ):
        yield f"default-runtime {runtime}: the engine has no such runtime", "add it to runtimes, or remove it"
    for option in settings.listed("exec-opts"):
        name, _, value = option.partition("=")
        if name.strip() == "native.cgroupdriver" and value.strip() not in ("systemd", "cgroupfs"):
            yield "exec-opts: native.cgroupdriver is neither systemd nor cgroupfs", "correct exec-opts"
        parent = str(settings.get("cgroup-parent") or "")
        if value.strip() == "systemd" and parent and not parent.endswith(".slice"):
            yield "cgroup-parent is no slice, and the cgroup driver is systemd", 'name it like "docker.slice"'
    group = settings.get("group")
    # Without the group docker the socket is root's.
    known_groups = [*ahead.groups, "docker", ""] if ahead.groups else [group]
    if isinstance(group, str) and not group.isdigit() and group not in known_groups:
        yield f"group {group}: there is no such group", "make the group, or correct group"
    options = settings.file.get("log-opts")
    known = _LOG_OPTIONS.get(str(settings.get("log-driver") or "json-file"))
    if isinstance(options, dict) and known and (strange := sorted(set(options) - set(known.split()))):
        yield f"log-opts: {', '.join(strange)}: no options of the log driver", f"remove {them(strange)}"
    names = {*settings.file, *settings.flags}
    secure = settings.get("tls") is True or settings.get("tlsverify") is True
    for key in ("tlscacert", "tlscert", "tlskey"):
        if secure and _missing(ahead, settings.get(key)):
            yield f"the file of {key} does not exist", f"restore the file, or correct {key}"
    if secure and not {"tls", "tlsverify"} & settings.flags.keys() and not {"tlscert", "tlskey"} <= names:
        yield "TLS is on in daemon.json without tlscert and tlskey", "set both to files of the node"
    if negative := [
        key for key in ("mtu", "max-concurrent-downloads", "max-concurrent-uploads") if _negative(settings, key)
    ]:
        yield f"{', '.join(negative)}: negative", f"correct {them(negative)}"
    if settings.get("metrics-addr") and () < release < (20, 10) and settings.get("experimental") is not True:
        yield (
            "metrics-addr is set without experimental, which engines before 20.10 refuse",
            "set experimental, or remove it",
        )
    for key in ("seccomp-profile", "config-file", "containerd"):
        if _missing(ahead, settings.get(key)):
            yield f"the file of {key} does not exist", f"restore the file, or remove {key}"


def _negative(settings: Settings, key: str) -> bool:
    return str(settings.get(key) or "").startswith("-")


def _missing(ahead: Ahead, path: Any) -> bool:
    return isinstance(path, str) and path.startswith("/") and path in ahead.paths and not ahead.paths[path]


def bad_pool(pool: Any) -> str:
    """Return what is wrong with a default address pool; empty if nothing is."""
    parts = pool if isinstance(pool, dict) else pairs(str(pool))
    try:
        base, size = ip_network(str(parts["base"]), strict=False), int(parts["size"])
    except (KeyError, ValueError):
        return "a pool is malformed"
    if not base.prefixlen <= size <= base.max_prefixlen:
        return f"a pool of prefix length {base.prefixlen} cannot be cut into networks of {size}"
    return ""


def them(names: list[str]) -> str:
    """Return the pronoun for these names in a mend."""
    return "it" if len(names) == 1 else "them"


def quoted(verdict: str) -> str:
    """Return an engine's words on its settings, with the names of options and without their values."""
    text = re.sub(r"^.*?(unable to configure the Docker daemon with file [^:]*: )", r"\1", verdict)
    text = re.sub(r": \(from flag: .*?, from file: .*?\)(?=, [\w-]+: \(from flag|$)", "", text)
    text = re.sub(r"((?:bad|invalid)[^:]*(?:label|attribute)[^:]*): .*", r"\1", text)
    return said(text)


def unknown_to(keys: list[str], release: Version) -> list[str]:
    """Return those options that are set on a node, by their names in daemon.json, that a release does not know."""
    return Settings(file=dict.fromkeys(keys)).strange(release)
