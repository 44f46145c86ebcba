"""What an engine that does not run said as it ended."""

import subprocess

import pytest

from swarmlab.preflight.last_words import QUESTION
from tests.unit.test_preflight import made, set_answer, sight  # noqa: F401

START = 'time="2026-11-30T20:58:35Z" level=info msg="Starting up"'
PANIC = (
    'time="2026-11-30T20:58:45Z" level=panic msg="tocommit(120) is out of range [lastIndex(2)]. Was the raft log '
    'corrupted, truncated, or lost?" module=raft node.id=uvpgt3u27tea0aa822a5ksnpb'
)
TRACE = "panic: (*logrus.Entry) 0xc0000ce930\n\ngoroutine 242 [running]:\ngithub.com/x/raft.(*raftLog).commitTo(0xc0)"
STOPPED = 'time="2026-11-30T20:59:45Z" level=info msg="Processing signal \'terminated\'"'
REFUSED = (
    "unable to configure the Docker daemon with file /etc/docker/daemon.json: the following directives don't match any "
    "configuration option: storage-drivr"
)


@pytest.mark.parametrize(
    ("log", "printed"),
    [
        ([START, PANIC, TRACE, "Failed to start docker.service - Docker Application Container Engine."], PANIC),
        ([START, PANIC, TRACE, START], ""),  # it is being started again
        ([START, PANIC, TRACE, START, STOPPED], ""),
        ([START, STOPPED, REFUSED], REFUSED),
        ([START, "panic: runtime error: index out of range [5]", "goroutine 1 [running]:"],
         "panic: runtime error: index out of range [5]"),
        ([START, "docker.service: A process of this unit has been killed by the OOM killer."],
         "docker.service: A process of this unit has been killed by the OOM killer."),
        ([], ""),
    ],
)  # fmt: skip
def test_the_end_of_the_log_tells_why_an_engine_ended(tmp_path, log, printed):
    file = tmp_path / "log"
    file.write_text("\n".join(log) + "\n")
    asked = QUESTION.replace("journalctl", "false").replace("/var/log/dockerd.log", str(file))
    asked = asked.replace("/proc/[0-9]*/comm", "/dev/null")
    ran = subprocess.run(["sh", "-c", asked], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, printed, "")


def test_nothing_is_read_where_an_engine_runs(tmp_path):
    file = tmp_path / "log"
    file.write_text(f"{START}\n{PANIC}\n")
    (tmp_path / "comm").write_text("dockerd\n")
    asked = QUESTION.replace("journalctl", "false").replace("/var/log/dockerd.log", str(file))
    asked = asked.replace("/proc/[0-9]*/comm", str(tmp_path / "comm"))
    assert subprocess.run(["sh", "-c", asked], capture_output=True, text=True).stdout == ""


def told(sight, words):  # noqa: F811
    """Return the finding of an engine that does not answer and has these last words."""
    view = sight.nodes[1]
    view.info, view.version, view.silent = {}, {}, "the engine of slave01 does not answer: refused"
    set_answer(sight, "last words", words)
    (finding,) = [one for one in made.look("engines-answer", sight) if one.level.trouble]
    return finding


def test_a_manager_whose_log_is_damaged_is_told_with_its_way_back(sight):  # noqa: F811
    finding = told(sight, PANIC)
    assert finding.nodes == ("slave01",)
    assert "it ended with: tocommit(120) is out of range" in finding.summary
    assert "raft log corrupted" in finding.summary
    assert "docker node demote" in finding.mend
    assert "mv /var/lib/docker/swarm" in finding.mend


def test_what_others_wrote_stays_out(sight):  # noqa: F811
    finding = told(sight, 'time="x" level=fatal msg="cannot read \\"/srv/of-ours/secret\\" of /srv/of-ours"')
    assert "of-ours" not in finding.summary
    assert "journalctl" in finding.mend
