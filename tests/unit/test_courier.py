"""What goes with a command into a container of its engine, and what comes back. The files are real."""

import io
import os
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmlab.cli import rehearse
from swarmlab.courier import parcel
from swarmlab.courier.parcel import Parcel, pack, unpack
from swarmlab.paths import REPORTS, ROOT


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path


def named(words, folder):
    """Return the files that go beside the working tree."""
    return {file for file in Parcel.of("pytest", words, folder).files() if not file.is_relative_to(ROOT)}


@pytest.mark.parametrize(
    "words",
    [
        ["--waivers", "own/a.yaml"],
        ["--waivers=own/a.yaml"],
        ["--image=tool=own/a.yaml"],
        ["--engine", "bookworm,./own/a.yaml"],
        ["up", "--engine", "{folder}/own/a.yaml"],
        ["--engine", "own"],  # a folder of packages
    ],
)
def test_files_that_options_name_go_along(here, words):
    (here / "own").mkdir()
    (here / "own" / "a.yaml").write_text("")
    (here / "own.txt").write_text("")
    assert named([word.replace("{folder}", str(here)) for word in words], here) == {here / "own" / "a.yaml"}


def test_what_an_option_names_to_write_does_not_go(here):
    for name in ("out", "reports"):
        (here / name).mkdir()
        (here / name / "large").write_text("")
    assert named(["--out", "out", "--reports", "reports"], here) == set()


def test_words_after_two_dashes_are_no_options(here):
    (here / "a.yaml").write_text("")
    assert named(["shell", "master", "--", "--config", "a.yaml"], here) == set()


def test_a_file_of_options_goes_with_the_files_that_it_names(here):
    (here / "lab").mkdir()
    (here / "lab" / "w.yaml").write_text("")
    (here / "lab" / "swarmlab.toml").write_text('waivers = "w.yaml"\nreports = "out"\n')
    made = Parcel.of("pytest", ["--config", "lab/swarmlab.toml"], here)
    assert {here / "lab" / "w.yaml", here / "lab" / "swarmlab.toml"} <= set(made.files())
    assert made.reports == here / "lab" / "out"


def test_the_working_tree_goes_with_what_is_not_committed_and_without_what_is_ignored(tmp_path):
    own = tmp_path / "tree"
    for name in ("suites/a.py", "suites/__pycache__/a.pyc", "reports/runs/x", ".venv/bin/python"):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text("")
    assert set(parcel._tree(own)) == {own / "suites/a.py"}  # without git
    for command in ("init -q", "add suites/a.py"):
        assert os.system(f"git -C {own} {command}") == 0
    (own / ".gitignore").write_text("reports\n__pycache__\n.venv\n")
    (own / "suites/new.py").write_text("")
    assert set(parcel._tree(own)) == {own / "suites/a.py", own / "suites/new.py", own / ".gitignore"}
    (own / "suites/a.py").unlink()
    assert own / "suites/a.py" not in set(parcel._tree(own))


def test_of_earlier_runs_their_verdicts_go_and_the_whole_of_the_one_to_run_again(here):
    for name in ("20260101T000000Z-a", "20260102T000000Z-a"):
        folder = here / "r" / "runs" / name
        (folder / "evidence").mkdir(parents=True)
        (folder / "verdicts.json").write_text("{}")
        (folder / "evidence" / "e.txt").write_text("")
    (here / "r" / "latest").symlink_to("runs/20260102T000000Z-a")
    runs = here / "r" / "runs"
    verdicts = {runs / name / "verdicts.json" for name in ("20260101T000000Z-a", "20260102T000000Z-a")}
    assert named(["--reports", "r"], here) == verdicts | {here / "r" / "latest"}
    again = named(["--reports", "r", "--again"], here)
    assert again == verdicts | {here / "r" / "latest", runs / "20260102T000000Z-a" / "evidence" / "e.txt"}


def test_what_was_packed_is_unpacked_with_its_rights_and_links(tmp_path):
    source = tmp_path / "a"
    (source / "in").mkdir(parents=True)
    (source / "in" / "file").write_text("text")
    (source / "in" / "program").write_text("#!/bin/sh")
    (source / "in" / "program").chmod(0o700)
    (source / "link").symlink_to("in/file")
    made = io.BytesIO()
    sent = pack([source / "link", source / "in" / "file", source / "in" / "program", source / "gone"], made)
    assert str(source / "in") in sent
    assert "/" in sent
    made.seek(0)
    unpack(made, tmp_path / "b")
    there = tmp_path / "b" / str(source).lstrip("/")
    assert (there / "link").read_text() == "text"
    assert (there / "link").is_symlink()
    assert os.access(there / "in" / "program", os.X_OK)
    assert not os.access(there / "in" / "file", os.X_OK)


@pytest.mark.parametrize(
    ("name", "target"), [("../out", ""), ("/etc/out", ""), ("in", "../../out"), ("in", "/etc/passwd")]
)
def test_nothing_is_unpacked_outside_its_folder(tmp_path, name, target):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = (tarfile.SYMTYPE, target) if target else (tarfile.REGTYPE, "")
        archive.addfile(entry, io.BytesIO())
    made.seek(0)
    (tmp_path / "own").mkdir()
    unpack(made, tmp_path / "own")
    found = [path for path in tmp_path.rglob("*") if path != tmp_path / "own"]
    assert [path for path in found if path != tmp_path / "own" / "etc"] in ([], [tmp_path / "own" / "etc" / "out"])


def test_what_a_command_made_comes_back_from_its_places_alone():
    made = Parcel("pytest", ["--metrics=metrics.prom", "--reports", "reports"], Path("/w"))
    assert made.places()[:2] == [Path("/w/metrics.prom"), Path("/w/reports")]
    sent = {"/w/reports/runs/old/verdicts.json", "/w/reports/latest"}
    for name, wanted in (
        ("reports/runs/new/verdicts.json", True),
        ("reports/runs/new/.owner", False),
        ("reports/runs/old/verdicts.json", False),
        ("reports/latest", True),
        ("reports/.pytest_cache/x", False),
        ("metrics.prom", True),
    ):
        assert made.is_made(Path("/w") / name, sent) is wanted, name


def test_the_archive_of_logs_comes_back_from_the_current_folder():
    made = Parcel("swarmlab", ["logs"], Path("/w"))
    assert made.places() == [Path("/w")]
    assert made.is_made(Path("/w/swarmlab-logs-lab-1.tar.gz"), set())
    assert not made.is_made(Path("/w/other"), set())
    assert Parcel("swarmlab", ["logs", "x.tar.gz"], Path("/w")).places() == [Path("/w/x.tar.gz")]


def test_a_command_that_writes_nothing_brings_nothing_back():
    assert Parcel("swarmlab", ["status"], Path("/w")).places() == []
    assert Parcel("swarmlab", ["rehearse"], Path("/w")).places()[0] == REPORTS


def test_a_rehearsal_like_a_swarm_goes_with_what_was_read_of_the_swarm(here):
    written = []
    like = SimpleNamespace(write=written.append)
    words = ["rehearse", "--like", "swarm.yaml", "--to=trixie", "--group=a", "--workers", "2", "--managers", "3"]
    made = rehearse._with_likeness(words, like)
    (file,) = written
    assert made == ["rehearse", "--to=trixie", "--managers", "3", f"--like={file}"]
    assert file.name == "likeness.json"
    file.write_text("{}")
    assert file in named(made[1:], here)
