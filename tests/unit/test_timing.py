"""What is timed adds up, and the processor time of this machine is counted where it belongs."""

import subprocess
import sys
import threading

import pytest

from swarmlab import timing
from swarmlab.timing import Busy, Container, Processors, Program, Recorder, names, processors, span
from swarmlab.wait import State, wait

BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"


class Clock:
    """A clock that a test turns; what the processors did is the same."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time

    def busy(self):
        return Busy(self.time, 2 * self.time, 0.0)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recorder(clock):
    with timing.recording(Recorder(clock, clock)) as recorder:
        yield recorder


def found(recorder):
    return {(entry.kind, entry.name): entry for entry in recorder.take()}


def test_own_seconds_are_what_the_spans_within_leave(recorder, clock):
    with span("test", "t"):
        clock.time += 1
        with span("wait", "a thing to be there"):
            clock.time += 2
            with span("command", "docker ps"):
                clock.time += 4
    entries = found(recorder)
    assert entries["test", "t"].own == 1
    assert entries["wait", "a thing to be there"].own == 2
    assert entries["wait", "a thing to be there"].seconds == 6
    assert entries["command", "docker ps"].busy == Busy(4, 8, 0)
    assert sum(entry.own for entry in entries.values()) == entries["test", "t"].seconds == 7


def test_a_second_of_a_kind_counts_once(recorder, clock):
    with span("fixture", "outer"):
        clock.time += 1
        with span("wait", "x"), span("fixture", "inner"):
            clock.time += 2
            with span("fixture", "innermost"):
                clock.time += 4
    entries = found(recorder)
    assert [entries["fixture", name].seconds for name in ("outer", "inner", "innermost")] == [1, 2, 4]
    assert entries["fixture", "outer"].busy == Busy(1, 2, 0)


def test_what_other_threads_do_is_beside(recorder, clock):
    def work():
        with span("command", "docker ps"):
            clock.time += 3

    with span("test", "t"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    entries = found(recorder)
    assert entries["command", "docker ps"].beside
    assert entries["test", "t"].own == 3


def test_what_is_taken_is_forgotten_and_equals_are_added(recorder, clock):
    for _ in range(3):
        with span("command", "docker ps -a"):
            clock.time += 1
    [entry] = recorder.take()
    assert (entry.name, entry.count, entry.seconds) == ("docker ps", 3, 3)
    assert recorder.take() == []


def test_a_wait_is_timed_by_its_reason_also_when_it_fails(recorder):
    wait(lambda: True, "3 running tasks of swc-web-a1b2c3")
    with pytest.raises(LookupError):
        wait(lambda: State(False, hopeless=True), "the engine of slave01 to answer", error=LookupError)
    assert [name for _, name in found(recorder)] == ["N running tasks of NAME", "the engine of NODE to answer"]


def test_nothing_is_timed_where_nobody_records():
    with span("command", "docker ps"):
        assert wait(lambda: True, "nothing")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("docker service create --name swc-x web", "docker service create"),
        ("docker ps -aq", "docker ps"),
        ("docker exec 3abc sh -c 'wget -q http://x | grep y'", "docker exec, wget"),
        ("docker exec -i 3abc env", "docker exec, env"),
        ("cd /tmp/x && docker-compose up -d", "docker-compose up"),
        ("printf 'a: b' | docker stack deploy -c /dev/stdin none", "docker stack deploy"),
        ("DOCKER_BUILDKIT=1 docker build --help | grep -q x", "docker build"),
        ("ip -4 -oneline address show", "ip address"),
        ("/usr/sbin/ss -lnt sport = :80", "ss"),
        ("sh -euc 'docker node ls'", "sh"),
        ("echo 'it is open", "echo"),
        ("", "(nothing)"),
    ],
)
def test_a_command_is_named_by_its_first_words(line, name):
    assert names.normal("command", line) == name


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("master, slave01 and slave02 to be ready", "NODE… to be ready"),
        ("port 192.168.56.101:2377 to answer", "port ADDRESS to answer"),
        ("task 3xk2jd93kdk2s9d0f2k3j4h5 to run for 2.5 s", "task ID to run for N s"),
        ("MYSQL_PASSWORD=abcDEFghi to be taken", "MYSQL_PASSWORD=[redacted password] to be taken"),
    ],
)
def test_a_reason_has_no_names_and_no_secrets(reason, name):
    assert names.normal("wait", reason) == name


def test_a_call_is_named_by_the_words_of_the_api():
    assert names.normal("call", "GET /v1.41/services/swc-web/logs?tail=3") == "GET /services/X/logs"


# Processors


@pytest.fixture
def counter():
    counter = Processors()
    yield counter
    counter.close()


def test_a_program_that_the_suite_starts_is_the_suites(counter):
    before = counter.now()
    subprocess.run([sys.executable, "-c", BURN.format(0.3)], check=True)
    spent = counter.now().less(before)
    assert spent.suite >= 0.3
    assert spent.nodes == 0


def test_a_program_that_still_runs_counts_once(counter):
    burnt = BURN.format(0.3) + "print(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", burnt], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        running.stdout.readline()
        wait(lambda: State(counter.now().suite >= 0.3, f"{counter.now()}"), "the program to be counted")
        before = counter.now()
        running.communicate(b"\n")
    assert counter.now().less(before).suite < 0.2


def test_a_machine_is_its_program(counter):
    with subprocess.Popen([sys.executable, "-c", "input()\n" + BURN.format(0.2)], stdin=subprocess.PIPE) as machine:
        counter.watch(lambda: [Program(machine.pid), Program(2**22 + 1), Container("0" * 64)], anew=False)
        before = counter.now()
        machine.stdin.write(b"\n")
        machine.stdin.flush()
        wait(lambda: counter.now().less(before).nodes >= 0.15, "the machine to be counted")
        machine.communicate()
    assert counter.now().nodes >= 0.15


def test_what_a_removed_node_did_stays_counted(counter):
    there = []
    command = [sys.executable, "-c", BURN.format(0.2) + "print(flush=True)\ninput()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
        there.append(Program(machine.pid))
        counter.watch(lambda: list(there), anew=True)
        machine.stdout.readline()
        before = counter.now().nodes
        machine.kill()
    assert before >= 0.1
    assert counter.now().nodes == before
    there.clear()
    counter.now()
    assert counter.now().nodes == before


@pytest.mark.parametrize("text", [b"1500000000\n", b"usage_usec 1500000\nuser_usec 1\n"])
def test_both_versions_of_cgroups_are_read(tmp_path, text):
    file = tmp_path / "usage"
    file.write_bytes(text)
    group = processors._Cgroup(file)
    assert group.seconds() == 1.5
    group.close()
    file.unlink()
    assert group.seconds() == 1.5  # it has ended
    file.write_bytes(text)
    assert group.seconds() == 3.0  # and was started again


@pytest.mark.parametrize(
    "place", ["docker/{}", "system.slice/docker-{}.scope", "kube/pod1/{}", "docker/{}/docker/" + "f" * 64]
)
def test_a_containers_cgroup_is_found_whoever_made_it(tmp_path, monkeypatch, place):
    id = "ab" * 32
    group = tmp_path / place.format(id)
    group.mkdir(parents=True)
    (tmp_path / f"docker/{'f' * 64}/docker").mkdir(parents=True)
    monkeypatch.setattr(processors, "_roots", lambda _: [tmp_path])
    assert id in str(processors.group_of(id, "memory"))
    assert processors.group_of("cd" * 32, "memory") is None
