"""The digests of a run's files: written at its end, checked by `swarmlab verify` and by sha256sum."""

import hashlib
import os
import shutil
import subprocess

import pytest

from swarmlab import ownership
from swarmlab.cli.main import main
from swarmlab.verdicts import folders, manifest
from tests.unit.helpers import IDS

ODD = ["a b.txt", "back\\slash", "line\nbreak", "größe.txt", "-n"]


@pytest.fixture
def ended(run):
    """A run that has ended, with its digests, and the digest that it told."""
    folder = run({IDS[0]: "pass", IDS[1]: "fail"})
    (folder / "allure-results").mkdir()
    for name in ODD:
        (folder / "allure-results" / name).write_text(name)
    return folder, folders.ended(folder, keep=0)


def verify(capsys, *arguments):
    status = main(["verify", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def test_a_run_is_as_it_was_left_whatever_names_it(ended, capsys):
    folder, digest = ended
    assert digest == hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()
    reports = folder.parent / "reports"
    (reports / "runs").mkdir(parents=True)
    kept = reports / "runs" / "20261129T091500Z-dind"
    shutil.copytree(folder, kept)
    (reports / "latest").symlink_to("runs/20261129T091500Z-dind")
    for path in (folder, folder / "verdicts.json", reports, reports / "latest", reports / "latest" / "verdicts.json"):
        status, printed = verify(capsys, path)
        assert status == 0, printed
        assert "all 8 files are as the run left them" in printed
        assert f"digest: sha256 {digest}" in printed
    (reports / "latest").unlink()
    assert verify(capsys, reports)[0] == 0
    assert verify(capsys, folder, "--digest", f"sha256:{digest.upper()}")[0] == 0


def test_sha256sum_checks_it_too(ended):
    folder, _ = ended
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum here")
    ran = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (folder / "evidence" / "0.txt").write_text("x")
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True).returncode == 1


def test_what_was_changed_removed_or_added_is_named(ended, capsys):
    folder, digest = ended
    (folder / "evidence" / "0.txt").write_text("nicer")
    (folder / "evidence" / "1.txt").unlink()
    (folder / "evidence" / "forged.txt").write_text("x")
    (folder / "evidence" / "empty").mkdir()
    status, printed = verify(capsys, folder)
    assert status == 1
    assert printed.splitlines()[:4] == [
        "changed: evidence/0.txt",
        "missing: evidence/1.txt",
        "added: evidence/forged.txt",
        f"{folder}: NOT all 8 files are as the run left them",
    ]
    # Whoever writes the digests anew, too, is found by the digest that the run told.
    manifest.write(folder)
    assert verify(capsys, folder)[0] == 0
    status, printed = verify(capsys, folder, "--digest", digest)
    assert status == 1
    assert f"not {digest}: the digests were written anew" in printed


def test_the_verdicts_themselves_may_be_what_is_missing(ended, capsys):
    folder, _ = ended
    (folder / "verdicts.json").unlink()
    for path in (folder, folder / "verdicts.json"):
        status, printed = verify(capsys, path)
        assert status == 1
        assert "missing: verdicts.json" in printed


def test_links_and_what_is_no_file_are_told(ended, capsys):
    folder, _ = ended
    evidence = folder / "evidence"
    (folder.parent / "same").write_bytes((evidence / "0.txt").read_bytes())
    (evidence / "0.txt").unlink()
    (evidence / "0.txt").symlink_to(folder.parent / "same")
    (evidence / "elsewhere").symlink_to("/etc")
    (evidence / "1.txt").unlink()
    os.mkfifo(evidence / "1.txt")
    status, printed = verify(capsys, folder)
    assert status == 1
    assert "changed: evidence/0.txt (is a link)" in printed
    assert "added: evidence/elsewhere (is a link)" in printed
    assert "changed: evidence/1.txt (is no plain file)" in printed


def test_what_is_written_after_a_run_is_not_covered_and_said(ended, capsys):
    folder, _ = ended
    (folder / "report.html").write_text("x")
    (folder / "compare.md").write_text("x")
    (folder / "allure").mkdir()
    (folder / "allure" / "index.html").write_text("x")
    status, printed = verify(capsys, folder)
    assert status == 0
    assert "not covered, as it is written after a run: report.html, compare.md, allure" in printed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no SHA256SUMS: the run did not end, or older suites made it"),
        ("", "SHA256SUMS, line 1: is no line of sha256sum"),
        ("x\n", "SHA256SUMS, line 1: is no line of sha256sum"),
        (f"{'0' * 64}  a\n{'0' * 64}  b", "line 1: is no line of sha256sum; the file was changed or cut"),
        (f"{'0' * 64}  a\n{'1' * 64}  a\n", "line 2: a stands there twice"),
        (f"{'0' * 64}  ../a\n", "line 1: ../a is no file of the run"),
        (f"{'0' * 64}  /etc/passwd\n", "line 1: /etc/passwd is no file of the run"),
    ],
)
def test_a_run_without_digests_is_wrong_input_in_one_line(run, capsys, content, words):
    folder = run({IDS[0]: "pass"})
    if content is not None:
        (folder / "SHA256SUMS").write_text(content)
    status, printed = verify(capsys, folder)
    assert status == 2
    assert words in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("digest", ["abc", "sha1:" + "0" * 40, "g" * 64, "0" * 63])
def test_what_is_no_digest_is_refused(ended, capsys, digest):
    status, printed = verify(capsys, ended[0], "--digest", digest)
    assert status == 2
    assert "is no SHA-256; write its 64 hexadecimal digits" in printed
    assert printed.count("\n") == 1


def test_where_there_is_no_run_that_is_said(tmp_path, capsys):
    status, printed = verify(capsys, tmp_path)
    assert status == 2
    assert printed.startswith(f"swarmlab: {tmp_path}: no run in it; ")
    assert verify(capsys, tmp_path / "none")[0] == 2


def test_a_run_that_goes_on_is_not_verified(ended, capsys):
    folder, _ = ended
    (folder / ".owner").write_text(ownership.this_process())
    status, printed = verify(capsys, folder)
    assert status == 2
    assert "it is still running; verify it when it has ended" in printed


def test_a_run_without_a_verdict_leaves_no_digests(tmp_path):
    folder = tmp_path / "reports" / "runs" / "20261129T091500Z-dind"
    folder.mkdir(parents=True)
    (folder / "verdicts.jsonl").write_text("")
    assert folders.ended(folder, keep=0) == ""
    assert not folder.exists()
