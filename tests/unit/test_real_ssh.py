"""Real connections over SSH to this machine itself, where it has an sshd: aliases, chains of jump hosts, IPv6."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from swarmlab.cluster import deadline
from swarmlab.errors import Overdue
from swarmlab.labs.existing import routes
from swarmlab.labs.existing.inventory import Machine
from swarmlab.labs.existing.node import Connection, SshNode, alias, engine_alias, write_config
from swarmlab.labs.existing.reasons import why_not
from swarmlab.labs.existing.routes import route
from swarmlab.labs.ssh import Ssh
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = pytest.mark.skipif(not SSHD or os.geteuid() != 0, reason="this machine has no sshd that root may start")

CONFIG = """
Host far
  HostName ::1
  Port {second}
  ProxyJump near,[::1]:{first}
Host near
  HostName 127.0.0.1
  Port {second}
Host by-command
  HostName 127.0.0.1
  Port {first}
  ProxyCommand ssh -F {folder}/config -W %h:%p near
Match host 127.0.0.1,::1
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  BatchMode yes
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """Two ports of this machine's loopback addresses at which an sshd answers, and the folder of its keys."""
    folder = tmp_path_factory.mktemp("sshd")
    Path("/run/sshd").mkdir(exist_ok=True)
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    first, second = free_port(), free_port()
    options = {
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "key.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        # Else the shell reads the files of this machine's user, and their words stand among those of a command.
        "SetEnv": f"HOME={folder}",
    }
    command = [SSHD, "-D", "-e", "-f", "/dev/null", *(f"-o{key}={value}" for key, value in options.items())]
    command += [f"-oListenAddress={host}:{port}" for host in ("127.0.0.1", "[::1]") for port in (first, second)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stderr=log)
    try:
        wait(lambda: State(answers(first) and answers(second), (folder / "log").read_text()), "sshd", deadline=20)
        public = " ".join((folder / "host.pub").read_text().split()[:2])
        known = [f"[{host}]:{port} {public}" for host in ("127.0.0.1", "::1") for port in (first, second)]
        (folder / "known").write_text("\n".join(known) + "\n")
        (folder / "config").write_text(CONFIG.format(first=first, second=second, folder=folder))
        yield first, second, folder
    finally:
        server.terminate()
        server.wait()


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def connected(ports, tmp_path, monkeypatch):
    """Returns what a command prints on a machine, or why it is not reached."""
    monkeypatch.setattr(routes, "USERS_OWN", (str(ports[2] / "config"),))
    opened = []

    def connect(machine):
        found = route(machine, tmp_path)
        connection = Connection(found.machine, 0, write_config(tmp_path, [found]))
        opened.append(connection)
        if failed := connection.ssh.open():
            return why_not(failed, found.machine)
        return connection.ssh.run('echo "$SSH_CONNECTION"').stdout.strip()

    yield connect
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("address", ["far", "near", "by-command"])
def test_what_ssh_reaches_by_its_configuration_is_reached(connected, ports, address):
    own = {"far": f"::1 {ports[1]}", "near": f"127.0.0.1 {ports[1]}", "by-command": f"127.0.0.1 {ports[0]}"}
    assert connected(Machine(address)).endswith(own[address])


def test_a_chain_of_jump_hosts_with_ports_is_gone_through(connected, ports):
    first, second, folder = ports
    jump = f"{getpass.getuser()}@127.0.0.1:{second},[::1]:{first}"
    given = {"key": folder / "key", "known_hosts": folder / "known", "jump": jump}
    assert connected(Machine("::1", port=first, **given)).endswith(f"::1 {first}")


@pytest.mark.parametrize(
    ("jump", "told"),
    [
        (
            "near,[::1]:{closed}",
            "its jump host [::1]:{closed} cannot be reached from the jump host near: nothing answers",
        ),
        ("127.0.0.1:{closed},near", "its jump host 127.0.0.1 cannot be reached: nothing answers on port {closed}"),
        ("near,nobody@[::1]:{first}", "its jump host ::1 cannot be reached: it does not accept any"),
        ("near", "node 127.0.0.1, from the jump host near: nothing answers on port {closed}"),
    ],
)
def test_the_host_that_fails_is_told(connected, ports, jump, told):
    places = {"closed": free_port(), "first": ports[0]}
    port = places["closed"] if jump == "near" else places["first"]
    line = connected(Machine("127.0.0.1", port=port, jump=jump.format(**places)))
    assert told.format(**places) in line
    assert "\n" not in line


