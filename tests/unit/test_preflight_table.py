"""The table of ``swarmlab preflight``."""

from swarmlab.cli.preflight import table
from swarmlab.preflight import Level
from swarmlab.preflight.finding import Finding


def test_a_cause_stands_above_what_follows_and_what_is_unknown_for_it_has_one_line():
    head = Finding(Level.ERROR, "no manager answers", "nothing can be changed", check="membership", mend="start them")
    because = "membership: no manager answers"
    lost = Finding(Level.ERROR, "lost", "it is lost", check="quorum", mend="find it", because=because)
    unknown = [
        Finding(Level.UNKNOWN, "no manager answers", check=check, mend="start them", because=because)
        for check in ("subnets", "autolock")
    ]
    other = Finding(Level.UNKNOWN, "not read", check="disk", nodes=("slave01",), mend="be root")
    printed = table([head, unknown[0], lost, unknown[1], other, Finding(Level.OK, "well", check="clocks")])
    assert [line.split() for line in printed] == [
        ["error", "membership", "no", "manager", "answers"],
        ["risk:", "nothing", "can", "be", "changed"],
        ["mend:", "start", "them"],
        ["these", "may", "follow", "from", "it:"],
        ["unknown", "for", "that", "reason:", "subnets,", "autolock"],
        ["error", "quorum", "lost"],
        ["risk:", "it", "is", "lost"],
        ["mend:", "find", "it"],
        ["unknown", "disk", "slave01:", "not", "read"],
        ["known:", "be", "root"],
        ["ok", "clocks", "well"],
    ]
    assert [line.startswith("  ") for line in printed[4:6]] == [True, True]


def test_a_command_of_a_mend_is_in_one_line():
    mend = "on slave01: apt-get install linux-modules-extra-$(uname -r) && " + " && ".join(["sysctl -w x=1"] * 20)
    printed = table([Finding(Level.ERROR, "lacking", "it fails", check="kernel-modules", mend=mend)])
    assert f"mend: {mend}" in [line.strip() for line in printed]
