"""Archives of engines: names, lock, cache, download from a server on loopback, and what is wrong with archives.

The programs in these archives are copies of this machine's `true`: nothing here starts an engine. Archives of real
engines are in tests/proof/engines.
"""

import gzip
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from swarmlab.errors import UsageError
from swarmlab.images import archives, stock
from swarmlab.images.engines import engine_choice, held, obtain
from swarmlab.images.recipes import EngineLayer
from swarmlab.images.releases import check_host, release_of
from swarmlab.labs.context import is_elsewhere
from swarmlab.paths import ROOT

OLD = ("docker", "dockerd", "docker-containerd", "docker-containerd-shim", "docker-init", "docker-proxy", "docker-runc")
NEW = ("docker", "dockerd", "containerd", "containerd-shim", "ctr", "docker-init", "docker-proxy", "runc")
PROGRAM = Path(shutil.which("true")).read_bytes()


def packed(file, names, program=PROGRAM, top="docker"):
    """Write an archive of these programs, and return its file."""
    with tarfile.open(file, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode = len(program), 0o755
            archive.addfile(member, io.BytesIO(program))
    return file


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache and a lock of the test's own; a download from anywhere but loopback fails."""
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SWARMLAB_ENGINES_LOCK", str(tmp_path / "engines.lock"))
    monkeypatch.setenv("SWARMLAB_ENGINE_MIRROR", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = tmp_path / "cache/engines"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A mirror of Docker's site on loopback: its folder of archives, and the paths that were asked for."""
    root = tmp_path / "site"
    folder = root / stock.official_place("1").rpartition("/")[0]
    folder.mkdir(parents=True)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(root))

        def do_GET(self):
            asked.append(self.path)
            if "cut" in self.path:
                body = (root / self.path.lstrip("/")).read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
            else:
                super().do_GET()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("SWARMLAB_ENGINE_MIRROR", f"http://127.0.0.1:{server.server_port}")
    yield folder, asked
    server.shutdown()
    server.server_close()


def refusal(call, *args):
    """Return the one line with which *call* is refused."""
    with pytest.raises(UsageError) as refused:
        call(*args)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def fetch(name, lines=None):
    """Choose an engine, have its archive, and return what it holds."""
    choice = engine_choice(name)
    obtain([choice], (lines if lines is not None else []).append)
    return held(choice)


@pytest.mark.parametrize(
    ("name", "version"),
    [("18.03.1", "18.03.1-ce"), ("18.03.1-ce", "18.03.1-ce"), ("18.09.0", "18.09.0"), ("24.0.9", "24.0.9")],
)
def test_a_version_is_dockers_archive_of_it(name, version):
    choice = engine_choice(name)
    assert (choice.version, choice.source) == (version, "archive")
    assert choice.place.endswith(f"/docker-{version}.tgz")
    assert engine_choice(choice.name) == choice


@pytest.mark.parametrize("names", [OLD, NEW])
def test_an_archive_is_downloaded_once_locked_and_kept_under_its_hash(site, cache, names):
    folder, asked = site
    packed(folder / "docker-18.03.1-ce.tgz", names)
    digest = archives.sha256(folder / "docker-18.03.1-ce.tgz")
    lines = []
    for _ in range(2):
        found = fetch("18.03.1", lines)
        assert (found.version, found.sha256, found.place) == ("18.03.1-ce", digest, cache / f"{digest}.tgz")
    assert len(asked) == 1
    assert [line for line in lines if line.startswith("downloading http://127.0.0.1")]
    assert stock.locked() == {stock.official_place("18.03.1-ce"): digest}
    with EngineLayer(found).staged() as context:
        assert {"dockerd", "containerd", "runc"} <= {file.name for file in context.iterdir()}
    assert sorted(file.suffix for file in cache.iterdir() if file.stem == digest) == [".json", ".tgz"]


def test_the_beginning_of_a_version_is_the_newest_release_of_the_lock_or_else_of_the_site(site):
    folder, asked = site
    for version in ("29.1.2", "29.1.10", "29.10.0", "29.1.10-rc.1"):
        packed(folder / f"docker-{version}.tgz", NEW)
    assert engine_choice("29.1").version == "29.1.10"
    fetch("29.1.2")
    asked.clear()
    assert engine_choice("29.1").version == "29.1.2"
    assert asked == []
    assert "no release that begins with it" in refusal(engine_choice, "29.7")


def test_an_archive_that_is_not_the_locked_one_is_refused_and_leaves_nothing(site, cache):
    folder, _ = site
    packed(folder / "docker-24.0.9.tgz", NEW)
    stock.lock_file().write_text(f"# ours\n\n{'0' * 64}  {stock.official_place('24.0.9')}\n")
    said = refusal(fetch, "24.0.9")
    assert archives.sha256(folder / "docker-24.0.9.tgz") in said
    assert "engines.lock" in said
    assert "remove that line" in said
    assert list(cache.glob("*.tgz")) + list(cache.glob("*.part")) == []


def test_a_copy_that_was_had_before_the_lock_changed_is_not_used(site):
    folder, _ = site
    packed(folder / "docker-24.0.9.tgz", NEW)
    fetch("24.0.9")
    stock.lock_file().write_text(f"{'0' * 64}  {stock.official_place('24.0.9')}\n")
    assert "is not on this machine" in refusal(held, engine_choice("24.0.9"))
    assert "SHA-256" in refusal(fetch, "24.0.9")


def test_a_url_is_locked_by_its_name(site):
    folder, _ = site
    packed(folder / "docker-26.1.4.tgz", NEW)
    url = f"{os.environ['SWARMLAB_ENGINE_MIRROR']}/{stock.official_place('26.1.4')}"
    assert fetch(url).version == "26.1.4"
    assert list(stock.locked()) == [url]
    assert "name has no version" in refusal(engine_choice, "http://127.0.0.1/engine.tgz")


def test_a_cut_download_a_missing_release_and_no_network_are_one_line_each(site, cache, monkeypatch):
    folder, _ = site
    (folder / "cut").mkdir()
    packed(folder / "cut/docker-24.0.9.tgz", NEW)
    url = f"{os.environ['SWARMLAB_ENGINE_MIRROR']}/{folder.relative_to(folder.parents[3])}/cut/docker-24.0.9.tgz"
    assert "cannot be downloaded" in refusal(fetch, url)
    missing = refusal(fetch, "19.99.1")
    assert "HTTP 404" in missing
    monkeypatch.setenv("SWARMLAB_ENGINE_MIRROR", "http://127.0.0.1:9")
    alone = refusal(fetch, "27.5.1")
    assert "Connection refused" in alone
    assert f"bring that file to {cache}/docker-27.5.1.tgz" in alone
    assert "write a whole version" in refusal(engine_choice, "27.5")
    assert list(cache.glob("*.part")) == []


@pytest.mark.usefixtures("cache")
def test_a_password_in_an_address_is_not_told(monkeypatch):
    monkeypatch.setenv("SWARMLAB_ENGINE_MIRROR", "http://user:geheim@127.0.0.1:9")
    lines = []
    for name in ("27.5.1", "http://user:geheim@127.0.0.1:9/docker-26.1.4.tgz"):
        with pytest.raises(UsageError, match="cannot be downloaded") as refused:
            fetch(name, lines)
        lines.append(str(refused.value))
    lines.append(refusal(engine_choice, "27.5"))
    assert "http://user:[redacted password]@127.0.0.1:9/" in lines[0]
    assert not any("geheim" in line for line in lines)


@pytest.mark.parametrize(("place", "said"), [("", "Is a directory"), ("/dev/full", "has more than 256 KiB")])
def test_a_lock_that_is_no_file_of_hashes_is_refused(tmp_path, monkeypatch, place, said):
    monkeypatch.setenv("SWARMLAB_ENGINES_LOCK", place or str(tmp_path))
    line = refusal(stock.locked)
    assert line.startswith(f"SWARMLAB_ENGINES_LOCK {place or tmp_path}: ")
    assert said in line


def test_a_device_that_is_named_as_the_lock_stays_one(monkeypatch):
    monkeypatch.setenv("SWARMLAB_ENGINES_LOCK", "/dev/null")
    written = []
    monkeypatch.setattr(Path, "write_text", lambda path, *_, **__: written.append(path))
    stock._note("x", "0" * 64)
    assert written == [Path("/dev/null")]
    assert Path("/dev/null").is_char_device()


def test_a_pipe_is_no_archive(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(stock.given, tmp_path / "pipe").endswith("is no file; give a static archive")


def test_an_archive_that_a_user_brought_is_taken_and_locked(cache):
    packed(cache / "docker-27.5.1.tgz", NEW)
    assert fetch("27.5.1").version == "27.5.1"
    assert stock.official_place("27.5.1") in stock.locked()
    assert not (cache / "docker-27.5.1.tgz").exists()


def test_a_file_is_taken_as_it_is_and_is_not_locked(tmp_path):
    file = packed(tmp_path / "docker-17.12.1-ce.tgz", OLD)
    choice = engine_choice(str(file))
    assert (choice.version, str(choice)) == ("17.12.1-ce", "17.12.1-ce (docker-17.12.1-ce.tgz)")
    assert engine_choice(choice.name) == choice
    assert stock.locked() == {}
    packed(file, NEW)
    assert held(choice).sha256 == archives.sha256(file)


def other_processor():
    changed = bytearray(PROGRAM)
    changed[18:20] = (0xB7 if PROGRAM[18] != 0xB7 else 0x3E, 0)
    return bytes(changed)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-2000]), "cannot be read as an archive"),
        (lambda file: file.write_bytes(b"<html>not found</html>"), "cannot be read as an archive"),
        (lambda file: file.write_bytes(gzip.compress(b"")), "cannot be read as an archive"),
        (lambda file: file.write_bytes(b"text"), "cannot be read as an archive (it is none); get it anew"),
        (lambda file: packed(file, NEW, PROGRAM[:4]), "its dockerd is no program of Linux"),
        (lambda file: packed(file, NEW, PROGRAM[:30]), "a program in it is cut or damaged"),
        (lambda file: packed(file, ("docker", "runc")), "it holds docker/docker, docker/runc, and not one dockerd"),
        (lambda file: packed(file, NEW, b"#!/bin/sh\n"), "its dockerd is no program of Linux"),
        (lambda file: packed(file, NEW, other_processor()), f"and this machine is {archives.processor()[0]}"),
        (lambda file: file.rename(file.with_name("engine.tgz")), "there is no such file or folder"),
        (lambda file: (file.unlink(), file.mkdir()), "has to hold one package docker-ce; it holds none"),
    ],
)
def test_a_file_that_holds_no_engine_for_this_machine_is_refused(tmp_path, spoil, said):
    file = packed(tmp_path / "docker-20.10.9.tgz", NEW)
    spoil(file)
    assert said in refusal(engine_choice, str(file))


