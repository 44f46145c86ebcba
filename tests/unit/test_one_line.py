"""Wrong words to swarmlab's commands, in this process: status 2, one line that names the thing, nothing left behind."""

import re
import shlex

import pytest

from swarmlab import configuration, outputs
from swarmlab.cli.main import main
from swarmlab.errors import LabError, UsageError
from swarmlab.files import kind_of, read_json
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


def test_a_link_that_results_go_to_stays_one(tmp_path):
    (tmp_path / "file").write_text("before")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    outputs.write(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "after"


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


# Files of JSON


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "values lie too deep"),
        ("9" * 5000, "Exceeds the limit"),
        ('{"a": NaN}', "NaN is no number"),
        ("[1e300]", "1e300 is too large a number"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice in one object"),
        (r'["\ud800"]', r"\ud800 is half of a character"),
    ],
)
def test_what_is_no_json_is_one_line(tmp_path, text, said):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=r"^thing .*/x\.json: is not JSON: ") as refused:
        read_json(tmp_path / "x.json", "thing")
    assert said in str(refused.value)
    assert len(str(refused.value)) < 400


def test_json_has_whole_characters_and_may_begin_with_a_mark_of_its_order(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf["\\ud83d\\ude00", 9223372036854775807, 1.5]')
    assert read_json(tmp_path / "x.json") == ["\U0001f600", 2**63 - 1, 1.5]
    with pytest.raises(UsageError, match="has more than 256 KiB"):
        read_json("/dev/full")


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("results x --kills ''", "", "results: --kills: is empty; write a value, or leave it out; see: "),
        ("results x --times --bench ''", "", "results: --bench: is empty; write a value, or leave it out; see: "),
        ("results x --times --bench nowhere", "", "benchmark nowhere: cannot be read: No such file or directory"),
        ("results x --times --bench {}", "[" * 100_000, "is not JSON: values lie too deep"),
        ("results x --times --bench {}", "[]", "is not a benchmark: [] is not of type 'object'; make one with: make "),
        ("rehearse --like {}", "[" * 100_000, "is not JSON: values lie too deep"),
    ],
)
def test_a_file_of_json_that_is_wrong_is_told(refused, tmp_path, command, text, said):
    file = tmp_path / "likeness.json"
    file.write_text(text)
    status, line = refused(command.format(file))
    assert status == 2
    assert said in line


def test_a_context_of_docker_that_is_damaged_is_one_line_or_has_no_address(tmp_path, monkeypatch):
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "x")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    meta = tmp_path / "contexts" / "meta" / "x" / "meta.json"
    meta.parent.mkdir(parents=True)
    for text, said in (
        ("[" * 100_000, "too deep; mend it, or set DOCKER_HOST"),
        ('{"Name": "x", "Endpoints": "y"}', "x "),
    ):
        meta.write_text(text)
        with pytest.raises(UsageError, match=said):
            named_engine()


def test_a_number_of_thousands_of_digits_is_no_toml(tmp_path):
    (tmp_path / "swarmlab.toml").write_text(f"keep-runs = {'9' * 5000}")
    with pytest.raises(UsageError, match=r"swarmlab.toml: is not TOML: Exceeds the limit"):
        configuration.read(tmp_path / "swarmlab.toml")


# Small things


def test_a_path_with_an_end_of_line_is_told_in_one_line(refused):
    assert refused("report 'a\nb'")[1].startswith("a b: no such file or folder")


def test_a_part_whose_record_is_empty_is_told(refused, tmp_path):
    (tmp_path / "verdicts.jsonl").touch()
    status, line = refused(f"merge {tmp_path}")
    assert status == 2
    assert re.search(r"verdicts\.jsonl is not the record of a run: '\w+' is missing$", line)


def test_an_image_that_is_no_reference_is_refused_before_a_node_is_reached(refused, tmp_path):
    (tmp_path / "swarm.yaml").write_text("nodes: [{address: 192.0.2.1}]")
    line = refused(f"doctor --inventory {tmp_path / 'swarm.yaml'} --image 'a b'")[1]
    assert line.startswith("--image a b: is no reference of an image; write NAME[:TAG] or ")
