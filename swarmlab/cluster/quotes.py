"""Texts of engines without what others wrote: messages, settings, logs.

What a text leaves out is replaced by its length.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from swarmlab.cluster.marks import is_unique
from swarmlab.evidence import hide_foreign


def length(text: str) -> str:
    """Return what stands for a text that is left out."""
    lines = text.strip().count("\n") + 1
    return f"‹{len(text)} characters›" if lines == 1 else f"‹{lines} lines, {len(text)} characters›"


def strings(thing: Any) -> Iterator[str]:
    """Yield the values in parsed JSON; of "name=value" the value."""
    if isinstance(thing, str):
        yield thing
        if "=" in thing:
            yield thing.partition("=")[2]
    elif isinstance(thing, dict | list):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from strings(part)


_QUOTED = re.compile(r""""[^"]*"|(?<!\w)'[^']*'|`[^`]*`|“[^”]*”|\{.*\}|\[[^\]]*[\s=][^\]]*\]""", re.DOTALL)
_ASSIGNED = re.compile(r"([\w.-]+=)(?!\d*\b(?:[\s,;)]|$))[^\s,;)]+")
_ADDRESS = re.compile(r"(://)([^\s/@]*@)?([^\s/?]*)([^\s]*)")
_PLACE = re.compile(
    r"""(?<![\w/.:‹›])/(?!(?:var/lib/docker|var/run|run|proc|sys|dev|usr|etc/docker)\b)(?=\w)[^\s:,;)"']+"""
)
_PLAIN = re.compile(r"[0-9a-f]{12,64}|[0-9a-z]{25}|[\d.:]+")


def said(message: str) -> str:
    """Return a message of an engine with lengths in place of what it quotes, and of paths that are not the engine's.

    Ids and names of the suite stay.
    """

    def quoted(found: re.Match[str]) -> str:
        inside = found[0][1:-1]
        kept = not inside or _PLAIN.fullmatch(inside) or is_unique(inside)
        return found[0] if kept else f"{found[0][0]}{length(inside)}{found[0][-1]}"

    message = _QUOTED.sub(quoted, message)
    message = _ADDRESS.sub(lambda found: f"{found[1]}{found[3]}{length(found[4]) if found[4] else ''}", message)
    message = _ASSIGNED.sub(lambda found: f"{found[1]}‹…›", message)
    return _PLACE.sub(lambda found: f"/{length(found[0][1:])}", message)


def settings(text: str) -> str:
    """Return an engine's options, from its command line or its daemon.json, without the values that are its owner's."""
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    if isinstance(known, dict):
        kept = {name: value if name in _SETTINGS.split() else _hidden(value) for name, value in known.items()}
        return json.dumps(kept, ensure_ascii=False)
    made: list[str] = []
    option = ""
    for word in text.split("\n"):
        name, sign, value = word.partition("=")
        if word.startswith("-"):
            option = name.lstrip("-")
            if sign and option not in _SETTINGS.split():
                hide_foreign(strings(value))
                word = f"{name}={length(value)}"
        elif word and (made or not _PROGRAM.fullmatch(word)) and option not in _SETTINGS.split():
            hide_foreign(strings(word))
            word = length(word)
        made.append(word)
    return "\n".join(made)


_PROGRAM = re.compile(r"(/[\w./-]*/)?docker(d|d-current|-current)?")
#: Settings of engines whose values are no secrets: addresses, names of drivers, switches and numbers.
_SETTINGS = (
    "H host hosts tls tlsverify containerd bridge b bip fixed-cidr mtu iptables ip6tables ip-forward ip-masq ip "
    "userland-proxy icc live-restore debug D log-level l log-driver storage-driver s data-root graph g exec-root "
    "pidfile p group G selinux-enabled default-address-pools default-address-pool dns ipv6 experimental "
    "insecure-registry insecure-registries default-runtime cgroup-parent exec-opts exec-opt "
    "max-concurrent-downloads features swarm-default-advertise-addr min-api-version "
    "raw-logs config-file"
)


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _hidden(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_hidden(part) for part in value]
    if not isinstance(value, str):
        return value
    hide_foreign(strings(value))
    return length(value)


_COMMENT = re.compile(
    r"""(--comment|(?<!-m )\bcomment|--log-prefix|log prefix|--nflog-prefix|--(?:hex-)?string) ("[^"]*"|\S+)"""
)


