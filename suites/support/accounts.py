"""Throw-away users of a node: what is tried on them changes nothing of the cluster's own user."""

import contextlib

from swarmlab.cluster.workbench import unique
from swarmlab.errors import LabError


@contextlib.contextmanager
def throwaway(node):
    """The name of a user who is in no group but one of his own, and has a home and no password."""
    name = unique("user")
    # A password that nothing matches: where sshd does not use PAM, a user whose password is locked has no keys either.
    made = node.run(f"useradd --create-home --user-group --shell /bin/bash --password '*' {name}")
    if not made.ok:
        raise LabError(f"{node} could not be given a user: {made.said}")
    try:
        yield name
    finally:
        node.run(f"pkill -KILL -u {name}; userdel --force --remove {name}")
        if node.run(f"getent passwd {name}").ok:
            raise LabError(f"{name} of {node} could not be removed")
