"""How the work grows with the number of nodes: the same steps on labs of several sizes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from swarmlab import children
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.host import MIB, free_memory
from swarmlab.labs import registry
from swarmlab.labs.containers.node import DindNode
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.registry import DEFAULT
from swarmlab.paths import ROOT
from swarmlab.timing import Container
from tools.bench.measure import Meters, memory

#: MiB that a node takes with what runs on it: a lab that would not fit is left out.
_OF_NODE = 200
#: MiB that stay free.
_REST = 1024
#: The test of a claim that tries every pair of nodes.
PAIRS = "suites/ch7_usage/test_networks.py::test_bodies_of_every_size_pass_between_every_pair_of_nodes"

Say = Callable[[str], None]


def measure(engine: OuterEngine, sizes: Sequence[int], reports: Path, say: Say) -> dict[str, Any]:
    """Return what each step took on labs of these sizes, and which were left out, for bench.json.

    Args:
        engine: the outer engine.
        sizes: numbers of nodes.
        reports: the folder of the reports of the runs.
        say: called with a line for every step.
    """
    found: dict[str, Any] = {"steps": [], "memory": [], "left_out": []}
    for nodes in sizes:
        needed, free = nodes * _OF_NODE + _REST, free_memory()
        if free is not None and needed * MIB > free:
            why = f"it needs {needed} MiB of memory, and {free // MIB} MiB are free"
        else:
            try:
                _one(engine, nodes, reports, say, found)
                continue
            except UsageError as refused:
                why = str(refused)
        say(f"{nodes} nodes are left out: {why}")
        found["left_out"].append({"nodes": nodes, "why": why})
    return found


def _one(engine: OuterEngine, nodes: int, reports: Path, say: Say, found: dict[str, Any]) -> None:
    request = DEFAULT.request(lambda _: None, nodes=nodes)
    DEFAULT.check(request)
    registry.remove_stale(engine, say)
    lab = DEFAULT.make(engine, DEFAULT.own(request, f"bench{nodes}"), say)
    meters = Meters()
    meters.watch(lab.meters)

    def step(name: str, action: Callable[[], str | None]) -> None:
        say(f"{nodes} nodes: {name}")
        measured = meters.measure(action)
        found["steps"].append({"nodes": nodes, "step": name, **measured.to_json()})
        if measured.failed:
            say(f"{nodes} nodes: {name}: {measured.failed}")

    def remember(when: str) -> None:
        containers = [Container(str(node.container.id)) for node in lab.nodes() if isinstance(node, DindNode)]
        found["memory"].append({"nodes": nodes, "when": when, **memory(containers)})

    def suites(*what: str) -> Callable[[], str | None]:
        options = ["--lab-name", lab.name, "--reports", reports, "-q", "-p", "no:cacheprovider"]
        return lambda: _run(reports, sys.executable, "-m", "pytest", *what, *options)

    try:
        step("lab up", lambda: lab.up())
        step("swarm of all nodes", lambda: _form(lab.nodes(), lab.image))
        remember("with a swarm")
        # Its findings end it with 1.
        step("preflight", lambda: _run(reports, sys.executable, "-m", "swarmlab", "preflight", "--name", lab.name))
        step("smoke", suites("suites/", "--profile", "smoke"))
        remember("after the smoke")
        step("one claim on all pairs", suites(PAIRS))
    except SwarmlabError as failed:
        found["left_out"].append({"nodes": nodes, "why": f"the lab failed: {failed}"})
        say(f"{nodes} nodes: {failed}")
    finally:
        step("lab down", lambda: lab.down())
        meters.processors.close()


def _form(nodes: Sequence[Any], image: Callable[[str], str]) -> None:
    Swarm.form(nodes, managers=min(3, len(nodes)), image=image)


def _run(reports: Path, *command: object) -> str | None:
    """Run a command; return how it ended if it did not judge, and keep what it printed beside the reports."""
    reports.mkdir(parents=True, exist_ok=True)
    with (reports / "commands.log").open("ab") as log:
        log.write(f"\n$ {' '.join(map(str, command))}\n".encode())
        log.flush()
        done = children.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    return None if done.returncode == 0 else f"ended with {done.returncode}; see {log.name}"
