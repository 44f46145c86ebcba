"""Whether the engines of all nodes have the settings alike of which tasks notice something."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from swarmlab.lists import few
from swarmlab.preflight.ahead import read
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight
from swarmlab.preflight.options import Settings, pairs


@dataclass(frozen=True)
class Shared:
    """A setting that nodes should have alike.

    Attributes:
        name: what it is called.
        value: returns a node's value, or None if the node does not tell it.
        risk: what a difference does.
        mend: how to set it.
        level: how much a difference matters, by the values and by whether the engines are of one release.
        open: whether the value may be shown.
        chosen: returns whether the engine chose a node's value by itself, so that a difference is nobody's doing.
    """

    name: str
    value: Callable[[Mapping[str, Any], Settings | None], Any]
    risk: str
    mend: str
    level: Callable[[set[str], bool], Level] = lambda _, __: Level.WARNING
    open: bool = False
    chosen: Callable[[NodeView, Settings | None], bool] = lambda _, __: False


def alike(sight: Sight) -> Iterator[Finding]:
    """Whether the nodes' engines have those settings alike that tasks notice, such as proxy and log driver."""
    known: dict[str, Settings] = {}
    views = []
    for view in sight.nodes:
        try:
            view.swarm  # noqa: B018
            views.append(view)
            known[view.name] = _settings(view)
        except Unknown as why:
            yield why.finding(view.name)
    one_release = len({view.release for view in views}) == 1
    for shared in SHARED:
        yield from _compared(shared, views, known, one_release=one_release)


def _settings(view: NodeView) -> Settings:
    command = [word for word in read(view, "command line").splitlines()[1:] if word]
    try:
        return Settings.read(read(view, "daemon.json").strip(), command)
    except ValueError:
        raise Unknown("its daemon.json is not JSON", "correct the file (see engine-restart)") from None


def _compared(
    shared: Shared, views: list[NodeView], known: Mapping[str, Settings], *, one_release: bool
) -> Iterator[Finding]:
    groups: dict[str, list[str]] = {}
    for view in views:
        value = shared.value(view.info, known.get(view.name))
        if value is not None:
            groups.setdefault(json.dumps(value, sort_keys=True), []).append(view.name)
    if len(groups) < 2:
        return
    most = max(groups.values(), key=len)
    odd = tuple(name for names in groups.values() if names is not most for name in names)
    if shared.open:
        told = few((f"{json.loads(value)} on {few(names)}" for value, names in groups.items()), "; ")
    else:
        told = f"not alike on {few(odd)} and {few(most)}"
    values = {str(json.loads(value)) for value in groups}
    mend = f"{shared.mend} on all nodes, then restart the engines one after the other (systemctl restart docker)"
    level = shared.level(values, one_release)
    if all(shared.chosen(view, known.get(view.name)) for view in views):
        level = Level.INFO
    yield Finding(level, f"{shared.name}: {told}", shared.risk, nodes=odd, mend=mend)


# Values


def _info(*keys: str) -> Callable[[Mapping[str, Any], Settings | None], Any]:
    """Return what reads a value of ``docker info``; an engine that does not know the key tells nothing."""

    def value(info: Mapping[str, Any], _: Settings | None) -> Any:
        found: Any = info
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found or None

    return value


def _proxy(info: Mapping[str, Any], _: Settings | None) -> Any:
    if "HttpProxy" not in info:
        return None
    own = {str(info.get("Name")), str((info.get("Swarm") or {}).get("NodeAddr"))}
    past = {one.strip() for one in str(info.get("NoProxy") or "").split(",")} - own - {""}
    return [str(info.get("HttpProxy") or ""), str(info.get("HttpsProxy") or ""), sorted(past)]


def _registries(info: Mapping[str, Any], _: Settings | None) -> Any:
    known = info.get("RegistryConfig")
    if not isinstance(known, Mapping):
        return None
    named = (known.get("IndexConfigs") or {}).items()
    # Newer engines also trust the loopback address of IPv6.
    open_to = [one for one in known.get("InsecureRegistryCIDRs") or [] if one not in ("127.0.0.0/8", "::1/128")]
    return [sorted(open_to), sorted(name for name, one in named if not one.get("Secure"))]


