"""Logs of services, as ``docker service logs`` prints them on a manager that runs none of their tasks."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from suites.support.placement import one_on_each
from swarmlab.cluster.node import Node, Result
from swarmlab.cluster.service import Service, Task, specification
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked, DeadlineExceeded
from swarmlab.evidence import record
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, scaled, wait

#: Lines that a task writes to each of its streams at first, and lines that it writes when it is told to.
FIRST, LATE = 120, 3
#: Lines that are asked for where not all are.
LAST = 4
#: An environment variable whose value the driver notes with every line.
NOTED = "SPOKEN"
#: The file that tells a task to write the late lines.
_MORE = "/run/more"
#: Writes numbered lines to both streams, and late ones to standard output as soon as there is the file.
SPEAKS = (
    f"i=1; while [ $i -le {FIRST} ]; do echo out-$i; echo err-$i >&2; i=$((i+1)); done; trap exit TERM;"
    f" until [ -e {_MORE} ]; do sleep 0.1; done;"
    f" i=1; while [ $i -le {LATE} ]; do echo late-$i; i=$((i+1)); done; sleep 2147483647 & wait"
)
#: A line of a log: the time if it was asked for, service and slot and task, node, and what the task wrote.
_LINE = re.compile(r"^(?:(?P<at>\d{4}-\d\d-\d\dT\S+) )?(?P<task>[^\s@]+)@(?P<node>\S+)\s*\| ?(?P<text>.*)$")
_OUT = [f"out-{number}" for number in range(1, FIRST + 1)]
_ERR = [f"err-{number}" for number in range(1, FIRST + 1)]
_LATE = [f"late-{number}" for number in range(1, LATE + 1)]
#: Seconds at reference speed in which a log is whole after its lines were written, and in which the command ends.
SOON, ENDS = 20.0, 30.0


@dataclass(frozen=True)
class Line:
    """A line of a log.

    Attributes:
        at: its time as the engine writes it, empty if it was not asked for.
        task: name of the task as the log has it, such as web.1.ID; in a global service the slot is 0.
        node: name of the node as the log has it.
        text: what the task wrote.
    """

    at: str
    task: str
    node: str
    text: str

    @property
    def id(self) -> str:
        """The last part of the task's name: its id."""
        return self.task.rpartition(".")[2]


def lines(printed: str) -> list[Line]:
    """Return the lines of a log that have the form of one."""
    found = map(_LINE.match, printed.splitlines())
    return [Line(line["at"] or "", line["task"], line["node"], line["text"]) for line in found if line]


def texts(printed: str, task: Task) -> list[str]:
    """Return what a task wrote according to a log with ids of tasks, in the order of the log."""
    return _texts(lines(printed), task)


def _texts(found: Iterable[Line], task: Task) -> list[str]:
    return [line.text for line in found if line.id and task.id.startswith(line.id)]


@dataclass
class Heard:
    """The logs of a service of which one manager that runs none of its tasks was asked.

    Attributes:
        manager: the manager.
        service: the service's name.
        tasks: its tasks, one on each node that takes tasks but the manager.
        printed: by the options of the command, what it printed.
        of_task: by id of a task, what the command printed for it alone.
        since: the time of the first late line; empty if there is none.
        clocks: by host name, the time of its engine before the service was made and after its lines were read.
    """

    manager: Node
    service: str
    tasks: list[Task]
    printed: dict[str, Result] = field(default_factory=dict)
    of_task: dict[str, Result] = field(default_factory=dict)
    since: str = ""
    clocks: dict[str, tuple[str, str]] = field(default_factory=dict)

    def log(self, options: str) -> Result:
        """Return what the command printed with these options, which must have succeeded; note it in the evidence."""
        return _shown(self.printed[options], f"docker service logs {options}")


def _shown(done: Result, command: str) -> Result:
    record(done.node, f"{command} (asked once for several tests)", f"exit {done.code}\n{done.output}")
    assert done.ok, f"{command} on {done.node} ended with {done.code}: {done.err[-300:]}"
    return done


def logs(manager: Node, what: str, options: str = "") -> Result:
    """Run ``docker service logs`` with a time limit. Its exit code is 124 where it did not end."""
    return manager.run(f"timeout {scaled(ENDS):.0f} docker service logs {options} {shlex.quote(what)}")


