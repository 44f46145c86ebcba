"""The folder of sockets and locks: whose it is, and that nothing piles up in it."""

import concurrent.futures
import contextlib
import fcntl
import os
import subprocess
import sys

import pytest

from swarmlab import host
from swarmlab.errors import UsageError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder of sockets and locks, which does not exist yet."""
    place = tmp_path / "run"
    monkeypatch.setattr(host, "run_folder", lambda: place)
    return place


@pytest.fixture
def ordinary(tmp_path, monkeypatch):
    """Return the folder of another ordinary user than that of these tests, below a folder of the test's."""
    user = os.getuid() + 1
    monkeypatch.setattr(host.os, "geteuid", lambda: user)
    real = host.Path
    monkeypatch.setattr(host, "Path", lambda path: real(str(path).replace("/var/tmp", str(tmp_path))))
    return tmp_path / f"swarmlab-{user}"


def files(place):
    return sorted(str(found.relative_to(place)) for found in place.rglob("*"))


def test_an_ordinary_user_has_a_folder_that_no_logout_empties(monkeypatch):
    monkeypatch.setattr(host.os, "geteuid", lambda: 4321)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/4321")
    assert str(host.run_folder()) == "/var/tmp/swarmlab-4321"


def test_the_path_of_a_socket_is_short_enough_for_the_kernel():
    lab, node = "x" * 31, "199-slave59"
    longest = f"/var/tmp/swarmlab-{2**32 - 1}/labs/{lab}/{node}/docker.sock"
    assert len(longest.encode()) <= 107


def test_a_folder_that_another_user_made_is_not_used(ordinary):
    ordinary.mkdir()
    with pytest.raises(UsageError, match=r"is not a folder of this user; let its owner or root remove it"):
        host.run_folder()


def test_a_link_in_the_place_of_the_folder_is_not_used(ordinary, tmp_path):
    ordinary.symlink_to(tmp_path)
    with pytest.raises(UsageError, match="is not a folder of this user"):
        host.run_folder()


def test_no_folder_on_the_way_lets_others_in(folder):
    made = host.make_folder(folder / "labs" / "x" / "0-master")
    assert {path.stat().st_mode & 0o777 for path in (folder, folder / "labs", made)} == {0o700}


def test_what_is_made_in_a_folder_that_goes_meanwhile_is_made_again(folder):
    file, count = folder / "x", iter(range(2))

    def make():
        if not next(count):
            host.drop_folder(folder)
        return file.write_text("here")

    assert host.in_folder(folder, make) == 4
    assert file.read_text() == "here"


def test_what_cannot_be_made_in_a_folder_is_said(folder):
    with pytest.raises(FileNotFoundError):
        host.in_folder(folder, lambda: (folder / "no" / "x").touch())


def test_a_lock_and_its_folder_go_with_the_work(folder):
    with host.alone("stale"):
        assert files(folder) == ["stale.lock"]
    assert not folder.exists()


def test_a_lock_goes_when_the_work_fails(folder):
    with contextlib.suppress(RuntimeError), host.alone("stale"):
        raise RuntimeError
    assert not folder.exists()


def test_what_else_is_in_the_folder_stays(folder):
    host.make_folder(folder / "labs" / "x")
    with host.alone("stale"):
        pass
    assert files(folder) == ["labs", "labs/x"]


@pytest.mark.usefixtures("folder")
def test_a_cache_keeps_its_folder(tmp_path):
    with host.alone("images", folder=tmp_path / "cache"):
        assert files(tmp_path / "cache") == ["images.lock"]
    assert files(tmp_path) == ["cache"]


_ADD = """
import sys, pathlib
from swarmlab import host
place, counter = map(pathlib.Path, sys.argv[1:])
host.run_folder = lambda: place
for _ in range(50):
    with host.alone("count"):
        before = int(counter.read_text())
        counter.write_text("")  # another process that is let in now cannot read a number
        counter.write_text(str(before + 1))
"""


def test_one_process_at_a_time_works_although_locks_are_removed(folder, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", _ADD, str(folder), str(counter)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=False), range(4)))
    assert [each.stderr for each in done] == [""] * 4
    assert counter.read_text() == "200"
    assert not folder.exists()


def test_a_lock_that_was_removed_while_it_was_waited_for_is_made_anew(folder):
    file = folder / "engine.users"
    first = host.lock_file(file, lambda lock: fcntl.flock(lock, fcntl.LOCK_EX))
    taken = []

    def take(lock):
        if not taken:  # the holder ends between the opening and the locking of the file
            file.unlink()
            first.close()
        fcntl.flock(lock, fcntl.LOCK_SH)
        taken.append(os.fstat(lock.fileno()).st_ino)

    with host.lock_file(file, take) as second:
        assert len(taken) == 2
        assert os.fstat(second.fileno()).st_ino == file.stat().st_ino
