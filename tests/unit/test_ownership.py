"""Which process a number, a pid file or an owner's mark stands for."""

import os
import socket
import subprocess

from swarmlab import host
from swarmlab.ownership import USER, alive, this_process
from swarmlab.wait import wait


def test_the_lab_of_a_living_process_is_not_stale():
    assert alive(this_process()) is True


def test_the_lab_of_a_process_that_is_gone_is_stale():
    done = subprocess.Popen(["true"])
    done.wait()
    assert alive(f"{socket.gethostname()}/{done.pid}/12345") is False


def test_a_number_that_another_process_has_by_now_is_stale():
    assert alive(f"{socket.gethostname()}/{os.getpid()}/1") is False


def test_a_lab_made_by_hand_stays():
    assert alive(USER) is True


def test_another_machines_lab_is_not_judged():
    assert alive("elsewhere/1/1") is None


def test_a_pid_file_counts_only_while_its_process_runs_the_program(tmp_path):
    file = tmp_path / "some.pid"
    assert host.process_of(file, ("sleep",)) is None
    with subprocess.Popen(["sleep", "60"]) as process:
        file.write_text(f"{process.pid}\n")
        wait(lambda: host.process_of(file, ("sleep",)) == process.pid, "the process to be seen")
        assert host.process_of(file, ("libvirtd", "dnsmasq")) is None
        process.kill()
    assert host.process_of(file, ("sleep",)) is None