def test_host_keys_are_checked_on_the_whole_way(connected, ports):
    known = ports[2] / "known"
    whole = known.read_text()
    try:
        known.write_text("\n".join(line for line in whole.splitlines() if f"[127.0.0.1]:{ports[1]}" not in line) + "\n")
        assert "its host key is not known" in connected(Machine("far"))
    finally:
        known.write_text(whole)


_KILLED = """
import signal, sys
from dataclasses import replace
from pathlib import Path
from swarmlab.labs.existing.watchdog import Watchdog
from swarmlab.labs.ssh import Ssh
folder = Path(sys.argv[1])
watchdog = Watchdog(folder)
print(Ssh(folder / "ssh_config", "n0").open() or "open", flush=True)
signal.pause()
"""


def test_commands_at_once_and_lasting_questions_of_the_engine_are_not_refused(ports, tmp_path):
    given = {"key": ports[2] / "key", "known_hosts": ports[2] / "known"}
    config = write_config(tmp_path, [route(Machine("127.0.0.1", port=ports[0], **given), tmp_path)])
    connection = Connection(Machine("127.0.0.1"), 0, config)
    engine = Ssh(config, engine_alias(alias(0)))
    lasting = []
    try:
        assert connection.ssh.open() == engine.open() == ""
        # A server of SSH takes ten sessions a connection.
        lasting = [subprocess.Popen(engine.command("sleep", "60"), stderr=subprocess.DEVNULL) for _ in range(12)]
        host = connection.testinfra()
        done = parallel(
            lambda number: host.run("sleep 0.2; echo %s; echo error >&2", str(number)), range(24), at_once=24
        )
        assert [(each.rc, each.stdout, each.stderr) for each in done] == [(0, f"{n}\n", "error\n") for n in range(24)]
    finally:
        for process in lasting:
            process.terminate()
            process.wait()
        engine.close()
        connection.close()


def test_the_connection_of_a_run_that_is_killed_ends_by_itself(ports, tmp_path):
    given = {"key": ports[2] / "key", "known_hosts": ports[2] / "known"}
    folder = tmp_path / "run"
    folder.mkdir()
    write_config(folder, [route(Machine("127.0.0.1", port=ports[0], **given), folder)])
    with subprocess.Popen([sys.executable, "-c", _KILLED, folder], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "open\n"
        master = folder / "n0.ssh"
        assert master.is_socket()
        found = subprocess.run(
            ["ssh", "-F", folder / "ssh_config", "-O", "check", "n0"], capture_output=True, text=True
        )
        process = Path("/proc", found.stderr.partition("pid=")[2].rstrip(")\r\n"))
        assert process.is_dir()
        run.kill()
    wait(lambda: not process.exists() and not folder.exists(), "the connection to end, and its folder to go")


def test_a_shell_runs_a_command_and_passes_its_status_whether_or_not_an_engine_answers(ports, tmp_path, monkeypatch):
    monkeypatch.setattr(routes, "USERS_OWN", (str(ports[2] / "config"),))
    found = route(Machine("near"), tmp_path)
    connection = Connection(found.machine, 0, write_config(tmp_path, [found]))
    try:
        connection.open(to_ask=False)
        done = subprocess.run(connection.shell("printf '%s|' 'a b' \"$0\"; exit 7"), capture_output=True, text=True)
        assert (done.returncode, done.stdout.partition("|")[0]) == (7, "a b")
        assert connection.shell("")[-2:] == ["-t", "n0"]
        connection.manners = replace(connection.manners, become="sudo -n")
        assert connection.shell("")[-3:] == ["-t", "n0", "sudo -n -i"]
        assert connection.shell("id -u")[-1] == "sudo -n /bin/sh -c 'id -u'"
    finally:
        connection.close()


def test_a_command_that_hangs_is_left_in_the_time_that_there_is(ports, tmp_path, monkeypatch):
    monkeypatch.setattr(routes, "USERS_OWN", (str(ports[2] / "config"),))
    found = route(Machine("near"), tmp_path)
    connection = Connection(found.machine, 0, write_config(tmp_path, [found]))
    try:
        connection.open(to_ask=False)
        node = SshNode(connection, "near", "127.0.0.1")
        assert node.look("echo here").out == "here\n"
        begun = time.monotonic()
        with deadline.within(3), pytest.raises(Overdue, match=r"did not end within [34] s") as late:
            node.look("echo begun; sleep 30")
        assert time.monotonic() - begun < 10
        assert late.value.printed == "begun\n"
        assert node.look("echo again").out == "again\n", "the connection is whole"
    finally:
        connection.close()
