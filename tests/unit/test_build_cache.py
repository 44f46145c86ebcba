"""Of BuildKit's cache only what is new since a run began is removed, and nothing where that is not known."""

import json

import pytest

from swarmlab.cluster import build_cache, run_lock
from swarmlab.cluster.leavings import _cache
from swarmlab.errors import EngineRefused, LabError, NoAnswer

OWNERS = {"a": "2026-11-01T00:00:00Z", "b": "2026-11-29T09:59:59.999999999Z"}
NEW = {"c": "2026-11-29T10:00:01Z", "d": "2026-11-29T12:00:02.5+02:00"}
STARTED = "2026-11-29T10:00:00Z"


def legacy(listed):
    return {"LayersSize": 0, "Images": None, "BuildCache": listed}


def verbose(listed):
    return {"BuildCacheUsage": {"TotalCount": len(listed), "Items": listed} if listed else {}}


class Engine:
    """A node's engine with a build cache, by id and time."""

    name = "master"

    def __init__(self, records, form=legacy):
        self.records, self.form = dict(records), form
        self.refusals, self.pruned = [], []

    def __str__(self):
        return self.name

    def info(self):
        return {"SystemTime": STARTED}

    def ask(self, method, path, **query):
        if path == "/build/prune":
            (record,) = query["filters"]["id"]
            if record != "c" or "d" not in self.records:  # d builds on c
                self.pruned.append(record)
                self.records.pop(record, None)
            return {}
        assert (method, path) == ("GET", "/system/df")
        if self.refusals:
            raise self.refusals.pop(0)
        return self.form([{"ID": one, "CreatedAt": time} for one, time in self.records.items()])


@pytest.mark.parametrize("form", [legacy, verbose])
def test_what_is_new_since_the_run_began_is_removed_and_nothing_else(form):
    engine = Engine(OWNERS, form)
    begun = run_lock.times([engine])["master"]
    assert list(_cache(engine, begun)) == []
    engine.records |= NEW
    (found,) = _cache(engine, json.loads(json.dumps(begun)))
    assert str(found) == "build cache of 2 records since 2026-11-29T10:00:00Z on master"
    found.remove()
    assert engine.records == OWNERS
    assert engine.pruned == ["d", "c"]


def test_where_the_cache_cannot_be_read_it_is_not_known_when_a_run_began():
    engine = Engine(OWNERS)
    engine.refusals.append(EngineRefused("master", 500, "cannot list"))
    assert run_lock.times([engine]) == {"master": None}
    engine.refusals.append(NoAnswer("the engine of master does not answer"))
    assert run_lock.times([engine]) == {"master": None}


def test_records_of_a_clock_that_was_ahead_are_not_taken_for_new():
    engine = Engine({"a": "2026-12-24T00:00:00Z"})
    begun = run_lock.times([engine])["master"]
    assert list(_cache(engine, begun)) == []


def test_an_engine_that_lists_its_cache_for_another_is_asked_again():
    engine = Engine(OWNERS)
    engine.refusals.append(EngineRefused("master", 500, "a disk usage operation is already running"))
    assert set(build_cache.records(engine)) == set(OWNERS)


def test_an_engine_without_buildkit_has_no_cache_and_an_unknown_form_is_no_empty_cache():
    assert build_cache.records(Engine({}, lambda _: {"LayersSize": 0, "Images": None})) == {}
    with pytest.raises(LabError, match="does not list its build cache"):
        build_cache.records(Engine({}, lambda _: {"Usage": []}))


def test_records_in_use_are_told():
    engine = Engine(NEW)
    engine.ask = lambda method, _, **__: legacy([{"ID": "c", "CreatedAt": STARTED}]) if method == "GET" else {}
    with pytest.raises(LabError, match="1 records of the build cache are in use"):
        build_cache.prune(engine, ["c"])
