"""The provisioning of nodes, on a stand-in that runs the commands on this machine, in a folder."""

import subprocess

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import LabError
from swarmlab.labs import provision


class Here:
    """This machine, with /etc elsewhere."""

    name = "master"

    def __init__(self, etc):
        self._etc = etc

    def __str__(self):
        return self.name

    def _elsewhere(self, command):
        return command.replace("/etc/", f"{self._etc}/").replace("dockerd", "no-such-engine")

    def run(self, command, *, user=None):
        assert user is None
        done = subprocess.run(["sh", "-c", self._elsewhere(command)], capture_output=True, text=True)
        return Result(command, done.returncode, done.stdout, done.stderr)


@pytest.fixture
def node(tmp_path):
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 master master.local\n10.1.1.1 printer\n")
    return Here(tmp_path)


def test_names_are_mapped_once_and_other_lines_stay(node, tmp_path):
    provision.map_names([node], {"master": "192.168.57.101"})
    provision.map_names([node], {"master": "192.168.56.101", "slave01": "192.168.56.104"})
    lines = (tmp_path / "hosts").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "127.0.0.1 localhost",
        "10.1.1.1 printer",
        "192.168.56.101 master",
        "192.168.56.104 slave01",
    ]


class Home(Here):
    """The same, with a home of the cluster user's."""

    address = "192.168.56.101"

    def __init__(self, etc, name):
        super().__init__(etc)
        self.name = name

    def run(self, command, *, user=None):
        assert user in (None, "hadoop")
        command = self._elsewhere(command).replace("~/", f"{self._etc}/home/")
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
        return Result(command, done.returncode, done.stdout, done.stderr)


def test_each_node_gets_a_key_pair_and_admits_all_keys_and_host_keys(tmp_path):
    nodes = []
    for name in ("master", "slave01"):
        (tmp_path / name / "ssh").mkdir(parents=True)
        (tmp_path / name / "ssh" / "ssh_host_ed25519_key.pub").write_text(f"ssh-ed25519 KEY-OF-{name}\n")
        nodes.append(Home(tmp_path / name, name))
    provision.share_keys(nodes)
    homes = [tmp_path / node.name / "home" / ".ssh" for node in nodes]
    publics = [(home / "id_rsa.pub").read_text() for home in homes]
    assert publics[0] != publics[1]
    for node, home, public in zip(nodes, homes, publics, strict=True):
        assert public.startswith("ssh-rsa ")
        assert public.endswith(f" hadoop@{node.name}\n")
        assert (home / "authorized_keys").read_text() == "".join(publics)
        known = (home / "known_hosts").read_text().splitlines()
        assert known[0] == "master,192.168.56.101 ssh-ed25519 KEY-OF-master"
        assert known[2] == f"localhost,127.0.0.1 ssh-ed25519 KEY-OF-{node.name}"
        assert (home / "id_rsa").stat().st_mode & 0o77 == 0
        derived = subprocess.run(["ssh-keygen", "-y", "-P", "", "-f", home / "id_rsa"], capture_output=True, text=True)
        assert derived.stdout.split()[:2] == public.split()[:2]


def test_a_system_without_a_script_is_named(node, tmp_path):
    (tmp_path / "os-release").write_text('ID=plan9\nVERSION_ID="4"\n')
    with pytest.raises(LabError, match=r"master has no engine, and there is no plan94\.sh"):
        provision.install_engine([node], ["18.03.1-ce"])


def test_a_script_that_fails_says_what_it_said(node, tmp_path, monkeypatch):
    (tmp_path / "os-release").write_text('ID=centos\nVERSION_ID="7"\n')
    monkeypatch.setattr(provision, "FOLDER", tmp_path)
    (tmp_path / "centos7.sh").write_text("echo no mirror >&2; false; echo not reached\n")
    with pytest.raises(LabError, match="setting up the engine on master ended with 1: no mirror"):
        provision.install_engine([node], ["18.03.1-ce"])


def test_a_script_is_told_the_version_of_its_node(node, tmp_path, monkeypatch):
    (tmp_path / "os-release").write_text('ID=centos\nVERSION_ID="7"\n')
    monkeypatch.setattr(provision, "FOLDER", tmp_path)
    (tmp_path / "centos7.sh").write_text(f"echo $1 >> {tmp_path}/told\n")
    provision.install_engine([node, node, node], ["18.03.1-ce", "18.09.9"])
    assert sorted((tmp_path / "told").read_text().split()) == ["18.03.1-ce", "18.03.1-ce", "18.09.9"]


def test_the_scripts_are_shell():
    for script in provision.FOLDER.glob("*.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)
