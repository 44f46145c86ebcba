"""Discretion: what records hold of a swarm on which others have work.

A record of an object that is not the suite's has its names, states, times, numbers and images. Every other text is
replaced by its length, whatever it is called: what stays is listed here, and what goes is not. The same holds for what
commands print and for engines' logs. The values that a record leaves out are taken out of all other text, too (see
`swarmlab.evidence.foreign`).
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import docker

from swarmlab.cluster import deadline
from swarmlab.cluster.marks import STACK_LABEL, SUITE_LABEL, is_unique, ours
from swarmlab.cluster.node import Node, on_each
from swarmlab.cluster.prints import may_print
from swarmlab.cluster.quotes import length, log, rules, said, settings, strings
from swarmlab.errors import SwarmlabError
from swarmlab.evidence import aside, decoded, hide_foreign, show_foreign
from swarmlab.wait import scaled

#: Seconds at reference speed that a node has for one of three parts of what it tells, where there is a hurry.
_SOON = 5.0
#: The texts of an object that a record keeps, by their path. Specifications of services, tasks and the objects in lists
#: have one path for what is the same; a * stands for a name, such as that of a network.
_KEPT = """
ID Id Name Names Image ImageID Created CreatedAt UpdatedAt State Status Driver Scope Platform RepoTags RepoDigests
ParentId Parent NodeID ServiceID DesiredState Architecture Os DockerVersion Mountpoint Type LastUsedAt Warning
Availability Role Isolation KernelMemory Runtime JoinTokens.Worker JoinTokens.Manager DefaultAddrPool
ServerVersion SystemTime KernelVersion OperatingSystem OSVersion OSType CgroupDriver CgroupVersion
LoggingDriver DefaultRuntime InitBinary DockerRootDir ContainerdCommit.ID RuncCommit.ID InitCommit.ID SecurityOptions
DriverStatus Plugins.Volume Plugins.Network Plugins.Log Plugins.Authorization FirewallBackend.Driver
TLSInfo.TrustRoot TLSInfo.CertIssuerSubject TLSInfo.CertIssuerPublicKey
Status.State Status.Timestamp Status.Addr Status.ContainerStatus.ContainerID
Status.PortStatus.Ports.Protocol Status.PortStatus.Ports.PublishMode
ManagerStatus.Reachability ManagerStatus.Addr
Description.Hostname Description.Platform.Architecture Description.Platform.OS Description.Engine.EngineVersion
Description.Engine.Plugins.Type Description.Engine.Plugins.Name Description.TLSInfo.TrustRoot
Description.TLSInfo.CertIssuerSubject Description.TLSInfo.CertIssuerPublicKey
Spec.Name Spec.Role Spec.Availability Spec.Runtime Spec.Image Spec.LogDriver.Name Spec.Driver.Name
Spec.ContainerSpec.Image Spec.ContainerSpec.Isolation Spec.ContainerSpec.Mounts.Type
Spec.ContainerSpec.Configs.ConfigID Spec.ContainerSpec.Configs.ConfigName
Spec.ContainerSpec.Secrets.SecretID Spec.ContainerSpec.Secrets.SecretName
Spec.RestartPolicy.Condition Spec.Placement.Platforms.OS Spec.Placement.Platforms.Architecture
Spec.Placement.Preferences.Spread.SpreadDescriptor Spec.Networks.Target
Spec.UpdateConfig.FailureAction Spec.UpdateConfig.Order Spec.RollbackConfig.FailureAction Spec.RollbackConfig.Order
Spec.EndpointSpec.Mode Spec.EndpointSpec.Ports.Protocol Spec.EndpointSpec.Ports.PublishMode
Spec.TaskDefaults.LogDriver.Name Spec.CAConfig.ExternalCAs.Protocol
Endpoint.Spec.Mode Endpoint.Spec.Ports.Protocol Endpoint.Spec.Ports.PublishMode Endpoint.Ports.Protocol
Endpoint.Ports.PublishMode Endpoint.VirtualIPs.NetworkID Endpoint.VirtualIPs.Addr
UpdateStatus.State UpdateStatus.StartedAt UpdateStatus.CompletedAt
NetworksAttachments.Addresses NetworksAttachments.Network.ID NetworksAttachments.Network.CreatedAt
NetworksAttachments.Network.UpdatedAt NetworksAttachments.Network.Spec.Name
NetworksAttachments.Network.DriverState.Name NetworksAttachments.Network.IPAMOptions.Configs.Subnet
NetworksAttachments.Network.IPAMOptions.Configs.Gateway NetworksAttachments.Network.IPAMOptions.Driver.Name
IPAM.Driver IPAM.Config.Subnet IPAM.Config.Gateway IPAM.Config.IPRange ConfigFrom.Network Peers.Name Peers.IP
Containers.*.Name Containers.*.EndpointID Containers.*.MacAddress Containers.*.IPv4Address Containers.*.IPv6Address
Ports.IP Ports.Type HostConfig.NetworkMode HostConfig.RestartPolicy.Name HostConfig.Runtime HostConfig.LogConfig.Type
HostConfig.PortBindings.*.HostIp HostConfig.PortBindings.*.HostPort
NetworkSettings.Ports.*.HostIp NetworkSettings.Ports.*.HostPort NetworkSettings.Networks.*.NetworkID
NetworkSettings.Networks.*.EndpointID NetworkSettings.Networks.*.IPAddress NetworkSettings.Networks.*.Gateway
NetworkSettings.Networks.*.MacAddress NetworkSettings.SandboxID NetworkSettings.SandboxKey
Mounts.Type Mounts.Name Mounts.Driver State.Status State.StartedAt State.FinishedAt State.Health.Status
State.Health.Log.Start State.Health.Log.End Config.Image
Swarm.NodeID Swarm.NodeAddr Swarm.LocalNodeState Swarm.RemoteManagers.NodeID Swarm.RemoteManagers.Addr
status id progress Descriptor.digest Descriptor.mediaType Platforms.architecture Platforms.os
"""
#: Messages of engines, in which what they quote is left out.
_SAID = "Status.Err Status.Message State.Error UpdateStatus.Message Swarm.Error message error Warnings"
_KEPT_PATHS, _SAID_PATHS = frozenset(_KEPT.split()), frozenset(_SAID.split())
#: Dictionaries whose keys are names, of which a path has a *.
_BY_NAME = ("Containers", "Ports", "PortBindings", "Networks")
#: Parts of paths, and what stands for them: the parts have the same meaning in several answers.
_SAME = {r"^PreviousSpec\b": "Spec", r"^Spec\.TaskTemplate\b": "Spec", r"^Swarm\.Cluster\.": "", r"^Volumes$": ""}
#: Texts that engines make up: they are left out, and nobody need look for them.
_MADE = re.compile(r"(Path|^GraphDriver\b.*|^HostConfig\.(Masked|Readonly)Paths|Digest|Driver\.Name)$")
#: Variables whose values are left out, and are so usual that they stay in other text.
_USUAL = ("PATH", "HOME", "HOSTNAME", "LANG", "LC_ALL", "TERM", "USER", "SHELL", "PWD")
#: Labels whose values are names and ids, and options that engines set.
_NAMING = re.compile(
    r"com\.docker\.(swarm\.(node\.id|service\.(id|name)|task|task\.(id|name))"
    r"|compose\.(project|service|container-number)|network\.driver\.overlay\.vxlanid_list)"
    rf"|{re.escape(STACK_LABEL)}|swarmlab\.[\w.]+|{re.escape(SUITE_LABEL)}[\w.]*"
)
#: The calls whose answers tell of the engine alone, or are redacted as everywhere.
_OPEN_CALLS = re.compile(r"/(version|_ping|swarm/unlockkey)")
_VERSION = re.compile(r"^/v\d+\.\d+(?=/)")
_PLACES = re.compile(r"\s*node\.(id|hostname|role|platform\.\w+|ip)\s*[!=]=")
#: Errors that an answer of an unexpected form causes. A record then has its length, and the caller goes on.
_STRANGE = (TypeError, AttributeError, KeyError, ValueError, IndexError, RecursionError)
#: Sections of the answer to GET /info that have values of the engine's owner.
_OF_INFO = ("Labels", "HttpProxy", "HttpsProxy", "NoProxy")


class Discretion:
    """Writes records of a cluster on which others have work. All nodes of the cluster share one."""

    def __init__(self) -> None:
        """Know nothing to be the suite's yet."""
        self._own: set[str] = set()

    # Calls of the API

    def call(self, method: str, path: str, sent: str, answer: str) -> tuple[str, str]:
        """Return what a record has of a call: the body that was sent, and the answer."""
        try:
            return self._call(method, path, sent, answer)
        except _STRANGE:
            return length(sent) if sent else "", length(answer)

    def _call(self, method: str, path: str, sent: str, answer: str) -> tuple[str, str]:
        parts = urlsplit(path)
        where = _VERSION.sub("", unquote(parts.path))
        named = [*where.split("/"), *parse_qs(parts.query).get("name", [])]
        body, reply = _json(sent), _json(answer)
        own = any(map(self._is_own_name, named)) or (isinstance(body, dict) and self._is_own({**body, "Spec": body}))
        if own or _OPEN_CALLS.fullmatch(where):
            if method != "GET" and isinstance(reply, dict):
                self._claim(reply)
            return sent, answer
        if sent:
            sent = json.dumps(self.shaped(body, "Spec")) if body is not None else length(sent)
        if reply is None:  # no JSON: a line for each step, or a text
            lines = [_json(line) for line in answer.splitlines()]
            if answer and all(isinstance(line, dict) for line in lines):
                return sent, "\n".join(json.dumps(self.shaped(line)) for line in lines)
            return sent, length(answer)
        if where == "/system/df" and isinstance(reply, dict):
            return sent, json.dumps({kind: self.shaped(listed) for kind, listed in reply.items()})
        return sent, json.dumps(self.shaped(reply), ensure_ascii=False)

    def _is_own_name(self, name: str) -> bool:
        return is_unique(name) or name in self._own

    def _is_own(self, thing: Mapping[str, Any]) -> bool:
        labels: dict[str, Any] = {}
        spec = thing.get("Spec") if isinstance(thing.get("Spec"), dict) else {}
        for part in (thing, thing.get("Config"), spec, (spec or {}).get("ContainerSpec")):
            if isinstance(part, dict) and isinstance(part.get("Labels"), dict):
                labels |= part["Labels"]
        names = [thing.get("Name"), (spec or {}).get("Name"), *(thing.get("Names") or [])]
        names += [labels.get("com.docker.swarm.service.name"), labels.get("com.docker.compose.project")]
        if any(label.startswith(f"{SUITE_LABEL}.") for label in labels):
            return True
        if any(isinstance(name, str) and is_unique(name.strip("/")) for name in names) or ours("", labels):
            return True
        return any(thing.get(key) in self._own for key in ("ID", "Id", "ServiceID") if isinstance(thing.get(key), str))

    def _claim(self, thing: Mapping[str, Any]) -> None:
        """Note the ids of an object of the suite."""
        of_task = ((thing.get("Status") or {}) if isinstance(thing.get("Status"), dict) else {}).get("ContainerStatus")
        for identity in (thing.get("ID"), thing.get("Id"), (of_task or {}).get("ContainerID")):
            if isinstance(identity, str) and identity:
                self._own.update((identity, identity[:12]))

    def shaped(self, thing: Any, path: str = "") -> Any:
        """Return an answer of the API, or a part of one, as a record has it.

        Args:
            thing: the parsed JSON.
            path: the path of the part, with dots; empty for an object or a list of objects.
        """
        if isinstance(thing, list):
            return [self.shaped(part, path) for part in thing]
        if isinstance(thing, str):
            return _text(thing, path)
        if not isinstance(thing, dict):
            return thing
        if not path and self._is_own(thing):
            self._claim(thing)
            return thing
        made = {}
        for name, value in thing.items():
            of_map = path.rpartition(".")[2] in _BY_NAME and isinstance(value, dict | list) and name not in ("Spec",)
            below = f"{path}.*" if of_map else _path(path, name)
            if isinstance(value, str) and (_NAMING.fullmatch(name) or is_unique(name)):
                show_foreign([value])
                made[name] = value
            else:
                made[name] = self.shaped(value, below)
        return made

    def quote(self, tasks: Iterable[dict[str, Any]]) -> None:
        """Leave out of the messages of others' tasks what they quote; the tasks are changed in place."""
        for task in tasks:
            if not self._is_own(task):
                for key in {"Err", "Message"} & set(task.get("Status") or {}):
                    task["Status"][key] = said(task["Status"][key])

    # Commands

    def printed(self, command: str, output: str) -> str:
        """Return what a record has of the output of a command."""
        if not output.strip():
            return output
        if re.search(r"\bjournalctl\b|/var/log/docker(d)?\.log", command):
            return log(output)
        if re.fullmatch(r"iptables-save.*|nft list ruleset", command):
            return rules(output)
        return output if may_print(command, self._is_own_name) else length(output)

    # At the beginning

    def meet(self, nodes: Sequence[Node], *, hurried: bool = False) -> None:
        """Read all that others have on *nodes*, so that no text tells a value of it. Nothing of this is recorded."""
        with aside():
            on_each(functools.partial(self._meet, hurried=hurried), nodes)

    def _meet(self, node: Node, *, hurried: bool) -> None:
        silent = (SwarmlabError, docker.errors.DockerException, *_STRANGE)

        def soon() -> contextlib.AbstractContextManager[None]:
            return deadline.within(scaled(_SOON)) if hurried else contextlib.nullcontext()

        with contextlib.suppress(*silent):
            with soon():
                info = node.info()
            hide_foreign(strings({name: info.get(name) for name in _OF_INFO}))
            hide_foreign(strings((info.get("RegistryConfig") or {}).get("Mirrors")))
            kinds = ["/volumes", "/networks"]
            if info["Swarm"]["ControlAvailable"]:
                kinds += ["/swarm", "/nodes", "/services", "/tasks", "/configs", "/secrets"]
            with soon():
                for kind in kinds:
                    with contextlib.suppress(*silent):
                        self.shaped(node.ask("GET", kind))
                for container in node.containers(all=True):
                    self.shaped(container)
                    with contextlib.suppress(*silent):
                        self.shaped(node.ask("GET", f"/containers/{container['Id']}/json"))
        with soon():
            for question in ("cat /etc/docker/daemon.json", "tr '\\0' '\\n' < /proc/$(cat /run/docker.pid)/cmdline"):
                with contextlib.suppress(*silent):
                    settings(node.look(question).out)


