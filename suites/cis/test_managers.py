"""Managers: how many there are, where they listen, and what they keep locked."""

from fixtures.claims import claim
from suites.support.hardening import as_it_stands, give_data_address
from suites.support.key_age import changed_between
from suites.support.listening import answers, manager_ports
from suites.support.locking import expect_unlocked, is_sealed, restart, rotate_key, unlock_key
from suites.support.placement import stays
from suites.support.quorum import one_leader
from swarmlab.cluster.node import GOSSIP_PORT
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.wait import State, eventually

#: How a socket says that it listens on every address.
EVERY = ("*", "0.0.0.0", "::")


@claim("cis/manager-count")
@as_it_stands
def test_there_are_no_more_managers_than_the_losses_to_survive_need(site):
    managers = [member for member in site.members() if member["Spec"]["Role"] == "manager"]
    told = f"the swarm has {len(managers)} managers"
    assert len(managers) % 2, f"{told}; an even number survives no more losses than the odd one below it"
    assert len(managers) <= 7, f"{told}; more than seven are more than any loss to survive needs"
    lost = [
        member["Description"]["Hostname"]
        for member in managers
        if (member.get("ManagerStatus") or {}).get("Reachability") != "reachable"
    ]
    assert not lost, f"{told}, of which {few(lost)} cannot be reached, so that fewer losses are survived"
    if len(managers) > 1:
        eventually(lambda: one_leader(site.managers, site.managers), "the managers to agree on a leader", deadline=60)


@claim("cis/one-interface")
@as_it_stands
def test_ports_of_the_swarm_answer_at_one_address_of_a_node(site):
    ports = manager_ports(site.members())
    for node in site.nodes:
        for port in [*([ports[node.name]] if node.name in ports else []), GOSSIP_PORT]:
            listening = node.listening(port)
            assert len(listening) == 1, f"{node} listens on port {port} of {few(sorted(listening)) or 'no address'}"
            [own] = listening
            assert own not in EVERY, f"{node} listens on port {port} of every address that it has ({own})"
            assert answers(node, own, port), f"port {port} of {node} does not answer at its address {own}"
            others = [other for other in sorted(node.addresses() - {own}) if answers(node, other, port)]
            assert not others, f"port {port} of {node} answers at {few(others)} too, beside {own}"


@claim("cis/autolock")
@as_it_stands
def test_a_manager_that_restarts_stays_locked(site, lab):
    manager, managers = site.manager, site.managers
    setting = (manager.ask("GET", "/swarm")["Spec"].get("EncryptionConfig") or {}).get("AutoLockManagers")
    assert setting, "autolock is off: a manager that restarts opens the swarm's keys without anybody"
    for node in managers:
        assert is_sealed(node), f"autolock is on, and the keys on the disk of {node} are in the clear"
    if lab.standing:
        return  # no manager of a swarm that others use is restarted
    key = unlock_key(manager)
    restart(manager)
    give_data_address(manager)
    stays(
        lambda: State((state := manager.swarm_state()) == "locked", f"it is {state}"),
        f"{manager}, which restarted, to stay locked",
        polls=4,
    )
    expect_unlocked(manager, key)
    site.expect_ready()


@claim("cis/unlock-key-rotated")
@as_it_stands
def test_the_unlock_key_is_not_older_than_the_policy_has_it(site, lab, policy):
    days = policy("--cis-key-days")
    managers = site.managers
    unsealed = [node.name for node in managers if not is_sealed(node)]
    assert not unsealed, f"there is no unlock key to rotate: keys on the disk of {few(unsealed)} are in the clear"
    if not lab.standing:
        rotate_key(site)
    first, last = changed_between(site)
    assert last.age <= days, f"the unlock key is older than {days:g} days: it was there on {last}"
    if first.age > days:
        raise Blocked(f"when the unlock key was changed is not known: between {first} and {last}")
