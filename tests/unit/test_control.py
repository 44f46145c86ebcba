"""What an upgrade lost beside what a plain restart of the engines lost."""

from types import SimpleNamespace

import pytest

from suites.support.upgrade.lost import losses
from swarmlab.rehearsal.losses import Loss, alike, compare, counterparts, total
from swarmlab.watching.asker import Heard


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [([], 0), ([(1, 3), (2, 5)], 4), ([(5, 6), (1, 2)], 2), ([(1, 9), (2, 3)], 8)],
)
def test_time_that_two_losses_share_counts_once(spans, seconds):
    assert total(spans) == seconds


@pytest.mark.parametrize(
    ("lost", "control", "same"),
    [
        (Loss(5, 5, 24.0), Loss(), False),  # the control lost nothing
        (Loss(5, 5, 24.0), Loss(0, 5, 24.0), True),
        (Loss(120, 120, 20.0), Loss(40, 40, 7.0), True),
        (Loss(120, 120, 22.0), Loss(40, 40, 7.0), False),  # more than three times as long
        (Loss(8, 8, 6.0), Loss(4, 4, 1.5), True),  # so short a loss may be some seconds longer
        (Loss(9, 90, 7.0), Loss(4, 4, 1.5), False),
        (Loss(90, 90, 55.0), Loss(60, 60, 24.0), False),  # half a minute longer
        (Loss(90, 90, 53.0), Loss(60, 60, 24.0), True),
        (Loss(200, 200, 6.0), Loss(3, 3, 2.0), False),  # many short losses
        (Loss(2, 2, 0.0), Loss(1, 1, 0.0), True),  # downloads, which have no time
        (Loss(4, 4, 0.0), Loss(1, 1, 0.0), False),
    ],
)
def test_an_upgrade_may_lose_what_a_restart_loses_and_clearly_no_more(lost, control, same):
    assert alike(lost, control) is same


@pytest.mark.parametrize(("seconds", "same"), [(35.0, True), (37.0, False)])
def test_names_on_the_node_itself_come_back_half_a_minute_sooner_or_later(seconds, same):
    lost = Loss(9, int(seconds * 5), seconds)
    assert alike(lost, Loss(0, 30, 6.0), "itself") is same
    assert not alike(lost, Loss(0, 30, 6.0), "others")
    assert not alike(Loss(5, 5, 3.0), Loss(0, 1, 0.4), "itself"), "one lost request explains no five"


def test_a_slow_lab_has_as_much_more_time():
    assert not alike(Loss(3, 3, 12.0), Loss(1, 1, 1.0))
    assert alike(Loss(3, 3, 12.0), Loss(1, 1, 1.0), scale=3)


def move(node, *, leads=False, role="manager", number=1, **lost):
    """Return a restart or step of *node*; *lost* has its losses by kind, each by place."""
    kinds = {kind: {place: vars(loss) for place, loss in by.items()} for kind, by in lost.items()}
    return {"number": number, "node": node, "role": role, "leads": leads, "losses": kinds}


def test_a_step_is_compared_with_the_restart_of_that_node_in_that_role():
    control = [move("slave01"), move("slave02"), move("master", leads=True), move("slave03", role="worker")]

    def nodes(step, held=control):
        return [one["node"] for one in counterparts(step, held)]

    assert nodes(move("slave02")) == ["slave02"]
    assert nodes(move("slave03", role="worker")) == ["slave03"]
    assert nodes(move("slave01", leads=True)) == ["master"], "another leader"
    assert nodes(move("master")) == ["slave01"], "it leads no more"
    assert nodes(move("master"), [move("slave01", role="worker")]) == nodes(move("master"), []) == []
    assert nodes(move("master", leads=True), [*control, control[2]]) == ["master", "master"], "a lone manager"


def test_of_several_restarts_the_one_that_lost_most_counts():
    restarts = [move("master", leads=True, names={"itself": Loss(0, 9, lost)}) for lost in (0.5, 24.0, 3.0)]
    step = move("master", leads=True, names={"itself": Loss(9, 20, 40.0)})
    [row] = compare({"losses": {"control": restarts, "steps": [step]}}, ["names"])
    assert (row.control.seconds, row.alike) == (24.0, True)


