"""Wrong words to swarmlab's commands, in this process: status 2, one line that names the thing, nothing left behind."""

import shlex

import pytest

from swarmlab import outputs
from swarmlab.cli.main import main
from swarmlab.errors import LabError, UsageError
from swarmlab.files import kind_of
from swarmlab.labs.context import named_engine

NOWHERE = "unix:///nowhere/docker.sock"
LONG = "a" * 300


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command in an empty folder, and returns its status and its only line."""
    for name, value in {"DOCKER_HOST": NOWHERE, "SWARMLAB_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)

    def _refused(command):
        before = sorted(place.rglob("*"))
        try:
            status = main(shlex.split(command))
        except SystemExit as ended:
            status = ended.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert sorted(place.rglob("*")) == before
        [line] = (out + err).splitlines()
        return status, line.removeprefix("swarmlab: ")

    return _refused


# Paths that cannot be looked at


@pytest.mark.parametrize(
    "command",
    ["report {}", "compare {} x", "results {}", "verify {}", "merge {}", "logs {}", "preflight --inventory {}"],
)
def test_a_name_that_is_too_long_cannot_be_read(refused, command):
    status, line = refused(command.format(LONG))
    assert status == 2
    assert line.endswith(": cannot be read: File name too long")


def test_what_is_at_a_path_is_told_or_refused(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    paths = [tmp_path, tmp_path / "file", tmp_path / "none", tmp_path / "file" / "x"]
    assert list(map(kind_of, paths)) == ["folder", "file", "", ""]
    for name in (LONG, "loop", "nul\0"):
        with pytest.raises(UsageError, match="cannot be read: "):
            kind_of(tmp_path / name)


def test_settings_of_docker_that_may_not_be_read_are_none(monkeypatch):
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", f"/{LONG}")
    assert named_engine() is None


# Where results go


@pytest.mark.parametrize("command", ["report x", "report x --markdown", "results x"])
@pytest.mark.parametrize("place", [".", "/", "~"])
def test_a_folder_is_no_file_for_results(refused, command, place):
    status, line = refused(f"{command} --out '{place}'")
    assert status == 2
    assert line.endswith(": is a folder; name a file")


def test_the_home_of_a_user_that_is_none_is_told(refused):
    assert refused("report x --out '~nouser/x'")[1].startswith("--out ~nouser/x: there is no such user")
    assert refused("results x --times --bench y --picture '~nouser/x'")[1].startswith("--picture ~nouser/x: there is")


@pytest.mark.parametrize(
    ("command", "phrase"),
    [
        ("merge nowhere --metrics n1/a/x.prom", "nowhere: no such file or folder"),
        ("preflight --metrics n2/a/x --inventory nowhere", "nowhere: cannot be read"),
        ("report nowhere --out n3/a/x", "nowhere: no such file or folder"),
        ("rehearse --out n4/a --to forky", f"no engine answers at DOCKER_HOST={NOWHERE}"),
    ],
)
def test_a_command_that_is_refused_leaves_no_folder(refused, command, phrase, monkeypatch):
    monkeypatch.setattr("swarmlab.rehearsal.run.obtain", lambda *_: None)
    status, line = refused(command)
    assert status == 2
    assert phrase in line


def test_a_probe_of_a_folder_leaves_what_was_there(tmp_path):
    (tmp_path / "empty").mkdir()
    outputs.check(tmp_path / "empty" / "a" / "b")
    outputs.check(tmp_path / "empty")
    assert list(tmp_path.rglob("*")) == [tmp_path / "empty"]
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="cannot be written: "):
        outputs.check(tmp_path / "file" / "a")


def test_a_page_is_written_to_a_folder_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("swarmlab.cli.report.results.load", lambda _: None)
    monkeypatch.setattr("swarmlab.cli.report.pull_request.render", lambda *_: "page")
    assert main(["report", "x", "--markdown", "--out", "a/b.md"]) == 0
    assert capsys.readouterr().out == "a/b.md\n"
    assert (tmp_path / "a" / "b.md").read_text() == "page"


# Words that are not known


def test_the_name_of_a_lab_has_no_end_of_line(refused):
    said = "'swarmlab\\n' is not the name of a lab: write at most 31 of a-z, 0-9 and -"
    assert refused("up --name 'swarmlab\n'") == (2, said)


def test_a_check_that_there_is_not_is_told_with_the_nearest(refused):
    assert refused("preflight --skip disc=x")[1].startswith("no check 'disc'; did you mean disk?; checks: ")
