"""Whether each node's engine starts again with what is set now, and comes back with its state.

An engine reads its settings when it starts. What was written since bites at the next start, which may be an upgrade.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any
from urllib.parse import urlsplit

from swarmlab.cluster.quotes import said
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import START_THE_ENGINE, NodeView, Sight, by_node
from swarmlab.preflight.options import OPTIONS, Settings, of_unit
from swarmlab.versions import Version

#: Shell commands that read what an engine will be told, by name of the question; see `swarmlab.preflight.sight`.
_PID = "P=$(cat /run/docker.pid 2>/dev/null || pidof -s dockerd)"
_FILE = (
    f"{_PID}; F=$({{ tr '\\0' '\\n' < /proc/$P/cmdline; }} 2>/dev/null "
    "| sed -n -e 's/^--config-file=//p' -e '/^--config-file$/{n;p}' | tail -n 1); F=${F:-/etc/docker/daemon.json}"
)
QUESTIONS = {
    "command line": f"{_PID}; tr '\\0' '\\n' < /proc/$P/cmdline",
    "daemon.json": f'{_FILE}; [ ! -e "$F" ] || cat "$F"',
    "unit": (
        "[ -d /run/systemd/system ] || exit 0; systemctl cat docker.service 2>/dev/null || exit 0; "
        'echo; echo "# states $(systemctl is-active docker.service) $(systemctl is-enabled docker.service)"; '
        "for E in $(systemctl show -p EnvironmentFiles docker.service | sed -e 's/^EnvironmentFiles=//' "
        "-e 's/ (ignore_errors=.*//'); do echo; echo \"# environment $E\"; [ ! -e $E ] || cat $E || exit; done"
    ),
    # Where the paths lead that the settings name, and the default data folder; nothing if they lead nowhere.
    "paths": (
        "[ $(id -u) = 0 ] || { echo 'this needs root'; exit 3; }; "
        f'{_FILE}; echo "bytes $(stat -c %s "$F" 2>/dev/null)"; sed -e "s/:.*//" -e "s/^/group /" /etc/group; '
        'X=$(readlink /proc/$P/exe); Y=${X% (deleted)}; [ "$X" = "$Y" ] || echo "replaced $(ls "$Y" 2>/dev/null)"; '
        "for X in docker-state.json certificates/swarm-node.key; do [ -s {root}/swarm/$X ] || echo lost $X; done; "
        '{ echo /var/lib/docker; tr "\\0" "\\n" < /proc/$P/cmdline; [ ! -e "$F" ] || cat "$F"; } '
        "| grep -oE '(^|[=\":[:space:]])/[^\"=:,[:space:]]+' | grep -oE '/.*' | sort -u | "
        'while read -r X; do echo "$X $([ ! -e "$X" ] || readlink -f "$X")"; done'
    ),
    # The option comes first, so that it is no other option's value: an engine that lacks it ends there.
    "validate": (
        f"{_PID}; case $(readlink /proc/$P/exe) in *dockerd*) ;; *) echo 'this needs root'; exit 3;; esac; "
        "xargs -0 -a /proc/$P/cmdline sh -c "
        '\'shift; timeout 10 /proc/$0/exe --validate "$@" 2>&1; echo "status $?"\' $P'
    ),
}
#: What `of_view` reads of a node.
READ = (*QUESTIONS, "links", "addresses")
_ROOT = "let preflight be root there (in the inventory: sudo: true)"
_LOST = "the engine starts with an empty state: it is in no swarm, and has no containers, images or volumes"
_BARE = "the engine starts without the images and containers that it has, and pulls all anew"
_LOST_SWARM = "the engine starts and is in no swarm, or cannot prove who it is"
_DEAD = "the engine does not start again: the node is lost at its next restart, upgrade or reboot"
#: Storage drivers that engines no longer have, and the first release without each.
GONE_DRIVERS: dict[str, Version] = {"aufs": (24,), "overlay": (24,), "devicemapper": (25,)}
_LOG_DRIVERS = "json-file local syslog journald gelf fluentd awslogs splunk etwlogs gcplogs logentries none"
#: What the two drivers that write files take as log-opts.
_LOG_OPTIONS = {
    "json-file": "max-size max-file compress labels labels-regex env env-regex tag mode max-buffer-size",
    "local": "max-size max-file compress mode max-buffer-size labels labels-regex env env-regex tag",
}


@dataclass
class Ahead:
    """What is known of an engine's next start.

    Attributes:
        settings: what it will be told.
        release: the engine's version.
        info: its ``docker info`` now.
        paths: where the paths lead that the settings name; empty text if there is nothing.
        verdict: the engine's own words on its settings: None if it gives none, empty if they are good.
        groups: names of the node's groups.
        interfaces: names of the node's interfaces.
        addresses: the node's addresses with their prefix lengths, each after its interface.
        notes: what else stands against it: "replaced PROGRAM", "lost FILE", "states ACTIVE ENABLED".
    """

    settings: Settings
    release: Version
    info: Mapping[str, Any]
    paths: Mapping[str, str]
    verdict: str | None = None
    groups: Sequence[str] = ()
    interfaces: Sequence[str] = ()
    addresses: Sequence[tuple[str, ...]] = ()
    notes: Sequence[str] = ()


@by_node
def restart(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine starts again in the swarm with what is set now, and with its state."""
    try:
        if not view.info:
            yield from _of_silent(view)
            return
        ahead = of_view(view)
    except Unreadable as broken:
        yield Finding(
            Level.ERROR,
            str(broken),
            _DEAD,
            mend="correct the file: python3 -m json.tool /etc/docker/daemon.json; dockerd --validate (from 23.0 on)",
        )
        return
    yield from findings(ahead)


