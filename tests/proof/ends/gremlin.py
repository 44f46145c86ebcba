"""A plugin that takes the lab away in the midst of a run: ``pytest -p tests.proof.ends.gremlin``.

The environment variable GREMLIN says what it does after the preparation of the run's second test.
"""

from __future__ import annotations

import os

import docker
import pytest

from fixtures.claims import judged_by
from fixtures.lab_end import LAB
from swarmlab.labs.standing import CLUSTER, NODE
from swarmlab.ownership import LABEL

_BEGUN = []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if not judged_by(item):
        return
    _BEGUN.append(item.nodeid)
    if len(_BEGUN) == 2:
        lab = item.config.stash[LAB]
        engine = docker.DockerClient(base_url=lab.outer.url, version="auto", timeout=60)
        nodes = engine.containers.list(filters={"label": [f"{LABEL}={lab.name}", f"{CLUSTER}=0", NODE]})
        for node in nodes:
            _play(os.environ["GREMLIN"], node)
        if os.environ["GREMLIN"] == "stop the registry":
            engine.containers.get(f"swarmlab-{lab.name}-registry").stop(timeout=5)


def _play(prank, node):
    if prank == "stop a node" and node.labels[NODE] == "slave01":
        node.stop(timeout=20)
    elif prank == "restart a node" and node.labels[NODE] == "slave01":
        node.restart(timeout=20)
    elif prank == "freeze all engines":
        code, output = node.exec_run(["sh", "-c", "kill -STOP $(pidof dockerd)"])
        assert code == 0, output
