from types import SimpleNamespace

from swarmlab.node import Result
from swarmlab.probe import Probe


def probe(printed):
    """A probe in whose container every command prints *printed*."""
    return Probe(SimpleNamespace(execute=lambda _, command: Result(command, 0, printed, "")), "client")


def test_each_name_has_the_addresses_that_were_told_of_it():
    told = probe("10.0.1.2\n.\n10.0.1.3\n10.0.1.4\n.\n").resolve_each(["web", "tasks.web"])
    assert told == [{"10.0.1.2"}, {"10.0.1.3", "10.0.1.4"}]


def test_a_name_without_answer_has_no_address_and_does_not_take_the_next_ones():
    silent = ";; connection timed out; no servers could be reached\n.\n10.0.1.3\n.\n"
    assert probe(silent).resolve_each(["web", "tasks.web"]) == [set(), {"10.0.1.3"}]


def test_a_probe_that_is_gone_tells_nothing_of_any_name():
    assert probe("").resolve_each(["web", "tasks.web"]) == [set(), set()]
    assert probe("").resolve("web") == set()
