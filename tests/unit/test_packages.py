"""The packages of another release for a machine: this host's apt (here a double) finds and downloads them."""

import pytest

from swarmlab.errors import LabError
from swarmlab.images.engines import engine_choice
from swarmlab.labs.machines import packages

APT = """\
#!/bin/sh
echo "$@" >> {calls}
for word; do
    case $word in --option=Dir::Cache::Archives=*) archives=${{word##*=}};; esac
done
case "$*" in
    *" install "*) {install};;
esac
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Return a function that puts a double of apt-get first on the path, and returns the file of its calls."""
    calls = tmp_path / "asked"

    def make(install):
        program = tmp_path / "bin" / "apt-get"
        program.parent.mkdir()
        program.write_text(APT.format(calls=calls, install=install))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return calls

    return make


@pytest.mark.parametrize(("release", "own"), [("bookworm", set()), ("forky", {"docker-cli", "docker-buildx"})])
def test_an_engine_is_the_packages_that_its_release_has_of_it(release, own):
    found = set(packages.of_engine(engine_choice(release)))
    assert {"docker.io", "containerd", "runc", "iptables"} | own <= found
    assert own or not {"docker-cli", "docker-buildx"} & found


def test_what_a_machine_lacks_is_downloaded_once(apt, tmp_path):
    calls = apt("touch $archives/docker.io_28_amd64.deb $archives/lock")
    folder = packages.fetch(engine_choice("forky"), "Package: libc6\n", tmp_path / "kept")
    assert [file.name for file in folder.iterdir()] == ["docker.io_28_amd64.deb"]
    asked = calls.read_text().splitlines()
    assert len(asked) == 2
    assert asked[1].endswith(" ".join(packages.of_engine(engine_choice("forky"))))
    assert packages.fetch(engine_choice("forky"), "Package: libc6\n", tmp_path / "kept") == folder
    assert len(calls.read_text().splitlines()) == 2
    other = packages.fetch(engine_choice("forky"), "Package: libc6\nVersion: 2\n", tmp_path / "kept")
    assert other != folder, "another machine may lack other packages"


def test_a_release_that_cannot_be_had_leaves_nothing(apt, tmp_path):
    apt('echo "E: Unable to locate package docker.io" >&2; exit 100')
    with pytest.raises(
        LabError, match=r"engine 26.1.5 \(trixie\) cannot be downloaded: E: Unable to locate package docker.io"
    ):
        packages.fetch(engine_choice("trixie"), "", tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []
