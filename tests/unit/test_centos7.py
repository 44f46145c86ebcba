"""The steps for CentOS 7, run in a root file system of their own, with doubles of what needs CentOS or a network.

Shell, sed and the programs that make users and groups are this machine's. The doubles of yum, yum-config-manager,
systemctl and curl note what they are asked, and do what the script goes on with. yum fails as CentOS 7's does today:
where a repository still is at the mirrors, which are gone, and where a package is in no repository that is enabled.
"""

import configparser
import json
import os
import re
import shutil
import stat
import subprocess

import pytest

from swarmlab.cluster.node import Result
from swarmlab.errors import LabError
from swarmlab.labs import provision
from swarmlab.paths import ROOT

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="only root makes users in a root file system of its own"
)

REPOSITORIES = {
    "CentOS-Base.repo": [("base", "os", 1), ("updates", "updates", 1), ("extras", "extras", 1), ("plus", "plus", 0)],
    "CentOS-fasttrack.repo": [("fasttrack", "fasttrack", 0)],
}
SSHD = """\
#LoginGraceTime 2m
#StrictModes yes
#PasswordAuthentication yes
#PermitEmptyPasswords no
PasswordAuthentication yes
ChallengeResponseAuthentication no
UsePAM yes
"""
DOUBLE = r"""#!/bin/bash
name=$(basename "$0")
echo "$name $*" >> /asked
enabled() { cat /etc/yum.repos.d/*.repo | sed -n '/^\[/{x;/enabled=1/p;d};H;$!d;x;/enabled=1/p'; }
case "$name $*" in
    "yum "*)
        if enabled | grep -E '^(mirrorlist|baseurl)=http://mirror'; then
            echo "Could not resolve host: mirrorlist.centos.org" >&2
            exit 1
        fi ;;&
    "yum "*docker-ce*)
        enabled | grep -q download.docker.com || { echo "No package docker-ce available." >&2; exit 1; } ;;&
    "yum "*install*docker-ce*)
        enabled | grep -q /extras/ || { echo "Requires: container-selinux >= 2.9" >&2; exit 1; }
        getent group docker || groupadd --system docker ;;
    "yum "*install*yum-utils) cp /doubles/curl /doubles/yum-config-manager ;;
    "yum-config-manager --add-repo "*)
        printf '[docker-ce-stable]\nenabled=1\nbaseurl=%s\n' "${*: -1}" > "/etc/yum.repos.d/$(basename "${*: -1}")" ;;
    "curl "*) echo "${*: -3:1}" > "${*: -1}" ;;
esac
"""
#: Runs a command in the root $1, where the host's programs can only be read, and without a network.
INSIDE = """
root=$1; shift
for folder in usr bin sbin lib lib32 lib64; do
    if [ -L /$folder ]; then cp -P /$folder $root/
    elif [ -d /$folder ]; then
        mkdir -p $root/$folder && mount --bind /$folder $root/$folder && mount -o remount,ro,bind $root/$folder
    fi
done
mount --bind $root/local $root/usr/local
mount --bind /dev/null $root/dev/null
exec chroot "$@"
"""


