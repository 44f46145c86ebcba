"""Debian's engines, packed as static archives of both layouts, are the engines of nodes; so are folders of packages.

Archives come as files, as URLs and as versions from a mirror on loopback. `make proof-engines` (half an hour).
"""

import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from swarmlab import children
from swarmlab.images import stock
from swarmlab.labs.outer import connect
from swarmlab.paths import ROOT
from swarmlab.verdicts import results
from tests.proof.engines.packing import packed

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def client():
    outer = connect(print)
    yield outer.client
    outer.release()


@pytest.fixture(scope="module")
def archive(client, tmp_path_factory):
    """Return a function that packs the engine of a Debian release in a layout, each once."""
    made = {}

    def pack(release, layout="new"):
        if (release, layout) not in made:
            made[release, layout] = packed(client, release, layout, tmp_path_factory.mktemp(f"{release}-{layout}"))
        return made[release, layout]

    return pack


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A lock file of the test's own."""
    monkeypatch.setenv("SWARMLAB_ENGINES_LOCK", str(tmp_path / "engines.lock"))
    return tmp_path / "engines.lock"


def run(*command, timeout=1200):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = children.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, timeout=timeout)
    print(done.stdout[-5000:], done.stderr[-5000:])
    return done


def judge(folder, *options):
    """Judge the smoke profile on a lab of these options; return the nodes' engines."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "suites/",
        "--profile",
        "smoke",
        "--reports",
        str(folder),
        "-q",
        *options,
    ]
    done = run(*command)
    assert done.returncode == 0, done.stdout[-3000:]
    return set(results.load(folder).each("engine"))


@pytest.mark.parametrize("layout", ["new", "old"])
@pytest.mark.parametrize("release", ["bullseye", "bookworm", "trixie", "forky"])
def test_an_archive_of_either_layout_is_judged(release, layout, archive, lock, tmp_path):
    file = archive(release, layout)
    version = re.fullmatch(r"docker-(.*)\.tgz", file.name)[1]
    engines = judge(tmp_path / "reports", "--engine", str(file))
    assert {engine.partition("+")[0] for engine in engines} == {version}
    assert not lock.exists()


def test_archives_and_packages_are_mixed(archive, tmp_path):
    engines = judge(tmp_path / "reports", "--engine", f"{archive('bullseye', 'old')},trixie,{archive('bookworm')}")
    assert {engine.partition("+")[0] for engine in engines} == {"20.10.5", "26.1.5", "20.10.24"}


@pytest.mark.skipif(not shutil.which("apt-get"), reason="packages are had with this host's apt")
def test_a_folder_of_packages_is_judged(tmp_path):
    folder = tmp_path / "packages"
    folder.mkdir()
    names = ["docker.io", "containerd", "runc", "tini"]
    # From this process's own namespace: packages of this host's release.
    subprocess.run(["apt-get", "-qq", "download", *names], cwd=folder, check=True, capture_output=True)
    assert len(judge(tmp_path / "reports", "--engine", str(folder))) == 1
    next(folder.glob("runc_*.deb")).unlink()
    lacking = run(sys.executable, "-m", "swarmlab", "up", "--name", f"lacking-{os.getpid()}", "--engine", str(folder))
    assert lacking.returncode == 2
    assert re.search(r"depends on runc", lacking.stderr.splitlines()[-1])


def test_a_version_is_had_from_a_mirror_held_to_its_lock_and_had_once(archive, lock, tmp_path, monkeypatch):
    root = tmp_path / "site"
    file = root / stock.official_place("20.10.99")
    file.parent.mkdir(parents=True)
    file.write_bytes(archive("bookworm").read_bytes())
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(root))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SWARMLAB_ENGINE_MIRROR", f"http://127.0.0.1:{server.server_port}")
    try:
        up = [sys.executable, "-m", "swarmlab", "up", "--name", f"mirror-{os.getpid()}", "--engine"]
        lying = run(*up, "20.10.99")
        assert lying.returncode == 2
        assert "holds engine 20.10.24, and not 20.10.99" in lying.stderr
        lock.unlink()
        url = f"http://127.0.0.1:{server.server_port}/{stock.official_place('20.10.24')}"
        file.rename(file.with_name("docker-20.10.24.tgz"))
        begin = time.monotonic()
        assert run(*up, url).returncode == 0
        first = time.monotonic() - begin
        assert run(sys.executable, "-m", "swarmlab", "down", "--name", f"mirror-{os.getpid()}").returncode == 0
        assert url in lock.read_text()
    finally:
        server.shutdown()
        server.server_close()
    # The server is gone: this is the copy of before.
    begin = time.monotonic()
    assert run(*up, url).returncode == 0
    again = time.monotonic() - begin
    assert run(sys.executable, "-m", "swarmlab", "down", "--name", f"mirror-{os.getpid()}").returncode == 0
    print(f"a lab with a new engine took {first:.0f} s, and {again:.0f} s with its image made")
