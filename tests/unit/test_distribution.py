"""Which packages a host gets: of the releases that are listed, of newer ones, and of what is built on them."""

import pytest

from swarmlab import distribution, host
from swarmlab.distribution import packages, read
from swarmlab.errors import UsageError
from swarmlab.files import read_yaml

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'
TRIXIE = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=debian\n'
TESTING = 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nVERSION_CODENAME=forky\nID=debian\n'
LATER = 'PRETTY_NAME="Debian GNU/Linux 15 (duke)"\nVERSION_ID="15"\nVERSION_CODENAME=duke\nID=debian\n'
JAMMY = 'PRETTY_NAME="Ubuntu 22.04.5 LTS"\nVERSION_ID="22.04"\nVERSION_CODENAME=jammy\nID=ubuntu\nID_LIKE=debian\n'
QUESTING = 'PRETTY_NAME="Ubuntu 25.10"\nVERSION_ID="25.10"\nVERSION_CODENAME=questing\nID=ubuntu\nID_LIKE=debian\n'
MINT = (
    'NAME="Linux Mint"\nVERSION_ID=\'22.1\'\nID=linuxmint\nID_LIKE="ubuntu debian"\n# a comment\n'
    "VERSION_CODENAME=xia\nUBUNTU_CODENAME=noble\n"
)
RASPBIAN = 'NAME=Raspbian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nID=raspbian\nID_LIKE=debian\n'
OLD = 'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nVERSION_ID="11"\nVERSION_CODENAME=bullseye\nID=debian\n'
FEDORA = 'PRETTY_NAME="Fedora Linux 43"\nVERSION_ID=43\nID=fedora\n'


@pytest.mark.parametrize(
    ("text", "docker"),
    [
        (BOOKWORM, ["docker.io"]),
        (TRIXIE, ["docker.io", "docker-cli"]),
        (TESTING, ["docker.io", "docker-cli"]),
        (LATER, ["docker.io", "docker-cli"]),
        (JAMMY, ["docker.io", "docker-cli?"]),
        (QUESTING, ["docker.io", "docker-cli?"]),
        (MINT, ["docker.io", "docker-cli?"]),
        (RASPBIAN, ["docker.io", "docker-cli"]),
    ],
)
def test_a_host_gets_the_list_of_its_release_or_of_the_nearest(text, docker):
    assert [name for name in packages(["engine"], read(text)) if name.startswith("docker")] == docker
    assert packages(["images"], read(text)) == ["mmdebstrap", "debian-archive-keyring"]


@pytest.mark.parametrize("text", [TESTING, LATER, QUESTING, MINT])
def test_what_a_release_has_no_more_is_told_with_what_to_do(text):
    with pytest.raises(UsageError, match=r"lacks packages that are needed: .* has no vagrant from .* on; install"):
        packages(["machines"], read(text))
    assert "vagrant-libvirt" in packages(["machines"], read(BOOKWORM))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            FEDORA,
            "the packages of Fedora Linux 43 are not known here; install by hand: a Docker engine with its",
        ),
        (OLD, "Debian GNU/Linux 11 (bullseye) is older than release 12; install by hand: a Docker engine with its"),
        ("ID='broken\n", "the packages of 'broken are not known here; install by hand:"),
        ("", "the packages of an unnamed system are not known here; install by hand:"),
    ],
)
def test_another_system_is_told_in_one_line_what_to_install(text, line):
    with pytest.raises(UsageError) as refused:
        packages(["engine", "images"], read(text))
    assert str(refused.value).startswith(line)
    assert "mmdebstrap" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_each_release_has_each_list():
    lists = read_yaml(distribution.FILE)
    for releases in lists["systems"].values():
        numbers = [distribution._number(release["version"]) for release in releases]
        assert numbers == sorted(numbers)
        for release in releases:
            assert release.keys() == {"version", "codename", *lists["purposes"]}


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """A double of apt in a folder, which notes what it is asked and with what environment."""
    noted = tmp_path / "noted"
    (tmp_path / "apt-get").write_text(
        f'#!/bin/sh\necho "get $DEBIAN_FRONTEND $https_proxy $*" >> {noted}\n'
        "if read -r line; then echo asked >> " + str(noted) + "; fi\n"
        'case "$*" in *refused*) echo "E: Unable to locate package refused" >&2; exit 100;; esac\n'
    )
    (tmp_path / "apt-cache").write_text('#!/bin/sh\n[ "$2" = docker-cli ]\n')
    for program in ("apt-get", "apt-cache"):
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    monkeypatch.setattr(host, "as_root", list)
    monkeypatch.setattr(host, "run_folder", lambda: tmp_path)
    return noted


def test_packages_are_installed_without_a_question_and_those_in_doubt_where_apt_has_them(apt, monkeypatch):
    monkeypatch.setattr(host.distribution, "here", lambda: read(JAMMY))
    host.install(["engine"], print)
    update, install = apt.read_text().splitlines()
    assert update.startswith("get noninteractive http://proxy:1 -q -y")
    assert install.endswith("install --no-remove --no-install-recommends docker.io iptables iproute2 docker-cli")


@pytest.mark.usefixtures("apt")
def test_what_apt_says_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr(host.distribution, "packages", lambda _: ["refused"])
    with pytest.raises(UsageError, match="apt-get could not install refused: E: Unable to locate package refused"):
        host.install(["engine"], print)


def test_a_user_without_rights_is_told_what_to_install(apt, monkeypatch):
    monkeypatch.setattr(host.distribution, "here", lambda: read(TRIXIE))
    monkeypatch.setattr(host, "as_root", lambda: None)
    monkeypatch.setattr(host, "why_not_root", lambda: "sudo asks for a password")
    wanted = r"may not install packages \(sudo asks for a password\); run: sudo apt-get install docker\.io docker-cli"
    with pytest.raises(UsageError, match=wanted):
        host.install(["engine"], print)
    assert not apt.exists()
