"""Inventories of Ansible: its own commands read them, and say what each host's variables come to.

``ansible-inventory`` lists groups, hosts and variables as they are written. ``ansible`` with the module ``debug``,
which runs on this machine and reaches no host, then fills in templates, secrets of a vault that can be opened, and the
settings of ansible.cfg.

Source: Ansible's guide "How to build your inventory", and its plugin `ssh` (ansible.builtin.ssh).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import getopt
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import exists, shown
from swarmlab.labs.existing.ansible_commands import run
from swarmlab.labs.existing.ansible_mistakes import Mistakes
from swarmlab.labs.existing.places import bare

#: The group whose hosts count if the user names none.
GROUP = "swarm"
#: Most groups that a message lists.
_MOST_GROUPS = 12
#: Ansible's ways to a host that are SSH.
_SSH = re.compile(r"((ansible\.(builtin|netcommon)|community\.\w+)\.)?(ssh|smart|paramiko|paramiko_ssh|libssh)")
_TEMPLATE = re.compile(r"{[{%]")
#: Words for yes and no, as Ansible takes them.
_YES, _NO = ("true", "yes", "on", "y", "t", "1", "1.0"), ("false", "no", "off", "n", "f", "0", "0.0", "", "none")
#: The letters of ssh's options, as of getopt, and those that concern how a host is reached.
_LETTERS = "1246ab:c:e:fgi:kl:m:no:p:qstvxAB:CD:E:F:GI:J:KL:MNO:P:Q:R:S:TVw:W:XYy"
_TAKEN = ("-4", "-6", "-b", "-B", "-c", "-m", "-I", "-o")
#: Settings of ssh that a run has its own of.
_OURS = ("controlmaster", "controlpath", "controlpersist", "stricthostkeychecking", "batchmode", "loglevel")
#: Variables of a host by what they say, in Ansible's order: of two names for one thing, the last counts.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "host": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "key": ("ansible_private_key_file", "ansible_ssh_private_key_file"),
    "connection": ("ansible_connection",),
    "become": ("ansible_become",),
    "become_method": ("ansible_become_method",),
    "become_user": ("ansible_become_user",),
    "args": ("ansible_ssh_args",),
    "common_args": ("ansible_ssh_common_args",),
    "extra_args": ("ansible_ssh_extra_args",),
}
#: What ansible.cfg and the environment say where no variable does: options of the plugin ssh, and settings.
_OF_PLUGIN = {
    "port": "port",
    "user": "remote_user",
    "key": "private_key_file",
    "args": "ssh_args",
    "common_args": "ssh_common_args",
    "extra_args": "ssh_extra_args",
}
_OF_SETTINGS = {
    "user": "DEFAULT_REMOTE_USER",
    "port": "DEFAULT_REMOTE_PORT",
    "key": "DEFAULT_PRIVATE_KEY_FILE",
    "become": "DEFAULT_BECOME",
    "become_method": "DEFAULT_BECOME_METHOD",
    "become_user": "DEFAULT_BECOME_USER",
    "args": "ANSIBLE_SSH_ARGS",
}
#: Passwords of a host, which are not used: they need not be deciphered.
_PASSWORDS = (
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_become_password",
    "ansible_become_pass",
)


@dataclass(frozen=True)
class Hosts:
    """The hosts of an inventory of Ansible.

    Attributes:
        nodes: the hosts in the suite's format.
        more: for each what that format does not have: attributes of `Machine`.
        folder: the folder to which its files are relative.
    """

    nodes: list[dict[str, Any]]
    more: list[dict[str, Any]]
    folder: Path


def read(file: Path, source: str, group: str, most: int) -> Hosts:
    """Read an inventory of Ansible.

    Args:
        file: its file or folder.
        source: its name, for messages.
        group: the groups whose hosts count, with commas; empty for `GROUP`, or all if there are no groups.
        most: the most hosts that may count.

    Raises:
        UsageError: Ansible is not installed or makes nothing of it, the group is not there, or a host is not reached
            over SSH with keys.
    """
    return _Reader(file, source).read(group, most)


class _Reader:
    def __init__(self, file: Path, source: str) -> None:
        self._file = file.absolute()
        self._name = f"inventory {shown(source)}"
        self._folder = _folder_of(self._file)
        self._mistakes = Mistakes(self._file, self._name)

    def read(self, group: str, most: int) -> Hosts:
        raw = self._listed()
        groups, hosts = self._chosen(raw, group)
        if len(hosts) > most:
            raise UsageError(
                f"{self._name}: {len(hosts)} hosts are chosen, and a run reaches at most {most}; choose a group of "
                "fewer with --group"
            )
        variables = raw.get("_meta", {}).get("hostvars", {})
        written = {host: _mapping(variables.get(host)) for host in hosts}
        self._expect_ssh(written)
        filled = self._filled(hosts, groups, written)
        self._expect_ssh({host: {"ansible_connection": filled[host].get("connection")} for host in hosts})
        nodes, more, wrong = [], [], []
        for host in hosts:
            try:
                node, rest = self._node(host, filled[host])
            except UsageError as mistake:
                wrong.append(str(mistake))
                continue
            if unused := [name for name in _PASSWORDS if name in written[host]]:
                rest["unused"] = ", ".join(unused)
            nodes.append(node)
            more.append(rest)
        if wrong:
            raise UsageError("\n".join(dict.fromkeys(wrong[:20])))
        return Hosts(nodes, more, self._folder)

    # Groups

    def _listed(self) -> Mapping[str, Any]:
        program = shutil.which("ansible-inventory")
        if not program:
            what = "a folder" if self._file.is_dir() else "not in the suite's format (nodes, manager or context)"
            raise UsageError(
                f"{self._name}: is {what}, and an inventory of Ansible needs the command ansible-inventory; install "
                "it, or write the suite's format"
            )
        done = run([program, "-i", str(self._file), "--list"], self._name, self._folder)
        try:
            raw = json.loads(done.stdout)
        except ValueError:
            raw = None
        if done.returncode != 0 or not isinstance(raw, dict):
            raise UsageError(self._mistakes.refused(done.stderr))
        if not _hosts_of(raw, "all") and not raw.get("_meta", {}).get("hostvars"):
            raise UsageError(self._mistakes.refused(done.stderr))
        return raw

    def _chosen(self, raw: Mapping[str, Any], group: str) -> tuple[list[str], list[str]]:
        """Return the groups that count, and their hosts."""
        every = _hosts_of(raw, "all") or list(_mapping(raw.get("_meta", {}).get("hostvars")))
        # A group without hosts and children is not listed by itself.
        children = {child for of in raw.values() for child in _mapping(of).get("children") or []}
        none = ("_meta", "ungrouped", "all")
        groups = [name for name in {**raw, **dict.fromkeys(sorted(children))} if name not in none]
        sizes = {name: len(every if name == "all" else _hosts_of(raw, name)) for name in [*groups, "all"]}
        there = ", ".join(
            f"{shown(name, 40)} ({size} host{'s' if size != 1 else ''})"
            for name, size in list(sizes.items())[:_MOST_GROUPS]
        ) + ("" if len(sizes) <= _MOST_GROUPS else f" and {len(sizes) - _MOST_GROUPS} more")
        names = [name.strip() for name in group.split(",")] if group else [GROUP]
        if not group and GROUP not in sizes:
            named = [name for name in sizes if name != "all"]
            if named and not any(sizes[name] == len(every) for name in named):
                raise UsageError(f"{self._name}: has no group {GROUP}; name one with --group: {there}")
            names = ["all"]
        hosts: list[str] = []
        for name in names:
            if name not in sizes:
                where = "--group" if group else self._name
                raise UsageError(f"{where}: the inventory has no group {shown(name, 60)}; it has {there}")
            hosts += every if name == "all" else _hosts_of(raw, name)
        if not hosts:
            raise UsageError(f"{self._name}: the group {shown(','.join(names), 60)} has no hosts; it has {there}")
        return names, list(dict.fromkeys(hosts))

    # Variables

    def _expect_ssh(self, variables: Mapping[str, Mapping[str, Any]]) -> None:
        for host, of_host in variables.items():
            way = of_host.get("ansible_connection")
            if isinstance(way, str) and way and not _TEMPLATE.search(way) and not _SSH.fullmatch(way):
                wrong = f"is {shown(way, 60)}, and the suite reaches nodes over SSH only"
                mend = "write ssh and its ansible_host, or choose other hosts with --group"
                raise self._mistakes.at(host, "ansible_connection", way, f"{wrong}; {mend}")

    def _filled(
        self, hosts: Sequence[str], groups: Sequence[str], written: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Return what the variables of each host come to, by the keys of `_NAMES`."""
        program = shutil.which("ansible")
        if not program:
            return {host: self._unfilled(host, written[host]) for host in hosts}
        command = [program, "-i", str(self._file), "-m", "debug", "-a", f"msg={_question()}", "-f", "16"]
        command += ["-e", json.dumps(dict.fromkeys(_PASSWORDS, ""))]
        done = run([*command, ":".join(groups)], self._name, self._folder, more=len(hosts))
        filled = {}
        for found in re.findall(r"SWC([A-Za-z0-9+/=]+)CWS", done.stdout):
            with contextlib.suppress(ValueError, binascii.Error):
                answer = json.loads(base64.b64decode(found))
                filled[answer.pop("name")] = answer
        failed = dict(_failures(done.stdout))
        for host in hosts:
            if host not in filled:
                why = failed.get(host) or (done.stderr.strip().splitlines() or ["Ansible says nothing of it"])[-1]
                raise UsageError(self._mistakes.not_filled(host, why, done.stderr))
        return filled

    def _unfilled(self, host: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        filled: dict[str, Any] = {}
        for key, names in _NAMES.items():
            for name in names:
                if name in variables:
                    value = variables[name]
                    if not isinstance(value, (str, int, float)) or _TEMPLATE.search(str(value)):
                        wrong = "is a template or a secret, which only the command ansible fills in; install it"
                        raise self._mistakes.at(host, name, str(value), wrong)
                    filled[key] = value
        return filled

    def _node(self, host: str, said: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return a host in the suite's format, and what that format does not have."""
        node: dict[str, Any] = {"address": bare(str(said.get("host") or host))}
        if user := said.get("user"):
            node["user"] = str(user)
        if port := said.get("port"):
            if not re.fullmatch(r"\d{1,5}", str(port)) or not 1 <= int(port) <= 65535:
                wrong = f"is {shown(repr(port), 60)}; write a number from 1 to 65535"
                raise self._mistakes.at(host, "ansible_port", str(port), wrong)
            node["port"] = int(port)
        if self._yes(host, said):
            node["sudo"] = True
        more: dict[str, Any] = {"like_ssh": True, "folder": self._folder}
        arguments: list[str] = []
        for key in ("args", "common_args", "extra_args"):
            if text := str(said.get(key) or ""):
                self._add_options(host, _NAMES[key][-1], text, node, more, arguments)
        if private := said.get("key"):
            node["key"] = str(private)
        if "key" in node:
            node["key"] = str(self._whole(node["key"]))
        if "known_hosts" in node:
            node["known_hosts"] = str(self._whole(node["known_hosts"]))
        more["arguments"] = tuple(arguments)
        return node, more

    def _yes(self, host: str, said: Mapping[str, Any]) -> bool:
        """Whether a host's user becomes root.

        Raises:
            UsageError: it does not become root in a way that the suite knows.
        """
        word = str(said.get("become", "")).strip().lower()
        if word not in (*_YES, *_NO):
            raise self._mistakes.at(host, "ansible_become", word, f"is {shown(repr(word), 60)}; write true or false")
        if word in _NO:
            return False
        method = str(said.get("become_method") or "sudo").rpartition(".")[2]
        if method not in ("sudo", "doas"):
            wrong = f"is {shown(method, 60)}, and the suite knows sudo and doas without a password; allow one of them"
            raise self._mistakes.at(host, "ansible_become_method", method, wrong)
        if (user := str(said.get("become_user") or "root")) != "root":
            wrong = f"is {shown(user, 60)}, and the suite needs root, or the rights of who logs in; write root"
            raise self._mistakes.at(host, "ansible_become_user", user, wrong)
        return True

    def _add_options(
        self, host: str, variable: str, text: str, node: dict[str, Any], more: dict[str, Any], arguments: list[str]
    ) -> None:
        """Take over what options of ssh say."""
        try:
            options, rest = getopt.getopt(shlex.split(text), _LETTERS)
        except (ValueError, getopt.GetoptError) as wrong:
            raise self._mistakes.at(host, variable, text, f"{shown(wrong)}, in {shown(text, 80)!r}; mend it") from None
        if rest:
            raise self._mistakes.at(host, variable, text, f"{shown(rest[0], 60)!r} is no option of ssh; mend it")
        for option, value in options:
            name, setting = re.match(r"\s*(\w*)\s*[=\s]?\s*(.*)", value, re.DOTALL).groups()  # type: ignore[union-attr]
            word = {"-J": "proxyjump", "-l": "user", "-p": "port", "-F": "config"}.get(option, "")
            setting = value if word else setting
            word = word or (name.lower() if option == "-o" else "")
            setting = setting.strip('"') if word != "proxycommand" else setting
            if word == "proxyjump":
                node.setdefault("jump", setting)
            elif word == "user":
                node.setdefault("user", setting)
            elif word == "port" and setting.isdigit():
                node.setdefault("port", int(setting))
            elif word == "config":
                more["config"] = self._whole(setting)
                if setting != "none" and not exists(more["config"]):
                    raise self._mistakes.at(
                        host, variable, text, f"-F {shown(setting)}: there is no such file; mend it"
                    )
            elif word == "userknownhostsfile" and not re.search(r"[\s%$]", setting):
                if setting not in ("/dev/null", "none"):
                    node.setdefault("known_hosts", setting)
            elif option == "-i":
                node.setdefault("key", value)
            elif option in _TAKEN and word not in _OURS:
                arguments += [option, value] if value else [option]

    def _whole(self, file: str) -> Path:
        """Return a file that Ansible's variables name: relative to the folder in which it runs, or to the inventory."""
        with contextlib.suppress(RuntimeError):
            path = Path(file).expanduser()
            beside = (self._file if self._file.is_dir() else self._file.parent) / path
            return beside if not exists(self._folder / path) and exists(beside) else self._folder / path
        return Path(file)


def _folder_of(file: Path) -> Path:
    """Return the folder in which Ansible is to run: where the user is, or else where an ansible.cfg is that holds."""
    here = Path.cwd()
    if os.environ.get("ANSIBLE_CONFIG") or exists(here / "ansible.cfg"):
        return here
    above = [file, *file.parents] if file.is_dir() else file.parents
    return next((folder for folder in above if exists(folder / "ansible.cfg")), here)


def _mapping(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _hosts_of(raw: Mapping[str, Any], group: str) -> list[str]:
    """Return the hosts of a group and of its children."""
    hosts: dict[str, None] = {}
    seen: set[str] = set()
    ahead = [group]
    while ahead:
        name = ahead.pop(0)
        if name not in seen:
            seen.add(name)
            of_group = _mapping(raw.get(name))
            hosts |= dict.fromkeys(map(str, of_group.get("hosts") or []))
            ahead += map(str, of_group.get("children") or [])
    return list(hosts)


def _question() -> str:
    """Return a template that gives what `_NAMES` come to for a host, as JSON in base64 between two words."""
    parts = []
    for key, names in _NAMES.items():
        value = "none"
        if key in _OF_SETTINGS:
            value = f"lookup('config', '{_OF_SETTINGS[key]}', on_missing='skip', errors='ignore')"
        if key in _OF_PLUGIN:
            of_plugin = "plugin_type='connection', plugin_name='ssh', on_missing='skip', errors='ignore'"
            value = f"lookup('config', '{_OF_PLUGIN[key]}', {of_plugin}) | default({value}, true)"
        for name in names:
            value = f"{name} | default({value})"
        parts.append(f"'{key}': ({value})")
    return f"SWC{{{{ {{{', '.join(parts)}, 'name': inventory_hostname}} | to_json | b64encode }}}}CWS"


def _failures(printed: str) -> Iterator[tuple[str, str]]:
    for host, words in re.findall(r"(?ms)^(\S+) \| (?:FAILED|UNREACHABLE)! =>\s*(\{.*?^\})", printed):
        with contextlib.suppress(ValueError):
            yield host, str(json.loads(words).get("msg", ""))
