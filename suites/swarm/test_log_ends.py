"""Logs of services that go on, of terminals, and of containers that are gone."""

import pytest

from fixtures.claims import claim
from suites.support.service_logs import LATE, apart, lines, logs, say_more, speaker, texts
from swarmlab.lists import few
from swarmlab.wait import State, eventually, scaled, wait


@pytest.fixture
def folder(cluster):
    """A folder on the first manager."""
    bench = cluster.bench(cluster.manager)
    yield bench.folder()
    bench.clear()


@claim("logs/follow")
def test_a_followed_log_goes_on_with_lines_of_every_task(cluster, folder):
    manager = cluster.manager
    service = speaker(cluster, manager)
    tasks = apart(cluster, manager, service)
    # It ends by itself, should nobody end it.
    follow = f"timeout {scaled(120):.0f} docker service logs --no-trunc --follow {service}"
    manager.run(
        f"setsid sh -c 'echo $$ > {folder}/pid; exec {follow} > {folder}/log 2>&1' > /dev/null 2>&1 < /dev/null &"
    )

    def said(word):
        found = lines(manager.look(f"cat {folder}/log").out)
        return {task.node: sum(line.id == task.id and line.text.startswith(word) for line in found) for task in tasks}

    def begun():
        counts = said("out-")
        return State(all(counts.values()), f"lines by node: {counts}")

    wait(begun, "a followed log to begin", deadline=30)
    say_more(cluster, tasks)

    def went_on():
        counts = said("late-")
        return State(
            all(count == LATE for count in counts.values()), f"of {LATE} new lines it gives, by node: {counts}"
        )

    try:
        eventually(went_on, f"the followed log of {service} to go on with what its tasks write", deadline=20)
        alive = manager.run(f"kill -0 $(cat {folder}/pid)")
        assert alive.ok, f"docker service logs --follow ended on {manager} while the tasks of {service} run"
    finally:
        manager.run(f"kill $(cat {folder}/pid)")


@claim("logs/tty")
def test_the_log_of_a_task_with_a_terminal_is_what_the_terminal_shows(cluster):
    manager = cluster.manager
    speaks = "echo spoke-1; echo spoke-2 >&2; [ -t 1 ] && echo on-a-terminal; exec sleep 2147483647"
    service = speaker(cluster, manager, command=speaks, container={"TTY": True})
    tasks = apart(cluster, manager, service)
    wanted = sorted(["spoke-1", "spoke-2", "on-a-terminal"] * len(tasks))

    def whole():
        done = logs(manager, service.name, "--raw")
        # A terminal ends its lines with a carriage return too.
        found = sorted(line.rstrip("\r") for line in done.out.splitlines())
        return State(done.ok and found == wanted, f"{manager} gives {few(found)} and says {done.err[-200:]!r}")

    eventually(whole, f"the log of {service}, whose tasks have terminals, to be what they show", deadline=20)


@claim("logs/container-gone")
def test_a_log_ends_though_the_container_of_a_task_is_gone(cluster):
    manager = cluster.manager
    service = speaker(cluster, manager, command="echo spoke; exec sleep 2147483647")
    gone, *left = apart(cluster, manager, service)
    cluster.node(gone.node).ask("DELETE", f"/containers/{gone.container}", force=True)
    wait(
        lambda: State(gone.id not in {task.id for task in service.running()}, "it is listed as running"),
        "a manager to know that a task has lost its container",
        deadline=30,
    )

    def given():
        done = logs(manager, service.name, "--no-trunc")
        if done.code == 124:
            return State(False, f"docker service logs on {manager} does not end", hopeless=True)
        lacking = [task.node for task in left if "spoke" not in texts(done.out, task)]
        said = f"{manager} gives {few(done.output.splitlines(), most=2)!r}"
        return State(not lacking, f"nothing of the tasks on {few(lacking) or 'none'}: {said}")

    eventually(
        given,
        f"the log to end, with the lines of the other tasks, when that on {gone.node} has lost its container",
        deadline=40,
    )
