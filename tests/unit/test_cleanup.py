"""What `swarmlab cleanup` and the end of a run remove, tell and leave, where not all nodes are reached."""

from types import SimpleNamespace

import pytest

from swarmlab.cli import cleanup
from swarmlab.cluster import run_lock
from swarmlab.cluster.leavings import Found, Leaving
from swarmlab.errors import LabError
from swarmlab.labs.existing.inventory import Inventory, Machine
from swarmlab.labs.existing.lab import InventoryLab
from tests.unit.test_run_lock import DEAD, Manager

MISSED = "what is left on slave01 (the engine of slave01 does not answer)"


class Node(Manager):
    """A manager, which is cleaned up."""

    client_settings, lifelines = "", None

    def serves_cluster(self):
        return True


@pytest.fixture
def found(monkeypatch):
    """What is found on the swarm; a test may change it."""
    volume = Leaving("volume", "swc-data-abcdef", "master", False, lambda: None)
    made = SimpleNamespace(leavings=[volume], missed=[], looked=[])

    def find(nodes, _manager, _registry, begun):
        made.looked.append((list(nodes), begun))
        return Found(made.leavings, made.missed, [], [])

    monkeypatch.setattr("swarmlab.cluster.leavings.find", find)
    return made


@pytest.fixture
def clean(monkeypatch):
    """Return a function that cleans up a swarm, of which some machines may not be reached."""

    def act(manager, *options, stranger=None, **unreached):
        def reach(*_, **how):
            assert how == {"to_judge": False, "partly": True, "patiently": True}
            nodes = {"m": manager, **({"x": stranger} if stranger else {})}
            return SimpleNamespace(
                members=[{"ID": "m"}, {"ID": "w"}],
                identities=nodes,
                nodes=lambda: list(nodes.values()),
                unreached=unreached,
                known=SimpleNamespace(registry=""),
                down=lambda: None,
            )

        monkeypatch.setattr(cleanup, "EXISTING", SimpleNamespace(reach=reach))
        monkeypatch.setattr(cleanup, "inventory_options", lambda _: {"--inventory": "swarm.yaml"})
        monkeypatch.setattr(cleanup, "refuse", lambda *_: None)
        return cleanup.run(SimpleNamespace(dry_run="--dry-run" in options))

    return act


def killed():
    """Return a manager with the lock of a run that was killed."""
    manager = Node()
    run_lock.take(manager, DEAD, {"master": 12.0})
    return manager


def test_all_is_removed_and_the_lock_last(clean, found, capsys):
    manager = killed()
    assert clean(manager) == 0
    assert manager.configs == []
    assert found.looked == [([manager], {"master": 12.0})]
    assert capsys.readouterr().out.splitlines() == [
        "removed config swc-run",
        "removed volume swc-data-abcdef on master",
    ]


@pytest.mark.usefixtures("found")
def test_a_machine_that_is_not_reached_keeps_the_lock_and_no_other_from_being_cleaned(clean, capsys):
    manager = killed()
    assert clean(manager, slave01="node slave01: it does not answer") == 1
    assert len(manager.configs) == 1
    told = capsys.readouterr()
    assert told.out == "removed volume swc-data-abcdef on master\n"
    assert "could not be removed: what is left on slave01 (node slave01: it does not answer)" in told.err
    assert clean(manager, "--dry-run", slave01="node slave01: it does not answer") == 1
    assert "would not be removed: what is left on slave01" in capsys.readouterr().err


def refuse():
    raise LabError("3 records are in use")


def test_build_cache_that_stays_keeps_the_lock_which_alone_tells_whose_it_is(clean, found, capsys):
    manager = killed()
    found.leavings = [Leaving("build cache", "of 3 records", "master", False, refuse)]
    assert clean(manager) == 1
    assert len(manager.configs) == 1
    assert "could not be removed: build cache of 3 records on master" in capsys.readouterr().err


def test_so_does_a_node_that_is_silent_and_one_that_is_not_of_the_swarm(clean, found, capsys):
    manager, stranger = killed(), Node()
    stranger.name = "other"
    found.leavings, found.missed = [], [MISSED]
    assert clean(manager, stranger=stranger) == 1
    assert found.looked[0][0] == [manager]
    told = capsys.readouterr()
    assert not told.out
    assert MISSED in told.err
    assert "what is left on other (the swarm does not list it)" in told.err


def test_a_run_that_does_not_reach_a_node_at_its_end_leaves_its_lock(found, monkeypatch):
    cache = Leaving("build cache", "of 3 records", "master", False, refuse)
    for missed, leavings in (([], []), ([MISSED], []), ([], [cache])):
        lines, manager = [], Node()
        tested = InventoryLab(Inventory("swarm.yaml", (Machine("10.1.1.1"),)), progress=lines.append)
        tested._nodes = [manager]
        tested._lock, _ = run_lock.take(manager, tested._owner, {"master": 12.0})
        monkeypatch.setattr(found, "missed", missed)
        monkeypatch.setattr(found, "leavings", leavings)
        tested.down()
        assert found.looked[-1] == ([manager], {"master": 12.0})
        stays = [*missed, *(f"{one}: 3 records are in use" for one in leavings)]
        assert len(manager.configs) == len(stays)
        assert [line.partition(";")[0] for line in lines] == [f"NOT REMOVED: {line}" for line in stays]
