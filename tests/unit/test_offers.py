import pytest

from swarmlab.needs import FEATURES, Offers, known_need


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


def test_a_need_outside_the_vocabulary_is_an_error():
    assert all(map(known_need, ("compose>=3.3", "api>=1.40", "buildkit", "nodes>=2")))
    for wrong in ("ipsv", "engine>=18.09", "api>=1", "compose"):
        assert not known_need(wrong)
    with pytest.raises(ValueError, match="ipsv"):
        Offers(3).missing(["ipsv"])