def _of_silent(view: NodeView) -> Iterator[Finding]:
    """Yield why an engine that does not answer cannot have started, as far as its file alone tells.

    Raises:
        Unknown: its file does not tell it.
        Unreadable: its daemon.json is not JSON.
    """
    why = view.silent or "its engine was not asked"
    mend = view.remedy or START_THE_ENGINE
    code, text = view.answers.get("daemon.json", (1, ""))
    if code:
        raise Unknown(why, mend)
    ahead = Ahead(_parsed(text, []), (), {}, {})
    bad = list(_incompatible(ahead))
    if mistyped := ahead.settings.mistyped():
        bad.append((f"{', '.join(mistyped)}: of the wrong type in daemon.json", f"correct {_them(mistyped)}"))
    if not bad:
        raise Unknown(why, mend)
    for summary, correction in bad:
        yield Finding(
            Level.ERROR, f"{summary} (its engine does not answer)", _DEAD, mend=f"{correction}, and start the engine"
        )


class Unreadable(Exception):
    """The text of daemon.json cannot be read as settings."""


def of_view(view: NodeView) -> Ahead:
    """Return what is known of the next start of a node's engine.

    Raises:
        Unknown: something of it could not be read.
        Unreadable: its daemon.json is not JSON.
    """
    view.swarm  # noqa: B018
    texts = {name: read(view, name) for name in READ}
    command = of_unit(texts["unit"])
    if command is None:
        command = [word for word in texts["command line"].splitlines()[1:] if word]
    verdict = _verdict(texts["validate"])
    try:
        settings = _parsed(texts["daemon.json"], command)
    except Unreadable:
        if verdict == "":  # the engine reads what this does not
            mend = "write daemon.json as plain JSON, without comments or a byte order mark"
            raise Unknown("daemon.json: the engine can read it, but this cannot", mend) from None
        raise
    if verdict is None and not texts["daemon.json"].strip() and re.search(r"^bytes \d", texts["paths"], re.MULTILINE):
        raise Unreadable("/etc/docker/daemon.json is empty, which engines before 23.0 take for an error")
    notes = [line for line in texts["paths"].splitlines() if line.split(" ")[0] in ("replaced", "lost")]
    if not view.active:
        notes = [note for note in notes if not note.startswith("lost ")]
    if states := re.search(r"^# (states active (?:disabled|masked))", texts["unit"], re.MULTILINE):
        notes.append(states[1])
    paths = dict(line.partition(" ")[::2] for line in texts["paths"].splitlines() if line.startswith("/"))
    groups = [line.partition(" ")[2] for line in texts["paths"].splitlines() if line.startswith("group ")]
    addresses = [tuple(line.split()[1:4:2]) for line in texts["addresses"].splitlines() if len(line.split()) > 3]
    interfaces = [line.split()[0] for line in texts["links"].splitlines() if line.split()]
    return Ahead(settings, view.release, view.info, paths, verdict, groups, interfaces, addresses, notes)


def _parsed(text: str, command: Sequence[str]) -> Settings:
    try:
        return Settings.read(text.strip(), command)
    except ValueError as broken:
        about = "is no object of JSON" if "not an object" in str(broken) else "is not JSON"
        place = f" (line {broken.lineno})" if isinstance(broken, json.JSONDecodeError) else ""
        raise Unreadable(f"/etc/docker/daemon.json {about}{place}") from None


def read(view: NodeView, question: str) -> str:
    """Return a node's answer to a question, as `NodeView.read` does; an `Unknown` says what would make it known."""
    try:
        return view.read(question)
    except Unknown as why:
        raise Unknown(str(why), _ROOT) from None


def _verdict(text: str) -> str | None:
    """Return the words of an engine that was asked to validate its settings; see `Ahead.verdict`.

    Raises:
        Unknown: the engine could not be asked.
    """
    said_by_engine, _, status = text.rpartition("status ")
    if "unknown flag: --validate" in text:
        return None
    if status.strip() == "0":
        return ""
    lines = said_by_engine.strip().splitlines()
    if status.strip() not in ("1", "125"):
        raise Unknown(f"validate: {lines[-1] if lines else text}", _ROOT)
    return lines[-1] if lines else "its settings are not valid"


