"""Labs on engines and hosts with other settings: each works, or ends in one line before anything is made.

`make proof-host-settings` (half an hour, and as long again for the first run, which makes images).
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from swarmlab.host import cache_folder, run_folder
from swarmlab.labs.containers.fitness import gib
from swarmlab.paths import ROOT
from swarmlab.wait import wait
from tests.proof.host.engine import engine
from tests.unit.helpers import start

pytestmark = pytest.mark.lab

NAME = "host-settings"
#: VirtualBox's host-only network, and a VPN that takes all private networks of its kind. A bridge serves as either.
TAKEN = """
for name in vboxnet0 tun0; do ip link add $name type bridge; ip link set $name up; done
ip addr add 192.168.56.1/24 dev vboxnet0; ip route add 192.168.0.0/16 dev tun0
"""
#: The rules of a firewall that is closed but for answers, as ufw's.
CLOSED = """
iptables -P INPUT DROP; iptables -A INPUT -i lo -j ACCEPT; iptables -P FORWARD DROP
iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables -A FORWARD -j REJECT
"""
#: A profile that refuses what nodes do all the time.
SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mount", "unshare", "setns"], "action": "SCMP_ACT_ERRNO"}],
}
#: Settings with which nodes could not live if they were theirs.
ODD = {
    "icc": False,
    "live-restore": True,
    "no-new-privileges": True,
    "userland-proxy": False,
    "bip": "192.168.57.1/24",
    # The engine itself needs a pool that is not taken.
    "default-address-pools": [{"base": "192.168.0.0/16", "size": 20}, {"base": "10.200.0.0/16", "size": 24}],
    "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1024, "Hard": 4096}},
    "default-runtime": "odd",
    "runtimes": {"odd": {"path": "/bin/false"}},
    "log-driver": "syslog",
    "log-opts": {"syslog-address": "tcp://127.0.0.1:5999"},
}


@contextlib.contextmanager
def up(host, *options, **how):
    """Bring up a lab, take it down afterwards, and yield how that ended."""
    try:
        yield host.run("swarmlab", "up", "--name", NAME, *options, **how)
    finally:
        host.run("swarmlab", "down", "--name", NAME, **how)


def smoke(host, folder):
    """Judge the smoke profile on the lab; return the verdicts of claims that were judged."""
    reports = ["--reports", str(folder), "-q", "-p", "no:cacheprovider"]
    done = host.run("pytest", "suites/", "--lab-name", NAME, "--profile", "smoke", *reports)
    claims = json.loads((folder / "latest" / "verdicts.json").read_text())["claims"]
    judged = {claim["id"]: claim["verdict"] for claim in claims if claim["verdict"] != "blocked"}
    assert done.returncode == 0, judged
    return judged


def is_line(done, status, words):
    """Whether a command ended with this status and told why in its last line, which has these words."""
    *_, line = done.stderr.strip().splitlines()
    assert (done.returncode, words in line) == (status, True), done.stderr
    assert "Traceback" not in done.stderr


def traces(host):
    """Return what is on the engine, and the files of labs that run on this machine."""
    listed = ("ps --all --quiet", "network ls --quiet", "volume ls --quiet --filter label=swarmlab.lab", "images -q")
    files = [str(found) for found in run_folder().rglob("*")] if run_folder().exists() else []
    scratch = [str(found) for found in cache_folder().glob("*-*-*")]
    return [*(host.docker(*words.split()) for words in listed), *sorted(files), *sorted(scratch)]


def test_settings_of_others_do_not_reach_the_nodes(tmp_path):
    with engine() as host, up(host, "--nodes", "1") as made:
        assert made.returncode == 0  # images are built with the default runtime, which below runs nothing
    profile = tmp_path / "seccomp.json"
    profile.write_text(json.dumps(SECCOMP))
    with engine({**ODD, "seccomp-profile": str(profile)}, before=TAKEN) as host, up(host) as made:
        assert made.returncode == 0
        assert "192.168.56.0/24 is taken by vboxnet0; the lab uses 192.168.58.0/24" in made.stderr
        assert "192.168.58.0/24 is not reached through tun0 as the rest of 192.168.0.0/16" in made.stderr
        assert set(smoke(host, tmp_path).values()) == {"pass"}


@pytest.mark.parametrize(
    ("settings", "before"),
    [({}, CLOSED), ({"iptables": False, "ip6tables": False}, "true"), ({"iptables": True}, "iptables -P FORWARD DROP")],
    ids=["firewall", "no rules", "forward"],
)
def test_a_lab_behind_a_firewall_of_the_host(tmp_path, settings, before):
    with engine(settings, before=before) as host, up(host) as made:
        assert made.returncode == 0
        assert set(smoke(host, tmp_path).values()) == {"pass"}


def test_a_firewall_between_the_nodes_is_told_in_a_line_and_nothing_is_left():
    closed = {"iptables": False, "ip6tables": False}
    with engine(closed, before="iptables -P FORWARD DROP") as host:
        before = traces(host)
        with up(host, "--nodes", "2") as made:
            is_line(made, 2, "the lab's nodes do not reach each other: the firewall of the engine's host drops")
        assert traces(host) == before


@pytest.fixture
def data():
    """A data root to which other users come."""
    folder = Path(tempfile.mkdtemp(prefix="swc-data-", dir="/run"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_an_engine_that_maps_users_is_refused_before_anything_is_made(data):
    ranges = dict.fromkeys(["/etc/subuid", "/etc/subgid"], "nobody:200000:65536\nnogroup:200000:65536\n")
    with engine({"userns-remap": "nobody:nogroup"}, data=data, files=ranges) as host:
        before = traces(host)
        with up(host) as made:
            is_line(made, 2, "maps the users of containers (userns-remap)")
        assert traces(host) == before
        assert "error     host-engine-settings" in host.run("swarmlab", "doctor", "--host").stdout


def test_an_engine_without_room_is_told_before_anything_is_made(data):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", data], check=True)
    try:
        with engine({"storage-driver": "vfs"}, data=data) as host:
            before = traces(host)
            with up(host) as made:
                is_line(made, 2, f"keeps volumes, has {gib(2**29)} GiB free, and a lab needs")
            assert traces(host) == before
    finally:
        subprocess.run(["umount", "--lazy", data], check=True)


def test_a_host_that_has_all_networks_of_labs_is_told_before_anything_is_made():
    every = "for third in $(seq 56 71); do ip addr add 192.168.$third.1/24 dev lan; done"
    with engine(before=f"ip link add lan type bridge; ip link set lan up; {every}") as host:
        before = traces(host)
        with up(host) as made:
            is_line(made, 2, "192.168.56.0/24 to 192.168.71.0/24 are taken, by lan")
        assert traces(host) == before


def test_no_file_is_left_by_a_lab_a_run_or_an_interrupted_one(tmp_path):
    with engine() as host:
        before = traces(host)
        with up(host, "--nodes", "2"):
            pass
        assert traces(host) == before
        command = [sys.executable, "-m", "swarmlab", "up", "--name", NAME]
        begun = start(command, ROOT, env=host.environment(), stderr=subprocess.PIPE)
        wait(lambda: host.docker("ps", "--quiet"), "the lab to have a container", deadline=120)
        begun.send_signal(signal.SIGINT)
        print(begun.communicate(timeout=120)[1].decode())
        assert begun.returncode == 130
        assert traces(host) == before
        run = ["-n", "0", "--reports", str(tmp_path), "-q", "-p", "no:cacheprovider"]
        assert host.run("pytest", "suites/", "--profile", "smoke", *run).returncode == 0
        assert traces(host) == before


def test_a_lab_whose_sockets_were_removed_is_used_on(tmp_path):
    with engine() as host, up(host) as made:
        assert made.returncode == 0
        folder = run_folder() / "labs" / NAME
        sockets = list(folder.glob("*/docker.sock"))
        assert len(sockets) == 3
        for place in sockets:  # systemd-tmpfiles removes nothing from a folder that it cannot lock
            with pytest.raises(BlockingIOError):
                fcntl.flock(os.open(place.parent, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
        shown = host.run("swarmlab", "status").stdout
        assert (shown.count("engine "), "does not answer" in shown) == (3, False)
        assert set(smoke(host, tmp_path).values()) == {"pass"}


def test_a_lab_of_an_ordinary_user_outlives_the_login(tmp_path):
    user, login, home = 64123, tmp_path / "login", tmp_path / "home"
    for folder in (login, home):
        folder.mkdir()
        os.chown(folder, user, user)
    for above in (tmp_path, *tmp_path.parents):
        above.chmod(above.stat().st_mode | 0o055)  # the user comes to its own folders
    how = {"user": user, "XDG_RUNTIME_DIR": str(login), "HOME": str(home), "SWARMLAB_CACHE": str(home / "cache")}
    how["PYTHONDONTWRITEBYTECODE"] = "1"
    with engine() as host:
        host.run("swarmlab", "down", "--name", NAME)
        (host.folder / "docker.sock").chmod(0o666)
        host.folder.chmod(0o755)
        with up(host, **how) as made:
            assert made.returncode == 0
            folder = Path(f"/var/tmp/swarmlab-{user}")
            sockets = list((folder / "labs" / NAME).glob("*/docker.sock"))
            assert len(sockets) == 3
            assert {place.parent.stat().st_mode & 0o777 for place in sockets} == {0o700}
            shutil.rmtree(login)
            assert host.run("swarmlab", "status", **how).stdout.count("engine 2") == 3
            for verb in ("stop", "start"):
                assert host.run("swarmlab", verb, "--name", NAME, "slave01", **how).returncode == 0
            assert host.run("swarmlab", "status", **how).stdout.count("engine 2") == 3
        assert not folder.exists()
