"""What an upgrade keeps: the nodes' identities, the cluster's objects, and their data."""

from fixtures.claims import claim
from swarmlab.wait import State, eventually


@claim("upgrade/identity-kept", "known/advertised-address")
def test_nodes_are_who_they_were(course):
    for manager in course.cluster.managers:
        eventually(
            lambda manager=manager: same(course.estate.changed_members(manager)),
            f"the nodes to be, for {manager}, what they were",
        )


@claim("upgrade/objects-kept")
def test_the_cluster_has_what_it_had(course):
    for manager in course.cluster.managers:
        changed = course.estate.changed_objects(manager)
        assert not changed, f"as {manager} lists them: {'; '.join(changed[:4])}"
    eventually(course.whole, "every service to have its tasks", deadline=60)


@claim("upgrade/data-kept", "known/secret-mode")
def test_data_is_read_as_it_was_given(course):
    lost = course.estate.lost_data()
    assert not lost, "; ".join(lost)


def same(changed):
    """Whether there are no changes."""
    return State(not changed, "; ".join(changed[:6]) or "the same")
