"""The connections of a run that is killed outright are closed, without an sshd: with a double of ssh."""

import socket
import subprocess
import sys

from swarmlab.labs.existing.watchdog import Watchdog
from swarmlab.wait import wait

_RUN = """
import signal, sys
from pathlib import Path
from swarmlab.labs.existing.watchdog import Watchdog
watchdog = Watchdog(Path(sys.argv[1]))
print("watched", flush=True)
signal.pause()
"""


def _prepared(tmp_path, monkeypatch):
    """Return a folder with the socket of a connection, and the file to which a double of ssh writes what it is told."""
    folder, log, programs = tmp_path / "run", tmp_path / "log", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    with socket.socket(socket.AF_UNIX) as master:
        master.bind(str(folder / "n0.ssh"))
    (folder / "n1.log").touch()
    return folder, log


def test_a_killed_run_leaves_no_connection(tmp_path, monkeypatch):
    folder, log = _prepared(tmp_path, monkeypatch)
    with subprocess.Popen([sys.executable, "-c", _RUN, folder], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "watched\n"
        assert not log.exists()
        run.kill()
    wait(lambda: not folder.exists(), "the folder to be removed")
    assert log.read_text() == "-F ssh_config -O exit n0\n"


def test_a_run_that_ends_well_closes_what_is_open(tmp_path, monkeypatch):
    folder, log = _prepared(tmp_path, monkeypatch)
    Watchdog(folder).close()
    assert not folder.exists()
    assert log.read_text() == "-F ssh_config -O exit n0\n"