def test_a_file_that_tells_no_version_is_refused(tmp_path):
    assert "name the archive docker-VERSION.tgz" in refusal(engine_choice, str(packed(tmp_path / "mine.tgz", NEW)))


def package(folder, name, version, depends="", processor=None):
    """Write a .deb package without files."""
    root = folder / f"{name}.d"
    (root / "DEBIAN").mkdir(parents=True)
    fields = {"Package": name, "Version": version, "Architecture": processor or archives.processor()[1]}
    fields |= {"Maintainer": "nobody", "Description": "empty", **({"Depends": depends} if depends else {})}
    (root / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
    subprocess.run(["dpkg-deb", "--build", root, folder / f"{name}.deb"], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("version", "depends", "expected"),
    [
        ("18.03.1~ce-0~debian", "libc6 (>= 2.14), libltdl7", ("18.03.1-ce", "bookworm")),
        ("5:24.0.9-1~debian.12~bookworm", "libc6 (>= 2.34)", ("24.0.9", "bookworm")),
        ("5:28.1.1-1~debian.13~trixie", "libc6 (>= 2.38)", ("28.1.1", "trixie")),
    ],
)
def test_a_folder_of_packages_is_an_engine_on_the_oldest_release_that_fits(tmp_path, version, depends, expected):
    package(tmp_path, "docker-ce", version, depends)
    package(tmp_path, "docker-ce-cli", version)
    package(tmp_path, "docker-ce-rootless-extras", version, "uidmap")
    choice = engine_choice(str(tmp_path))
    assert (choice.version, choice.source) == (expected[0], "packages")
    layer = EngineLayer(held(choice))
    assert layer.base.suite == expected[1]
    with layer.staged() as context:
        assert sorted(file.name for file in context.iterdir()) == ["docker-ce-cli.deb", "docker-ce.deb"]


def test_packages_for_another_processor_or_of_two_engines_are_refused(tmp_path):
    package(tmp_path, "docker-ce", "5:24.0.9-1", processor="riscv64")
    assert "is for riscv64" in refusal(engine_choice, str(tmp_path))
    package(tmp_path, "docker.io", "24.0.9")
    assert "it holds docker-ce.deb, docker.io.deb" in refusal(engine_choice, str(tmp_path))
    (tmp_path / "broken.deb").write_text("none")
    assert "cannot be read as a package" in refusal(engine_choice, str(tmp_path))


@pytest.mark.parametrize("line", ["xyz", f"{'0' * 64} one-space", f"{'0' * 63}  short"])
def test_a_lock_with_a_wrong_line_is_refused_with_its_number(line):
    stock.lock_file().write_text(f"# comment\n{line}\n")
    assert "engines.lock, line 2" in refusal(fetch, "24.0.9")


@pytest.mark.parametrize(("engine", "near"), [("ssh://ops@far", False), ("tcp://127.0.0.1:2375", True), ("", True)])
def test_this_machine_is_not_asked_where_the_engine_is_elsewhere(tmp_path, monkeypatch, engine, near):
    from swarmlab.images import releases
    from swarmlab.labs.containers.lab import check

    monkeypatch.setattr(releases, "_CGROUP2", tmp_path)
    monkeypatch.setenv("DOCKER_HOST", engine)
    refused = refusal(check, "x", ["18.03.1"], 3) if near else ""
    assert ("needs cgroup v1" in refused) is near
    if not near:
        assert check("x", ["18.03.1"], 3)


def test_an_address_of_an_engine_with_a_wrong_bracket_is_one_line(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://[::1:2375")
    assert "is no address of an engine; write tcp://HOST:PORT" in refusal(is_elsewhere)


def test_an_engine_of_before_cgroup_v2_needs_a_host_with_v1(tmp_path, monkeypatch):
    from swarmlab.images import releases

    monkeypatch.setattr(releases, "_CGROUP2", tmp_path)
    assert "18.03.1-ce needs cgroup v1" in refusal(check_host, "18.03.1-ce")
    check_host("20.10.24")
    monkeypatch.setattr(releases, "_CGROUP2", tmp_path / "none")
    check_host("18.03.1-ce")
    monkeypatch.setattr(releases, "_FILESYSTEMS", tmp_path / "filesystems")
    (tmp_path / "filesystems").write_text("nodev\tproc\n\text4\n")
    monkeypatch.setattr(releases.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    assert "no storage driver" in refusal(check_host, "28.5.2")


def test_a_kernel_without_nf_tables_is_refused(monkeypatch):
    from swarmlab.images import releases

    check_host("20.10.24")
    monkeypatch.setattr(releases, "_NFTABLES", 15)  # a subsystem that no kernel has
    assert "has no nf_tables" in refusal(check_host, "20.10.24")


@pytest.mark.parametrize(
    ("version", "api"),
    [("17.06.2-ce", "1.30"), ("18.03.1-ce", "1.37"), ("18.09.9", "1.39"), ("20.10.24", "1.41"), ("27.5.1", "1.47")],
)
def test_a_version_has_the_api_of_its_release_line(version, api):
    assert release_of(version).api == api


def test_the_command_lists_and_fetches(site):
    folder, _ = site
    packed(folder / "docker-18.03.1-ce.tgz", OLD)

    def run(*args):
        command = [sys.executable, "-m", "swarmlab", "engines", *args]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)

    fetched = run("fetch", "18.03.1")
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.split()[:2] == ["18.03.1-ce", archives.sha256(folder / "docker-18.03.1-ce.tgz")]
    listed = run().stdout
    assert "1.37   v1" in listed
    assert "cached: " in listed
    assert "Debian bookworm" in listed
    wrong = run("fetch")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
