"""What is known of an engine's next start: what it will be told, and what of the node bears on that."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from swarmlab.preflight.finding import Unknown
from swarmlab.preflight.model import NodeView
from swarmlab.preflight.options import Settings, of_unit
from swarmlab.versions import Version

#: Shell commands that read what an engine will be told, by name of the question; see `swarmlab.preflight.sight`.
PID = "P=$(cat /run/docker.pid 2>/dev/null || pidof -s dockerd)"
#: Prints the value of an option of the engine's command line.
_OPTION = (
    "{{ tr '\\0' '\\n' < /proc/$P/cmdline; }} 2>/dev/null | sed -n -e 's/^--{0}=//p' -e '/^--{0}$/{{n;p}}' | tail -n 1"
)
_FILE = f"{PID}; F=$({_OPTION.format('config-file')}); F=${{F:-/etc/docker/daemon.json}}"
#: Shell command that sets what `TO_NAMESPACES` needs.
FIND_NAMESPACES = (
    f"{_FILE}; E=$({_OPTION.format('exec-root')}); "
    'E=${E:-$(grep -oE \'"exec-root" *: *"[^"]+"\' "$F" 2>/dev/null | cut -d\'"\' -f4)}; '
    'export NAMESPACES="${E:-/run/docker}/netns"'
)
#: Shell command that goes to the folder of the engine's network namespaces.
TO_NAMESPACES = 'cd "$NAMESPACES"'
#: Shell command that ends the question where this machine's programs cannot look into namespaces.
CAN_ENTER = "nsenter --net=/proc/self/ns/net true || exit 3"
#: Shell command that sets A to the program that prints the packet filter's rules; of two it is that of nft.
FIND_SAVER = "A=iptables-save; ! command -v iptables-nft-save >/dev/null || A=iptables-nft-save"
#: Prints the name servers that the engine is told for its containers.
NAME_SERVERS = (
    f"{_FILE}; {{ tr '\\0' '\\n' < /proc/$P/cmdline; }} 2>/dev/null "
    "| sed -n -e 's/^--dns=//p' -e '/^--dns$/{n;p}'; "
    'tr -d " \\t\\n" 2>/dev/null < "$F" | grep -oE \'"dns":[[][^]]*\' | cut -d: -f2- | grep -oE \'[^][",]+\''
)
#: Prints the group that the settings name if it is one of the node's, wherever that has its groups from. A server of
#: groups that does not answer (any code but 2) has said nothing against it.
_GROUPS = (
    "! command -v getent >/dev/null || { tr '\\0' '\\n' < /proc/$P/cmdline 2>/dev/null | "
    "sed -n -e '/^-G$/{n;p;d}' -e '/^--group$/{n;p;d}' -e 's/^--group=//p' -e 's/^-G=\\{0,1\\}//p'; "
    'grep -oE \'"group" *: *"[^"]+"\' "$F" 2>/dev/null | cut -d\'"\' -f4; } | '
    'while read -r G; do [ -n "$G" ] || continue; timeout 2 getent group "$G" >/dev/null 2>&1; '
    '[ $? = 2 ] || echo "group $G"; done'
)
QUESTIONS = {
    "command line": f"{PID}; tr '\\0' '\\n' < /proc/$P/cmdline",
    "daemon.json": f'{_FILE}; [ ! -e "$F" ] || cat "$F"',
    "unit": (
        "[ -d /run/systemd/system ] || exit 0; systemctl cat docker.service 2>/dev/null || exit 0; "
        'echo; echo "# states $(systemctl is-active docker.service) $(systemctl is-enabled docker.service)"; '
        'for U in docker.socket containerd.service; do echo "# unit $U $(systemctl is-enabled $U 2>/dev/null)"; done; '
        # systemd before 230 calls it EnvironmentFile.
        "for E in $(systemctl show -p EnvironmentFiles docker.service | sed -e 's/^EnvironmentFiles\\{0,1\\}=//' "
        "-e 's/ (ignore_errors=.*//'); do echo; echo \"# environment $E\"; [ ! -e $E ] || cat $E || exit; done"
    ),
    # Where the paths lead that the settings name, and the default data folder; nothing if they lead nowhere.
    "paths": (
        "[ $(id -u) = 0 ] || { echo 'this needs root'; exit 3; }; "
        f'{_FILE}; echo "bytes $(stat -c %s "$F" 2>/dev/null)"; sed -e "s/:.*//" -e "s/^/group /" /etc/group; '
        'X=$(readlink /proc/$P/exe); Y=${X% (deleted)}; [ "$X" = "$Y" ] || echo "replaced $(ls "$Y" 2>/dev/null)"; '
        "for X in docker-state.json certificates/swarm-node.key certificates/swarm-node.crt "
        "certificates/swarm-root-ca.crt; do [ -s {root}/swarm/$X ] || echo lost $X; done; "
        # The managers' log. All engines since 17.06 have it in wal-v3-encrypted.
        "ls {root}/swarm/raft/wal-v3*/*.wal >/dev/null 2>&1 || echo lost raft; "
        '{ echo /var/lib/docker; tr "\\0" "\\n" < /proc/$P/cmdline; [ ! -e "$F" ] || cat "$F"; } '
        "| grep -oE '(^|[=\":[:space:]])/[^\"=:,[:space:]]+' | grep -oE '/.*' | sort -u | "
        'while read -r X; do echo "$X $([ ! -e "$X" ] || readlink -f "$X")"; done; '
        f"{_GROUPS}"
    ),
    # The option comes first, so that it is no other option's value: an engine that lacks it ends there.
    "validate": (
        f"{PID}; case $(readlink /proc/$P/exe) in *dockerd*) ;; *) echo 'this needs root'; exit 3;; esac; "
        "xargs -0 -a /proc/$P/cmdline sh -c "
        '\'shift; timeout 10 /proc/$0/exe --validate "$@" 2>&1; echo "status $?"\' $P'
    ),
}
#: What `of_view` reads of a node.
READ = (*QUESTIONS, "links", "addresses")
_ROOT = "let preflight be root there (in the inventory: sudo: true)"


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
        manages: whether it is a manager that works.
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
    manages: bool = False


class Unreadable(Exception):
    """The text of daemon.json cannot be read as settings."""


def needs(*programs: str) -> str:
    """Return a shell command that ends a question with a line if the node lacks a program."""
    return f'for P in {" ".join(programs)}; do command -v $P >/dev/null || {{ echo "$P: not found"; exit 3; }}; done'


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
        settings = parse(texts["daemon.json"], command)
    except Unreadable:
        if verdict == "":  # the engine reads what this does not
            mend = "write daemon.json as plain JSON, without comments or a byte order mark"
            raise Unknown("daemon.json: the engine can read it, but this cannot", mend) from None
        raise
    if verdict is None and not texts["daemon.json"].strip() and re.search(r"^bytes \d", texts["paths"], re.MULTILINE):
        raise Unreadable("/etc/docker/daemon.json is empty, which engines before 23.0 take for an error")
    notes = [line for line in texts["paths"].splitlines() if line.split(" ")[0] in ("replaced", "lost")]
    notes = [note for note in notes if not note.startswith("lost ") or _is_to_have(view, note)]
    if states := re.search(r"^# (states active (?:disabled|masked))", texts["unit"], re.MULTILINE):
        notes.append(states[1])
    paths = dict(line.partition(" ")[::2] for line in texts["paths"].splitlines() if line.startswith("/"))
    groups = [line.partition(" ")[2] for line in texts["paths"].splitlines() if line.startswith("group ")]
    addresses = [tuple(line.split()[1:4:2]) for line in texts["addresses"].splitlines() if len(line.split()) > 3]
    interfaces = [line.split()[0] for line in texts["links"].splitlines() if line.split()]
    return Ahead(settings, view.release, view.info, paths, verdict, groups, interfaces, addresses, notes, view.manages)


def _is_to_have(view: NodeView, note: str) -> bool:
    """Whether a node is to have what is lost there: in a swarm certificates, and a manager the swarm's log."""
    return view.manages if note == "lost raft" else view.active


def parse(text: str, command: Sequence[str]) -> Settings:
    """Return what a daemon.json and a command line set (see `Settings.read`).

    Raises:
        Unreadable: the text is not JSON, or not an object.
    """
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
