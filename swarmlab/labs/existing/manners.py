"""How commands are given to a machine: what its login shell, its PATH and its way to root make necessary.

ssh hands a command to the user's login shell. That may be no POSIX shell, may print by itself before the command runs,
and may lack the folder of the command ``docker`` in its PATH. All of that is found out once, when a connection is
opened; each command is then given so that it runs as on any other machine.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from subprocess import CompletedProcess

from swarmlab.errors import UsageError
from swarmlab.files import shown

#: Stands before what a command prints, where the login shell prints by itself.
MARK = "swarmlab-prints-from-here"
#: Folders that hold the command docker on some systems and are not in every PATH.
_FOLDERS = (
    "/usr/local/bin /usr/bin /bin /usr/local/sbin /usr/sbin /snap/bin /opt/bin /opt/docker /opt/docker/bin "
    "/opt/local/bin /usr/local/docker /usr/local/docker/bin /usr/lib/docker /run/current-system/sw/bin "
    "/home/linuxbrew/.linuxbrew/bin"
)
#: Login shells to which commands can be given as they are.
_PLAIN = ("sh", "bash", "dash", "ash", "busybox", "ksh", "mksh", "ksh93", "yash", "posh")
#: What asks a machine. It has nothing that any login shell changes in single quotes: no quote, backslash, exclamation
#: mark or newline.
_QUESTION = (
    f"echo {MARK}; echo {MARK} >&2; echo uid $(id -u); echo shell $SHELL; echo docker $(command -v docker); "
    f"for folder in {_FOLDERS} $HOME/bin $HOME/.local/bin; do test -x $folder/docker && echo at $folder; done; echo end"
)
#: Patterns of what sudo and doas say, each with the problem and the mend. {user} is the user, {how} the program.
_REFUSALS = {
    r"must have a tty|no tty present|sorry, you must have": (
        "sudo wants a terminal of {user} (requiretty)",
        "add to its sudoers: Defaults:{user} !requiretty",
    ),
    r"not in the sudoers|may not run sudo|not allowed to (execute|run)|Operation not permitted": (
        "{how} does not let {user} become root",
        "let it run all commands without a password ({user} ALL=(ALL) NOPASSWD: ALL; doas: permit nopass {user})",
    ),
    r"password|Authorization required|Authentication|terminal is required|askpass": (
        "{how} asks {user} for a password",
        "allow all commands without one (NOPASSWD; doas: nopass), or take sudo out of the inventory",
    ),
}


@dataclass(frozen=True)
class Manners:
    """How commands are given to a machine.

    Attributes:
        shell: the name of the user's login shell.
        talks: the login shell prints by itself before a command runs.
        folder: the folder of the command docker, if it is not in the PATH.
        become: the command that makes the user root, with its options; empty if none is needed.
    """

    shell: str = "sh"
    talks: bool = False
    folder: str = ""
    become: str = ""

    def line(self, command: str, *, root: bool = True) -> str:
        """Return the line for ssh that runs a shell command.

        Args:
            command: the command, for a POSIX shell.
            root: run it as root, if the user has to become root for that.
        """
        line = self.with_path(command)
        if self.talks:
            line = f"echo {MARK}; echo {MARK} >&2; {line}"
        if root and self.become:
            line = f"{self.become} /bin/sh -c {shlex.quote(line)}"
        if self.shell in _PLAIN:
            return line
        # Each shell quotes in its own way, and none changes letters and digits.
        return f"sh -c 'eval \"$(echo {base64.b64encode(line.encode()).decode()} | base64 -d)\"'"

    def with_path(self, command: str) -> str:
        """Return a shell command for which docker is in the PATH."""
        return f'PATH="$PATH:{self.folder}"; export PATH; {command}' if self.folder else command

    def printed(self, text: bytes) -> bytes:
        """Return what a command itself printed."""
        _, found, rest = text.partition(f"{MARK}\n".encode()) if self.talks else (b"", b"", b"")
        return rest if found else text


def learn(run: Callable[[str], CompletedProcess[str]], where: str, user: str, *, sudo: bool) -> tuple[Manners, bool]:
    """Find out how commands are given to a machine, and whether they run as root.

    Args:
        run: runs a line there, as ssh does.
        where: the machine, for messages.
        user: the user who logs in.
        sudo: the user is to become root.

    Raises:
        UsageError: no commands run there, or the user does not become root; the message names the mend.
    """
    done = run(f"sh -c '{_QUESTION}'")
    said = _answers(done.stdout)
    if not said:
        told = shown(f"{done.stdout} {done.stderr}".strip() or f"it ended with {done.returncode}", 90)
        raise UsageError(
            f"{where}: the login of {user} runs no command ({told}); give {user} a shell that does "
            f"(chsh -s /bin/sh {user}), and take out ForceCommand and command="
        )
    manners = Manners(
        said["shell"].rpartition("/")[2] or "sh", talks=not _begins(done.stdout) or not _begins(done.stderr)
    )
    root = said["uid"] == "0"
    if not root and sudo:
        manners, said = _become(run, manners, where, user)
        root = True
    folder = "" if said["docker"] else said.get("at", "") or _of_login(run, manners)
    return replace(manners, folder=folder), root


def _become(
    run: Callable[[str], CompletedProcess[str]], manners: Manners, where: str, user: str
) -> tuple[Manners, dict[str, str]]:
    """Return the manners with the program that makes the user root, and root's answers."""
    refused = []
    for become in ("sudo -n", "doas -n"):
        able = replace(manners, become=become)
        done = run(able.line(_QUESTION))
        said = _answers(done.stdout)
        if said.get("uid") == "0":
            return able, said
        words = f"{done.stderr} {done.stdout}"
        how = become.partition(" ")[0]
        if not re.search(rf"{how}\S*: *((command )?not found|No such file|inaccessible)|Unknown command", words, re.I):
            refused.append((how, _own(words, how)))
    if not refused:
        raise UsageError(
            f"{where}: has neither sudo nor doas; install one, log in as root, or take sudo out of the inventory"
        )
    how, words = refused[0]
    for pattern, (wrong, mend) in _REFUSALS.items():
        if re.search(pattern, words, re.IGNORECASE):
            raise UsageError(f"{where}: {wrong.format(user=user, how=how)}; {mend.format(user=user)}")
    raise UsageError(
        f"{where}: {how} does not make {user} root ({shown(words, 150)}); let it run all commands without a password"
    )


