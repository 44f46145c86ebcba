"""A plugin that breaks nodes as they are upgraded: ``PYTEST_ADDOPTS="-p tests.proof.rehearsal.sabotage"``.

The environment variable UPGRADE_FAULT holds the name of the fault.
"""

from __future__ import annotations

import io
import os
import tarfile

from swarmlab.labs.containers import lab as dind
from swarmlab.labs.containers.lab import DindLab
from tests.proof.rehearsal.faults import FAULTS


def pytest_configure():
    [fault] = [fault for fault in FAULTS if fault.name == os.environ["UPGRADE_FAULT"]]
    upgrade, hand_on = DindLab.upgrade, dind._hand_on

    def planted(node, engine):
        return engine == "forky" and (not fault.nodes or node.name in fault.nodes)

    def upgrade_broken(self, node, engine, **how):
        cluster, _ = self._place(node)
        # The cluster beside the rehearsed one has several nodes, and the way back is tried with one.
        here = len(self._nodes[cluster]) > 1 and (cluster != 0) == fault.beside
        if not here or not planted(node, engine):
            return upgrade(self, node, engine, **how)
        if fault.empty:
            _make_empty(node)
        if fault.settings:
            dind._hand_on = _with_settings(hand_on, fault.settings)
        try:
            upgrade(self, node, engine, **how)
        finally:
            dind._hand_on = hand_on
        done = node.run(fault.script)
        assert done.ok, f"{fault.name}: {done.said}"
        return None

    DindLab.upgrade = upgrade_broken


def _make_empty(node):
    """As if the new node was given another volume: what the engine knew of its swarm is not there."""
    done = node.run("mv /var/lib/docker/swarm /var/lib/docker/swarm.lost")
    assert done.ok, done.said


def _with_settings(hand_on, settings):
    def handing(old, new, folder, beginning):
        hand_on(old, new, folder, beginning)
        if folder == "/etc/docker":
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w") as archive:
                member = tarfile.TarInfo("daemon.json")
                member.size = len(settings)
                archive.addfile(member, io.BytesIO(settings.encode()))
            new.put_archive("/etc/docker", packed.getvalue())

    return handing