def test_losses_of_a_step_stand_beside_those_of_its_restart():
    control = [move("master", leads=True, requests={"itself": Loss(0, 9, 24.0)}), move("slave01", role="worker")]
    steps = [
        move("master", leads=True, requests={"itself": Loss(6, 12, 31.0)}),
        move("slave01", role="worker", number=2, requests={"others": Loss(3, 3, 1.0)}),
    ]
    same, more = compare({"losses": {"control": control, "steps": steps}}, ["requests"])
    assert (same.alike, more.alike) == (True, False)
    assert str(same) == (
        "in step 1, of master, requests lost through it after it was back: 12 in 31.0 s; "
        "in the control: 9 in 24.0 s when master was restarted as it is"
    )
    assert str(more).endswith(
        "requests lost through or on other nodes: 3 in 1.0 s; in the control: none when slave01 was restarted as it is"
    )
    [alone] = compare({"losses": {"steps": steps[:1]}}, ["requests"])
    assert not alone.alike
    assert str(alone).endswith("in the control: not held")


def test_what_the_control_alone_lost_is_listed_and_is_no_loss():
    course = {"losses": {"control": [move("master", names={"others": Loss(2, 2, 1.0)})], "steps": [move("master")]}}
    assert compare(course) == []
    [row] = compare(course, all=True)
    assert (row.lost.whole, row.control.whole) == (0, 2)


def test_an_acknowledged_write_that_is_gone_has_no_excuse():
    losses = {"control": [move("master")], "steps": [move("master")], "missing": ["master: a write is not there"]}
    [gone] = compare({"losses": losses}, ["writes"])
    assert not gone.alike
    assert str(gone) == "managers that lack an acknowledged write: 1"


def test_a_rehearsal_without_a_record_of_losses_has_none():
    assert compare({}) == compare({"losses": {}}) == []


class Course:
    """A course of two nodes, each restarted and then upgraded, with these lost requests."""

    every, ended, missing = 0.2, 400.0, ()
    datagrams = SimpleNamespace(silence=lambda name, since, _: 20.0 if (name, since) == ("master", 300.0) else 1.0)

    def __init__(self, *lost):
        def one(number, node, began):
            return SimpleNamespace(
                number=number,
                node=node,
                role="manager",
                leads=False,
                began=began,
                back=began + 20,
                ended=began + 30,
                cut=(),
            )

        self.control = [one(1, "master", 0.0), one(2, "slave01", 100.0)]
        self.steps = [one(1, "master", 200.0), one(2, "slave01", 300.0)]
        self.moves = [*self.control, *self.steps]
        self.watches = dict.fromkeys(("master", "slave01"))
        self._lost = lost

    def losses_through(self, name):
        return [heard for heard in self._lost if heard.node == name]

    def idle_managers(self, step):
        return ["slave01"] if step is self.steps[0] else []


def heard(node, at, why="refused"):
    return Heard(at, at + 0.8, node, 502, "", why)


def test_losses_are_counted_by_restart_and_step_and_by_place():
    unknown = "swc-web does not resolve: [Errno -3]"
    found = losses(
        Course(
            heard("master", 10.0),  # it is away
            heard("master", 25.0, unknown),  # its tasks are back, its restart has not ended
            heard("master", 235.0, unknown),
            heard("master", 240.0),
            heard("slave01", 40.0),
            heard("slave01", 390.0),
            heard("master", 305.0),
        )
    )
    first, second = found["control"]
    third, fourth = found["steps"]
    assert first["losses"]["requests"]["itself"] == {"count": 0, "whole": 1, "seconds": 1.0}
    assert first["losses"]["requests"]["others"] == {"count": 1, "whole": 1, "seconds": 1.0}
    assert second["losses"]["requests"]["others"]["count"] == 0
    assert third["losses"]["requests"]["itself"] == {"count": 2, "whole": 2, "seconds": 2.0}
    assert third["losses"]["names"]["itself"] == {"count": 1, "whole": 1, "seconds": 1.0}
    assert third["losses"]["writes"]["others"] == {"count": 1, "whole": 1, "seconds": 30.0}
    assert fourth["losses"]["requests"]["itself"]["count"] == fourth["losses"]["requests"]["others"]["count"] == 1
    assert fourth["losses"]["datagrams"]["others"] == {"count": 1, "whole": 1, "seconds": 20.0}
    assert third["losses"]["datagrams"]["others"]["count"] == 0
