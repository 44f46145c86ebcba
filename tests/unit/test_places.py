"""Where an sshd answers, as users write it."""

import pytest

from swarmlab.labs.existing.places import Place, bare, chain, joined, place


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gate", Place("gate")),
        ("ops@gate.example:2222", Place("gate.example", "ops", 2222)),
        ("ssh://ops@gate:2222", Place("gate", "ops", 2222)),
        ("ssh://gate/", Place("gate")),
        ("a@realm@gate", Place("gate", "a@realm")),
        ("::1", Place("::1")),
        ("ops@fd00::1", Place("fd00::1", "ops")),
        ("[::1]", Place("::1")),
        ("ops@[fe80::1%eth0]:22", Place("fe80::1%eth0", "ops", 22)),
        ("[gate]:22", None),
        ("[::1", None),
        ("[::1]22", None),
        ("a:b:c", None),
        ("gate:", None),
        ("gate:0", None),
        ("gate:70000", None),
        ("@gate", None),
        ("-oProxyCommand=x", None),
        ("ops@-gate", None),
        ("-l@gate", None),
        ("gate/x", None),
        ("a b", None),
        ("", None),
    ],
)
def test_a_place_is_read_as_it_is_written(text, found):
    assert place(text) == found


def test_a_place_is_written_as_it_is_read():
    for text in ("gate", "ops@gate:22", "ops@[::1]:2222", "fd00::1"):
        assert str(place(text)) == text


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("a:22,ops@b:2222", [Place("a", "", 22), Place("b", "ops", 2222)]),
        ("[::1]:22,fd00::2", [Place("::1", "", 22), Place("fd00::2")]),
        ("none", []),
        ("NONE", []),
        ("a,,b", None),
        ("a,b:c", None),
    ],
)
def test_a_chain_of_jump_hosts_is_read_in_its_order(text, hosts):
    assert chain(text) == hosts


def test_brackets_are_around_an_ipv6_address_with_a_port_alone():
    assert (bare("[::1]"), bare("::1"), bare("gate")) == ("::1", "::1", "gate")
    assert (joined("::1", 22), joined("gate", 22)) == ("[::1]:22", "gate:22")