class Machine:
    """A machine of CentOS 7, as far as the steps see it."""

    name, address = "master", "192.168.56.101"

    def __init__(self, root):
        self.root = root

    def run(self, command, *, user=None):
        command = command.replace("command -v dockerd", "command -v no-such-engine")  # this host may have one
        who = ["--userspec", user] if user else []
        home = f"/home/{user}" if user else "/root"
        done = subprocess.run(
            ["unshare", "-mn", "sh", "-euc", INSIDE, "sh", self.root, *who, self.root, "/bin/bash", "-c", command],
            env={"PATH": "/doubles:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "LC_ALL": "C"},
            capture_output=True,
            text=True,
        )
        return Result(command, done.returncode, done.stdout, done.stderr)

    def text(self, path):
        return (self.root / path).read_text()

    def mode(self, path):
        return stat.S_IMODE((self.root / path).stat().st_mode)

    @property
    def asked(self):
        return self.text("asked").splitlines()


@pytest.fixture
def machine(tmp_path):
    root = tmp_path / "root"
    for folder in ("dev", "etc/ssh", "etc/yum.repos.d", "etc/modules-load.d", "home", "local/bin", "root", "doubles"):
        (root / folder).mkdir(parents=True)
    root.chmod(0o755)
    etc = root / "etc"
    (etc / "os-release").write_text('NAME="CentOS Linux"\nID="centos"\nVERSION_ID="7"\n')
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/bash\nvagrant:x:1000:1000::/home/vagrant:/bin/bash\n")
    (etc / "group").write_text("root:x:0:\nvagrant:x:1000:\n")
    (etc / "login.defs").write_text("USERGROUPS_ENAB yes\nCREATE_HOME yes\nUMASK 077\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n127.0.1.1 master master\n")
    (etc / "ssh/sshd_config").write_text(SSHD)
    (etc / "ssh/ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAAhost root@master\n")
    for file, sections in REPOSITORIES.items():
        text = [
            f"[{section}]\nname=CentOS-$releasever - {section}\n"
            f"mirrorlist=http://mirrorlist.centos.org/?release=$releasever&arch=$basearch&repo={part}&infra=$infra\n"
            f"#baseurl=http://mirror.centos.org/centos/$releasever/{part}/$basearch/\n"
            f"gpgcheck=1\nenabled={enabled}\n"
            for section, part, enabled in sections
        ]
        (etc / "yum.repos.d" / file).write_text("\n".join(text))
    (root / "dev/null").touch()
    (root / "doubles/sh").symlink_to("/bin/bash")  # as on CentOS
    for name in ("yum", "systemctl", "curl"):
        (root / "doubles" / name).write_text(DOUBLE)
        (root / "doubles" / name).chmod(0o755)
    keys = root / "home/vagrant/.ssh/authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("ssh-rsa AAAAvagrant insecure\n")
    return Machine(root)


def install(machine, version="18.03.1-ce"):
    provision.install_engine([machine], [version])


def test_the_script_asks_for_the_documents_steps(machine):
    install(machine)
    compose = "https://github.com/docker/compose/releases/download/1.29.2/docker-compose-Linux-" + os.uname().machine
    assert machine.asked == [
        "yum -y -q update",
        "yum -y -q install yum-utils",
        "yum-config-manager --add-repo https://download.docker.com/linux/centos/docker-ce.repo",
        "yum list docker-ce --showduplicates",
        "yum -y -q install docker-ce-18.03.1.ce",
        "systemctl enable --now docker",
        f"curl -fsSL {compose} -o /usr/local/bin/docker-compose",
        "yum -y -q install openssl nmap-ncat ipvsadm nftables tcpdump",
        "systemctl restart systemd-modules-load",
        "systemctl reload sshd",
    ]


def test_the_files_of_the_machine_are_as_the_document_has_them(machine):
    install(machine)
    groups = {line.split(":")[0]: line.split(":")[3] for line in machine.text("etc/group").splitlines()}
    assert groups["docker"] == "hadoop"
    assert re.search(r"^hadoop:.*:/home/hadoop:/bin/bash$", machine.text("etc/passwd"), re.M)
    assert (machine.root / "home/hadoop").is_dir()
    assert json.loads(machine.text("etc/docker/daemon.json")) == {"insecure-registries": ["registry:5000"]}
    assert machine.text("etc/modules-load.d/swarm.conf").split() == ["ip_vs", "ip_vs_rr", "br_netfilter", "vxlan"]
    assert machine.mode("local/bin/docker-compose") == 0o755
    now = machine.text("etc/ssh/sshd_config").splitlines()
    before = SSHD.splitlines()
    assert [line for line in now if line not in before] == ["StrictModes yes", *["PasswordAuthentication no"] * 2]
    assert len(now) == len(before)


def test_all_packages_come_from_the_vault(machine):
    install(machine)
    for file, sections in REPOSITORIES.items():
        read = configparser.ConfigParser(interpolation=None)
        read.read_string(machine.text(f"etc/yum.repos.d/{file}"))
        for section, part, enabled in sections:
            assert dict(read[section]) == {
                "name": f"CentOS-$releasever - {section}",
                "baseurl": f"https://vault.centos.org/7.9.2009/{part}/$basearch/",
                "gpgcheck": "1",
                "enabled": str(enabled),
            }


def test_a_second_time_changes_nothing(machine):
    def files():
        return {
            path.relative_to(machine.root): path.read_bytes()
            for path in (machine.root / "etc").rglob("*")
            if path.is_file() and not path.name.endswith("-")
        }

    install(machine)
    first = files()
    install(machine)
    assert files() == first


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("18.06.3-ce", "docker-ce-18.06.3.ce"),
        ("18.09.9", "docker-ce-18.09.9 docker-ce-cli-18.09.9 containerd.io"),
        ("26.1.4", "docker-ce-26.1.4 docker-ce-cli-26.1.4 containerd.io"),
    ],
)
def test_another_version_is_asked_for_by_its_packages(machine, version, asked):
    install(machine, version)
    assert f"yum -y -q install {asked}" in machine.asked


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("sed -i -e 's/^mirrorlist", "Could not resolve host: mirrorlist.centos.org"),
        ("yum-config-manager", "No package docker-ce available"),
    ],
)
def test_without_a_step_the_double_refuses_as_centos_does(machine, monkeypatch, tmp_path, line, reason):
    text = re.sub(r"\\\n\s*", "", (provision.FOLDER / "centos7.sh").read_text(encoding="utf-8"))
    less = [each for each in text.splitlines() if not each.startswith(line)]
    assert len(less) < len(text.splitlines())
    (tmp_path / "centos7.sh").write_text("\n".join(less), encoding="utf-8")
    monkeypatch.setattr(provision, "FOLDER", tmp_path)
    with pytest.raises(LabError, match=reason):
        install(machine)


def test_the_lab_reaches_root_of_a_virtualbox_machine(machine):
    (inline,) = re.findall(r'inline: "(.*)"', (ROOT / "Vagrantfile").read_text(encoding="utf-8"))
    assert machine.run(inline).ok
    assert (machine.mode("root/.ssh"), machine.mode("root/.ssh/authorized_keys")) == (0o700, 0o600)
    assert machine.text("root/.ssh/authorized_keys") == "ssh-rsa AAAAvagrant insecure\n"


def test_names_and_keys_are_the_documents(machine):
    install(machine)
    provision.map_names([machine], {"master": "192.168.56.101", "slave01": "192.168.56.104"})
    provision.share_keys([machine])
    assert "192.168.56.101 master\n192.168.56.104 slave01\n" in machine.text("etc/hosts")
    assert "127.0.1.1" not in machine.text("etc/hosts")
    home = "home/hadoop/.ssh"
    assert machine.mode(home) == 0o700
    assert machine.mode(f"{home}/authorized_keys") == 0o600
    assert machine.text(f"{home}/authorized_keys").strip() == machine.text(f"{home}/id_rsa.pub").strip()
    assert "master,192.168.56.101 ssh-ed25519 AAAAhost" in machine.text(f"{home}/known_hosts")
