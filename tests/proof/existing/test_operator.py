"""What an operator does with a swarm of others before and after a run: write its inventory, look, collect, log in.

`make proof-existing` (some minutes; PYTEST_ARGS="-k operator": this alone).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import tarfile

import pytest
import yaml

from swarmlab import children
from swarmlab.labs.existing import inventory
from swarmlab.paths import ROOT
from tests.proof.existing.foreign import NAMES, USER, Foreign
from tests.proof.existing.test_unharmed import verdicts
from tests.proof.existing.world import differences

pytestmark = pytest.mark.lab

#: A port that something of the owner's listens on, within those of the suites.
TAKEN = 30005


@pytest.fixture(scope="module")
def foreign(tmp_path_factory, request):
    world = Foreign(tmp_path_factory.mktemp("operator"), request.config.getoption("--engine") or "")
    yield world
    world.close()


def swarmlab(*words, cwd=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "swarmlab", *map(str, words)]
    done = children.run(command, cwd=cwd or ROOT, capture_output=True, text=True, env=environment)
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    return done


@contextlib.contextmanager
def planted(node, command, mend):
    """Do something to a node, as long as the context lasts."""
    node.run(command).expect(command)
    try:
        yield
    finally:
        node.run(mend)


@contextlib.contextmanager
def unreached(node):
    """Let no SSH reach a node."""
    rule = "INPUT -p tcp --dport 22 -j REJECT"
    with planted(node, f"iptables -I {rule}", f"iptables -D {rule}"):
        yield


def manager_file(world):
    """Return an inventory that names the manager alone."""
    file = world.folder / "manager.yaml"
    address = world.nodes[0].address
    file.write_text(yaml.safe_dump({"manager": f"ssh://{USER}@{address}", "key": "key", "known_hosts": "known_hosts"}))
    return file


# Writing the inventory


def test_init_writes_what_a_run_reads(foreign):
    before = foreign.dump()
    done = swarmlab("init", "--inventory", manager_file(foreign))
    assert done.returncode == 0, done.stderr
    file = foreign.folder / "written.yaml"
    file.write_text(done.stdout)
    known = inventory.read(str(file))
    assert {(one.name, one.address, one.user) for one in known.machines} == {
        (name, node.address, USER) for name, node in zip(NAMES, foreign.nodes, strict=True)
    }
    assert [one.role for one in known.machines].count("manager") == 1
    assert f"--may-disrupt {foreign.docker('info --format {{.Swarm.Cluster.ID}}')}" in done.stdout
    assert swarmlab("preflight", "--inventory", file).returncode in (0, 1)
    changed = differences(before, foreign.dump())
    assert not changed, "\n".join(changed)


def test_init_finds_that_a_user_needs_sudo(foreign):
    with contextlib.ExitStack() as stack:
        for node in foreign.nodes:
            stack.enter_context(planted(node, f"gpasswd -d {USER} docker", f"gpasswd -a {USER} docker"))
        done = swarmlab("init", "--inventory", manager_file(foreign))
        assert done.returncode == 0, done.stderr
        assert "\nsudo: true\n" in done.stdout
        file = foreign.folder / "sudo.yaml"
        file.write_text(done.stdout)
        assert swarmlab("shell", "--inventory", file, NAMES[0], "--", "docker node ls -q | wc -l").stdout.strip() == "3"


def test_init_names_the_node_that_it_does_not_reach(foreign):
    node = foreign.nodes[2]
    with unreached(node):
        done = swarmlab("init", "--inventory", manager_file(foreign))
    assert done.returncode == 1
    assert f"node {node.address}: nothing answers on port 22" in done.stderr or "does not answer" in done.stderr
    assert re.search(rf"# NOT REACHED: .*\n  - {{address: {node.address}, name: {node.name}", done.stdout)
    assert len(yaml.safe_load(done.stdout)["nodes"]) == 3


def test_init_prints_nothing_but_a_line_for_a_manager_that_is_none(foreign):
    with unreached(foreign.nodes[0]):
        done = swarmlab("init", "--inventory", manager_file(foreign))
    assert (done.returncode, done.stdout) == (2, "")
    file = manager_file(foreign)
    file.write_text(file.read_text().replace(foreign.nodes[0].address, foreign.nodes[1].address))
    done = swarmlab("init", "--inventory", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not a manager" in done.stderr.splitlines()[-1]


# The doctor


def trouble(done):
    """Return the findings of the doctor that are wrong, as (check, nodes)."""
    found = json.loads(done.stdout)
    bad = [one for one in found if one["level"] in ("error", "warning", "unknown")]
    for one in bad:
        assert one["mend"], one
    return {(one["check"], *one["nodes"]) for one in bad}, {one["check"]: one for one in bad}


def test_the_doctor_finds_all_that_is_wrong_at_once_and_changes_nothing(foreign):
    web, db, app = foreign.nodes
    before = foreign.dump()
    sound, _ = trouble(swarmlab("doctor", "--inventory", foreign.inventory, "--json"))
    # Container nodes have the kernel of this machine, which may lack IPVS.
    assert {check for check, *_ in sound} <= {"kernel-modules"}, sound
    rule = f"INPUT -p tcp --dport 7946 -s {web.address} -j DROP"
    listening = f"setsid python3 -m http.server {TAKEN} >/dev/null 2>&1 & echo $! > /run/taken"
    with (
        planted(db, f"iptables -I {rule}", f"iptables -D {rule}"),
        planted(web, listening, "kill $(cat /run/taken)"),
        planted(db, "mv /usr/bin/curl /usr/bin/curl-away", "mv /usr/bin/curl-away /usr/bin/curl"),
        unreached(app),
    ):
        done = swarmlab("doctor", "--inventory", foreign.inventory, "--json", "--image", "registry.invalid/x:1")
        found, by_check = trouble(done)
    assert done.returncode == 1
    assert ("reach", app.name) in found or ("reach", app.address) in found, found
    assert "port-gossip-tcp" in by_check
    assert str(TAKEN) in by_check["free-ports"]["seen"]
    assert web.name in by_check["free-ports"]["seen"]
    assert "cannot get registry.invalid/x:1" in by_check["suite-images"]["seen"]
    told = {one["check"]: one for one in json.loads(done.stdout)}
    assert "curl" in told["tools"]["seen"]
    changed = differences(before, foreign.dump())
    assert not changed, "\n".join(changed)


def test_the_doctor_looks_at_this_machine(foreign):
    done = swarmlab("doctor", "--host", cwd=foreign.folder)
    assert done.returncode in (0, 1), done.stderr
    for check in ("host-python", "host-rights", "host-modules", "host-addresses", "host-engine"):
        assert check in done.stdout


# The shell


def test_a_shell_by_inventory_is_of_root_and_passes_the_status(foreign):
    def ran(*words):
        return swarmlab("shell", "--inventory", foreign.inventory, *words)

    assert ran(NAMES[1], "--", "id", "-u").stdout.strip() == "0"
    assert ran(foreign.nodes[2].address, "--", "hostname").stdout.strip() == NAMES[2]
    assert ran(NAMES[0], "--", "exit 7").returncode == 7
    assert ran(NAMES[0], "--", "printf", "%s", "a b'c").stdout == "a b'c"
    done = ran("nobody", "--", "true")
    assert (done.returncode, "has no node 'nobody'" in done.stderr) == (2, True)
    node = foreign.nodes[1]
    with planted(node, "kill -STOP $(cat /run/docker.pid)", "kill -CONT $(cat /run/docker.pid)"):
        assert ran(node.name, "--", "echo here").stdout.strip() == "here", "the engine need not answer"
    by_manager = swarmlab("shell", "--inventory", manager_file(foreign), NAMES[2], "--", "hostname")
    assert by_manager.stdout.strip() == NAMES[2]


# The bundle


def test_a_bundle_has_every_node_and_says_what_it_lacks(foreign):
    archive = foreign.folder / "logs.tar.gz"
    gone = foreign.nodes[2]
    with unreached(gone):
        done = swarmlab("logs", "--inventory", foreign.inventory, archive)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(archive)
    with tarfile.open(archive) as packed:
        files = {one.name: io.BytesIO(packed.extractfile(one).read()) for one in packed if one.isfile()}
    texts = {name.partition("/")[2]: file.read().decode() for name, file in files.items()}
    for name in NAMES[:2]:
        for file in ("docker-info.json", "daemon.json", "engine.log", "kernel.log", "routes.txt", "sysctls.txt"):
            assert texts[f"nodes/{name}/{file}"].strip(), (name, file)
        assert json.loads(texts[f"nodes/{name}/docker-info.json"])["Name"] == name
    assert not [name for name in texts if name.startswith(f"nodes/{gone.name}")]
    assert gone.name in texts["index.html"]
    assert "shop_web" in texts["swarm/services.json"]
    assert "shop_web" in texts["swarm/tasks.txt"]
    assert json.loads(texts["preflight.json"])
    assert not [file for file in foreign.folder.iterdir() if file.name.startswith(".")]
    assert max(map(len, texts.values())) < 5_000_000


def test_a_bundle_has_what_the_shell_tells_where_an_engine_hangs(foreign):
    folder, node = foreign.folder / "hangs", foreign.nodes[1]
    with planted(node, "kill -STOP $(cat /run/docker.pid)", "kill -CONT $(cat /run/docker.pid)"):
        done = swarmlab("logs", "--inventory", foreign.inventory, folder)
    assert done.returncode == 0, done.stderr
    for file in ("kernel.log", "routes.txt", "engine.log", "firewall-nftables.txt"):
        assert (folder / "nodes" / node.name / file).read_text().strip(), file
    assert not (folder / "nodes" / node.name / "docker-info.json").exists()
    assert "its engine does not answer" in (folder / "index.html").read_text()
    assert (folder / "nodes" / NAMES[0] / "docker-info.json").exists()


# The file of options


def test_one_word_runs_the_suites_with_the_options_of_the_file(foreign):
    folder = foreign.folder / "prod"
    folder.mkdir()
    file = folder / "swarmlab.toml"
    text = 'inventory = "../inventory.yaml"\nreports = "reports"\nkeep-runs = 3\n'
    file.write_text(text)
    done = swarmlab("test", "--", str(ROOT / "suites/ch1_hosts/test_names.py"), cwd=folder)
    assert done.returncode in (0, 1), (done.stdout + done.stderr)[-2000:]
    assert f"options of {file}: --lab=inventory" in done.stdout
    assert verdicts(folder / "reports")
    told = json.loads((folder / "reports/latest/verdicts.json").read_text())["options"]
    assert told["config"] == str(file)
    assert set(told["of_config"]) == {"lab", "inventory", "reports", "keep-runs"}
    assert swarmlab("doctor", "--json", cwd=folder).returncode in (0, 1)
    file.write_text(text + 'may-disrupt = "another"\n')
    refused = swarmlab("test", "--", str(ROOT / "suites/ch1_hosts/test_names.py"), cwd=folder)
    assert refused.returncode == 4
    assert "--may-disrupt another: the inventory's cluster is" in refused.stdout + refused.stderr
