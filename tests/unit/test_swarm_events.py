import pytest

from suites.support.swarm_events import Change, Told
from swarmlab.errors import Blocked

CHANGE = Change("secret", "create", "s1", "told")


def event(number, identity=""):
    return {"Type": "secret", "Action": "create", "Actor": {"ID": identity or f"other{number}"}, "timeNano": number}


def told(*answers):
    result = Told([CHANGE], {"m1": [], "m2": [event(0, "s1")]})
    for events in answers:
        result.add("m1", events)
    return result


def test_a_manager_that_may_have_forgotten_an_event_is_not_blamed():
    full = [event(number) for number in range(256)]
    with pytest.raises(Blocked, match="m1 had more events than the 256"):
        told(full).missing([CHANGE])
    with pytest.raises(Blocked, match="m1 had more events"):
        told(full[:100], [event(number) for number in range(200, 456)]).missing([CHANGE])
    assert told([*full, event(256, "s1")]).missing([CHANGE]) == []


def test_a_manager_that_has_forgotten_nothing_is_blamed():
    wanted = ["m1 told nothing of the create of secret told"]
    assert told([event(number) for number in range(255)]).missing([CHANGE]) == wanted
    # The answer begins before the end of the last one.
    assert told([event(1)], [event(number) for number in range(1, 257)]).missing([CHANGE]) == wanted


def test_a_manager_is_blamed_for_what_was_changed_long_before_it_was_overrun():
    later = [Change("secret", action, f"s{number}", "told") for number, action in enumerate(("update", "remove"), 2)]
    full = [event(number) for number in range(256)]
    result = told()
    result.changes += later
    result.add("m1", full)
    result.events["m2"] += [{**event(0, change.id), "Action": change.action} for change in later]
    assert result.missing([CHANGE, *later]) == [
        "m1 told nothing of the create of secret told and the update of secret told and the remove of secret told"
    ]
    with pytest.raises(Blocked, match="m1 had more events"):
        result.missing(later)


def test_a_manager_that_is_to_blame_is_not_excused_by_another():
    result = told([event(number) for number in range(256)])
    result.events["m2"].clear()
    assert [line.partition(" ")[0] for line in result.missing([CHANGE])] == ["m1", "m2"]