def _mirrors(info: Mapping[str, Any], _: Settings | None) -> Any:
    known = info.get("RegistryConfig")
    return sorted(known.get("Mirrors") or []) if isinstance(known, Mapping) else None


def _security(info: Mapping[str, Any], _: Settings | None) -> Any:
    """Return which of the options that change what a task may do an engine has on."""
    told = info.get("SecurityOptions")
    if told is None:
        return None
    options = [pairs(str(option)) for option in told]
    by_name = {option.get("name", ""): option for option in options}
    profile = by_name.get("seccomp", {}).get("profile", "unconfined" if "seccomp" not in by_name else "default")
    made = [name for name in ("rootless", "userns", "selinux", "no-new-privileges") if name in by_name]
    # What its own profile is called has changed.
    kind = "seccomp" if profile in ("default", "builtin") else "no seccomp" if profile == "unconfined" else "a profile"
    return [*made, kind]


def _apparmor(info: Mapping[str, Any], _: Settings | None) -> Any:
    told = info.get("SecurityOptions")
    return None if told is None else "on" if "name=apparmor" in told else "off"


def _set(*keys: str) -> Callable[[Mapping[str, Any], Settings | None], Any]:
    """Return what reads options that ``docker info`` does not tell; a default counts like a setting of it."""

    def value(_: Mapping[str, Any], settings: Settings | None) -> Any:
        if settings is None:
            return None
        return [_plain(key, settings.get(key)) for key in keys]

    return value


_DEFAULTS: dict[str, Any] = {
    "mtu": 1500,
    "icc": True,
    "userland-proxy": True,
    "ip-masq": True,
    "ip-forward": True,
    "init": False,
    "no-new-privileges": False,
}


def _plain(key: str, value: Any) -> Any:
    if value is None or value in ("", [], {}):
        return str(_DEFAULTS.get(key, ""))
    if key == "default-ulimits":
        if isinstance(value, dict):
            limits = {name: one for name, one in value.items() if isinstance(one, dict)}
            return sorted(f"{name}={one.get('Soft')}:{one.get('Hard')}" for name, one in limits.items())
        return sorted(one if ":" in one else f"{one}:{one.partition('=')[2]}" for one in map(str, value))
    if key == "log-opts" and isinstance(value, dict):
        return sorted(f"{name}={one}" for name, one in value.items())
    return value if isinstance(value, list) else str(value)


def _own_cgroups(view: NodeView, settings: Settings | None) -> bool:
    """Whether the cgroup driver is the one that the engine takes where none is set.

    That is systemd where cgroups are of version 2 and systemd runs, else cgroupfs.

    Source: https://docs.docker.com/reference/cli/dockerd/#configure-cgroup-driver
    """
    by_systemd = "# states " in view.answers.get("unit", (1, ""))[1]
    usual = "systemd" if view.info.get("CgroupVersion") == "2" and by_systemd else "cgroupfs"
    given = [option for option in settings.listed("exec-opts") if "native.cgroupdriver" in option] if settings else []
    return not given or view.info.get("CgroupDriver") == usual


# Levels


def _storage(values: set[str], one_release: bool) -> Level:
    # New engines keep images in containerd; those that were upgraded keep what they had.
    return Level.WARNING if one_release and not values <= {"overlay2", "overlayfs"} else Level.INFO


def _of_one_release(_: set[str], one_release: bool) -> Level:
    return Level.WARNING if one_release else Level.INFO


def _runtime(values: set[str], _: bool) -> Level:
    # Nodes with cards that compute have the runtime of the cards' maker.
    return Level.INFO if len(values - {"nvidia", "amd", "habana"}) < 2 else Level.WARNING


def _info_level(_: set[str], __: bool) -> Level:
    return Level.INFO