def speaker(
    cluster: Swarm,
    manager: Node,
    *,
    command: str = SPEAKS,
    container: Mapping[str, Any] | None = None,
) -> Service:
    """Create a service that writes lines, with a task on every node but *manager*.

    The driver of its logs is named: the owner of a swarm may have set one whose logs only another program reads.
    """
    spec = specification(
        cluster.unique("speaker"),
        cluster.image("client"),
        labels={cluster.label: ""},
        everywhere=True,
        constraints=[f"node.hostname!={manager.name}"],
        environment={NOTED: "aloud"},
    )
    # The image's first process stays, which ends by the signal that a task is stopped with.
    spec["TaskTemplate"]["ContainerSpec"].update({"Args": ["sh", "-c", command], **(container or {})})
    spec["TaskTemplate"]["LogDriver"] = {"Name": "json-file", "Options": {"env": NOTED}}
    created = cluster.manager.ask("POST", "/services/create", body=spec)
    return Service(cluster, created["ID"], spec["Name"])


def apart(cluster: Swarm, manager: Node, service: Service) -> list[Task]:
    """Wait until a `speaker` has a task on each node that takes tasks but *manager*, and return the tasks.

    Raises:
        Blocked: fewer than two other nodes take tasks.
    """
    taking = {
        member["Description"]["Hostname"]
        for member in cluster.members()
        if member["Spec"]["Availability"] == "active" and member["Status"]["State"] == "ready"
    }
    others = [node for node in cluster.nodes if node is not manager and node.name in taking]
    if len(others) < 2:
        raise Blocked(f"beside {manager}, which is asked, {few(map(str, others)) or 'no node'} takes tasks")
    wait(lambda: one_on_each(service, others), f"a task of {service} on every node but {manager}", deadline=90)
    return service.running()


def say_more(cluster: Swarm, tasks: Iterable[Task]) -> None:
    """Let the tasks of a `speaker` write their late lines."""
    parallel(lambda task: cluster.probe(task).run(f": > {_MORE}").expect(), tasks)


def heard(cluster: Swarm) -> Heard:
    """Return the logs of a service that were asked for in many ways; it speaks once for all tests of a cluster."""
    found: Heard = cluster.keep("logs of a service", lambda: _hear(cluster))
    return found


def whole(done: Result, tasks: Iterable[Task], *wanted: list[str]) -> State:
    """Whether a log has the *wanted* lines of each task, each once; their order does not matter."""
    wrong, said_by = [], lines(done.output)
    for task in tasks:
        found = sorted(_texts(said_by, task))
        all_of_them = sorted(text for part in wanted for text in part)
        if found != all_of_them:
            lacking = len(set(all_of_them) - set(found))
            twice = len(found) - len(set(found))
            wrong.append(
                f"of the task on {task.node} {lacking} of {len(all_of_them)} lines are missing, {twice} double"
            )
    said = f"; it says {done.err.strip()[-200:]!r}" if "incomplete" in done.err else ""
    return State(done.ok and not wrong and not said, f"{few(wrong, '; ') or 'whole'}{said}")


def _hear(cluster: Swarm) -> Heard:
    manager = cluster.manager
    before = {node.name: node.info()["SystemTime"] for node in cluster.nodes}
    service = speaker(cluster, manager)
    result = Heard(manager, service.name, apart(cluster, manager, service))

    def ask(options: str, *wanted: list[str]) -> Result:
        def full() -> State:
            result.printed[options] = logs(manager, service.name, options)
            return whole(result.printed[options], result.tasks, *wanted)

        with contextlib.suppress(DeadlineExceeded):  # each test judges what it is about
            wait(full, "a log to be whole", deadline=SOON)
        return result.printed[options]

    ask("--no-trunc", _OUT, _ERR)
    alone = parallel(lambda task: logs(manager, task.id, "--no-trunc"), result.tasks)
    result.of_task = dict(zip((task.id for task in result.tasks), alone, strict=True))
    say_more(cluster, result.tasks)
    timed = ask("--no-trunc --timestamps", _OUT, _ERR, _LATE)
    result.clocks = {node.name: (before[node.name], node.info()["SystemTime"]) for node in cluster.nodes}
    result.since = min((line.at for line in lines(timed.out) if line.text == _LATE[0]), default="")
    for options in (
        f"--no-trunc --timestamps --since={result.since}",
        f"--no-trunc --tail={LAST}",
        f"--tail={LAST}",
        f"--no-trunc --no-resolve --tail={LAST}",
        f"--raw --tail={LAST}",
        f"--no-trunc --details --tail={LAST}",
    ):
        result.printed[options] = logs(manager, service.name, options)
    return result
