"""Which process a number, a pid file or an owner's mark stands for."""

import os
import socket
import subprocess
from pathlib import Path

from swarmlab import host, ownership
from swarmlab.cluster.run_lock import RunLock
from swarmlab.ownership import USER, alive, owner_of, this_process
from swarmlab.wait import wait


def test_the_lab_of_a_living_process_is_not_stale():
    assert alive(this_process()) is True


def test_the_lab_of_a_process_that_is_gone_is_stale():
    done = subprocess.Popen(["true"])
    done.wait()
    assert alive(f"{socket.gethostname()}/{done.pid}/12345") is False


def test_a_number_that_another_process_has_by_now_is_stale():
    assert alive(f"{socket.gethostname()}/{os.getpid()}/1") is False


def test_a_process_that_this_user_may_not_see_is_not_taken_for_gone(monkeypatch):
    def hidden(pid, number):
        assert (pid, number) == (2**22 + 7, 0)
        raise PermissionError

    monkeypatch.setattr(host.os, "kill", hidden)
    mark = f"{socket.gethostname()}/{2**22 + 7}/12345"
    assert alive(mark) is None
    assert not host.ended(f"{2**22 + 7}-12345")


def test_a_process_that_waits_for_its_parent_is_gone():
    with subprocess.Popen(["true"]) as done:
        started = host.start_in(Path(f"/proc/{done.pid}/stat").read_text())
        wait(lambda: host.process(done.pid) is None, "the process to end")
        assert host.runs(done.pid, started) is False


def mark(machine, numbering, pid=1, started="1"):
    return f"{socket.gethostname()}@{machine}.{numbering}/{pid}/{started}"


def test_a_machine_of_the_same_name_and_a_container_of_the_same_name_are_not_this_machine(monkeypatch):
    for its in (mark("11111111", "22222222"), mark("", "22222222"), mark(host.machine(), "")):
        owner = owner_of(its)
        assert (owner.home, owner.pid, owner.started) == (socket.gethostname(), "1", "1")
    assert alive(mark("11111111", "22222222")) is None
    monkeypatch.setattr(ownership, "machine", str)
    assert alive(mark("", "22222222")) is None
    assert str(owner_of(mark("", "22222222"))) == f"process 1 on {socket.gethostname()}"


def test_a_process_of_an_earlier_boot_has_ended_but_a_clone_may_have_the_lock_of_a_swarm(monkeypatch):
    monkeypatch.setattr(ownership, "machine", lambda: "11111111")
    monkeypatch.setattr(ownership, "numbering", lambda: "33333333-44444444")
    assert alive(this_process()) is True
    assert alive(mark("11111111", "33333333-44444444", os.getpid())) is False
    assert alive(mark("11111111", "22222222-44444444")) is False
    assert RunLock("c", mark("11111111", "22222222-44444444")).alive is None
    assert alive(mark("11111111", "33333333-55555555")) is None, "of another namespace of this boot"
    assert RunLock("c", this_process()).alive is True


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
