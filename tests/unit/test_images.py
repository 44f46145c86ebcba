"""Recipes of images, and the choice of an engine; no engine is asked and nothing is made."""

import errno
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from swarmlab.errors import LabError, UsageError
from swarmlab.images import recipes, workshop
from swarmlab.images.engines import engine_choice, known_engines
from swarmlab.images.recipes import WORKLOADS, RootFs, workloads
from tests.unit.helpers import Volumes


@pytest.fixture
def node(tmp_path, monkeypatch):
    """The node's root file system, of a copy of images/ that a test may change."""
    shutil.copytree(recipes.IMAGES, tmp_path / "images")
    monkeypatch.setattr(recipes, "IMAGES", tmp_path / "images")
    return RootFs("node", "bookworm")


@pytest.mark.parametrize(
    ("name", "suite"),
    [("", "bookworm"), ("trixie", "trixie"), ("26.1.5", "trixie"), ("26.1", "trixie"), ("28", "forky")],
)
def test_an_engine_is_chosen_by_release_version_or_the_beginning_of_a_version(name, suite):
    assert engine_choice(name).place == suite


def test_the_beginning_of_two_versions_is_no_choice():
    with pytest.raises(UsageError, match=r"more than one engine begins with '20\.10'"):
        engine_choice("20.10")


@pytest.mark.parametrize("name", ["wheezy", "docker", "20.10.x", "v24"])
def test_an_unknown_engine_is_refused_with_all_choices_named(name):
    with pytest.raises(UsageError) as refused:
        engine_choice(name)
    assert "\n" not in str(refused.value)
    for choice in known_engines().values():
        assert f"{choice.version} ({choice.place})" in str(refused.value)


def test_the_content_is_the_same_wherever_the_folder_lies(node, monkeypatch):
    copied = node.content
    monkeypatch.undo()
    assert RootFs("node", "bookworm").content == copied


@pytest.mark.parametrize("file", ["packages", "setup", "settings", "root/usr/local/sbin/node-start"])
def test_the_content_changes_with_every_file_that_goes_in(node, file):
    before = node.content
    with (node.folder / file).open("a") as changed:
        changed.write("# more\n")
    assert node.content != before


def test_the_content_changes_with_a_new_file_a_mode_and_the_release(node):
    contents = {node.content, RootFs("node", "trixie").content}
    (node.folder / "root/etc/motd").write_text("hello\n")
    contents.add(node.content)
    (node.folder / "root/etc/motd").chmod(0o755)
    contents.add(node.content)
    assert len(contents) == 4


def test_a_package_may_be_for_some_releases_only(node):
    assert "docker-cli" not in node.packages
    assert "docker-cli" in RootFs("node", "trixie").packages
    assert not [package for package in node.packages if re.search(r"[@#\s]", package)]


@pytest.mark.parametrize("suite", list(known_engines()))
def test_both_ways_of_making_install_exactly_the_packages_of_the_list(suite):
    root = RootFs("node", suite)
    by_engine = re.search(r"--no-install-recommends (.*?) &&", root.dockerfile())
    assert by_engine
    assert by_engine[1].split() == root.packages
    assert f"--include={','.join(root.packages)}" in root.mmdebstrap(Path("/x/root.tar"), Path("/x/node"))


def test_only_testing_releases_may_be_past_their_date():
    commands = {suite: RootFs("node", suite).mmdebstrap(Path(), Path()) for suite in known_engines()}
    lenient = {suite for suite, command in commands.items() if any("Check-Valid-Until" in word for word in command)}
    assert lenient == {"forky"}


def test_every_workload_has_a_root_file_system_with_packages_and_a_setup():
    for work in workloads().values():
        root = RootFs(work.of, WORKLOADS)
        assert root.packages, work
        assert (root.folder / "setup").is_file(), work


def test_the_two_releases_of_web_differ_in_the_release_alone():
    first, second = workloads()["web:1"], workloads()["web:2"]
    assert first.of == second.of
    assert [line.replace("RELEASE=1", "RELEASE=2") for line in first.settings] == list(second.settings)


@pytest.mark.usefixtures("node")
def test_the_registry_changes_with_the_workloads_that_it_holds():
    references = {recipes.registry_reference()}
    with (recipes.IMAGES / "workloads.yaml").open("a") as changed:
        changed.write("# more\n")
    references.add(recipes.registry_reference())
    with (recipes.IMAGES / "net/packages").open("a") as changed:
        changed.write("less\n")
    references.add(recipes.registry_reference())
    assert len(references) == 3


def test_nodes_and_machines_get_the_same_pinned_python_packages():
    listed = {name: (recipes.IMAGES / name / "requirements").read_text().splitlines() for name in ("node", "machine")}
    assert listed["node"] == listed["machine"]
    for line in listed["node"]:
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line), line


def test_python_packages_that_cannot_be_had_are_told_in_one_line(node, monkeypatch, tmp_path):
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path))
    (node.folder / "requirements").write_text("swarmlab-has-no-such-package==1.0\n")
    with (
        pytest.raises(LabError, match=r"^the Python packages of image node .* cannot be downloaded: ") as failed,
        node.staged(["env", "PIP_NO_INDEX=1"]),
    ):
        pass
    assert "\n" not in str(failed.value)


def test_a_cache_without_room_for_the_images_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path))
    image = SimpleNamespace(tag=lambda *_: None)
    images = SimpleNamespace(get=lambda _: image, remove=lambda *_, **__: None)
    client = SimpleNamespace(volumes=Volumes(), images=images, api=SimpleNamespace(get_image=lambda _: [bytes(10)]))
    assert workshop.archive(client, "x:1", print).read_bytes() == bytes(10)

    def full(_):
        yield bytes(10)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    client.api.get_image = full
    with pytest.raises(LabError, match=r"x:2\.tar cannot be written: No space left on device; make room there"):
        workshop.archive(client, "x:2", print)
    assert not list(tmp_path.glob("x:*"))


def test_images_print_nothing_of_their_own_under_an_engines_init_process():
    """A tini that is not the first process warns, unless it takes over what others leave (-s)."""
    lines = [line for work in recipes.workloads().values() for line in work.settings if "ENTRYPOINT" in line]
    assert [line for line in lines if "tini" in line]
    assert all('"-s"' in line for line in lines if "tini" in line)


def test_files_have_their_modes_whatever_the_umask_of_who_checked_them_out(node, monkeypatch, tmp_path):
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path))
    before = node.content
    for path in (node.folder, *node.folder.rglob("*")):
        path.chmod(path.stat().st_mode & 0o700)
    assert node.content == before
    with node.staged() as copy:
        folders = [path for path in copy.rglob("*") if path.is_dir()]
        modes = {path.stat().st_mode & 0o777 for path in (copy, *folders, copy / "root/usr/local/sbin/node-start")}
        assert (modes, (copy / "packages").stat().st_mode & 0o777) == ({0o755}, 0o644)


def test_a_recipe_whose_copy_lies_in_a_folder_with_a_space_is_one_word(node):
    hooks = [word for word in node.mmdebstrap(Path("/t"), Path("/with space/node")) if "hook=cp" in word]
    assert all("'/with space/node/" in hook for hook in hooks)