def rules(text: str) -> str:
    """Return rules of a packet filter without their comments."""
    return _COMMENT.sub(lambda found: f"{found[1]} {length(found[2])}", text)


# Engines' logs

#: The fields of a log's line that are kept; of messages what they do not quote.
_FIELDS = (
    "time level module id node.id service.id task.id network.id container containerID endpoint method session.id "
    "addr address peer node raft_id namespace version commit sandbox netns plugin type spanID traceID ns sid nid eid"
)
_MESSAGES = ("msg", "error", "err", "message")
_BY_ENGINE = re.compile(
    r"(?:\w{3} +\d+ [\d:]+ \S+ (?:dockerd|docker|dockerd-current|docker-containerd|containerd)(?:\[\d+\])?: )?"
    r"(?=time=\S+ level=\w+ msg=)"
)
_BY_SYSTEM = re.compile(
    r"\w{3} +\d+ [\d:]+ \S+ systemd(?:\[\d+\])?: |-- |==> /var/log/docker|goroutine \d+ \[[\w ,]+\]:$"
)
_FIELD = re.compile(r'([\w.]+)=("(?:\\.|[^"\\])*"|\S*)')


def log(text: str) -> str:
    """Return an engine's log without what others wrote: what its messages quote, and what their containers print.

    A container whose log driver is journald or syslog writes to the log of its engine.
    """
    made: list[str] = []
    others: list[str] = []
    for line in [*text.splitlines(), None]:
        kept = None if line is None else _line(line)
        if kept is None and line is not None:
            others.append(line)
            continue
        if others:
            made.append(length("\n".join(others)))
            others = []
        if kept is not None:
            made.append(kept)
    return "\n".join(made)


def _line(line: str) -> str | None:
    """Return a line of an engine's log as a record has it; None if others wrote it."""
    if not line.strip():
        return ""
    if _BY_SYSTEM.match(line):
        return said(line)
    head = _BY_ENGINE.match(line)
    if not head:
        return None
    debug = re.search(r"\blevel=debug\b", line)
    parts = []
    for name, value in _FIELD.findall(line[head.end() :]):
        plain = value
        if value.startswith('"'):
            with contextlib.suppress(ValueError):
                plain = json.loads(value)
        if name in _MESSAGES and not debug:
            parts.append(f"{name}={json.dumps(said(plain), ensure_ascii=False)}")
        else:
            parts.append(f"{name}={value if name in _FIELDS.split() else length(plain)}")
    return head[0] + " ".join(parts)


# The kernel's log

#: What lines of the kernel's log are about that are kept: the machine, its memory and disks, and what containers use of
#: the kernel. Lines that rules of packet filters have logged are their owners'.
_KERNEL = re.compile(
    r"(Linux version|Memory:|BUG|WARNING:|Oops|panic|Call Trace|hung_task|blocked for more than|soft lockup|RCU|"
    r"Out of memory|oom[-_]|Memory cgroup|Killed process|invoked oom|page allocation failure|segfault|"
    r"I/O error|EXT4-fs|XFS|BTRFS|overlayfs|No space left|cgroup|"
    r"bridge|br-\w+|docker\w*|veth\w+|vxlan\w*|vx-\w+|ov-\w+|eth\d|en[ops]\w+|bond\d|IPVS|nf_conntrack|"
    r"neighbour|neigh\w*: |arp_cache|net_ratelimit|TCP: |martian|possible SYN flooding|unregister_netdevice|"
    r"clocksource|time jump|NMI|mce|thermal)",
)
_STAMP = re.compile(r"^(\[[^\]]*\]|\w{3} +\d+ [\d:]+ \S+ kernel:)\s*(\[[^\]]*\]\s*)?")


def kernel(text: str) -> str:
    """Return a kernel's log without what others had it log: packets that their rules name, and what is not known."""
    made: list[str] = []
    others: list[str] = []
    for line in [*text.splitlines(), None]:
        said_there = "" if line is None else _STAMP.sub("", line)
        of_rule = re.search(r"\bIN=\S* OUT=", said_there)
        if line is not None and (of_rule or not _KERNEL.match(said_there)):
            others.append(line)
            continue
        if others:
            made.append(length("\n".join(others)))
            others = []
        if line is not None:
            made.append(line)
    return "\n".join(made)
