"""The suites run on a swarm that exists: they change nothing there, however the run ends, and find what is broken.

`make proof-existing` (an hour or two; EXISTING_ARGS: which tests, else all that disrupt nothing; ENGINE: which engine).
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import pytest

from swarmlab import children
from swarmlab.errors import EngineRefused
from swarmlab.host import run_folder
from swarmlab.ownership import alive
from swarmlab.paths import ROOT
from swarmlab.verdicts import results
from swarmlab.wait import wait
from tests.proof.existing.engine_logs import Asked, Line, errors, since, times, unasked
from tests.proof.existing.world import NAME, Load, World, differences, load

pytestmark = pytest.mark.lab

#: Which tests run on it.
ARGUMENTS = shlex.split(os.environ.get("EXISTING_ARGS", "suites/"))


@pytest.fixture(scope="session")
def world(tmp_path_factory, request):
    world = World(tmp_path_factory.mktemp("existing"), request.config.getoption("--engine") or "")
    yield world
    world.close()


def suites(world, *arguments, inventory=None, reports="reports"):
    """Return the command that runs the suites on the existing swarm."""
    where = ["--lab", "inventory", "--inventory", str(inventory or world.inventory)]
    return [sys.executable, "-m", "pytest", *arguments, *where, "--reports", str(world.folder / reports)]


def run(command, **environment):
    return children.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


def verdicts(folder):
    result = results.load(folder).raw
    return {claim["id"]: claim for claim in result["claims"]}


def cleanup(world, *options):
    return run([sys.executable, "-m", "swarmlab", "cleanup", "--inventory", str(world.inventory), *options])


# Doing no harm


@dataclass(frozen=True)
class SafeRun:
    """A run of all that disrupts nothing.

    Attributes:
        before: The dump before it.
        after: The dump after it.
        requests: The load during it.
        logged: What the engines logged as errors during it.
        ran: Start and end of each test.
    """

    before: dict[str, Any]
    after: dict[str, Any]
    requests: Load
    logged: list[Line]
    ran: dict[str, tuple[float, float]]


@pytest.fixture(scope="session")
def safe_run(world):
    before, logged, when = world.dump(), errors(world.nodes), world.folder / "when"
    with load(world) as requests:
        ran = run(suites(world, *ARGUMENTS, "-p", "tests.proof.existing.when"), WHEN=str(when))
    (world.folder / "run.log").write_text(ran.stdout + ran.stderr)
    assert ran.returncode in (0, 1), f"the run did not come to its end: {(ran.stdout + ran.stderr)[-500:]}"
    return SafeRun(before, world.dump(), requests, since(logged, errors(world.nodes)), times(when))


def test_a_safe_run_changes_nothing(safe_run):
    changed = differences(safe_run.before, safe_run.after)
    assert not changed, "\n".join(changed)
    requests = safe_run.requests
    assert requests.count > 100
    assert not requests.lost, f"of {requests.count} requests {len(requests.lost)} were lost: {requests.lost[:5]}"


@pytest.mark.usefixtures("safe_run")
def test_the_verdicts_are_those_of_a_lab(world):
    judged = verdicts(world.folder / "reports")
    assert judged
    on_lab = [sys.executable, "-m", "pytest", *ARGUMENTS, "--profile", "safe", "--lab-name", NAME]
    run([*on_lab, "--reports", str(world.folder / "lab")])
    known = verdicts(world.folder / "lab")
    # Claims that are blocked only because the swarm is not the run's own cannot be compared.
    other = {
        id: (claim["verdict"], known[id]["verdict"], claim["reason"])
        for id, claim in judged.items()
        if id in known and claim["verdict"] not in ("blocked", known[id]["verdict"])
    }
    assert not other, other


# Leaving no error in an engine's log

_REFUSED = "the claim is that the engine refuses it"
_FAILS = "the claim is about tasks that fail, and engines log that"
_FULL = "the claim is about a network without a free address, and managers log that"
_REMOVED = "docker stack rm, which the claim is about, removes networks while tasks still end"
#: What a safe run has engines log as errors, by test: its claims cannot be judged without.
ASKED = [
    Asked("test_files.py::test_stack_deploy_builds_nothing", "image reference must be provided", _REFUSED),
    Asked("test_init.py::test_init_and_join_are_refused_inside_a_swarm", "already part of a swarm", _REFUSED),
    Asked("test_discovery.py::test_a_container_of_docker_run_is_no_service", "Error getting service", _REFUSED),
    Asked("test_services.py::test_create_gives_one_task", "is already in use by service", _REFUSED),
    Asked("test_services.py::test_service_commands_are_refused_on_a_worker", "not a swarm manager", _REFUSED),
    Asked("test_workers.py::test_a_worker_refuses_every_management_call", "not a swarm manager", _REFUSED),
    Asked("test_overlay.py::test_docker_run_is_refused_where", "not manually attachable|no such container", _REFUSED),
    Asked(
        "test_service_modes.py::test_a_global_service_takes_no_count", "service mode change|InvalidArgument", _REFUSED
    ),
    Asked("test_stacks.py::test_rm_removes_all_but_the_volumes", "network allocator state", _REMOVED),
    Asked("test_updates.py::test_rollback_brings", "does not have a previous spec", _REFUSED),
    Asked("test_discovery.py::test_(a_killed_container|names_follow_replaced)", "fatal task error", _FAILS),
    Asked("test_service_volumes.py::test_what_a_task_wrote_is_there", "fatal task error", _FAILS),
    Asked("test_updates.py::test_an_update_that_fails", "fatal task error|pulling image failed", _FAILS),
    Asked("test_task_states.py::test_a_task_that_nothing_is_allocated_to_is_new", "Alloc|allocat|get service", _FULL),
    Asked(r"test_(desired_state|limits|task_states)\.py", "fatal task error|pulling image failed", _FAILS),
]


def test_a_safe_run_leaves_no_error_in_the_log_of_an_engine(safe_run):
    left = unasked(safe_run.logged, safe_run.ran, ASKED)
    assert not left, "\n".join(left)


def test_preflight_leaves_no_error_in_the_log_of_an_engine(world):
    before = errors(world.nodes)
    looked = run([sys.executable, "-m", "swarmlab", "preflight", "--inventory", str(world.inventory)])
    assert looked.returncode == 0, looked.stdout + looked.stderr
    left = unasked(since(before, errors(world.nodes)))
    assert not left, "\n".join(left)


def test_a_request_that_an_engine_refuses_is_found_in_its_log(world):
    before, worker = errors(world.nodes), world.nodes[-1]
    for _ in range(2):
        with pytest.raises(EngineRefused):
            worker.ask("GET", "/tasks")
    start, *_, end = [line.at for line in since(before, errors(world.nodes))]
    logged = since(before, errors(world.nodes))
    (left,) = [line for line in unasked(logged, {"the test": (start, end)}) if "Handler" in line]
    assert re.match(f"2 on {worker} during the test, such as: .*GET /v[0-9.]+/tasks returned error", left), left


@pytest.mark.parametrize("after", [20, 60])
def test_what_a_killed_run_left_is_removed_and_nothing_else(world, after):
    before = world.dump()
    killed = subprocess.Popen(
        suites(world, "suites/ch7_usage", "suites/ch1_hosts"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def begun():
        assert killed.poll() is None, "the run ended before it made anything"
        return bool(made(world))

    wait(begun, "the run to make a service", deadline=240, every=1)
    time.sleep(after)  # not for an outcome: the run is killed at different points
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    left = differences(before, world.dump())
    assert left, "the killed run left nothing to remove, so this test shows nothing"

    listed = cleanup(world, "--dry-run")
    assert listed.returncode == 0, listed.stderr
    assert "service swc-" in listed.stdout
    assert made(world), "a dry run removed something"
    done = cleanup(world)
    assert done.returncode == 0, done.stderr
    changed = differences(before, world.dump())
    assert not changed, "\n".join(changed)


def made(world):
    """Return the names of the suites' services on the swarm."""
    names = world.docker("service ls --format {{.Name}}").split()
    return [name for name in names if name.startswith("swc-") and name != "swc-mirror"]


