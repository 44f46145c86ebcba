"""Logs of a service whose tasks run on other nodes than the manager that is asked."""

import re

from fixtures.claims import claim
from suites.support.service_logs import FIRST, LAST, LATE, NOTED, heard, lines, texts, whole
from swarmlab.lists import few
from swarmlab.watching.events import moment

OUT, ERR, LATER = (
    [f"{word}-{number}" for number in range(1, count + 1)]
    for word, count in (("out", FIRST), ("err", FIRST), ("late", LATE))
)


@claim("logs/complete")
def test_a_manager_gives_every_line_of_tasks_on_other_nodes(cluster):
    log = heard(cluster)
    state = whole(log.log("--no-trunc"), log.tasks, OUT, ERR)
    assert state, f"{log.manager}, which runs none of its tasks, gives of the log of {log.service}: {state.summary}"


@claim("logs/in-order")
def test_the_lines_of_a_task_keep_their_order(cluster):
    log = heard(cluster)
    printed = log.log("--no-trunc")
    for task in log.tasks:
        for stream in (OUT, ERR):
            found = [text for text in texts(printed.output, task) if text in stream]
            wanted = [text for text in stream if text in found]
            assert len(found) > FIRST // 2, f"{log.manager} gives {len(found)} lines of the task on {task.node}"
            turned = next((pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]), None)
            assert not turned, f"in the log of the task on {task.node} {turned[0]} stands where {turned[1]} belongs"


@claim("logs/streams-apart")
def test_what_tasks_wrote_to_standard_error_comes_as_such(cluster):
    log = heard(cluster)
    printed = log.log("--no-trunc")
    for task in log.tasks:
        for name, text, own, other in (("output", printed.out, OUT, ERR), ("error", printed.err, ERR, OUT)):
            found = set(texts(text, task))
            strange = sorted(found & set(other))
            assert found & set(own), f"standard {name} of the log has nothing of that of the task on {task.node}"
            assert not strange, f"standard {name} of the log has {few(strange, most=2)} of the task on {task.node}"


@claim("logs/tail")
def test_tail_gives_the_last_lines_of_each_task(cluster):
    log = heard(cluster)
    every, last = log.log("--no-trunc --timestamps"), log.log(f"--no-trunc --tail={LAST}")
    for task in log.tasks:
        found = texts(last.output, task)
        assert len(found) == LAST, f"of the task on {task.node} --tail={LAST} gives {len(found)} lines: {few(found)}"
        written = [(line.at, line.text) for line in lines(every.output) if line.id == task.id]
        # The late lines are the last of all. Of two streams, either one's last line may come before them.
        assert set(LATER) < set(found), f"the last lines of the task on {task.node} are {LATER}, given are {found}"
        strange = sorted(set(found) - {*LATER, OUT[-1], ERR[-1]})
        assert not strange, f"among the last lines of the task on {task.node} is {few(strange)}, the last of no stream"
        assert set(found) <= {text for _, text in written}, f"lines of the task on {task.node} are new: {found}"


@claim("logs/since")
def test_since_leaves_out_what_is_older(cluster):
    log = heard(cluster)
    every = log.log("--no-trunc --timestamps")
    assert log.since, f"{log.manager} gives no line that was written late"
    after = log.log(f"--no-trunc --timestamps --since={log.since}")
    start = moment(log.since)
    for task in log.tasks:
        written = [line for line in lines(every.output) if line.id == task.id]
        wanted = sorted(line.text for line in written if moment(line.at) >= start)
        found = sorted(texts(after.output, task))
        old = [line.text for line in lines(after.output) if line.id == task.id and moment(line.at) < start]
        assert not old, f"--since={log.since} gives older lines of the task on {task.node}: {few(old)}"
        assert found == wanted, f"--since={log.since} gives {few(found)} of the task on {task.node}, not {few(wanted)}"


@claim("logs/timestamps")
def test_lines_have_the_time_at_which_they_were_written(cluster):
    log = heard(cluster)
    printed = log.log("--no-trunc --timestamps")
    for task in log.tasks:
        before, after = map(moment, log.clocks[task.node])
        times = [line.at for line in lines(printed.output) if line.id == task.id]
        assert times, f"{log.manager} gives no line of the task on {task.node}"
        assert all(times), f"lines of the task on {task.node} have no time"
        wrong = [at for at in times if not before <= moment(at) <= after]
        assert not wrong, f"lines of the task on {task.node} have times such as {wrong[0]}, which it was not meanwhile"


@claim("logs/one-task")
def test_the_log_of_a_task_has_the_lines_of_that_task_alone(cluster):
    log = heard(cluster)
    for task in log.tasks:
        done = log.of_task[task.id]
        assert done.ok, f"docker service logs of a task on {log.manager} ended with {done.code}: {done.err[-300:]}"
        state = whole(done, [task], OUT, ERR)
        assert state, f"asked for one task, {log.manager} gives its log not whole: {state.summary}"
        others = {line.node for line in lines(done.output) if line.id != task.id}
        assert not others, f"asked for the task on {task.node}, {log.manager} gives lines of {few(sorted(others))} too"


@claim("logs/names")
def test_each_line_names_its_task_and_node(cluster):
    log = heard(cluster)
    ids = {name: identity for identity, name in cluster.names().items()}
    said = lines(log.log(f"--tail={LAST}").output)
    plain = lines(log.log(f"--no-trunc --no-resolve --tail={LAST}").output)
    for task in log.tasks:
        wanted = {(f"{log.service}.{task.slot}.{task.id[:12]}", task.node)}
        found = {(line.task, line.node) for line in said if line.task in {name for name, _ in wanted}}
        assert found == wanted, f"lines of the task on {task.node} are said to be of {found or 'nothing'}, not {wanted}"
        of_node = {line.node for line in plain if line.id == task.id}
        assert of_node == {ids[task.node]}, f"with --no-resolve lines of the task on {task.node} name {of_node}"
    raw = log.log(f"--raw --tail={LAST}")
    wrong = [line for line in raw.output.splitlines() if not re.fullmatch(r"(out|err|late)-\d+", line)]
    assert not wrong, f"with --raw lines have more than what tasks wrote: {few(wrong, most=2)}"
    count = len(raw.output.splitlines())
    assert count == LAST * len(log.tasks), f"--raw gives {count} lines, not {LAST} of each task"


@claim("logs/details")
def test_details_are_given_with_each_line_if_they_are_asked_for(cluster):
    log = heard(cluster)
    for options, shown in ((f"--no-trunc --details --tail={LAST}", True), (f"--no-trunc --tail={LAST}", False)):
        printed = log.log(options)
        for task in log.tasks:
            found = texts(printed.output, task)
            assert found, f"with {options} {log.manager} gives no line of the task on {task.node}"
            having = [text for text in found if f"{NOTED}=aloud" in text]
            wrong = f"{len(having)} of {len(found)} lines of the task on {task.node} have {NOTED}"
            assert len(having) == (len(found) if shown else 0), f"with {options} {wrong}"
