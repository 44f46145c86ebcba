"""The shell of a container node: what runs there is the runner itself, behind a double of the outer engine."""

import signal
import threading
import time
from pathlib import Path

import pytest
from testinfra.host import Host

from swarmlab.cluster import deadline
from swarmlab.errors import LabError, Overdue
from swarmlab.labs.containers.shell import NodeBackend
from swarmlab.parallel import parallel
from swarmlab.wait import eventually
from tests.unit.execs import PLACES, Outer


@pytest.fixture
def outer():
    return Outer()


@pytest.fixture
def host(outer):
    made = Host(NodeBackend("slave01", lambda: outer))
    yield made
    made.backend.close()
    for process in outer.started:
        process.kill()
        process.wait()


def test_exit_code_and_both_outputs_are_the_commands_own(host):
    done = host.run("printf 'a\\000\\377'; printf 'b\\n' >&2; exit 3")
    assert (done.rc, done.stdout_bytes, done.stderr_bytes) == (3, b"a\0\xff", b"b\n")
    assert host.run("echo %s", "a b' c").stdout == "a b' c\n"
    assert host.run("echo ü").stdout_bytes == "ü\n".encode()


@pytest.mark.parametrize(
    ("command", "code"), [("exec false", 1), ("kill -9 $$", 137), ("set -e; false; true", 1), ("no-such-command", 127)]
)
def test_a_command_may_end_its_shell_in_any_way(host, outer, command, code):
    assert host.run(command).rc == code
    assert host.run("echo after").stdout == "after\n"
    assert len(outer.started) == 1


def test_a_command_has_nothing_to_read_and_finds_all_as_the_first_did(host):
    asked = "pwd; umask; env | sort | grep -v -e ^_= -e ^PWD= -e ^SHLVL=; ulimit -n; trap; cat"
    first = host.run(asked).stdout
    assert first.split("\n")[:2] == ["/", "0022"]
    assert [line for line in first.split("\n") if "=" in line] == [
        f"GIVEN={PLACES['GIVEN']}",
        f"PATH={PLACES['PATH']}",
    ]
    assert (
        host.run(
            "cd /tmp; umask 077; export GIVEN=mine OTHER=1; ulimit -n 99; trap 'echo trapped' EXIT; exec >&2; echo"
        ).rc
        == 0
    )
    assert host.run(asked).stdout == first


def until(condition):
    """Return a command that waits for a condition, 20 s at most."""
    return f"T=400; until {condition} || [ $T = 0 ]; do sleep 0.05; T=$((T - 1)); done"


def test_what_runs_in_the_background_keeps_nobody_waiting_and_is_in_no_other_answer(host, tmp_path):
    go = until(f"[ -e {tmp_path}/go ]")
    kept = host.run(f"({go}; echo late; echo late >&2; touch {tmp_path}/went-on) & echo soon")
    assert (kept.stdout, kept.stderr) == ("soon\n", "")
    assert not (tmp_path / "went-on").exists()
    (tmp_path / "go").touch()
    eventually(lambda: (tmp_path / "went-on").exists(), "what runs in the background to go on")
    done = host.run("echo next")
    assert (done.stdout, done.stderr) == ("next\n", "")


def test_long_outputs_are_whole(host):
    done = host.run("head -c 3000000 /dev/zero | tr '\\0' a; head -c 2000000 /dev/zero | tr '\\0' b >&2")
    assert (done.stdout, done.stderr) == ("a" * 3000000, "b" * 2000000)


def test_a_command_that_is_too_long_is_refused_and_harms_no_other(host):
    refused = host.run(f": {'x' * 200_000}")
    assert (refused.rc, refused.stdout) == (126, "")
    assert "too long" in refused.stderr
    assert host.run("true").rc == 0