# Finding what is broken

#: By the test that must fail: what to break on a node, and a part of the reason.
BROKEN = {
    "suites/ch7_usage/test_networks.py::test_bodies_of_every_size_pass_between_every_pair_of_nodes": (
        lambda node: node.cut_port("udp", 4789),
        "slave02",
    ),
    "suites/ch7_usage/test_discovery.py::test_names_resolve_on_every_node": (
        lambda node: (node.cut_port("udp", 7946), node.cut_port("tcp", 7946)),
        "slave02",
    ),
    "suites/ch1_hosts/test_names.py::test_the_three_names_resolve_through_etc_hosts": (
        lambda node: node.run("cp /etc/hosts /root/hosts; echo 192.0.2.9 master >> /etc/hosts"),
        "slave02",
    ),
}


@pytest.mark.parametrize("test", BROKEN, ids=lambda test: test.rpartition("::")[2])
def test_what_is_broken_is_found_as_in_a_lab(world, test):
    breaks, part = BROKEN[test]
    node = world.nodes[-1]
    assert node.name == "slave02"
    breaks(node)
    try:
        ran = run(suites(world, test, reports="broken"))
        on_lab = [sys.executable, "-m", "pytest", test, "--profile", "safe", "--lab-name", NAME]
        run([*on_lab, "--reports", str(world.folder / "broken-lab")])
    finally:
        node.run("[ ! -e /root/hosts ] || { cat /root/hosts > /etc/hosts; rm /root/hosts; }")
        node.heal()
    here, there = (verdicts(world.folder / folder) for folder in ("broken", "broken-lab"))
    assert here, ran.stdout + ran.stderr
    for id, claim in here.items():
        assert claim["verdict"] == there[id]["verdict"] == "fail", (claim, there[id])
        assert part in claim["reason"], claim["reason"]


