"""What others wrote into a swarm is in no file and no output of any command, whatever it is and wherever it stands.

`make proof-secrets` (a quarter of an hour).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile

import pytest

from swarmlab.paths import ROOT
from tests.proof.existing.world import World
from tests.proof.secrets.plant import Planted, in_folder

pytestmark = pytest.mark.lab

#: Tests that list what others have, and one that fails, so that its cluster is diagnosed.
SUITES = shlex.split(
    os.environ.get(
        "SECRETS_ARGS",
        "suites/ch1_hosts/test_names.py suites/ch1_hosts/test_docker_group.py suites/ch2_networks/test_commands.py "
        "suites/ch3_volumes/test_volumes.py suites/ch7_usage/test_services.py suites/ch7_usage/test_stacks.py "
        "suites/ch8_internals/test_availability.py suites/ch8_internals/test_pending_services.py "
        "suites/ch8_internals/test_task_order.py",
    )
)


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("secrets"), name=os.environ.get("SECRETS_LAB", "secrets"))
    try:
        yield world
    finally:
        world.close()


@pytest.fixture(scope="session")
def planted(world):
    planted = Planted(world)
    assert len(planted.words) >= 40
    # What is looked for can be found: each value is there, where its owner reads it.
    # No engine tells the content of a secret.
    unseen = set(planted.words) - set(planted.seen_in(everything(world))) - {"secret-content"}
    assert not unseen, f"not planted: {sorted(unseen)}"
    return planted


def everything(world):
    """Return all that the owner can read of the swarm."""
    texts = []
    for node in world.nodes:
        for kind in ("services", "tasks", "configs", "nodes", "swarm") if node is world.nodes[0] else ():
            texts.append(str(node.ask("GET", f"/{kind}")))
        for kind in ("networks", "volumes", "containers/json", "images/json"):
            texts.append(str(node.ask("GET", f"/{kind}", all=True)))
        for container in node.containers(all=True):
            texts.append(str(node.ask("GET", f"/containers/{container['Id']}/json")))
        files = "/etc/docker/daemon.json /var/log/dockerd.log /root/.docker/config.json /var/tmp/swc-notes/file"
        texts.append(node.run(f"cat {files}; iptables-save; ps axww").out)
    return "\n".join(texts)


@pytest.fixture
def told(world, planted, request):
    """Return a function that runs a command; at the end, nothing that it printed or wrote has a planted value."""
    folder = world.folder / request.node.name
    folder.mkdir()
    outputs = []

    def run(*command, allowed=(0,)):
        command = [part.replace("REPORTS", str(folder / "reports")) for part in command]
        done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
        outputs.append((command, done.stdout + done.stderr))
        assert done.returncode in allowed, (done.stdout + done.stderr)[-2000:]
        assert "Traceback" not in done.stderr, done.stderr[-2000:]
        return done

    run.folder = folder
    yield run
    found = in_folder(planted, folder)
    found += [
        f"output of {' '.join(command[:3])}: {place}" for command, text in outputs for place in planted.seen_in(text)
    ]
    assert not found, "\n".join(found)


def test_a_run_with_a_failure(world, told):
    node = world.nodes[-1]
    node.run("cp /etc/hosts /root/hosts; echo 192.0.2.9 master >> /etc/hosts")
    try:
        where = ["--lab", "inventory", "--inventory", str(world.inventory), "--reports", "REPORTS"]
        told("pytest", *SUITES, *where, "--showlocals", "-vv", allowed=(1,))
    finally:
        node.run("cat /root/hosts > /etc/hosts; rm /root/hosts")
    evidence = "".join(file.read_text() for file in (told.folder / "reports").rglob("*.txt"))
    assert "vault_full" in evidence, "the names of what others have are told"
    assert "==== slave02: engine log" in evidence, "the cluster was diagnosed"
    told("swarmlab", "report", "REPORTS", "--out", str(told.folder / "report.html"))
    told("swarmlab", "results", "REPORTS", "--out", str(told.folder / "RESULTS.md"))
    told("swarmlab", "compare", "REPORTS", "REPORTS")


def test_a_run_on_a_lab_that_stands(world, told):
    told("pytest", *SUITES[:2], "--lab-name", world.name, "--reports", "REPORTS", "--showlocals", allowed=(0, 1))


def test_preflight(world, told):
    for where in (["--inventory", str(world.inventory)], ["--name", world.name]):
        for more in ([], ["--json"]):
            told("swarmlab", "preflight", *where, *more, allowed=(0, 1))


def test_a_likeness(world, told):
    script = (
        "import pathlib; from swarmlab.labs.existing import inventory; "
        "from swarmlab.rehearsal.likeness.read import read; "
        f"read(inventory.read({str(world.inventory)!r}), None, ['a', 'b', 'c'], print)"
        f".write(pathlib.Path({str(told.folder / 'likeness.json')!r}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (told.folder / "output.txt").write_text(done.stdout + done.stderr)
    text = (told.folder / "likeness.json").read_text()
    assert all(name in text for name in ("vault_full", "AWS_SECRET_ACCESS_KEY", "vault-secret", '"zone"'))


def test_bundles(world, told):
    for name, where in (("lab", ["--name", world.name]), ("swarm", ["--inventory", str(world.inventory)])):
        told("swarmlab", "logs", *where, str(told.folder / name))
        text = "".join(file.read_text() for file in (told.folder / name).rglob("*") if file.is_file())
        for part in ("vault_full", "level=error", "KernelVersion", "vault-net", "preflight"):
            assert part in text, part
        assert "fatal task error" in text, "the engine's log is there"
    archive = told.folder / "packed.tar.gz"
    told("swarmlab", "logs", "--inventory", str(world.inventory), str(archive))
    with tarfile.open(archive) as packed:
        packed.extractall(told.folder / "unpacked")
    assert list((told.folder / "unpacked").rglob("docker-info.json"))


def test_the_operators_commands(world, told):
    manager = world.folder / "manager.yaml"
    manager.write_text(
        f"manager: ssh://root@{world.nodes[0].address}\nkey: {world.folder}/key\n"
        f"known_hosts: {world.folder}/known_hosts\n"
    )
    told("swarmlab", "init", "--inventory", str(manager))
    for more in ([], ["--json"]):
        told("swarmlab", "doctor", "--inventory", str(world.inventory), *more, allowed=(0, 1))
    told("swarmlab", "shell", "--inventory", str(world.inventory), world.nodes[1].name, "--", "hostname")


def test_the_small_commands(world, told):
    told("swarmlab", "status")
    told("swarmlab", "cleanup", "--inventory", str(world.inventory), "--dry-run")
    told("swarmlab", "cleanup", "--inventory", str(world.inventory))


def test_a_locked_swarm(world, planted, told):
    planted.lock()
    told("swarmlab", "preflight", "--inventory", str(world.inventory), "--json", allowed=(0, 1))
    told("swarmlab", "logs", "--name", world.name, str(told.folder / "logs"))
