"""How ssh reaches each machine of an inventory: what the inventory says, and below it the user's configuration of ssh.

ssh itself says what its configuration comes to for a host (``ssh -G``): aliases, Include, Match, jump hosts. The
settings that concern the connection are taken over, each machine and each jump host under a name of this run's.

Source: ssh(1), options -G, -F, -J; ssh_config(5).
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.host import run_unasked
from swarmlab.labs.existing.inventory import DEFAULT_USER, Machine
from swarmlab.labs.existing.places import Place, chain

#: Settings of ssh, as -G prints them.
Asked = Mapping[str, Sequence[str]]

#: The files that ssh reads by itself, the user's first.
USERS_OWN: tuple[str, ...] = ("~/.ssh/config", "/etc/ssh/ssh_config")
#: The settings that are taken over. What forwards, runs or checks less is not: host keys are always checked.
_TAKEN = frozenset(
    [
        "addressfamily",
        "bindaddress",
        "bindinterface",
        "casignaturealgorithms",
        "certificatefile",
        "checkhostip",
        "ciphers",
        "compression",
        "gssapiauthentication",
        "gssapiclientidentity",
        "gssapidelegatecredentials",
        "gssapiserveridentity",
        "gssapitrustdns",
        "hostkeyalgorithms",
        "hostkeyalias",
        "identitiesonly",
        "identityagent",
        "identityfile",
        "ipqos",
        "kexalgorithms",
        "knownhostscommand",
        "macs",
        "pkcs11provider",
        "proxyusefdpass",
        "pubkeyacceptedalgorithms",
        "pubkeyacceptedkeytypes",
        "pubkeyauthentication",
        "rekeylimit",
        "requiredrsasize",
        "revokedhostkeys",
        "securitykeyprovider",
        "tcpkeepalive",
        "userknownhostsfile",
        "globalknownhostsfile",
        "verifyhostkeydns",
    ]
)
#: Of these a machine that was learned from a manager has its own.
_OF_ONE_HOST = frozenset(("hostkeyalias",))
_PROXIES = ("proxyjump", "proxycommand")
_FILES = frozenset(("identityfile", "certificatefile"))
#: Most jump hosts on the way to a machine, and seconds that ``ssh -G`` may take: a Match may run a command.
_MOST_JUMPS, _PATIENCE = 8, 30.0


@dataclass(frozen=True)
class Route:
    """How one machine is reached.

    Attributes:
        machine: the machine, with the user, port and jump hosts that hold for it.
        settings: its settings of ssh; a list stands for several lines.
        jumps: the settings of the jump hosts on the way, the nearest first.
    """

    machine: Machine
    settings: Mapping[str, object]
    jumps: tuple[Mapping[str, object], ...] = field(default=())

    @property
    def through(self) -> str:
        """What the way begins with, which ways to other machines may share; empty if nothing is between.

        It is the nearest jump host, or the command of a proxy.
        """
        if self.jumps:
            return f"{self.jumps[0]['HostName']} {self.jumps[0]['Port']}"
        return str(self.settings.get("ProxyCommand", ""))


def route(machine: Machine, folder: Path) -> Route:
    """Return how a machine is reached.

    Args:
        machine: the machine.
        folder: a folder for files that ssh reads.

    Raises:
        UsageError: ssh makes nothing of its configuration or of the inventory's options.
    """
    asker = _Asker(machine, folder)
    defaults = {"user": "" if machine.like_ssh else DEFAULT_USER, "port": "22"}
    given = Place(machine.address, machine.user, machine.port)
    taken: dict[str, list[str]] = {}
    if machine.like:
        # What the configuration says of the manager holds where it says nothing of the machine itself.
        of_manager = asker.ask(replace(given, host=machine.like), defaults, options=True)
        taken = {key: value for key, value in _differing(of_manager).items() if key not in _OF_ONE_HOST}
        taken |= _proxy(of_manager)
        defaults = {key: of_manager[key][0] for key in defaults}
    asked = asker.ask(given, defaults, options=True)
    own = _proxy(asked)
    if own:
        taken = {key: value for key, value in taken.items() if key not in _PROXIES}
    taken |= _differing(asked) | own
    user, port = asked["user"][0], int(asked["port"][0])
    settings = _settings(asked["hostname"][0], user, port, taken, machine)
    jumps: list[_Jump] = []
    if machine.jump:
        jumps = asker.jumps(chain(machine.jump) or [], replace(machine, user=user), ours=True)
    elif "proxyjump" in taken:
        jumps = asker.jumps(chain(taken["proxyjump"][0]) or [], None)
        # As ssh does, for a configuration that has all hosts go through one of them.
        jumps = [jump for jump in jumps if (jump.settings["HostName"], jump.port) != (settings["HostName"], port)]
    elif "proxycommand" in taken:
        settings["ProxyCommand"] = _command(taken["proxycommand"][0], machine.address)
    through = ",".join(str(jump.place) for jump in jumps)
    return Route(replace(machine, user=user, port=port, jump=through), settings, tuple(jump.settings for jump in jumps))


@dataclass(frozen=True)
class _Jump:
    place: Place
    port: int
    settings: dict[str, object]


class _Asker:
    """Asks ssh what its configuration comes to for the hosts on the way to one machine."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self._machine = machine
        self._folder = folder

    def ask(self, host: Place, defaults: Mapping[str, str], *, options: bool = False) -> Asked:
        """Return the settings of a host.

        Args:
            host: the host, with user and port where they are known.
            defaults: settings that hold where the configuration has none.
            options: the inventory's options of ssh count too.

        Raises:
            UsageError: ssh refuses its configuration, or the options.
        """
        command = ["ssh", "-G", "-F", str(self._files(defaults))]
        command += self._machine.arguments if options else ()
        command += ["-l", host.user] if host.user else []
        command += ["-p", str(host.port)] if host.port else []
        return self._asked([*command, "--", host.host])

    def jumps(
        self, places: Sequence[Place], like: Machine | None, depth: int = 0, *, ours: bool = False
    ) -> list[_Jump]:
        """Return the jump hosts of a chain, with those that ssh's configuration has before the first.

        Args:
            places: the chain, the nearest first.
            like: the machine whose user, key and known hosts reach them too; None for ssh's configuration alone.
            depth: how many chains led here.
            ours: the inventory names them.
        """
        found: list[_Jump] = []
        for number, host in enumerate(places):
            user = like.user if like and not like.like_ssh else ""
            asked = self.ask(host, {"user": user, "port": "22"})
            taken = _differing(asked)
            name, port = asked["hostname"][0], int(asked["port"][0])
            settings = _settings(name, asked["user"][0], port, taken, like, also=asked if ours else None)
            settings["LogLevel"] = "INFO"  # see `Ssh.open`
            before: list[_Jump] = []
            own = _proxy(asked)
            if number == 0 and "proxyjump" in own:
                if depth >= _MOST_JUMPS:
                    raise UsageError(f"node {self._machine}: its jump hosts lead in a circle; mend ProxyJump of {host}")
                further = [one for one in chain(own["proxyjump"][0]) or [] if one.host != host.host]
                before = self.jumps(further, None, depth + 1)
            elif number == 0 and "proxycommand" in own:
                settings["ProxyCommand"] = _command(own["proxycommand"][0], host.host)
            found += [*before, _Jump(host, port, settings)]
        if len(found) > _MOST_JUMPS:
            raise UsageError(f"node {self._machine}: is behind {len(found)} jump hosts; {_MOST_JUMPS} at most")
        return found

    def _asked(self, command: Sequence[str]) -> Asked:
        try:
            # What `Match exec` runs sees the user's own language.
            done = run_unasked(command, timeout=_PATIENCE, folder=self._machine.folder, environment=os.environ)
        except FileNotFoundError:
            raise UsageError(f"node {self._machine}: this machine has no ssh command; install openssh-client") from None
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"node {self._machine}: ssh takes over {_PATIENCE:.0f} s to read its configuration; "
                "see what `Match exec` runs there"
            ) from None
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            where = "the inventory's options of ssh" if "command-line" in done.stderr else "the configuration of ssh"
            raise UsageError(f"node {self._machine}: {where}: {shown(said[0] if said else 'ssh -G fails')}; mend it")
        return _read(done.stdout)

    def _files(self, defaults: Mapping[str, str]) -> Path:
        """Return a file that has ssh read the user's files, or that of the inventory, and then *defaults*."""
        files = [str(self._machine.config)] if self._machine.config else USERS_OWN
        lines = [f'Include "{file}"' for file in files]
        lines += ["Host *", *(f"  {key} {value}" for key, value in defaults.items() if value)]
        text = "\n".join(lines) + "\n"
        file = self._folder / f"given-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        if not file.exists():
            # Machines with the same defaults share it, and are asked for at the same time: none may read half of it.
            with tempfile.NamedTemporaryFile("w", dir=self._folder, delete=False, encoding="utf-8") as made:
                made.write(text)
            Path(made.name).replace(file)
        return file