# A wrong inventory


def wrong_key(world):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(world.folder / "other")], check=True)
    return {"key": "other"}


def unknown_host_key(world):
    lines = (world.folder / "known_hosts").read_text().splitlines()
    (world.folder / "fewer").write_text("\n".join(lines[:-1]) + "\n")
    return {"known_hosts": "fewer"}


def changed_host_key(world):
    lines = (world.folder / "known_hosts").read_text().splitlines()
    keys = [line.split()[1:3] for line in lines]
    swapped = [f"{line.split()[0]} {' '.join(key)}" for line, key in zip(lines, [*keys[1:], keys[0]], strict=True)]
    (world.folder / "swapped").write_text("\n".join(swapped) + "\n")
    return {"known_hosts": "swapped"}


def without_last(world):
    return {"nodes": _nodes(world)[:-1]}


def unreachable(world):
    nodes = _nodes(world)
    nodes[-1]["address"] = world.nodes[-1].address.rpartition(".")[0] + ".199"
    return {"nodes": nodes}


def no_right(world):
    world.nodes[-1].run("useradd -m -p '*' guest; cp -r /root/.ssh ~guest/ && chown -R guest ~guest/.ssh")
    nodes = _nodes(world)
    nodes[-1]["user"] = "guest"
    return {"nodes": nodes}


def another_swarm(world):
    (alone,) = world.lab.more(1)
    alone.docker(f"swarm init --advertise-addr {alone.address}")
    alone.run(
        f"mkdir -p -m 700 /root/.ssh; echo '{(world.folder / 'key.pub').read_text()}' > /root/.ssh/authorized_keys"
    )
    key = alone.run("cat /etc/ssh/ssh_host_ed25519_key.pub").out
    (world.folder / "more").write_text((world.folder / "known_hosts").read_text() + f"{alone.address} {key}")
    return {"nodes": [*_nodes(world), {"address": alone.address}], "known_hosts": "more"}


def _nodes(world):
    return [{"name": node.name, "address": node.address} for node in world.nodes]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wrong_key, r"node \S+ \(.*\): it does not accept the key \S+ for the user root"),
        (unknown_host_key, r"node slave02 \(.*\): its host key is not known"),
        (changed_host_key, r"node \S+ \(.*\): its host key differs from the known key"),
        (without_last, r"node slave02 \(.*\): is in the swarm and not in the inventory"),
        (unreachable, r"node slave02 \(.*\): it does not answer"),
        (no_right, r"node slave02 \(.*\): the user guest may not use the engine"),
        (another_swarm, r"node \S+: is of another swarm"),
    ],
)
def test_a_wrong_inventory_is_a_line_for_each_wrong_node(world, change, message):
    file = world.write_inventory("wrong.yaml", **change(world))
    ran = run(suites(world, "suites/ch7_usage", inventory=file, reports="none"))
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert ran.returncode == 4, lines
    assert len(lines) == (len(world.nodes) if change in (wrong_key, changed_host_key) else 1), lines
    assert all(re.search(message, line) for line in lines), lines
    assert not connections(), "connections were left open"


def test_a_registry_that_cannot_be_pulled_from_is_told_before_anything_is_judged(world):
    registry = f"{world.nodes[0].address}:1/swc"
    file = world.write_inventory("registry.yaml", registry=registry)
    ran = run(suites(world, "suites/ch7_usage", inventory=file, reports="registry"))
    told = [line for line in ran.stdout.splitlines() if line.startswith("the run could not be held: ")]
    wanted = f"no lab: node master, slave01, slave02: cannot pull {registry}/hello:.* refused; start the registry"
    assert (ran.returncode, len(told)) == (3, 1), ran.stdout[-2000:]
    assert re.search(wanted, told[0]), told
    assert not [claim for claim in verdicts(world.folder / "registry").values() if claim["verdict"] == "fail"]
    assert "nothing is left" in cleanup(world, "--dry-run").stdout


def test_another_cluster_is_not_disrupted(world):
    ran = run(suites(world, "suites/ch7_usage", "--may-disrupt", "another"))
    assert ran.returncode == 4
    assert (
        f"--may-disrupt another: the inventory's cluster is {world.docker('info --format {{.Swarm.Cluster.ID}}')}"
        in (ran.stdout + ran.stderr)
    )


def connections():
    """Return the folders of connections that ended runs left open on this machine."""
    owners = {folder: f"{socket.gethostname()}/{folder.name.replace('-', '/')}" for folder in _folders()}
    return [folder for folder, owner in owners.items() if not alive(owner)]


def _folders():
    return (run_folder() / "inventory").glob("*-*")
