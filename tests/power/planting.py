"""What a fault is: what breaks a cluster, which claims have to fail then, and what the reason has to say.

A fault is a shell script that runs as root on every node as soon as the node is up, before there is a swarm. `wrap`
puts a script in the place of the docker command, to which the real one is known as docker.real; what goes on in the
background begins with `background`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One way to break a cluster.

    Attributes:
        name: what it is.
        fails: by claim, a regular expression that the reason of its verdict has to match.
        script: what is run on the nodes.
        nodes: the host names of the nodes where; all if empty.
        offers: features that the lab is said to have, so that the test runs and meets that they are missing.
        lab: the kind of lab that it is planted in.
        run: faults of one name are planted together, which saves making a lab for each; empty: alone.
        portainer: what the double of Portainer does wrong (see `tests.portainer.double`).
        answers: by path of the API, what to replace in its answers: the only way to have managers that lie.
    """

    name: str
    fails: dict[str, str]
    script: str = "true"
    nodes: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    lab: str = "dind"
    run: str = ""
    portainer: tuple[str, ...] = ()
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)


def wrap(*cases: str) -> str:
    """A docker command that treats some calls in its own way, each "PATTERN) COMMANDS", and passes the others on."""
    return wrap_any("docker", *cases)


def wrap_any(program: str, *cases: str, folder: str = "/usr/bin") -> str:
    """`wrap` of any program of a folder."""
    arms = "\n".join(f"    {case};;" for case in cases)
    return (
        f"mv {folder}/{program} {folder}/{program}.real\n"
        f"cat > {folder}/{program} <<'WRAPPER'\n"
        f'#!/bin/sh\ncase "$*" in\n{arms}\nesac\nexec {program}.real "$@"\n'
        "WRAPPER\n"
        f"chmod +x {folder}/{program}\n"
    )


def reword(pattern: str, *changes: tuple[str, str]) -> str:
    """An arm for `wrap`: in calls that fit *pattern*, words are changed, each by (shell pattern, new word)."""
    arms = " ".join(f"{old}) word={new};;" for old, new in changes)
    change = f'for word do shift; case "$word" in {arms} esac; set -- "$@" "$word"; done'
    return f'{pattern}) {change}; exec docker.real "$@"'


def at_boot(command: str, *, before: str = "") -> str:
    """A unit that runs a command once at every boot of a machine, if wanted before another unit."""
    order = f"Before={before}" if before else "After=multi-user.target"
    return (
        "cat > /etc/systemd/system/gremlin.service <<'UNIT'\n"
        f"[Unit]\n{order}\n[Service]\nType=oneshot\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
        "UNIT\n"
        "systemctl enable gremlin.service\n"
    )


def background(loop: str) -> str:
    """A script that goes on after the one that starts it has ended."""
    return f"cat > /run/gremlin <<'GREMLIN'\n{loop}\nGREMLIN\nsetsid sh /run/gremlin >/run/gremlin.log 2>&1 &\n"


def drop(what: str) -> str:
    """Drop packets that come in, in a table that is asked before the engine's own."""
    return (
        "nft 'add table ip gremlin; add chain ip gremlin in { type filter hook prerouting priority -350; };"
        f" add rule ip gremlin in {what} drop'"
    )
