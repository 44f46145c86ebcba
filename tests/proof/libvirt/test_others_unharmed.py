"""A lab in the libvirt of a host leaves the machines, networks, pools and boxes of others as they are.

`make proof-libvirt` (an hour, where machines are emulated). It needs root.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from swarmlab.labs.machines.places import domains
from swarmlab.paths import ROOT
from swarmlab.wait import State, wait
from tests.proof.libvirt.world import World

pytestmark = pytest.mark.lab

ONE_TEST = "suites/ch1_hosts/test_machines.py::test_each_node_has_a_nat_and_a_host_only_interface"


@pytest.fixture(scope="module")
def world():
    # Outside the world, as the box is made of packages that are downloaded.
    subprocess.run([sys.executable, "-m", "swarmlab", "box"], cwd=ROOT, check=True)
    # Not pytest's folder, which only this user can enter: QEMU is another.
    with tempfile.TemporaryDirectory(prefix="world") as folder:
        Path(folder).chmod(0o711)
        made = World(Path(folder))
        try:
            down = made.program("swarmlab", "down", "--name", "machines")
            subprocess.run(down, env=made.environment)  # what a proof that was killed left in the engine
            yield made
            subprocess.run(down, env=made.environment)
        finally:
            made.close()


def swarmlab(world, *words, **more):
    ran = subprocess.run(
        world.program("swarmlab", *words), env={**world.environment, **more}, capture_output=True, text=True
    )
    print(ran.stdout[-3000:], ran.stderr[-3000:])
    return ran


def test_what_is_in_the_way_is_told_before_anything_is_made(world):
    before = world.everything()
    refused = swarmlab(world, "up", "--lab", "vagrant", LIBVIRT_DEFAULT_URI="qemu:///session")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "a libvirt of one user makes no networks" in refused.stderr
    assert world.everything() == before
    objects = [
        ("net-define", "<network><name>machines-nat</name></network>", "net-undefine", "network machines-nat"),
        (
            "pool-define",
            f"<pool type='dir'><name>machines</name><target><path>{world.folder}/elsewhere</path></target></pool>",
            "pool-undefine",
            "pool machines",
        ),
    ]
    for define, xml, undefine, what in objects:
        world.define(define, xml)
        now = world.everything()
        refused = swarmlab(world, "up", "--lab", "vagrant")
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
        assert f"has a {what} that is not this lab's; rename it" in refused.stderr
        assert world.everything() == now
        world.virsh(undefine, what.split()[1])
    assert world.everything() == before


def test_a_lab_comes_is_used_and_goes_and_others_notice_nothing(world):
    before, others = world.everything(), world.others()
    up = swarmlab(world, "up", "--lab", "vagrant")
    assert up.returncode == 0, up.stderr
    assert "192.168.56.0/24 is taken, or not allowed; the machines use 192.168.58.0/24" in up.stderr
    assert world.others() == others
    assert {"machines-nat", "machines-cluster"} <= set(world.virsh("net-list", "--name").split())
    ran = subprocess.run(
        world.program("pytest", ONE_TEST, "--lab", "vagrant", "--reports", world.folder / "reports"),
        env=world.environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert world.others() == others
    down = swarmlab(world, "down", "--name", "machines")
    assert down.returncode == 0, down.stderr
    assert world.everything() == before


@pytest.mark.parametrize("at", ["machines that are defined", "machines that run"])
def test_a_run_that_is_killed_leaves_to_others_what_is_theirs(world, at):
    before, others = world.everything(), world.others()
    with (world.folder / "killed.log").open("w") as log:
        run = subprocess.Popen(
            world.program("pytest", ONE_TEST, "--lab", "vagrant", "--reports", world.folder / "reports"),
            env=world.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running = [] if at == "machines that are defined" else ["--state-running"]

    def there():
        found = world.virsh("list", "--all", "--name", *running).split()
        return State(bool(set(domains()) & set(found)), ", ".join(found), hopeless=run.poll() is not None)

    try:
        wait(there, f"{at}, of the run", deadline=1800)
    finally:
        print((world.folder / "killed.log").read_text()[-3000:])
    os.killpg(run.pid, 9)
    run.wait()
    assert world.others() == others
    down = swarmlab(world, "down", "--name", "machines")
    assert down.returncode == 0, down.stderr
    assert world.everything() == before
