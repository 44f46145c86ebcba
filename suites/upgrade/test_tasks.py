"""What tasks may do after an upgrade, measured in a task on every node before the first step and after each step."""

from fixtures.claims import claim
from fixtures.rehearsal import at
from swarmlab.errors import LabError
from swarmlab.rehearsal.permitted import GROUPS, changes, unmeasured
from swarmlab.wait import eventually

#: Changes that a reason names; the page has all.
_NAMED = 12


@claim("upgrade/task-limits")
@at("after")
def test_limits_are_what_they_were(course):
    expect_kept(course, "upgrade/task-limits")


@claim("upgrade/task-rights")
@at("after")
def test_rights_are_what_they_were(course):
    expect_kept(course, "upgrade/task-rights")


@claim("upgrade/task-mounts")
@at("after")
def test_mounts_are_what_they_were(course):
    expect_kept(course, "upgrade/task-mounts")


@claim("upgrade/task-names")
@at("after")
def test_settings_of_names_are_what_they_were(course):
    expect_kept(course, "upgrade/task-names")


@claim("upgrade/task-names")
def test_aliases_lead_where_they_led(course, cluster):
    probes = [cluster.probe(task) for task in course.estate.site.wait_running(len(cluster.nodes))]
    eventually(
        lambda: course.estate.aliases_resolve(probes),
        "aliases of services that were made before the first step to resolve on every node",
        deadline=course.patience,
    )


def expect_kept(course, claimed):
    """Expect that no fact of a claim's group has changed on any node since before the first step."""
    lacking = unmeasured(course.tasks, [node.name for node in course.cluster.nodes])
    if lacking:
        raise LabError(f"what a task may do was not measured on {', '.join(lacking)}")
    found = changes(course.tasks, GROUPS[claimed])
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    assert not found, f"{'; '.join(map(str, found[:_NAMED]))}{more}"
