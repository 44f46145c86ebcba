"""The options of engines: which releases know each, and how a node sets them (file, command line, unit of systemd)."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmlab.versions import Version

#: Releases that know an option: the first, and the first that does not.
_ALL: tuple[Version, Version] = ((), (999,))


@dataclass(frozen=True)
class Option:
    """An option of engines.

    Attributes:
        key: its name in daemon.json.
        flag: its name on the command line.
        kind: the type of its value in daemon.json.
        since: the first release that knows it; empty for all.
        until: the first release that does not.
    """

    key: str
    flag: str
    kind: type
    since: Version = _ALL[0]
    until: Version = _ALL[1]

    def known(self, release: Version) -> bool:
        """Whether engines of a release know it."""
        return self.since <= release < self.until


_BOOLEAN = (
    "tls tlsverify debug experimental icc init ip-forward ip-masq ip6tables iptables ipv6 live-restore "
    "no-new-privileges raw-logs selinux-enabled userland-proxy rootless cri-containerd allow-direct-routing "
    "ip-forward-no-drop disable-legacy-registry api-enable-cors help version validate"
)
_NUMBERS = (
    "cpu-rt-period cpu-rt-runtime max-concurrent-downloads max-concurrent-uploads max-download-attempts mtu "
    "network-control-plane-mtu network-diagnostic-port shutdown-timeout oom-score-adjust swarm-raft-heartbeat-tick "
    "swarm-raft-election-tick"
)
_TEXTS = (
    "bip bip6 bridge bridge-accept-fwmark cgroup-parent config-file containerd containerd-namespace "
    "containerd-plugins-namespace data-root default-cgroupns-mode default-gateway default-gateway-v6 default-ipc-mode "
    "default-runtime default-shm-size exec-root firewall-backend fixed-cidr fixed-cidr-v6 group http-proxy https-proxy "
    "init-path ip log-driver log-format log-level metrics-addr no-proxy pidfile seccomp-profile storage-driver "
    "swarm-default-advertise-addr tlscacert tlscert tlskey userland-proxy-path userns-remap graph cluster-store "
    "cluster-advertise api-cors-header deprecated-key-path default-init resolv-conf"
)
#: Options that may be given several times: their names on the command line, and in daemon.json.
_LISTS = {
    "allow-nondistributable-artifacts": "allow-nondistributable-artifacts",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "default-address-pool": "default-address-pools",
    "dns": "dns",
    "dns-opt": "dns-opts",
    "dns-search": "dns-search",
    "exec-opt": "exec-opts",
    "host": "hosts",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "node-generic-resource": "node-generic-resources",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
    "host-gateway-ip": "host-gateway-ips",
}
_MAPS = {
    "add-runtime": "runtimes",
    "default-ulimit": "default-ulimits",
    "log-opt": "log-opts",
    "cluster-store-opt": "cluster-store-opts",
    "default-network-opt": "default-network-opts",
    "feature": "features",
    "builder": "builder",
}
#: The releases that know an option, where not all from 17.06 on do: read from the engines' own --help.
_RELEASES: dict[str, tuple[Version, Version]] = {
    "allow-direct-routing": ((28,), _ALL[1]),
    "api-cors-header": ((), (28,)),
    "bip6": ((28,), _ALL[1]),
    "bridge-accept-fwmark": ((28,), _ALL[1]),
    "cdi-spec-dir": ((25,), _ALL[1]),
    "cluster-advertise": ((), (23,)),
    "cluster-store": ((), (23,)),
    "cluster-store-opt": ((), (23,)),
    "containerd-namespace": ((19, 3), _ALL[1]),
    "containerd-plugins-namespace": ((19, 3), _ALL[1]),
    "cri-containerd": ((19, 3), _ALL[1]),
    "default-address-pool": ((18, 6), _ALL[1]),
    "default-cgroupns-mode": ((20, 10), _ALL[1]),
    "default-ipc-mode": ((17, 10), _ALL[1]),
    "default-network-opt": ((24,), _ALL[1]),
    "disable-legacy-registry": ((), (19, 3)),
    "features": ((18, 6), _ALL[1]),
    "firewall-backend": ((29,), _ALL[1]),
    "graph": ((), (23,)),
    "host-gateway-ip": ((20, 10), _ALL[1]),
    "host-gateway-ips": ((28,), _ALL[1]),
    "http-proxy": ((20, 10), _ALL[1]),
    "https-proxy": ((20, 10), _ALL[1]),
    "ip-forward-no-drop": ((28,), _ALL[1]),
    "ip6tables": ((20, 10), _ALL[1]),
    "log-format": ((25,), _ALL[1]),
    "max-download-attempts": ((20, 10), _ALL[1]),
    "network-control-plane-mtu": ((17, 10), _ALL[1]),
    "no-proxy": ((20, 10), _ALL[1]),
    "oom-score-adjust": ((), (25,)),
    "rootless": ((19, 3), _ALL[1]),
    "validate": ((23,), _ALL[1]),
}


def _options() -> Iterator[Option]:
    plain: dict[type, str] = {bool: _BOOLEAN, int: _NUMBERS, str: _TEXTS}
    for kind, names in plain.items():
        for name in names.split():
            yield Option(name, name, kind, *_RELEASES.get(name, _ALL))
    grouped: dict[type, dict[str, str]] = {list: _LISTS, dict: _MAPS}
    for kind, listed in grouped.items():
        for flag, key in listed.items():
            yield Option(key, flag, kind, *_RELEASES.get(key, _RELEASES.get(flag, _ALL)))
    # The name of one address, before there could be one of each family.
    yield Option("host-gateway-ip", "host-gateway-ip", str, *_RELEASES["host-gateway-ip"])


#: All options, by their names in daemon.json.
OPTIONS: dict[str, Option] = {option.key: option for option in _options()}
_BY_FLAG = {option.flag: option for option in OPTIONS.values()}
_SHORT = {
    "H": "host",
    "D": "debug",
    "s": "storage-driver",
    "G": "group",
    "g": "graph",
    "b": "bridge",
    "l": "log-level",
    "p": "pidfile",
    "v": "version",
}
#: Keys of daemon.json whose values are objects of their own keys; of other objects the engine takes the keys within.
_OBJECTS = frozenset(_MAPS.values())


@dataclass
class Settings:
    """What an engine is told at its next start.

    Attributes:
        file: content of daemon.json, with the keys within groups as keys of their own.
        flags: values of the command line by the option's name in daemon.json.
        unknown: names on the command line that no release knows.
    """

    file: dict[str, Any] = field(default_factory=dict)
    flags: dict[str, list[str]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, text: str, command: Sequence[str]) -> Settings:
        """Return what a daemon.json and a command line set.

        Args:
            text: the text of daemon.json; empty if there is none.
            command: the arguments after the program's name.

        Raises:
            ValueError: the text is not JSON, or not an object.
        """
        raw = json.loads(text.removeprefix("\ufeff") or "{}")
        if not isinstance(raw, dict):
            raise ValueError(f"it is {type(raw).__name__}, not an object")
        made = cls()
        for key, value in raw.items():
            made.file |= value if isinstance(value, dict) and key not in _OBJECTS else {key: value}
        for name, value in _given(command):
            option = _BY_FLAG.get(name)
            if option is None:
                made.unknown.append(name)
            else:
                made.flags.setdefault(option.key, []).append(value)
        return made

    @classmethod
    def as_far_as_read(cls, text: str, command: Sequence[str]) -> Settings:
        """Return what `read` does, or what the command line alone sets where the text cannot be read."""
        try:
            return cls.read(text, command)
        except ValueError:
            return cls.read("", command)

    def get(self, key: str) -> Any:
        """Return the value of an option; None if it is not set. A list has what file and command line give."""
        flags = self.flags.get(key)
        if flags is None:
            return self.file.get(key)
        kind = OPTIONS[key].kind
        if kind in (list, dict):
            return list(flags)
        return flags[-1].lower() in ("true", "1", "t") if kind is bool else flags[-1]

    def listed(self, key: str) -> list[str]:
        """Return the texts of an option that may be given several times."""
        value = self.get(key)
        return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []

    def doubled(self) -> list[str]:
        """Return the names of options that are set in the file and on the command line, which no engine accepts."""
        return sorted(key for key in self.flags if key in self.file and key != "runtimes")

    def strange(self, release: Version) -> list[str]:
        """Return the names of options that an engine of this release does not know."""
        ignored = {"deprecated-key-path", "allow-nondistributable-artifacts"} if release >= (29,) else set()
        names = [*self.file, *self.flags]
        known = [key for key in names if key in OPTIONS and OPTIONS[key].known(release)]
        return sorted({*(key for key in names if key not in known and key not in ignored), *self.unknown})

    def mistyped(self) -> list[str]:
        """Return the names of options whose value in the file is of another type than the option's."""
        wrong = {
            key
            for key, value in self.file.items()
            if key in OPTIONS and value is not None and not _fits(value, OPTIONS[key].kind)
        }
        options = self.file.get("log-opts")
        if isinstance(options, dict) and not all(isinstance(value, str) for value in options.values()):
            wrong.add("log-opts")
        return sorted(wrong)