def findings(ahead: Ahead) -> Iterator[Finding]:
    """Yield what keeps an engine from starting again, what it loses then, and what changes then."""
    wrong = [*_refused(ahead), *_incompatible(ahead)]
    for summary, mend in dict(wrong).items():
        yield Finding(Level.ERROR, summary, _DEAD, mend=f"{mend}, then: dockerd --validate (from 23.0 on)")
    for summary, risk, mend in _loses(ahead):
        yield Finding(Level.ERROR, summary, risk, mend=mend)
    yield from _changes(ahead)
    for note in ahead.notes:
        kind, _, what = note.partition(" ")
        yield _noted(kind, what.strip())


def _noted(kind: str, what: str) -> Finding:
    if kind == "lost":
        mend = "join the node to the swarm anew before its next restart (docker swarm leave, docker swarm join)"
        return Finding(Level.ERROR, f"swarm/{what} is gone from the engine's data folder", _LOST_SWARM, mend=mend)
    if kind == "states":
        state = what.split()[-1]
        mend = f"systemctl {'unmask' if state == 'masked' else 'enable'} docker.service"
        return Finding(Level.WARNING, f"docker.service is {state}", "the engine stays off after a reboot", mend=mend)
    if what:
        risk = "its next restart is an upgrade that nobody planned"
        mend = "restart the engine at a time of your choice, with the node drained: systemctl restart docker"
        return Finding(Level.WARNING, "the engine's program was replaced since the engine's start", risk, mend=mend)
    return Finding(Level.ERROR, "the engine's program is gone", _DEAD, mend="install the engine again")


# The engine does not start


def _refused(ahead: Ahead) -> Iterator[tuple[str, str]]:
    """Yield the settings that an engine of its release takes for errors, each with the mend."""
    settings, release = ahead.settings, ahead.release
    if doubled := settings.doubled():
        summary = f"{', '.join(doubled)}: set in daemon.json and on the engine's command line"
        yield summary, f"remove {_them(doubled)} from daemon.json or from the unit (systemctl edit docker.service)"
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
        yield f"{', '.join(strange)}: no options of this engine", f"remove {_them(strange)}"
    if mistyped := settings.mistyped():
        kinds = ", ".join(f"{key} must be {_KINDS[OPTIONS[key].kind]}" for key in mistyped)
        yield f"wrong types in daemon.json: {kinds}", f"correct {_them(mistyped)}"


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


def _incompatible(ahead: Ahead) -> Iterator[tuple[str, str]]:
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
        if told := _bad_pool(pool):
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
        yield f"log-opts: {', '.join(strange)}: no options of the log driver", f"remove {_them(strange)}"
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
        yield f"{', '.join(negative)}: negative", f"correct {_them(negative)}"
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


def _bad_pool(pool: Any) -> str:
    """Return what is wrong with a default address pool; empty if nothing is."""
    parts = pool if isinstance(pool, dict) else dict(part.partition("=")[::2] for part in str(pool).split(","))
    try:
        base, size = ip_network(str(parts["base"]), strict=False), int(parts["size"])
    except (KeyError, ValueError):
        return "a pool is malformed"
    if not base.prefixlen <= size <= base.max_prefixlen:
        return f"a pool of prefix length {base.prefixlen} cannot be cut into networks of {size}"
    return ""


# The engine starts without its state


def _loses(ahead: Ahead) -> Iterator[tuple[str, str, str]]:
    """Yield what an engine loses at its next start, each with the risk and the mend."""
    settings, info = ahead.settings, ahead.info
    security = [str(option).split(",")[0] for option in info.get("SecurityOptions") or []]
    now = str(info.get("DockerRootDir") or "")
    then = settings.get("data-root") or settings.get("graph") or "/var/lib/docker"
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


def _changes(ahead: Ahead) -> Iterator[Finding]:
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
    drivers = [*_LOG_DRIVERS.split(), *((info.get("Plugins") or {}).get("Log") or [])]
    if isinstance(log, str) and log and log not in drivers and log.rpartition(":")[0] not in drivers:
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
    if info.get("LoggingDriver") and (settings.get("log-driver") or "json-file") != info["LoggingDriver"]:
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
            parts = pool if isinstance(pool, dict) else dict(part.partition("=")[::2] for part in str(pool).split(","))
            if not _bad_pool(pool):
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


# Words


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def quoted(verdict: str) -> str:
    """Return an engine's words on its settings, with the names of options and without their values."""
    text = re.sub(r"^.*?(unable to configure the Docker daemon with file [^:]*: )", r"\1", verdict)
    text = re.sub(r": \(from flag: .*?, from file: .*?\)(?=, [\w-]+: \(from flag|$)", "", text)
    text = re.sub(r"((?:bad|invalid)[^:]*(?:label|attribute)[^:]*): .*", r"\1", text)
    return said(text)


# Other engines


def unknown_to(keys: list[str], release: Version) -> list[str]:
    """Return those options that are set on a node, by their names in daemon.json, that a release does not know."""
    return Settings(file=dict.fromkeys(keys)).strange(release)
