"""Engines for machines: which there are, what is sent for them, and the scripts that install it, run in a folder."""

import os
import shutil
import subprocess

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import LabError, UsageError
from swarmlab.images.engines import engine_choice
from swarmlab.images.recipes import EngineLayer
from swarmlab.labs.machines import box, engines
from swarmlab.labs.machines.engines import Parcel, choose, control_groups
from swarmlab.labs.machines.node import VagrantNode
from swarmlab.labs.machines.places import Places
from swarmlab.paths import PROVISION
from tests.unit.test_engines import NEW, OLD, package, packed

#: Programs that change the system, as doubles that write down how they are called.
DOUBLES = ("systemctl", "apt-get", "groupadd", "install", "getent")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SWARMLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()


@pytest.fixture
def old(tmp_path):
    return packed(tmp_path / "docker-18.03.1-ce.tgz", OLD)


@pytest.fixture
def new(tmp_path):
    return packed(tmp_path / "docker-24.0.9.tgz", NEW)


# Which there are


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("", "18.03.1-ce"),
        ("18.06.3", "18.06.3-ce"),
        ("17.06.2-ce", "17.06.2-ce"),
        ("18.09.9", "18.09.9"),
        ("26.1.4",) * 2,
    ],
)
def test_centos_has_the_engines_of_dockers_packages(name, version):
    [choice] = choose([name], "virtualbox")
    assert choice.version == version
    assert choose([choice.name], "virtualbox") == [choice]
    assert str(choice) == f"{version} (centos)"


@pytest.mark.parametrize("name", ["bookworm", "18.03", "docker-18.03.1-ce.tgz", "latest", "17.03.2", "27.0.1"])
def test_an_engine_that_centos_does_not_have_is_refused_in_one_line(name):
    with pytest.raises(UsageError) as refused:
        choose(["18.03.1", name], "virtualbox")
    assert str(refused.value).startswith(f"--engine {name}: ")
    assert "\n" not in str(refused.value)


def test_a_machine_has_the_control_groups_that_its_engine_can_use(old, new):
    names = [str(old), "bullseye", str(new), "forky"]
    assert [control_groups(engine_choice(name)) for name in names] == ["v1", "v2", "v2", "v2"]


def test_engines_from_elsewhere_share_a_box_without_an_engine(old, new):
    boxes = [box.Box.of(engine_choice(str(file))) for file in (old, new)]
    assert boxes[0] == boxes[1]
    assert boxes[0].name.startswith("swarmlab/bare-bookworm-")
    assert not {"docker.io", "containerd"} & set(boxes[0].recipe.packages)
    debians = box.Box.of(engine_choice("bookworm"))
    assert debians.name.startswith("swarmlab/bookworm-")
    assert boxes[0].recipe.suite == EngineLayer(engines.held(engine_choice(str(old)))).base.suite


# What is sent


def test_an_archive_is_sent_with_its_script_and_units(old):
    made = engines.parcel(engine_choice(str(old)), None, None)
    assert [file.name for file in made.files] == [old.name, "archive.sh", "docker.service", "docker.socket"]
    assert made.command == f"sh -eu archive.sh {old.name}"


def test_packages_are_sent_without_what_a_machine_has_no_use_for(tmp_path):
    folder = tmp_path / "debs"
    folder.mkdir()
    for name in ("docker-ce", "docker-ce-cli", "containerd.io", "docker-ce-rootless-extras"):
        package(folder, name, "5:24.0.9-1~debian.12~bookworm")
    made = engines.parcel(engine_choice(str(folder)), None, None)
    assert {file.name for file in made.files} == {
        "docker-ce.deb",
        "docker-ce-cli.deb",
        "containerd.io.deb",
        "packages.sh",
    }
    assert made.command == "sh -eu packages.sh"


class Listed:
    """A machine that tells its list of packages."""

    def run(self, command):
        return Result(command, 0, "Package: libc6\n", "", "master")


def test_of_debian_a_machine_is_sent_what_it_lacks(tmp_path, monkeypatch):
    def fetch(choice, installed, folder, _):
        assert (choice.place, installed) == ("trixie", "Package: libc6\n")
        return folder

    monkeypatch.setattr(engines.packages, "fetch", fetch)
    assert engines.parcel(engine_choice("trixie"), Listed(), tmp_path).files == ()
    (tmp_path / "docker.io_26_amd64.deb").touch()
    made = engines.parcel(engine_choice("trixie"), Listed(), tmp_path)
    assert [file.name for file in made.files] == ["docker.io_26_amd64.deb", "packages.sh"]
    assert not made.has_release
    (tmp_path / "base-files_14_amd64.deb").touch()
    assert engines.parcel(engine_choice("trixie"), Listed(), tmp_path).has_release


class Local:
    """An SSH connection to this machine, with /var/tmp elsewhere."""

    def __init__(self, folder):
        self._folder = folder

    def command(self, line):
        return ["sh", "-c", line.replace("/var/tmp", str(self._folder))]

    def run(self, line):
        done = subprocess.run(self.command(line), capture_output=True, text=True)
        return Result(line, done.returncode, done.stdout, done.stderr, "master")