def _fits(value: Any, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _given(command: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield name and value of each option of a command line, as the engine's own parser takes them apart."""
    words = [word for word in command if word]
    while words:
        word = words.pop(0)
        if word.startswith("--"):
            name, sign, value = word[2:].partition("=")
        elif word.startswith("-") and len(word) > 1:
            name, rest = _SHORT.get(word[1], word[1]), word[2:]
            sign, value = ("=", rest.removeprefix("=")) if rest else ("", "")
        else:
            continue
        if not sign:
            option = _BY_FLAG.get(name)
            alone = option is None or option.kind is bool
            value = "true" if alone or not words else words.pop(0)
        yield name, value


def pairs(text: str) -> dict[str, str]:
    """Return the names and values of a text such as "base=10.0.0.0/8,size=24"."""
    return dict(part.partition("=")[::2] for part in text.split(","))


def of_unit(text: str) -> list[str] | None:
    """Return the arguments with which systemd starts the engine; None if there is no unit, or it cannot be read.

    It cannot either where a variable is not known, and a file of variables that the unit names was not read.

    Args:
        text: what ``systemctl cat docker.service`` prints, and after a line ``# environment FILE`` the content of each
            file of environment variables.
    """
    start, files = "", 0
    variables: dict[str, str] = {}
    for section, line in _lines(text):
        if section == "environment":
            variables |= _assigned(line)
        elif section == "[Service]" and line.startswith("ExecStart="):
            start = line.partition("=")[2].strip() or start
        elif section == "[Service]" and line.startswith("EnvironmentFile="):
            files = files + 1 if line.partition("=")[2].strip() else 0
        elif section == "[Service]" and line.startswith("Environment="):
            for word in _words(line.partition("=")[2]):
                variables |= _assigned(word)
    unread = files > len(re.findall(r"^# environment ", text, re.MULTILINE))
    if not start or (unread and any(name not in variables for name in re.findall(r"\$\{?(\w+)", start))):
        return None
    return _expanded(start, variables)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a unit and of its files of variables (see `of_unit`), each after its section."""
    section = ""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        line = line.strip()
        if line.startswith("# environment "):
            section = "environment"
        elif line.startswith("["):
            section = line
        elif line and line[0] not in "#;":
            yield section, line


def refused_by_systemd(text: str) -> Iterator[tuple[str, str]]:
    """Yield why systemd will not start the engine, each with the mend.

    Args:
        text: the unit, as `of_unit` takes it, and lines ``# unit NAME STATE`` of those that it may need.
    """
    lines = [line for section, line in _lines(text) if section == "[Service]"]
    starts: list[str] = []
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() == "ExecStart":  # an empty one takes back those before it
            starts = [*starts, value] if value.strip() else []
    if len(starts) > 1 and "Type=oneshot" not in lines:
        mend = "write an empty ExecStart= line before the last one (systemctl edit docker.service)"
        yield f"systemd refuses docker.service: it has {len(starts)} ExecStart= lines", mend
    settings = Settings.read("", of_unit(text) or [])
    asked = {"docker.socket": any(host.startswith("fd:") for host in settings.listed("hosts"))}
    # Another path is another program's containerd.
    asked["containerd.service"] = str(settings.get("containerd")).endswith("/run/containerd/containerd.sock")
    for unit in re.findall(r"^# unit (\S+) masked", text, re.MULTILINE):
        if asked.get(unit):
            yield f"{unit} is masked, and the engine cannot do without it", f"systemctl unmask {unit}"


def _assigned(text: str) -> dict[str, str]:
    name, sign, value = text.strip().removeprefix("export ").partition("=")
    return {name.strip(): " ".join(_words(value)) if value[:1] in ("'", '"') else value} if sign else {}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quotation that does not end
        return text.split()


def _expanded(start: str, variables: Mapping[str, str]) -> list[str] | None:
    made: list[str] = []
    for word in _words(start):
        if whole := re.fullmatch(r"\$(\w+)", word):
            made += _words(variables.get(whole[1], ""))
        else:
            made.append(re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: variables.get(found[1] or found[2], ""), word))
    program = made[0].lstrip("@-:+!") if made else ""
    return made[1:] if program.endswith("dockerd") else None