def test_threads_run_commands_at_once_and_few_shells_stay(host, outer, tmp_path):
    begun = f"$(ls {tmp_path} | grep -c at)"
    line = f"touch {tmp_path}/at$N; {until(f'[ {begun} = 6 ]')}; echo $N of {begun}"
    found = parallel(lambda number: host.run(f"N={number}; {line}").stdout, range(6))
    assert found == [f"{number} of 6\n" for number in range(6)]
    eventually(lambda: sum(process.poll() is None for process in outer.started) == 2, "two shells to stay")


def test_a_command_that_hangs_is_ended_with_its_time_and_the_next_has_a_new_shell(host, outer):
    host.run("true")
    with deadline.within(3), pytest.raises(Overdue, match=r"did not end within [234] s") as late:
        deadline.run(host, "echo $$; sleep 60 & wait")
    process = Path("/proc") / late.value.printed.strip()
    assert deadline.run(host, "echo again").stdout == "again\n"
    eventually(lambda: not process.exists(), "the command to be ended")
    assert len(outer.started) == 2


def test_a_shell_that_has_ended_is_made_anew(host, outer):
    assert host.run("true").rc == 0
    outer.started[0].kill()
    outer.started[0].wait()
    assert host.run("echo again").stdout == "again\n"
    assert len(outer.started) == 2


def test_a_command_whose_shell_ends_is_not_run_again(host, tmp_path):
    with pytest.raises(
        LabError, match=r"slave01 cannot be reached any more: .* ended while a command ran there, .*echo"
    ):
        host.run(f"echo once >> {tmp_path}/runs; kill -9 $PPID; sleep 1")
    assert (tmp_path / "runs").read_text() == "once\n"
    assert host.run("echo again").stdout == "again\n"
    assert (tmp_path / "runs").read_text() == "once\n"


def test_a_command_for_a_frozen_node_is_refused_and_not_run_when_it_thaws(host, outer, tmp_path):
    assert host.run("true").rc == 0
    frozen = outer.started[0]
    frozen.send_signal(signal.SIGSTOP)
    outer.state = {"Running": True, "Paused": True, "Status": "paused"}
    start = time.monotonic()
    with pytest.raises(LabError, match="slave01 cannot be reached: its container is paused"):
        host.run(f"touch {tmp_path}/ran")
    assert time.monotonic() - start < 3
    frozen.send_signal(signal.SIGCONT)
    outer.state = {"Running": True, "Paused": False, "Status": "running"}
    frozen.wait(5)
    assert not (tmp_path / "ran").exists()
    assert host.run("echo again").stdout == "again\n"


def test_a_shell_that_is_slow_to_answer_is_waited_for(host, outer):
    assert host.run("true").rc == 0
    outer.started[0].send_signal(signal.SIGSTOP)
    threading.Timer(1.5, outer.started[0].send_signal, [signal.SIGCONT]).start()
    assert host.run("echo late").stdout == "late\n"
    outer.started[0].send_signal(signal.SIGSTOP)
    with deadline.within(0.7), pytest.raises(Overdue, match="did not answer within 1 s"):
        host.run("echo never")


def test_a_node_that_is_off_is_the_labs_failure(host, outer):
    outer.refusal = "Container 4f is not running"
    with pytest.raises(LabError, match="slave01 cannot be reached: Container 4f is not running"):
        host.run("true")
    outer.refusal = ""
    assert host.run("true").rc == 0


def test_a_node_without_what_runs_commands_is_the_labs_failure(host, monkeypatch):
    wrong = ["python3", "-c", "print('no such module'); raise SystemExit(1)"]
    monkeypatch.setattr("swarmlab.labs.containers.shell.program", lambda _: (wrong, b""))
    with pytest.raises(LabError, match=r"slave01 cannot be reached: .* ended \(no such module\)"):
        host.run("true")


def test_the_shell_ends_with_its_connection(host, outer):
    assert host.run("true").rc == 0
    host.backend.close()
    assert outer.started[0].wait(5) == 0
