"""What users with and without rights are told and can do on an engine of root's: by the group, by sudo, by nothing.

`make proof-rights` (a quarter of an hour, as root: it makes a host apart, with users of its own).
"""

import os
import signal
import subprocess
import sys

import pytest

from swarmlab.wait import wait
from tests.proof.rights.world import World, passages

pytestmark = pytest.mark.lab

#: Every command that asks for the outer engine, with its exit status where that may not be reached.
COMMANDS = {
    "status": 2,
    "up": 2,
    "down": 2,
    "down --all": 2,
    "shell master": 2,
    "start master": 2,
    "stop master": 2,
    "logs": 2,
    "cleanup": 2,
    "rehearse --from bookworm --to trixie --out HOME/none": 2,
    "push-images registry.example:5000": 2,
    "doctor --host": 1,
    "preflight": 1,
}


@pytest.fixture(scope="module")
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture(scope="module")
def images(world):
    """The engine has the images that labs are made of: root has had a lab there."""
    made = world.root(sys.executable, "-m", "swarmlab", "up", "--name", "first", "--nodes", "1")
    assert made.returncode == 0, made.stderr
    gone = world.root(sys.executable, "-m", "swarmlab", "down", "--name", "first")
    assert gone.returncode == 0, gone.stderr


@pytest.mark.parametrize("user", ["asked", "powerless"])
@pytest.mark.parametrize("command", COMMANDS)
def test_who_may_not_reach_the_engine_is_told_the_three_ways_out(world, user, command):
    before = world.started()
    told = world.swarmlab(user, *command.replace("HOME", f"/home/{user}").split())
    assert told.returncode == COMMANDS[command]
    said = told.stdout + told.stderr
    assert f"user {user} may not reach the engine at unix:///var/run/docker.sock, and sudo asks for a password" in said
    for way in (f"usermod -aG docker {user}", "run with sudo", "DOCKER_HOST=unix://PATH"):
        assert way in said
    assert "install" not in said.replace("installed", "") or command in ("doctor --host", "preflight")
    if COMMANDS[command] == 2:
        assert len(said.splitlines()) == 1
    assert world.started() == before
    assert passages() == []


@pytest.mark.parametrize("user", ["asked", "powerless"])
def test_a_run_of_theirs_is_refused_in_the_same_way(world, user):
    command = [
        *world.prefix(user),
        sys.executable,
        "-m",
        "pytest",
        "suites/",
        "--profile",
        "smoke",
        "-p",
        "no:cacheprovider",
    ]
    told = subprocess.run([*command, "--reports", f"/home/{user}/reports"], capture_output=True, text=True, check=False)
    assert told.returncode == 4, told.stdout
    assert f"user {user} may not reach the engine" in told.stdout + told.stderr


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("user", ["grouped", "sudoer"])
def test_who_may_by_the_group_or_by_sudo_makes_and_uses_a_lab(world, user):
    name = ("--name", user)
    assert world.swarmlab(user, "status").stdout == "no lab is up\n"
    try:
        made = world.swarmlab(user, "up", "--nodes", "1", *name)
        assert made.returncode == 0
        assert passages() == []
        inside = world.swarmlab(user, "shell", "master", *name, "--", "docker node ls -q | wc -l; exit 3")
        assert (inside.returncode, inside.stdout.split()) == (3, ["1"])
        own = world.swarmlab(user, "status")
        assert f"{user} (unix://" in own.stdout
        assert "manager" in own.stdout
        wait(lambda: passages() == [], "the passages to end")
    finally:
        assert world.swarmlab(user, "down", *name).returncode == 0


@pytest.mark.usefixtures("images")
def test_the_way_through_sudo_ends_with_a_command_that_is_killed(world):
    command = [*world.prefix("sudoer"), sys.executable, "-m", "swarmlab", "up", "--nodes", "1", "--name", "killed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        wait(passages, "a passage")
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
    wait(lambda: passages() == [], "the passages to end")
    assert world.swarmlab("sudoer", "down", "--all").returncode == 0
    assert not list(world.data.glob("containers/*")), "a container is left"


@pytest.mark.usefixtures("images")
def test_a_lab_of_another_user_is_theirs_and_stays(world):
    assert world.swarmlab("grouped", "up", "--nodes", "1", "--name", "theirs").returncode == 0
    try:
        assert "theirs (unix://" in (seen := world.swarmlab("sudoer", "status").stdout)
        assert "; grouped's; made by: user)" in seen
        assert "engine " in seen
        for command in ("down --name theirs", "cleanup --name theirs"):
            refused = world.swarmlab("sudoer", *command.split())
            assert refused.returncode == 2
            line = "swarmlab: lab theirs is grouped's, and stays; add --yes if that is agreed with grouped\n"
            assert refused.stderr == line
        everything = world.swarmlab("sudoer", "down", "--all")
        assert (everything.returncode, "lab theirs is grouped's, and stays" in everything.stderr) == (0, True)
        taken = world.swarmlab("sudoer", "up", "--nodes", "1", "--name", "theirs")
        assert "lab 'theirs' is up already, and grouped's; take another name" in taken.stderr
        assert "theirs" in world.swarmlab("grouped", "status").stdout
        assert world.swarmlab("sudoer", "down", "--name", "theirs", "--yes").returncode == 0
        assert world.swarmlab("grouped", "status").stdout == "no lab is up\n"
    finally:
        world.swarmlab("grouped", "down", "--all")


#: Makes an image of which apt knows no package, as the user's own commands do.
_MAKE = """
from swarmlab.errors import SwarmlabError
from swarmlab.images import workshop
from swarmlab.images.recipes import RootFs
from swarmlab.labs import outer

class Wrong(RootFs):
    packages = ["no-such-package"]

try:
    workshop.Workshop(outer.running().client, print).make(Wrong("redis", "bullseye"))
except SwarmlabError as failed:
    print(failed)
"""


@pytest.mark.usefixtures("images")
def test_an_image_that_cannot_be_made_is_told_with_each_way_and_leaves_nothing(world):
    listed = world.root("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "swarmlab/redis-bullseye").stdout
    world.root("docker", "tag", listed.split()[0], "debian:bullseye-slim")  # a registry need not be reached
    try:
        before = [world.root("docker", *words).stdout for words in (("images", "-aq"), ("ps", "-aq"))]
        command = [*world.prefix("grouped"), sys.executable, "-c", _MAKE]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        # The image that stands for Debian's has no apt.
        assert "build from debian:bullseye-slim: the engine could not build swarmlab/redis-bullseye" in said
        assert "apt-get: not found" in said
        assert "mmdebstrap: not tried, as it takes root (sudo asks for a password)" in said
        after = [world.root("docker", *words).stdout for words in (("images", "-aq"), ("ps", "-aq"))]
        assert after == before
        left = subprocess.run([*world.prefix("grouped"), "find", "/home/grouped/.cache/swarmlab"], capture_output=True)
        assert not [line for line in left.stdout.decode().splitlines() if "/image-" in line]
    finally:
        world.root("docker", "rmi", "debian:bullseye-slim")
