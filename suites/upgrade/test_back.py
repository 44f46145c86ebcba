"""The ways back from a failed step: the old engine in place, and the backup of a manager's state."""

from fixtures.claims import claim
from fixtures.rehearsal import at
from swarmlab.evidence import take_over


@claim("upgrade/back-in-place")
@at("after")
def test_the_old_engine_goes_on_with_what_the_new_one_left(back):
    back.join()
    take_over(back.journal)
    if back.in_place:
        raise back.in_place


@claim("upgrade/restore")
@at("after")
def test_a_backup_brings_the_swarm_back(back):
    back.join()
    take_over(back.journal)
    if back.restored:
        raise back.restored
