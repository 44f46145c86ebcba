import pytest

from swarmlab.needs import DECLARED, FEATURES, MADE, Offers, known_need


def test_what_is_offered_is_not_missing():
    offers = Offers(5, frozenset({"power"}), frozenset({"mysql"}))
    assert offers.missing(["power", "nodes>=5", "managers>=3", "image:mysql"]) == []


def test_each_missing_need_has_its_reason():
    offers = Offers(3, look={"ipvs": lambda: "kernel has no IPVS"})
    assert offers.missing(["ipvs", "managers>=5", "image:portainer", "reboot"]) == [
        "kernel has no IPVS",
        "needs managers>=5, the lab has 3 nodes",
        "no image of portainer; give one: --image portainer=REFERENCE or FILE",
        FEATURES["reboot"],
    ]


def test_a_feature_that_was_looked_for_and_found_is_offered():
    assert Offers(3, look={"ipvs": lambda: ""}).missing(["ipvs"]) == []


def test_a_version_is_looked_for_by_its_number():
    offers = Offers(3, look={"compose": lambda lowest: "" if lowest == "3.3" else f"takes no {lowest}"})
    assert offers.missing(["compose>=3.3", "compose>=3.9"]) == ["takes no 3.9"]
    assert Offers(3).missing(["api>=1.40"]) == ["needs api>=1.40, the lab names no version"]


def test_what_a_lab_declares_and_its_swarm_is_set_to_is_offered():
    offers = Offers(3, declared=frozenset({"user"}), task_history=1)
    assert offers.missing(["declared:user"]) == []
    assert offers.missing(["declared:keys", "task-history>=5"]) == [
        "the lab declares no SSH keys of the cluster's user (inventory: declared, keys)",
        "needs task-history>=5, the swarm is set to keep 1 tasks (--task-history-limit)",
    ]
    assert Offers(3).missing(["task-history>=5"]) == []
    assert known_need("declared:names")
    with pytest.raises(ValueError, match="declared:nams"):
        Offers(3).missing(["declared:nams"])


def test_the_labs_of_the_project_have_all_that_an_owner_may_choose_otherwise():
    assert {"node-ssh", "icc", "default-expiry"} <= MADE < set(FEATURES)
    assert not Offers(3, MADE, declared=frozenset(DECLARED)).missing([*MADE, *(f"declared:{one}" for one in DECLARED)])


def test_a_need_outside_the_vocabulary_is_an_error():
    assert all(map(known_need, ("compose>=3.3", "api>=1.40", "buildkit", "nodes>=2")))
    for wrong in ("ipsv", "declared:nams", "engine>=18.09", "api>=1", "compose"):
        assert not known_need(wrong)
    with pytest.raises(ValueError, match="ipsv"):
        Offers(3).missing(["ipsv"])
