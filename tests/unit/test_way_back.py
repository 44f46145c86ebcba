"""The ways back from a failed step, without a lab."""

import time
from types import SimpleNamespace

from suites.support.upgrade.way_back import WayBack
from swarmlab.errors import LabError
from swarmlab.rehearsal.plan import Plan
from swarmlab.wait import wait


def test_a_rehearsal_that_ends_before_its_end_does_not_wait_for_the_ways_back():
    lab = SimpleNamespace(spare_node=lambda: wait(lambda: False, "a machine", deadline=60, error=LabError))
    back = WayBack(lab, Plan.read("20.10.24,28.5.2"))
    began = time.monotonic()
    back.end()
    assert time.monotonic() - began < 20
    assert "given up" in str(back.in_place)
