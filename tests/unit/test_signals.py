"""Signals that end a program: the first interrupts it, nothing interrupts its clean-up; the last line says it all."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from swarmlab import signals
from swarmlab.paths import ROOT
from swarmlab.wait import wait
from tests.unit.helpers import start

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
#: A program that makes a "lab" and takes it down, which takes a while.
PROGRAM = """
import subprocess, sys, threading, time
from pathlib import Path
from swarmlab import children, ownership, parallel, signals
from swarmlab.cli import interruption
from swarmlab.wait import wait

signals.GRACE = SECONDS

def run():
    ownership.note_left("x")
    try:
        print("made", flush=True)
        WORK
    finally:
        with signals.deferred("the removal of lab x"):
            END
            ownership.note_gone("x")
    return 0

sys.exit(interruption.guarded(run))
"""


#: A clean-up that ends once the test has made a file.
UNTIL_OVER = "while not Path('over').exists(): time.sleep(0.05)"


@pytest.fixture
def program(tmp_path):
    """Return a function that starts the program, and ends it with the test."""
    started = []

    def start(work="time.sleep(60)", end="time.sleep(0.5)", ignore=(), grace=signals.GRACE):
        text = PROGRAM.replace("SECONDS", str(grace)).replace("WORK", work).replace("END", end)

        def prepare():
            for number in (INT, TERM, HUP):
                signal.signal(number, signal.SIG_IGN if number in ignore else signal.SIG_DFL)

        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(text)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SWARMLAB_PRIVATE": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=prepare,
        )
        started.append(process)
        assert process.stdout.readline() == "made\n", process.stderr.read()
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process):
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors, errors
    return process.returncode, errors.splitlines()[-1]


@pytest.mark.parametrize("number", [INT, TERM, HUP])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_signal_interrupts_once_however_often_it_comes(program, tmp_path, number, times):
    process = program(end=UNTIL_OVER)
    for _ in range(times):
        process.send_signal(number)
        time.sleep(0.2)
    (tmp_path / "over").touch()
    line = f"swarmlab: interrupted by {number.name}; lab x was taken down"
    assert ended(process) == (128 + number, line)


def test_a_signal_in_the_clean_up_waits_until_it_is_done(program):
    process = program(work="pass", end="print('ending', flush=True); time.sleep(1)")
    assert process.stdout.readline() == "ending\n"
    process.send_signal(TERM)
    _, errors = process.communicate(timeout=30)
    assert errors.splitlines() == [
        "swarmlab: SIGTERM: the removal of lab x is not broken off; wait until it is done",
        "swarmlab: interrupted by SIGTERM; lab x was taken down",
    ]
    assert process.returncode == 128 + TERM


def test_a_third_signal_ends_a_clean_up_that_does_not_end(program):
    process = program(end="print('ends', flush=True); time.sleep(60)", grace=0.5)
    process.send_signal(INT)
    assert process.stdout.readline() == "ends\n"
    time.sleep(0.8)
    process.send_signal(INT)
    assert process.stderr.readline() == "swarmlab: SIGINT: cleaning up still; another signal ends it at once\n"
    process.send_signal(INT)
    status, line = ended(process)
    assert status == 128 + INT
    assert re.search(r"; lab x is left; the next run or `\S*swarmlab down --name x` removes it$", line)


def test_a_signal_that_is_ignored_stays_so(program):
    process = program(work="time.sleep(1)", ignore=[HUP])
    process.send_signal(HUP)
    assert process.wait(10) == 0


def test_commands_of_the_clean_up_do_not_notice_further_signals(program, tmp_path):
    waits = f"import time; from pathlib import Path\n{UNTIL_OVER}"  # a shell would let signals in
    process = program(end=f"subprocess.run([sys.executable, '-c', {waits!r}], check=True)")
    for _ in range(3):
        os.killpg(process.pid, INT)
        time.sleep(0.2)
    (tmp_path / "over").touch()
    status, line = ended(process)
    assert (status, line.endswith("was taken down")) == (130, True)


def test_a_command_of_another_thread_is_ended_in_order(program, tmp_path):
    script = "trap 'echo ended > ended; exit 1' TERM; echo started > started; while :; do sleep 0.1; done"
    process = program(work=f"parallel.parallel(lambda _: children.run(['sh', '-c', {script!r}]), [1])")
    wait((tmp_path / "started").exists, "the command to start")
    begun = time.monotonic()
    process.send_signal(TERM)
    assert ended(process)[0] == 128 + TERM
    assert (tmp_path / "ended").exists()
    assert time.monotonic() - begun < 10


def test_a_signal_that_does_not_break_off_a_wait_without_end_is_noticed(program):
    # As one that comes in the moment before the wait: it comes to another thread, which does not wake the main one.
    end = "time.sleep(0.5), signal.pthread_kill(threading.get_ident(), signal.SIGTERM), time.sleep(30)"
    process = program(
        work=f"import signal; threading.Thread(target=lambda: ({end}), daemon=True).start(); threading.Event().wait()"
    )
    process.stdout.readline()
    assert ended(process)[0] == 128 + TERM


def test_waits_of_other_threads_are_given_up(program):
    process = program(work="parallel.parallel(lambda _: wait(lambda: False, 'nothing', deadline=60), [1, 2])")
    time.sleep(0.5)
    begun = time.monotonic()
    process.send_signal(INT)
    assert ended(process)[0] == 130
    assert time.monotonic() - begun < 10


def test_what_other_threads_have_not_begun_is_not_begun(program):
    act = "lambda item: (print('at', item, flush=True), time.sleep(5))"
    process = program(work=f"parallel.parallel({act}, range(60), at_once=1)")
    assert process.stdout.readline() == "at 0\n"
    process.send_signal(INT)
    printed, _ = process.communicate(timeout=30)
    assert (process.returncode, printed) == (130, "")


def test_commands_end_with_a_program_that_is_killed(program, tmp_path):
    # As mmdebstrap: the command itself heeds no signal, and waits for another that does.
    script = "trap : TERM; sleep 60 & echo $$ $! > pids; wait $!; wait"
    work = f"children.run(['true']); children.run(['sh', '-c', {script!r}])"
    process = program(work=work)
    wait(
        lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().count(" ") == 1, "the command to start"
    )
    pids = (tmp_path / "pids").read_text().split()
    process.kill()
    process.wait()
    wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the commands to end")


def test_an_interruption_that_python_cannot_raise_is_not_lost(program):
    work = """
        class Thing:
            def __del__(self):
                time.sleep(1)
        Thing()
        time.sleep(60)"""
    process = program(work=work)
    time.sleep(0.3)
    process.send_signal(INT)
    assert ended(process)[0] == 130


def test_a_program_is_interrupted_while_it_is_loaded():
    loads = "import time; from swarmlab import signals; signals.leave_at_once(); print(1, flush=True); time.sleep(60)"
    process = start([sys.executable, "-c", loads], ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    process.send_signal(INT)
    assert ended(process) == (130, "swarmlab: interrupted by SIGINT; it had made no lab")


def test_what_was_there_before_is_restored():
    from swarmlab import signals

    before = [signal.getsignal(number) for number in signals.ENDING]
    signals.install(print, lambda: "")()
    assert [signal.getsignal(number) for number in signals.ENDING] == before
    assert signals.received() is None
