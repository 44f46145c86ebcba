"""1.1 and 1.3.2: what a machine keeps through a reboot. One machine is rebooted, once for all tests."""

from dataclasses import dataclass

import pytest

from fixtures.claims import claim
from fixtures.cluster import Shape
from swarmlab.evidence import record

_REBOOT = pytest.StashKey["Reboot"]()
#: The host name that is written before the reboot.
RENAMED = "swc-renamed"


@dataclass(frozen=True)
class Reboot:
    """A machine's answers to `_QUESTIONS` before and after a reboot.

    Attributes:
        node: the machine's name in the lab.
        cluster: its address on the cluster network.
        before: the answers by question, from before the reboot.
        after: the same from after the boot, before the first call to its engine, whose socket would start it.
    """

    node: str
    cluster: str
    before: dict[str, str]
    after: dict[str, str]


_QUESTIONS = {
    "boot": "cat /proc/sys/kernel/random/boot_id",
    "addresses": "ip -4 -oneline address show scope global | awk '{ print $2, $4 }'",
    "host name": "hostname",
    "docker is": "systemctl is-active docker.service",
    "docker is set to": "systemctl is-enabled docker.service",
    "docker was started": "systemctl show docker.service --property ExecMainStartTimestamp",
}


@pytest.fixture
def reboot(request, leases):
    """A machine that got another name in /etc/hostname and was then rebooted."""
    if _REBOOT not in request.session.stash:
        shape = Shape(managers=0, workers=0, spare=1)
        cluster = leases.exclusive(shape)
        try:
            request.session.stash[_REBOOT] = rebooted(cluster.spare[0])
        finally:
            leases.give_back(cluster)
    kept = request.session.stash[_REBOOT]
    for when, answers in (("before", kept.before), ("after", kept.after)):
        for question, answer in answers.items():
            record(kept.node, f"{_QUESTIONS[question]} ({when} the reboot)", answer)
    return kept


def rebooted(node):
    """Rename and reboot a machine, and ask it before and after."""
    node.run(f"echo {RENAMED} > /etc/hostname")
    before = {question: node.run(command).out.strip() for question, command in _QUESTIONS.items()}
    node.reboot()
    after = {question: node.run(command).out.strip() for question, command in _QUESTIONS.items()}
    return Reboot(node.name, node.address, before, after)


@claim("1.1/addresses-survive-reboot")
def test_cluster_address_is_the_same_after_a_reboot(reboot):
    states = {"before": reboot.before, "after": reboot.after}
    held = {when: holder(state["addresses"], reboot.cluster) for when, state in states.items()}
    assert held["before"], f"{reboot.node} did not hold {reboot.cluster}, but {reboot.before['addresses']}"
    now = reboot.after["addresses"].replace("\n", ", ")
    assert held["after"], f"{reboot.node} lost {reboot.cluster} in the reboot; it holds {now}"
    assert held["after"] == held["before"], f"{reboot.cluster} of {reboot.node} was on {held['before']}, now {now}"


@claim("1.1/hostname-survives-reboot")
def test_name_set_in_etc_hostname_is_in_force_after_a_reboot(reboot):
    assert reboot.before["host name"] != RENAMED, f"{reboot.node} had its new name before it was rebooted"
    name = reboot.after["host name"]
    assert name == RENAMED, f"/etc/hostname of {reboot.node} said {RENAMED}, and after the reboot its name is {name}"


@claim("1.3.2/starts-at-boot")
def test_docker_is_enabled_and_runs_after_a_reboot(reboot):
    assert reboot.after["boot"] != reboot.before["boot"], f"{reboot.node} was not rebooted"
    setting = reboot.before["docker is set to"]
    assert setting == "enabled", f"the docker service of {reboot.node} is {setting or 'unknown'}, not enabled"
    state = reboot.after["docker is"]
    assert state == "active", f"after the reboot of {reboot.node} the docker service is {state}"


def holder(addresses, wanted):
    """Return the interface that has the address *wanted*; empty if none has."""
    for line in addresses.splitlines():
        interface, address = line.split()
        if address.split("/")[0] == wanted:
            return interface
    return ""
