"""Why a machine cannot be reached over SSH, told from ssh's own words and from the key's file, each with its mend."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from swarmlab.files import shown
from swarmlab.labs.existing.inventory import DEFAULT_USER, Machine
from swarmlab.labs.existing.places import chain
from swarmlab.labs.existing.routes import jump_of

#: Patterns of ssh's messages, each with the problem and the mend. The first that matches counts.
_REASONS = {
    r"no program ssh": ("this machine has no ssh command", "install openssh-client"),
    r"REVOKED HOST KEY": ("its host key is marked as revoked in known_hosts", "find out why before you log in there"),
    r"REMOTE HOST IDENTIFICATION HAS CHANGED": (
        "its host key differs from the known key",
        "find out why, and mend known_hosts",
    ),
    r"host key is known|authenticity of host|Host key verification failed": (
        "its host key is not known",
        "add it to known_hosts (ssh-keyscan, and compare), or name the file with known_hosts",
    ),
    r"Could not resolve hostname.*Temporary failure": (
        "its name cannot be looked up from here",
        "mend the name server of this machine, or write an IP address",
    ),
    r"Could not resolve hostname": ("its name does not resolve", "mend its address"),
    r"Too many authentication failures": (
        "its sshd takes no more keys before the right one was tried (MaxAuthTries)",
        "name the right key with key, so that only that is tried",
    ),
    r"password has expired|Password change required|account has expired": (
        "the account {user} has expired there",
        "renew it there, or name another user",
    ),
    r"account is currently not available": (
        "the user {user} may not log in there (its shell is nologin)",
        "name another user",
    ),
    r"Permission denied": ("it does not accept {keys} for the user {user}", "name the right key and user"),
    r"Unable to negotiate.*no matching ([\w ]+) found": (
        "its sshd and this machine's ssh have no {match} in common",
        "update the older of them, or mend its sshd_config",
    ),
    r"session request failed|Session open refused|open failed: (?:admin|resource|connect failed: open failed)": (
        "its sshd opens no further session on a connection (MaxSessions)",
        "allow at least 10 in its sshd_config",
    ),
    r"Not allowed at this time": (
        "its sshd refuses this machine for a while after failed logins (PerSourcePenalties)",
        "wait some minutes",
    ),
    r"Exceeded MaxStartups": (
        "its sshd takes no more logins at once (MaxStartups)",
        "try again, or raise it in its sshd_config",
    ),
    r"banner exchange|banner line|Bad remote protocol": (
        "what answers on port {port} is no sshd",
        "mend its port, or start sshd there",
    ),
    r"Connection refused": ("nothing answers on port {port}", "start sshd there, or mend address and port"),
    r"Name or service not known|Temporary failure in name resolution": (
        "its name does not resolve there",
        "mend its address",
    ),
    r"timed out|No route to host|unreachable": ("it does not answer", "switch it on, or mend address, port and jump"),
    r"kex_exchange_identification|Connection (?:closed|reset)": (
        "its sshd closes the connection before it asks for a key: too many log in at once (MaxStartups), it refuses "
        "this machine's address, or it is no sshd",
        "try again, and read its log",
    ),
}
#: Those of them by which sshd closes a connection before it asks who comes, as it does where many come at once.
_DROPPED = (r"Exceeded MaxStartups", r"kex_exchange_identification|Connection (?:closed|reset)")
#: Patterns of what ssh-keygen says of a key, each with the problem and the mend.
_KEYS = {
    r"incorrect passphrase": (
        "its key {key} has a passphrase, and nobody is asked for it",
        "ssh-add {key}, or name a key without one",
    ),
    r"bad permissions|too open": ("ssh does not use its key {key}, which others may read", "chmod 600 {key}"),
    r"Permission denied": ("its key {key} cannot be read", "run as its owner, or name another key"),
    r"libcrypto|invalid format|not a.*key|unknown": ("its key {key} is not a private key", "name the right file"),
}


def why_not(message: str, machine: Machine) -> str:
    """Return in one line why a machine cannot be reached: what is wrong, where, and the mend.

    Args:
        message: what ssh printed, at the level INFO.
        machine: the machine.
    """
    where = f"node {machine}"
    jumps = chain(machine.jump) or []
    # The ssh of each host behind the one that is not reached says so once.
    behind = message.count("UNKNOWN port 65535")
    if "stdio forwarding failed" in message and 1 < behind <= len(jumps):
        where += f": its jump host {jumps[1 - behind]} cannot be reached from the jump host {jumps[-behind]}"
        machine = jump_of(machine, jumps[1 - behind].host)
    elif machine.jump and "stdio forwarding failed" in message:
        where += f", from the jump host {jumps[-1]}"
    elif machine.jump and "UNKNOWN port 65535" in message:
        named = re.search(r"connect to host (\S+) port|@(\S+): Permission denied", message)
        at_jump = jump_of(machine, next(filter(None, named.groups()), "") if named else "")
        where += f": its jump host {at_jump if ',' in machine.jump else machine.jump} cannot be reached"
        machine = at_jump
    elif machine.jump:
        where += f" (through {machine.jump})"
    message = _own(message)
    user, port = machine.user or DEFAULT_USER, machine.port or 22
    # What ssh itself names goes first: its configuration may have another user or port for a jump host.
    if tried := re.search(r"connect to host \S+ port (\d+)", message):
        port = int(tried[1])
    facts = {
        "user": user,
        "port": port,
        "keys": f"the key {machine.key}" if machine.key else "any of the agent's and the default keys",
    }
    if found := _reason(message):
        pattern = found.re.pattern
        wrong, mend = _REASONS[pattern]
        if pattern == "Permission denied" and machine.key and (of_key := trouble_of(machine.key)):
            wrong, mend = of_key
        match = found[1] if found.groups() else ""
        if pattern == "Permission denied" and machine.unused:
            mend = (
                f"{machine.unused} is not used, as the suite logs in by key only: ssh-copy-id {user}@{machine.address}"
            )
        return f"{where}: {wrong.format(**facts, match=match)}; {mend.format(**facts)}"
    return f"{where}: cannot be reached over SSH: {shown(message.strip() or 'ssh gave no reason')}"


def is_dropped(message: str) -> bool:
    """Whether sshd closed the connection before it asked who comes, which may be otherwise at the next try.

    Args:
        message: what ssh printed, at the level INFO.
    """
    found = _reason(_own(message))
    return found is not None and found.re.pattern in _DROPPED


def _own(message: str) -> str:
    """Return ssh's message without the end of the connection to a jump host, which is no more than the consequence."""
    if "UNKNOWN port 65535" not in message:
        return message
    return re.sub(r"kex_exchange_identification: .*|Connection closed by UNKNOWN.*", "", message)


def _reason(message: str) -> re.Match[str] | None:
    """Return the match of the first of the patterns of `_REASONS` that a message has."""
    tried = (re.search(pattern, message, re.IGNORECASE | re.DOTALL) for pattern in _REASONS)
    return next(filter(None, tried), None)


def trouble_of(key: Path) -> tuple[str, str] | None:
    """Return what keeps ssh from using a key, and the mend; None if nothing does."""
    try:
        if key.read_bytes()[:200].startswith((b"ssh-", b"ecdsa-", b"sk-")):
            private = key.with_suffix("") if key.suffix == ".pub" else ""
            return f"its key {key} is a public key", f"name the private one{f', {private}' if private else ''}"
        command = ["ssh-keygen", "-y", "-P", "", "-f", str(key)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=10
        )
    except PermissionError:
        return f"its key {key} cannot be read", "run as its owner, or name another key"
    except (OSError, subprocess.TimeoutExpired):
        return None
    for pattern, (wrong, mend) in _KEYS.items():
        if done.returncode and re.search(pattern, done.stderr, re.IGNORECASE):
            return wrong.format(key=key), mend.format(key=key)
    return None
