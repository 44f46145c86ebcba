"""A plugin that breaks nodes as they are upgraded: ``PYTEST_ADDOPTS="-p tests.proof.rehearsal.sabotage"``.

The environment variable UPGRADE_FAULT holds the name of the fault.
"""

from __future__ import annotations

import io
import os
import tarfile

from swarmlab.labs.containers.lab import DindLab
from tests.proof.rehearsal.faults import FAULTS


def pytest_configure():
    [fault] = [fault for fault in FAULTS if fault.name == os.environ["UPGRADE_FAULT"]]
    upgrade, restart = DindLab.upgrade, DindLab.restart
    planted = set()  # nodes that are given the fault while they are upgraded

    def upgrade_broken(self, node, engine, **how):
        cluster, members = self.cluster_of(node)
        # The cluster beside the rehearsed one has several nodes, and the way back is tried with one.
        here = len(members) > 1 and (cluster != 0) == fault.beside
        if not here or fault.control or engine != "forky" or (fault.nodes and node.name not in fault.nodes):
            return upgrade(self, node, engine, **how)
        if fault.empty:
            _make_empty(node)
        planted.add(node)
        try:
            upgrade(self, node, engine, **how)
        finally:
            planted.remove(node)
        fault.plant([node])
        return None

    def restart_broken(self, node, **how):
        if fault.control and node.name in fault.nodes:
            _make_empty(node)
        restart(self, node, **how)

    def change_settings(node, container):
        if fault.settings and node in planted:
            put_settings(container, fault.settings)

    DindLab.upgrade, DindLab.restart = upgrade_broken, restart_broken
    DindLab.on_upgrade.append(change_settings)


def _make_empty(node):
    """As if the new node was given another volume: what the engine knew of its swarm is not there."""
    done = node.run("mv /var/lib/docker/swarm /var/lib/docker/swarm.lost")
    assert done.ok, done.output


def put_settings(container, settings):
    """Write the settings of the engine in a node's container."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("daemon.json")
        member.size = len(settings)
        archive.addfile(member, io.BytesIO(settings.encode()))
    container.put_archive("/etc/docker", packed.getvalue())