_FILE = "/etc/docker/daemon.json"
#: The settings that are compared.
SHARED = (
    Shared(
        "proxy",
        _proxy,
        "pulls succeed on some nodes and fail on others",
        "set HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the engine alike (systemctl edit docker)",
    ),
    Shared(
        "log driver",
        _info("LoggingDriver"),
        "logs of a service's tasks are in different places, or docker service logs lacks some",
        f"set log-driver in {_FILE} alike",
        open=True,
    ),
    Shared(
        "log options",
        _set("log-opts"),
        "logs are rotated or labelled differently; without max-size they fill the disk",
        f"set log-opts in {_FILE} alike",
    ),
    Shared(
        "registry mirrors",
        _mirrors,
        "nodes pull from different places, and may get different images under one tag",
        f"set registry-mirrors in {_FILE} alike",
    ),
    Shared(
        "insecure registries",
        _registries,
        "tasks whose image is there start on some nodes only",
        f"set insecure-registries in {_FILE} alike",
    ),
    Shared(
        "default ulimits",
        _set("default-ulimits"),
        "a task has other limits after it moved to another node",
        f"set default-ulimits in {_FILE} alike",
    ),
    Shared(
        "MTU and traffic of bridges",
        _set("mtu", "icc", "userland-proxy", "ip-masq", "ip-forward"),
        "containers of one node reach others that those of another node do not",
        f"set mtu, icc, userland-proxy, ip-masq and ip-forward in {_FILE} alike",
    ),
    Shared(
        "DNS settings",
        _set("dns", "dns-opts", "dns-search"),
        "names of the world outside resolve in tasks of some nodes only",
        f"set dns, dns-opts and dns-search in {_FILE} alike",
    ),
    Shared(
        "defaults of containers",
        _set("default-shm-size", "no-new-privileges", "init", "default-ipc-mode", "cgroup-parent"),
        "a task behaves otherwise after it moved to another node",
        f"set default-shm-size, no-new-privileges, init, default-ipc-mode and cgroup-parent in {_FILE} alike",
    ),
    Shared(
        "default runtime",
        _info("DefaultRuntime"),
        "a task runs in another runtime after it moved to another node",
        f"set default-runtime in {_FILE} alike",
        _runtime,
        open=True,
    ),
    Shared(
        "security options",
        _security,
        "a task may do on one node what it may not on another",
        f"set seccomp-profile, userns-remap, selinux-enabled and no-new-privileges in {_FILE} alike",
        open=True,
    ),
    Shared(
        "AppArmor",
        _apparmor,
        "a task may do on one node what it may not on another",
        "have AppArmor on or off",
        _info_level,
        open=True,
    ),
    Shared(
        "storage driver",
        _info("Driver"),
        "images and containers take another space, and some drivers are slow or gone in later engines",
        f"set storage-driver in {_FILE} alike (the node loses its images and containers: drain it first)",
        _storage,
        open=True,
    ),
    Shared(
        "cgroup driver",
        _info("CgroupDriver"),
        "limits of tasks are kept in different trees; tools that read them find some only",
        f"set exec-opts native.cgroupdriver in {_FILE} alike",
        _of_one_release,
        open=True,
        chosen=_own_cgroups,
    ),
    Shared(
        "cgroup version",
        _info("CgroupVersion"),
        "tasks read their limits in different places, and some images know one version only",
        "boot with one version (systemd.unified_cgroup_hierarchy)",
        _info_level,
        open=True,
    ),
    Shared(
        "data root",
        _info("DockerRootDir"),
        "scripts and backups look for the state in the wrong place",
        f"set data-root in {_FILE} alike",
        _info_level,
        open=True,
    ),
    Shared(
        "default address pools",
        _set("default-address-pools"),
        "bridges of nodes take different subnets; one may overlap what a node must reach",
        f"set default-address-pools in {_FILE} alike",
        _info_level,
    ),
    Shared(
        "experimental features",
        lambda info, _: info.get("ExperimentalBuild"),
        "commands work on some nodes only",
        f"set experimental in {_FILE} alike",
        _info_level,
    ),
)