def be_discreet(nodes: Sequence[Node], *, hurried: bool = False) -> None:
    """Have records of *nodes* tell of what others have there no more than names and shape.

    It is for every cluster that the run has not made itself. It reads what others have there, and changes nothing.

    Args:
        nodes: the nodes of the cluster.
        hurried: give up soon what a node does not answer. It is for who only looks and keeps no records.
    """
    discretion = Discretion()
    for node in nodes:
        node.discretion = discretion
    discretion.meet(nodes, hurried=hurried)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _path(path: str, name: str) -> str:
    """Return the path of a part; parts that mean the same in several answers have one path."""
    below = f"{path}.{name}" if path else name
    for pattern, short in _SAME.items():
        below = re.sub(pattern, short, below)
    return below


def _text(text: str, path: str) -> str:
    """Return a text of an object as a record has it, and remember what the record leaves out."""
    if path in _KEPT_PATHS:
        show_foreign([text, text.strip("/")])
        return text
    if path in _SAID_PATHS:
        return said(text)
    before, sign, value = "", "", text
    if path.endswith(".Env"):
        before, sign, value = text.partition("=") if re.match(r"[\w.-]+=", text) else ("", "", text)
    elif path.endswith(".Constraints"):
        if _PLACES.match(text):
            return text
        found = re.match(r"(.*?[!=]=)(.*)", text, re.DOTALL)
        before, value = (found[1], found[2]) if found else ("", text)
    if not _MADE.search(path) and before not in _USUAL:
        hide_foreign([value, *([plain] if path.endswith("Data") and (plain := decoded(value)) else [])])
    return f"{before}{sign}{length(value)}" if value else text
