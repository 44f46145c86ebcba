import pytest

from swarmlab.cluster.clocks import Clock, astray, seconds_of
from swarmlab.errors import LabError
from swarmlab.preflight.engines import agreement


def clocks(**offsets):
    return {name: Clock(offset, 0.1) for name, offset in offsets.items()}


def test_clocks_that_agree_are_no_finding_also_where_the_suites_own_is_wrong():
    assert astray(clocks(master=0.0, slave01=1.0, slave02=-1.0)) == {}
    assert astray(clocks(master=3600.0, slave01=3601.0, slave02=3599.0)) == {}
    assert astray({}) == {}


def test_the_node_whose_clock_is_off_is_named_with_how_far_and_which_way():
    found = agreement(clocks(master=0.0, slave01=-3600.0, slave02=0.2))
    assert (found.level, found.summary) == ("error", "slave01 is 3600 s behind")
    found = agreement(clocks(master=0.0, slave01=0.0, slave02=30.0))
    assert (found.level, found.summary) == ("warning", "slave02 is 30 s ahead")


def test_of_two_clocks_that_differ_both_are_named():
    assert set(astray(clocks(master=0.0, slave01=60.0))) == {"master", "slave01"}


def test_an_answer_that_took_long_accuses_nobody():
    read = {"master": Clock(0.0, 0.1), "slave01": Clock(8.0, 7.5), "slave02": Clock(0.0, 0.1)}
    assert agreement(read).level == "ok"


@pytest.mark.parametrize(
    "time",
    ["2026-11-24T23:10:56.25Z", "2026-11-24T23:10:56.250000000Z", "2026-11-25T01:10:56.250000001+02:00"],
)
def test_the_engines_times_are_read(time):
    assert seconds_of(time) == pytest.approx(1795561856.25)


def test_a_time_without_fraction_is_read_and_nonsense_is_not():
    assert seconds_of("1970-01-01T00:01:00Z") == 60
    with pytest.raises(LabError, match="'now'"):
        seconds_of("now")