def _read(printed: str) -> Asked:
    asked: dict[str, list[str]] = {}
    for line in printed.splitlines():
        key, _, value = line.partition(" ")
        asked.setdefault(key.lower(), []).append(value.strip())
    return asked


@functools.cache
def _without() -> Asked:
    """Return the settings that ssh has without any configuration."""
    return _read(run_unasked(["ssh", "-G", "-F", "/dev/null", "--", "localhost"], timeout=_PATIENCE).stdout)


def _differing(asked: Asked) -> dict[str, list[str]]:
    """Return the settings that are not what ssh has without any configuration, but for those of `_proxy`."""
    without = {**_without(), **{key: asked[key] for key in _PROXIES if key in asked}}
    return {key: list(value) for key, value in asked.items() if value != without.get(key)}


def _proxy(asked: Asked) -> dict[str, list[str]]:
    """Return the one setting that leads through another host; empty if there is none."""
    for key in _PROXIES:
        value = asked.get(key, ["none"])[0]
        if value and value.lower() != "none":
            return {key: [value]}
    return {}


def _settings(
    host: str, user: str, port: int, taken: Asked, machine: Machine | None, *, also: Asked | None = None
) -> dict[str, object]:
    """Return the settings of one host.

    Args:
        host: its address.
        user: the user.
        port: the port.
        taken: the settings that ssh's configuration has for it.
        machine: the machine whose key and known hosts the inventory names; None if it says nothing of this host.
        also: for a jump host: its settings, whose keys are tried after the inventory's.
    """
    settings: dict[str, object] = {"HostName": host.replace("%", "%%"), "Port": port, "User": user}
    folder = machine.folder if machine else None
    for key, values in taken.items():
        if key in _TAKEN:
            settings[key] = [_whole(value, folder) if key in _FILES else value for value in values]
    if machine and machine.key:
        keys = [f'"{machine.key}"']
        if also and (machine.like_ssh or "identityfile" in taken):
            keys += [_whole(value, folder) for value in also.get("identityfile", [])]
        settings.pop("identityfile", None)
        settings["IdentityFile"] = keys
        if not (also and machine.like_ssh):
            settings.pop("identitiesonly", None)
            settings["IdentitiesOnly"] = "yes"
    if machine and machine.known_hosts:
        known = f'"{machine.known_hosts}"'
        if also and machine.like_ssh:
            settings["userknownhostsfile"] = f"{known} {also['userknownhostsfile'][0]}"
        else:
            settings.pop("userknownhostsfile", None)
            settings.pop("globalknownhostsfile", None)
            settings |= {"UserKnownHostsFile": known, "GlobalKnownHostsFile": "/dev/null"}
    elif settings.get("userknownhostsfile") == ["/dev/null"]:
        # Some write this to have no host key checked. Here it is always checked, with the user's own file.
        del settings["userknownhostsfile"]
    return settings


def _whole(file: str, folder: Path | None) -> str:
    """Return the name of a key's file for ssh_config. Those of an inventory may be relative to its folder."""
    if folder and not re.match(r"[/~%$]|none$", file):
        file = str(folder / file)
    return f'"{file}"'


def _command(command: str, name: str) -> str:
    """Return a ProxyCommand with the name that the user gives the host, which is another in this run's file."""
    return re.sub(r"%(.)", lambda found: name if found[1] == "n" else found[0], command)


def jump_of(machine: Machine, host: str = "") -> Machine:
    """Return a jump host of a machine that has some.

    Args:
        machine: the machine, with its jump hosts as `route` has found them.
        host: the name of the jump host; that of the last if it is none of them.
    """
    places = chain(machine.jump) or []
    found = next((one for one in places if one.host == host), None) or places[-1]
    user = found.user or machine.user
    return replace(machine, address=found.host, name="", user=user, port=found.port or 22, jump="")