@pytest.fixture
def machine(tmp_path):
    node = VagrantNode("master", "192.168.56.101", Places(tmp_path, tmp_path), None)
    (tmp_path / "there").mkdir()
    node._ssh = Local(tmp_path / "there")
    node.run = node._ssh.run
    return node


def test_a_machine_installs_what_it_is_sent_from_one_folder(machine, tmp_path):
    files = []
    for folder, name in (("a", "engine.tgz"), ("b", "script")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"real-{name}").write_text(name)
        (tmp_path / folder / name).symlink_to(f"real-{name}")
        files.append(tmp_path / folder / name)
    machine.install(Parcel(tuple(files), f"cat engine.tgz script > {tmp_path}/printed"))
    assert (tmp_path / "printed").read_text() == "engine.tgzscript"
    assert list((tmp_path / "there").iterdir()) == []
    machine.install(Parcel((), "false"))
    with pytest.raises(LabError, match="the installation of an engine on master ended with 1: no room"):
        machine.install(Parcel(tuple(files), "echo no room >&2; false"))


# The scripts


class System:
    """A system below a folder, whose programs are doubles."""

    def __init__(self, root):
        self.root = root
        self.bin, self.list = root / "usr/bin", root / "usr/local/lib/docker-archive.list"
        self.units = root / "etc/systemd/system"
        for folder in (self.bin, self.list.parent, self.units, root / "doubles"):
            folder.mkdir(parents=True)
        for name in DOUBLES:
            self.double(name, "")
        self.double("dpkg-query", "exit 1")
        real = shutil.which("install")
        self.double("install", f'exec {real} "$@"')

    def double(self, name, does):
        program = self.root / "doubles" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.root}/calls\n{does}\n')
        program.chmod(0o755)

    def run(self, script, *given, beside=()):
        """Run a script of provision/ and return the calls of the doubles."""
        work = self.root / "work"
        work.mkdir()
        for file in beside:
            shutil.copy(file, work)
        text = (PROVISION / script).read_text(encoding="utf-8")
        for path in ("/usr/bin/", "/usr/local/", "/etc/"):
            text = text.replace(path, f"{self.root}{path}")
        path = f"{self.root}/doubles:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-euc", text, script, *given], cwd=work, env={"PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        shutil.rmtree(work)
        calls = (self.root / "calls").read_text().splitlines()
        (self.root / "calls").unlink()
        return calls

    def archive(self, file):
        return self.run(
            "archive.sh", file.name, beside=[file, PROVISION / "docker.service", PROVISION / "docker.socket"]
        )

    @property
    def programs(self):
        return {file.name for file in self.bin.iterdir()}


@pytest.fixture
def system(tmp_path):
    return System(tmp_path / "system")


def test_the_programs_of_an_archive_replace_those_of_the_last(system, old, new):
    (system.bin / "curl").touch()
    calls = system.archive(old)
    assert system.programs == {"curl", *OLD}
    assert os.access(system.bin / "dockerd", os.X_OK)
    assert {file.name for file in system.units.iterdir()} == {"docker.service", "docker.socket"}
    assert calls[-2:] == ["systemctl daemon-reload", "systemctl --quiet --force enable docker.service docker.socket"]
    assert not [call for call in calls if call.startswith("apt-get")]
    calls = system.archive(new)
    assert system.programs == {"curl", *NEW}, "docker-containerd and the like are gone"
    assert not [call for call in calls if "enable" in call], "a service that was disabled stays so"


def test_an_archive_takes_the_place_of_packages(system, new):
    system.double("dpkg-query", 'printf "ii docker.io\\nrc docker-ce\\nii containerd\\nii runc\\n"')
    calls = system.archive(new)
    [removed] = [call for call in calls if call.startswith("apt-get")]
    assert removed.endswith(" remove docker.io containerd runc")
    assert calls.index(removed) < calls.index("systemctl daemon-reload")


def test_packages_take_the_place_of_an_archive(system, old, tmp_path):
    (system.bin / "curl").touch()
    system.archive(old)
    package(tmp_path, "docker.io", "26.1.5")
    calls = system.run("packages.sh", beside=[tmp_path / "docker.io.deb"])
    assert system.programs == {"curl"}
    assert list(system.units.iterdir()) == []
    assert not system.list.exists()
    assert calls[0] == "systemctl --quiet disable docker.service docker.socket"
    assert calls[-2].endswith(" install ./docker.io.deb")
    assert calls[-1] == "systemctl --quiet enable docker.service docker.socket"


def test_packages_after_packages_leave_the_service_as_it_is(system, tmp_path):
    package(tmp_path, "docker.io", "26.1.5")
    [call] = system.run("packages.sh", beside=[tmp_path / "docker.io.deb"])
    assert call.endswith(" install ./docker.io.deb")
