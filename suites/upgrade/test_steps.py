"""The control, the steps of an upgrade, and what was lost during them."""

from fixtures.claims import claim
from fixtures.rehearsal import at, in_stage
from suites.support.upgrade.lost import HOLE, present
from swarmlab.errors import DeadlineExceeded, LabError
from swarmlab.lists import few
from swarmlab.wait import scaled
from swarmlab.watching.writer import found


@claim("upgrade/restart")
@at("before")
@in_stage("last")  # the steps follow, under the traffic that begins here
def test_every_engine_is_restarted_as_it_is(course):
    course.restart_each()


@claim("upgrade/step")
def test_a_node_comes_back_as_the_same_member(course, step):
    course.take(step)


@claim("upgrade/no-request-lost")
@at("after")
@in_stage("first")  # what watched the steps ends as soon as the last is done
def test_losses_of_requests(course):
    course.rest()
    lost = course.lost()
    lines = [f"{course.why(entry)} through {name} at {course.when(entry.at)}" for name in lost for entry in lost[name]]
    more = f", and {len(lines) - 3} more" if len(lines) > 3 else ""
    assert not lines, f"of {course.asked()} requests {len(lines)} were lost: {'; '.join(lines[:3])}{more}"


@claim("upgrade/no-write-lost")
@at("after")
@in_stage("first")
def test_losses_of_writes(course):
    course.rest()
    writer = course.writer
    for manager in course.cluster.managers:
        state = found(writer.writes, manager.ask("GET", "/configs"))
        course.missing += [] if state else [f"{manager}: {state.summary}"]
    course.write()
    assert not course.missing, "; ".join(course.missing)
    for step in course.steps:
        idle = " and ".join(map(str, course.idle_managers(step)))
        assert not idle, f"{idle} took no write while {step.node} was upgraded: {writer.summary}"


@claim("upgrade/streams-kept")
@at("after")
@in_stage("first")
def test_losses_of_downloads(course):
    cut = [f"{entry}, while {step.node} got {step.engine}" for step in course.steps for entry in step.cut]
    assert not cut, f"{len(cut)} downloads did not go on: {'; '.join(cut)}"
    if course.unwatched:
        raise DeadlineExceeded(f"downloads that were cut before had not begun again: {few(course.unwatched, '; ')}")


@claim("upgrade/datagrams-kept")
@at("after")
@in_stage("first")
def test_losses_of_datagrams(course):
    course.rest()
    begin, end = course.steps[0].began, course.steps[-1].ended
    paused = []
    for node in course.cluster.nodes:
        for since, until in present(course.away(node.name), begin, end):
            when = f"between {course.when(since)} and {course.when(until)}"
            silent = course.datagrams.silence(node.name, since, until)
            assert silent <= scaled(HOLE), (
                f"{node} left datagrams from one socket unanswered for {silent:.1f} s, {when}: "
                f"{course.datagrams.summary}"
            )
            if (pause := course.datagrams.pause(node.name, since, until)) > scaled(HOLE):
                paused.append(f"{node} for {pause:.1f} s, {when}")
    if paused:
        raise LabError(f"no datagrams were sent to {few(paused, '; ')}")
