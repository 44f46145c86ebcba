"""How commands are given to machines: login shells that talk or are no POSIX shell, docker outside the PATH, sudo."""

import errno
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.existing import manners
from swarmlab.labs.existing.bridge import Bridge
from swarmlab.labs.existing.manners import MARK, Manners, learn
from swarmlab.wait import State, wait

NOISE = "echo welcome; echo welcome >&2; stty -echo; "


class There:
    """A machine: its login shell, with a folder of programs in front of its PATH."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder / "bin"
        self.folder.mkdir()
        self.shell = str(folder / "login" / "bash")
        self.noise = ""
        # Without the docker of this machine.
        system = folder / "system"
        system.mkdir()
        for name in ("sh", "bash", "base64", "cat", "stty", "id"):
            (system / name).symlink_to(shutil.which(name))
        self.system = str(system)
        self.path = f"{self.folder}:{self.system}"
        self.program("bash", "exit 1", folder / "login")
        asked = manners._QUESTION.replace(manners._FOLDERS, str(folder / "opt"))
        monkeypatch.setattr(manners, "_QUESTION", asked)

    def program(self, name, text, folder=None):
        """Put a program there."""
        file = (folder or self.folder) / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def run(self, line):
        """Run a line as sshd has the login shell run it."""
        environment = {"PATH": self.path, "SHELL": self.shell, "HOME": str(self.folder.parent)}
        done = subprocess.run(
            ["/bin/bash", "-c", self.noise + line],
            check=False,
            capture_output=True,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        return subprocess.CompletedProcess(line, done.returncode, done.stdout.decode(), done.stderr.decode())

    def user(self, number):
        """Have the login be of this user id."""
        self.program("id", f"echo {number}")


@pytest.fixture
def there(tmp_path, monkeypatch):
    return There(tmp_path, monkeypatch)


def learned(there, *, sudo=False):
    return learn(there.run, "node a", "ops", sudo=sudo)


ODD = 'echo "a  b"; printf \'%s\\n\' "it\'s" \'\\\\\' !x; for n in $(echo 1 2); do echo $n; done\necho "$0" >&2; exit 3'


@pytest.mark.parametrize("shell", ["/bin/bash", "/usr/bin/fish", "/bin/tcsh", "/bin/zsh", "/bin/rbash", "/opt/odd"])
@pytest.mark.parametrize("noise", ["", NOISE])
@pytest.mark.parametrize("sudo", [False, True])
def test_a_command_runs_as_it_is_written(there, shell, noise, sudo):
    there.shell, there.noise = shell, noise
    there.user(1000)
    there.program("docker", "echo docker")
    if sudo:
        there.program("sudo", f'shift; PATH={there.folder.parent}/root:{there.system} exec "$@"')
        there.program("id", "echo 0", there.folder.parent / "root")
    able, root = learned(there, sudo=sudo)
    assert root is sudo
    assert able.shell == Path(shell).name
    assert able.talks is bool(noise)
    assert able.become == ("sudo -n" if sudo else "")
    done = there.run(able.line(ODD))
    assert able.printed(done.stdout.encode()).decode() == "a  b\nit's\n\\\\\n!x\n1\n2\n"
    assert "welcome" not in able.printed(done.stderr.encode()).decode()
    assert done.returncode == 3


def test_to_a_posix_shell_commands_are_given_as_they_are():
    assert Manners("bash").line("echo 'a'") == "echo 'a'"
    assert Manners("bash", become="sudo -n").line("true") == "sudo -n /bin/sh -c true"
    assert Manners("bash", become="sudo -n").line("true", root=False) == "true"


def test_to_another_shell_goes_nothing_that_it_would_change():
    """In single quotes fish changes a backslash, csh an exclamation mark and a newline."""
    line = Manners("fish").line("echo 'it'; echo \\\\ !x\necho")
    assert re.fullmatch(r"sh -c '[\w $()\"=+/|-]+'", line)
    assert re.fullmatch(r"[^'\\!\n]+", manners._QUESTION)


def test_what_a_login_shell_prints_is_no_answer(there):
    """Root was taken for another user where the login shell printed behind the answer."""
    there.noise = "trap 'echo uid 1000; echo bye' EXIT; echo uid 1000; "
    there.user(0)
    assert learned(there) == (Manners("bash", talks=True, folder=""), True)


@pytest.mark.parametrize("noise", ["", NOISE])
def test_docker_is_found_outside_the_path(there, noise):
    there.noise = noise
    there.user(0)
    there.program("docker", "echo found", there.folder.parent / "opt")
    able, _ = learned(there)
    assert able.folder == str(there.folder.parent / "opt")
    done = there.run(able.line("docker version"))
    assert able.printed(done.stdout.encode()) == b"found\n"


def test_docker_is_found_by_the_path_of_a_login(there):
    there.user(1000)
    far = there.folder.parent / "far"
    there.program("docker", "echo found", far)
    there.program(
        "bash", f'[ "$1" = -lc ] && echo hello && PATH=$PATH:{far} && eval "$2"', there.folder.parent / "login"
    )
    able, _ = learned(there)
    assert able.folder == str(far)


def test_docker_is_found_for_root_too(there):
    there.user(1000)
    root = there.folder.parent / "root"
    there.program("id", "echo 0", root)
    there.program("sudo", f'shift; PATH={root}:{there.system} exec "$@"')
    there.program("docker", "echo found", there.folder.parent / "opt")
    able, _ = learned(there, sudo=True)
    assert able.folder == str(there.folder.parent / "opt")
    assert able.line("docker x").startswith("sudo -n /bin/sh -c 'PATH=")
    assert there.run(able.line("docker x")).stdout == "found\n"


def test_a_machine_without_docker_has_no_folder_of_it(there):
    there.user(0)
    assert learned(there)[0].folder == ""


@pytest.mark.parametrize("noise", ["", NOISE])
@pytest.mark.parametrize(
    ("sudo", "message"),
    [
        (
            "echo 'sudo: a password is required'",
            "sudo asks ops for a password; allow all commands without one (NOPASSWD",
        ),
        (
            "echo 'sudo: sorry, you must have a tty to run sudo'",
            "sudo wants a terminal of ops (requiretty); add to its",
        ),
        ("echo 'sudo: no tty present and no askpass program specified'", "sudo wants a terminal of ops"),
        ("echo 'ops is not in the sudoers file.'", "sudo does not let ops become root; let it run all commands"),
        ("echo 'Sorry, user ops is not allowed to execute x as root on a.'", "sudo does not let ops become root"),
        ("echo 'sudo: must be owned by uid 0'", "sudo does not make ops root (sudo: must be owned by uid 0); let it"),
    ],
)
def test_why_a_user_does_not_become_root_is_one_line(there, noise, sudo, message):
    there.user(1000)
    there.noise = noise
    there.program("sudo", f"{sudo} >&2; exit 1")
    there.program("doas", "echo 'doas: not found' >&2; exit 127")
    with pytest.raises(UsageError) as wrong:
        learned(there, sudo=True)
    assert str(wrong.value).startswith(f"node a: {message}")
    assert "\n" not in str(wrong.value)


def test_doas_takes_the_place_of_sudo(there):
    there.user(1000)
    root = there.folder.parent / "root"
    there.program("id", "echo 0", root)
    there.program("sudo", "echo 'sudo: command not found' >&2; exit 127")
    there.program("doas", f'[ "$1" = -n ] && shift; PATH={root}:{there.system} exec "$@"')
    assert learned(there, sudo=True) == (Manners("bash", become="doas -n"), True)


def test_without_sudo_and_doas_there_is_one_line(there):
    there.user(1000)
    for name in ("sudo", "doas"):
        there.program(name, f"echo 'bash: line 1: {name}: command not found' >&2; exit 127")
    with pytest.raises(
        UsageError, match="node a: has neither sudo nor doas; install one, log in as root, or take sudo"
    ):
        learned(there, sudo=True)


@pytest.mark.parametrize("noise", ["echo 'only git here' >&2; exit 128; ", "exit 0; ", f"echo {MARK}; exit 1; "])
def test_a_login_that_runs_no_command_is_one_line(there, noise):
    there.noise = noise
    with pytest.raises(
        UsageError, match=r"node a: the login of ops runs no command .*; give ops a shell that does \(chsh"
    ):
        learned(there)


def test_a_bridge_gives_what_comes_after_the_mark(tmp_path):
    path = tmp_path / "socket"
    bridge = Bridge(
        path, ["sh", "-c", f"printf 'welcome\\n'; printf '{MARK}\\nfirst '; cat"], after=f"{MARK}\n".encode()
    )
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(path))
            connection.sendall(b"asked")
            connection.shutdown(socket.SHUT_WR)
            read = []

            def all_read():
                read.append(connection.recv(100))
                return State(not read[-1], read)

            wait(all_read, "the end of the answer", deadline=10)
        assert b"".join(read) == b"first asked"
    finally:
        bridge.close()


def test_a_bridge_goes_on_after_a_moment_in_which_no_more_files_may_be_open(tmp_path, monkeypatch):
    accept, refused = socket.socket.accept, []

    def accepting(self):
        if not refused:
            refused.append(OSError(errno.EMFILE, "Too many open files"))
            raise refused[0]
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", accepting)
    bridge = Bridge(tmp_path / "socket", ["echo", "here"])
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(tmp_path / "socket"))
            assert connection.recv(100) == b"here\n"
    finally:
        bridge.close()
    assert refused


@pytest.mark.parametrize("shell", [name for name in ("fish", "tcsh", "csh", "zsh", "dash") if shutil.which(name)])
def test_real_login_shells_take_the_lines(shell):
    able = Manners(shell if shell != "dash" else "fish", talks=True)
    done = subprocess.run([shell, "-c", able.line(ODD)], check=False, capture_output=True)
    assert able.printed(done.stdout) == b"a  b\nit's\n\\\\\n!x\n1\n2\n"
    assert done.returncode == 3
