"""A plugin that loses what the ways back on machines rely on: ``PYTEST_ADDOPTS="-p tests.proof.rehearsal.lost_state"``.

The backup of a manager's state is empty, and so is the state that the new engine left on the machine that is given the
old engine again.
"""

import io
import tarfile

from swarmlab.labs.machines.node import VagrantNode


def pytest_configure():
    put, hand_over = VagrantNode.put, VagrantNode.hand_over

    def put_nothing(self, folder, archive):
        assert archive
        empty = io.BytesIO()
        tarfile.open(fileobj=empty, mode="w").close()
        put(self, folder, empty.getvalue())

    def hand_over_nothing(self, anew, file):
        done = self.run("systemctl stop docker.socket docker.service; find /var/lib/docker/swarm -mindepth 1 -delete")
        assert done.ok, done.output
        hand_over(self, anew, file)

    VagrantNode.put, VagrantNode.hand_over = put_nothing, hand_over_nothing
