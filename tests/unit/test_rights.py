"""An engine that this user may not reach: what is told, and the way through sudo. sudo and systemctl are doubles."""

import os
import socket
import socketserver
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmlab import children, host
from swarmlab.errors import Forbidden, LabError, UsageError
from swarmlab.labs import outer, rights, service
from swarmlab.paths import ROOT
from swarmlab.wait import wait


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Return a function that puts a double of a program of this host first in the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    return put


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of sockets of this user."""
    for module in (rights, host):
        monkeypatch.setattr(module, "run_folder", lambda: tmp_path / "run")
    monkeypatch.setattr(rights, "_passages", {})
    return tmp_path / "run"


@pytest.fixture
def echo(tmp_path):
    """The address of a server that sends back what it was sent, once that has ended."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            got = b""
            while block := self.request.recv(4096):
                got += block
            self.request.sendall(b"got " + got)

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "engine.sock"), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"unix://{tmp_path}/engine.sock"
        server.shutdown()


def ask(url, text):
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(20)
        asking.connect(url.removeprefix("unix://"))
        asking.sendall(text)
        asking.shutdown(socket.SHUT_WR)
        got = b""
        while block := asking.recv(4096):
            got += block
        return got


# sudo


@pytest.mark.parametrize(
    ("script", "root", "why"),
    [
        ('shift; exec "$@"', ["sudo", "-n"], ""),
        ('echo "sudo: a password is required" >&2; exit 1', None, "sudo asks for a password"),
        ('echo "sudo: unable to resolve host" >&2; exit 1', None, "sudo refuses: sudo: unable to resolve host"),
        ("if read -r line </dev/tty; then exit 0; fi 2>/dev/null; exit 1", None, "sudo refuses: "),
        ("sleep 60", None, "sudo does not end within 1 s"),
    ],
)
def test_sudo_is_used_where_it_asks_for_nothing(programs, monkeypatch, script, root, why):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if script.startswith("sleep"):
        monkeypatch.setattr(host, "_SUDO", 1.0)
    programs("sudo", script)
    assert host.as_root() == root
    if why:
        assert host.why_not_root() == why


def test_a_host_without_sudo(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (host.as_root(), host.why_not_root()) == (None, "there is no sudo")


def test_a_command_of_roots_is_ended_through_sudo_with_all_that_it_started(programs, tmp_path):
    programs("sudo", f'echo "$*" >> {tmp_path}/asked; shift; exec "$@"')
    process = children.start(["sudo", "-n", "sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"])
    wait(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "the command to start")
    inner = int((tmp_path / "pid").read_text())
    children.end(process)
    assert (tmp_path / "asked").read_text().splitlines()[1] == f"-n kill -s TERM -- -{process.pid}"
    wait(lambda: host.process(inner) is None, "what it started to end")


def test_a_command_of_roots_ends_with_a_process_that_is_killed(programs, tmp_path):
    programs("sudo", 'shift; exec "$@"')
    text = (
        "import sys, time\nfrom swarmlab import children\n"
        "children.start(['sudo', '-n', 'sh', '-c', 'sleep 60 & echo $! > ' + sys.argv[1] + '; wait'])\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", text, str(tmp_path / "pid")], cwd=ROOT) as process:
        wait(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "the command to start")
        process.kill()
    inner = int((tmp_path / "pid").read_text())
    wait(lambda: host.process(inner) is None, "what it started to end")


# The way through sudo