def _of_login(run: Callable[[str], CompletedProcess[str]], manners: Manners) -> str:
    """Return the folder of docker by the PATH that the user's profile sets; empty if there is none."""
    asked = f'"$SHELL" -lc "echo {MARK}; command -v docker" </dev/null'
    if manners.shell in ("csh", "tcsh"):  # a login shell of these takes no command
        asked = f'echo "echo {MARK}; which docker" | "$SHELL" -l'
    done = run(manners.line(asked, root=False))
    found = re.search(r"^(/\S*)/docker\s*$", done.stdout.rpartition(MARK)[2], re.MULTILINE)
    return found[1] if found else ""


def _answers(printed: str) -> dict[str, str]:
    """Return the answers to `_QUESTION`; none if it was not asked to its end. Of folders the first counts."""
    _, asked, text = printed.rpartition(f"{MARK}\n")
    lines = text.splitlines()
    if not asked or "end" not in lines:
        return {}
    said: dict[str, str] = {}
    for line in lines[: lines.index("end")]:
        key, _, value = line.partition(" ")
        said.setdefault(key, value.strip())
    return said if said.get("uid", "").isdigit() else {}


def _own(words: str, program: str) -> str:
    """Return what a program printed, without what the login shell did; all of it if that is not told apart."""
    lines = [line for line in words.splitlines() if re.match(rf"\s*{program}\b|Sorry|.* is not in the sudoers", line)]
    return " ".join(lines) or words


def _begins(printed: str) -> bool:
    return printed.startswith(MARK)
