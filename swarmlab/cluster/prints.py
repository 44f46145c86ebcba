"""Commands whose output a record keeps where others have work on the machine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from swarmlab.cluster.marks import SUITE_LABEL

_DOCKER = re.compile(r"\bdocker(?:-compose)?\s+([^;&|)\n]*)")
_NAMES = re.compile(r"[\w][\w.-]{5,}")
#: Commands of docker that print names, states and what they did, and nothing that is written into what others have.
_TELLS_NAMES = re.compile(
    r"(service ls|node (ls|update|promote|demote|rm)|network (ls|rm|create|connect|disconnect)|volume (ls|rm|create)"
    r"|image(s| ls| rm)|stack (ls|rm|deploy)|(config|secret) (ls|rm|create)|swarm|(compose )?version|pull|push|tag"
    r"|rmi?|kill|stop|start|restart|(un)?pause|wait|rename|login|logout|load|save|build|help)\b"
)
#: Programs that tell of the kernel, of the machine and its network, of files that are named, or of nothing.
_PROGRAMS = (
    ". [ [[ : apt-cache apt-get awk base64 basename bash bridge cat cd chgrp chmod chown command cp curl cut date df "
    "dig dirname docker docker-compose dpkg dpkg-query drill du echo ethtool exit export false find for free "
    "getent grep head hostname id if install ip iptables ipvsadm kill ln ls lsblk lsmod md5sum mkdir mkfifo mktemp "
    "modprobe mv nc nft nproc nsenter openssl pgrep pidof ping pkill printf pwd readlink rm rmdir rpm runuser sed "
    "set setpriv setsid sh sha256sum sleep sort ss ssh ssh-keygen ssh-keyscan sshd stat su sudo sysctl systemctl "
    "tail tar tee test timedatectl timeout touch tr true ulimit umask uname uniq unset unshare useradd userdel "
    "usermod wc wget which xargs yum"
)
_BEFORE = re.compile(r"\w+=.*|sudo|-\w+|\d[\d.]*|timeout|env|then|do|else|if|while|!|exec|nsenter|--\S+|\{")
#: Files that hold nothing of others. Shared folders of the machine and the engine's own are not among them.
_FILES = re.compile(
    r"/((proc/(net|sys|cpuinfo|meminfo|filesystems|modules|mounts|self|\d+/(ns|comm|stat))|sys|dev|usr|bin|sbin|lib)\b"
    r"|etc/(hosts|hostname|os-release|resolv\.conf|passwd|group|nsswitch\.conf|ssh/\S+\.pub)|home/hadoop/\.ssh"
    r"|(var/)?run/(docker/netns|reboot)|var/lib/(dpkg|docker/(swarm/certificates|volumes/swc-))|(var/)?tmp/swc-)"
)


def may_print(command: str, is_own: Callable[[str], bool]) -> bool:
    """Whether a command prints nothing of others but names, states and what the kernel and the machine tell.

    Args:
        command: the command line.
        is_own: whether a name or an id is of something of the suite.
    """
    for found in _DOCKER.finditer(command):
        words = found[1].split()
        plain = " ".join(word for word in words[:2] if not word.startswith("-"))
        if _TELLS_NAMES.match(plain) and "--format" not in found[1]:
            continue
        names = [name for word in words for name in _NAMES.findall(word)]
        if not any(map(is_own, names)) and SUITE_LABEL not in found[1]:
            return False
    return command.startswith("docker exec ") or all(map(_is_plain, _words(command)))


def _words(command: str) -> list[list[str]]:
    """Return the words of each simple command in a command line; a list that is not plain if it cannot be read."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace = " \t\r"
    lexer.commenters = ""
    found: list[list[str]] = [[]]
    try:
        for word in lexer:
            if set(word) <= set("();|&\n"):
                found.append([])
            else:
                found[-1].append(word)
    except ValueError:
        return [["?"]]
    return found


def _is_plain(words: Sequence[str]) -> bool:
    rest = list(words)
    while rest and _BEFORE.fullmatch(rest[0]):
        rest.pop(0)
    if not rest:
        return True
    program = rest[0].rpartition("/")[2] or rest[0]
    if program in ("fi", "done", "esac"):
        return True
    if program not in _PROGRAMS.split() or (program == "systemctl" and {"show", "cat", "status"} & set(rest)):
        return False
    for word in rest[1:]:
        inner = " ".join(re.findall(r"\$\(([^()]*)\)|`([^`]*)`", word)[0]) if re.search(r"\$\(|`", word) else ""
        script = word if program in ("sh", "bash", "su", "setsid", "unshare", "timeout") and " " in word else inner
        if script and not all(map(_is_plain, _words(script))):
            return False
        for file in re.findall(r"(?<![\w:/$.)])/(?=[\w.])[^\s'\";|<>]*", word):
            if not _FILES.match(file) and program not in ("docker", "echo", "printf", "curl"):
                return False
    return True