def test_connections_go_through_sudo_to_a_socket_of_roots(programs, folder, echo, monkeypatch):
    monkeypatch.setattr(rights, "as_root", lambda: ["sudo", "-n"])
    programs("sudo", 'shift; exec "$@"')
    url = rights.through_sudo(echo)
    assert rights.through_sudo(echo) == url
    assert rights.is_passage(url)
    assert not rights.is_passage(echo)
    place = Path(url.removeprefix("unix://"))
    assert stat.S_IMODE(place.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert ask(url, b"hello") == b"got hello"
    assert ask(url, bytes(10**6)) == b"got " + bytes(10**6)
    program = rights._passages[echo].program
    rights._passages[echo].end()
    assert program.poll() is not None
    assert not folder.exists()


def test_it_ends_with_the_process_that_was_killed_and_its_socket_goes_with_the_next(programs, folder, echo):
    programs("sudo", 'shift; exec "$@"')
    text = (
        "import sys, time\nfrom pathlib import Path\nfrom swarmlab.labs import rights\n"
        "rights.run_folder = lambda: Path(sys.argv[1])\nrights.as_root = lambda: ['sudo', '-n']\n"
        "url = rights.through_sudo(sys.argv[2])\n"
        "print(url, rights._passages[sys.argv[2]].program.pid, flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", text, str(folder), echo]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        url, pid = process.stdout.readline().split()
        assert ask(url, b"a") == b"got a"
        process.kill()
    wait(lambda: host.process(int(pid)) is None, "the program of root's to end")
    assert len(list(folder.glob("*.sock"))) == 1
    rights._sweep()
    assert not list(folder.glob("*.sock"))


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ('shift; exec "$@"', "nowhere.sock: No such file or directory"),
        ('echo "sudo: account has expired" >&2; exit 1', "sudo: account has expired"),
    ],
)
def test_a_way_that_does_not_open_is_one_line_and_leaves_nothing(programs, folder, monkeypatch, tmp_path, script, why):
    monkeypatch.setattr(rights, "as_root", lambda: ["sudo", "-n"])
    programs("sudo", script)
    with pytest.raises(LabError, match=rf"no way to .*nowhere\.sock through sudo: .*{why}") as failed:
        rights.through_sudo(f"unix://{tmp_path}/nowhere.sock")
    assert "\n" not in str(failed.value)
    assert not folder.exists()


# What is told


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """The default engine is at a socket that this user may not reach, and sudo asks for a password."""
    monkeypatch.setattr(rights, "_passages", {})
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("SWARMLAB_PRIVATE", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    url = f"unix://{tmp_path}/docker.sock"
    monkeypatch.setattr(outer, "_DEFAULT", url)
    monkeypatch.setattr(outer, "_socket", lambda: tmp_path / "private.sock")
    monkeypatch.setattr(rights, "forbidden", lambda asked: asked == url)
    monkeypatch.setattr(rights, "as_root", lambda: None)
    monkeypatch.setattr(rights, "why_not_root", lambda: "sudo asks for a password")
    for name in ("install", "_private"):
        monkeypatch.setattr(outer, name, lambda *_, name=name: pytest.fail(f"{name} was called"))
    monkeypatch.setattr(service, "start", lambda *_: pytest.fail("a service was started"))
    return tmp_path / "docker.sock"


@pytest.mark.parametrize("ask", [outer.running, outer.connect, outer.standing, outer.revived])
def test_who_may_not_reach_an_engine_is_told_three_ways_and_nothing_is_done(closed, monkeypatch, ask):
    monkeypatch.setattr(rights, "_group", lambda _: SimpleNamespace(gr_name="docker", gr_gid=-1, gr_mem=[]))
    monkeypatch.setattr(rights, "login_name", lambda: "ops")
    with pytest.raises(Forbidden) as told:
        ask(print)
    assert str(told.value) == (
        f"user ops may not reach the engine at unix://{closed}, and sudo asks for a password: "
        "join the group docker (sudo usermod -aG docker ops) and log in again; or run with sudo; "
        "or name an engine that it may reach (DOCKER_HOST=unix://PATH)"
    )


@pytest.mark.usefixtures("closed")
def test_who_has_joined_the_group_after_the_login_is_told_so(monkeypatch):
    monkeypatch.setattr(rights, "_group", lambda _: SimpleNamespace(gr_name="docker", gr_gid=-1, gr_mem=["ops"]))
    monkeypatch.setattr(rights, "login_name", lambda: "ops")
    with pytest.raises(Forbidden, match="it joined the group docker after this session began: log in again; or run"):
        outer.running()


@pytest.mark.usefixtures("closed")
def test_a_socket_of_no_group_has_no_group_to_join(monkeypatch):
    monkeypatch.setattr(rights, "_group", lambda _: None)
    assert rights.refusal("unix:///x").ways.startswith("run with sudo; or name")


def test_the_group_of_a_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
    (tmp_path / "s").chmod(0o660)
    if os.geteuid() == 0:
        os.chown(tmp_path / "s", 0, 1)
        assert rights._group(tmp_path / "s").gr_gid == 1
        os.chown(tmp_path / "s", 0, 0)
    assert rights._group(tmp_path / "s") is None or os.getegid() != 0
    assert rights._group(tmp_path / "none") is None


def test_an_engine_that_is_named_and_closed_is_told_in_the_same_way(closed, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{closed}")
    with pytest.raises(Forbidden, match="may not reach the engine at unix://"):
        outer.running()


# An engine that is installed and does not run


def unit(load="loaded", active="inactive"):
    return f'case "$*" in *show*) echo LoadState={load}; echo ActiveState={active};; *) echo "$*" >> $0.asked;; esac'


@pytest.fixture
def systemd(programs, tmp_path, monkeypatch):
    """A host with systemd, whose systemctl a test gives."""
    monkeypatch.setattr(service, "_BOOTED", tmp_path)
    monkeypatch.setattr(service, "as_root", list)
    programs("journalctl", 'case "$*" in *"-t dockerd"*) echo "first"; echo "failed to start daemon: no room";; esac')
    return lambda **how: programs("systemctl", unit(**how))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"load": "not-found"}, None),
        ({}, "docker.service is installed and stopped"),
        ({"load": "masked"}, "docker.service is masked"),
        ({"active": "failed"}, "docker.service failed to start: failed to start daemon: no room"),
        ({"active": "activating"}, "docker.service is activating"),
    ],
)
def test_an_engine_that_is_stopped_is_told_apart_from_one_that_is_missing(systemd, state, told):
    systemd(**state)
    found = service.look(service.DOCKER)
    assert (str(found) if found else None) == told


