"""Whether a second cluster takes the incidents, without a lab."""

from types import SimpleNamespace

import pytest

from suites.support.upgrade.second_cluster import SecondCluster
from swarmlab.rehearsal.plan import Plan


@pytest.mark.parametrize(
    ("standing", "addresses", "memory", "made"),
    [
        (True, 5, 5, True),
        (True, 4, 9, False),  # the way back takes one
        (True, 60, 4, False),
        (False, 60, 8, False),  # the rehearsed cluster is still to be made
        (False, 60, 9, True),
    ],
)
def test_a_second_cluster_is_made_where_the_lab_has_room_for_it(monkeypatch, standing, addresses, memory, made):
    monkeypatch.setattr(SecondCluster, "_run", lambda _: None)
    lab = SimpleNamespace(standing=standing, free=addresses, holds=lambda count: count <= memory)
    assert (SecondCluster(lab, Plan.read("20.10.24,28.5.2"))._thread is not None) is made


def test_without_room_incidents_are_played_in_the_rehearsed_cluster():
    second = SecondCluster(SimpleNamespace(standing=True, free=60, holds=lambda _: False), Plan.read("20.10.24,28.5.2"))
    done = []
    second.judge(lambda kept: done.append(kept), kept := SimpleNamespace(wait_sound=lambda: done.append("sound")))
    second.end()
    assert done == ["sound", kept]