def test_a_journal_that_this_user_may_not_read_is_told(systemd, programs):
    programs("journalctl", "exit 1")
    systemd(active="failed")
    assert str(service.look(service.DOCKER)).endswith("failed to start: this user may not read its journal")


@pytest.mark.usefixtures("systemd")
def test_a_service_is_started_without_a_question_and_waited_for(programs, tmp_path):
    ready = tmp_path / "ready"
    programs(
        "systemctl",
        f'case "$*" in *show*) echo LoadState=loaded; test -e {ready} && echo ActiveState=active || echo '
        f'ActiveState=inactive;; "--no-ask-password --no-block start docker.service") touch {ready};; esac',
    )
    service.start(service.look(service.DOCKER), print)
    assert ready.exists()


def test_a_service_that_does_not_start_is_told_with_its_last_words(systemd):
    systemd(active="failed")
    found = service.look(service.DOCKER)
    with pytest.raises(LabError, match=r"docker\.service does not start: failed to start daemon: no room; see: jour"):
        service.start(found, print)


def test_what_may_not_be_started_is_not_tried(systemd, monkeypatch, tmp_path):
    systemd(load="masked")
    with pytest.raises(UsageError, match=r"is masked, so that nothing starts it; run: sudo systemctl unmask docker"):
        service.start(service.look(service.DOCKER), print)
    systemd()
    monkeypatch.setattr(service, "as_root", lambda: None)
    monkeypatch.setattr(service, "why_not_root", lambda: "sudo asks for a password")
    wanted = r"stopped, and this user may not start it \(sudo asks for a password\); run: sudo systemctl start docker"
    with pytest.raises(UsageError, match=wanted):
        service.start(service.look(service.DOCKER), print)
    assert not (tmp_path / "bin" / "systemctl.asked").exists()


@pytest.mark.usefixtures("systemd")
def test_the_one_of_a_snap_is_an_engine_too(programs):
    programs(
        "systemctl",
        'case "$*" in *snap.docker*) echo LoadState=loaded; echo ActiveState=inactive;; '
        "*) echo LoadState=not-found;; esac",
    )
    assert service.look(service.DOCKER).unit == "snap.docker.dockerd.service"


@pytest.mark.parametrize("apart", ["0", "1"])
def test_a_stopped_engine_is_started_and_never_installed_again(systemd, monkeypatch, apart):
    systemd()
    monkeypatch.setenv("SWARMLAB_PRIVATE", apart)
    found, calls = SimpleNamespace(need_networks=lambda: None, speak=lambda: None), []
    monkeypatch.setattr(outer, "running", lambda *_: found if "start" in calls else None)
    monkeypatch.setattr(service, "start", lambda *_: calls.append("start"))
    monkeypatch.setattr(outer, "install", lambda *_: pytest.fail("it was installed again"))
    monkeypatch.setattr(outer, "_private", lambda _: calls.append("private") or found)
    outer.connect(print)
    assert calls == (["private"] if apart == "1" else ["start"])


@pytest.mark.parametrize(
    "start", ["from swarmlab.cli.main import main; main(['completion'])", "import swarmlab.loading"]
)
def test_system_programs_are_found_from_an_ordinary_path(start):
    text = f"{start}; import shutil; print(shutil.which('chroot'))"  # which is in /usr/sbin
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}
    printed = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert printed.stdout.splitlines()[-1].endswith("/chroot")
