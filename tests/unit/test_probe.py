from types import SimpleNamespace

from swarmlab.cluster.node import Result
from swarmlab.cluster.probe import Probe


def probe(printed):
    """Return a probe in whose container every command prints *printed*."""
    return Probe(SimpleNamespace(execute=lambda _, command: Result(command, 0, printed, "")), "client")


def answer(name, *addresses):
    """Return what drill prints of a *name* that has *addresses*."""
    lines = "".join(f"{name}.\t600\tIN\tA\t{address}\n" for address in addresses)
    return f";; QUESTION SECTION:\n;; {name}.\tIN\tA\n\n;; ANSWER SECTION:\n{lines}\n;; SERVER: 127.0.0.11\n.\n"


def test_each_name_has_the_addresses_that_were_told_of_it():
    printed = answer("web", "10.0.1.2") + answer("tasks.web", "10.0.1.3", "10.0.1.4")
    assert probe(printed).resolve_each(["web", "tasks.web"]) == [{"10.0.1.2"}, {"10.0.1.3", "10.0.1.4"}]


def test_a_name_without_answer_has_no_address_and_does_not_take_the_next_ones():
    silent = "Error: error sending query: Could not send or receive, because of network error\n.\n"
    assert probe(silent + answer("tasks.web", "10.0.1.3")).resolve_each(["web", "tasks.web"]) == [set(), {"10.0.1.3"}]
    assert probe(answer("web") + answer("tasks.web", "10.0.1.3")).resolve_each(["web", "tasks.web"])[0] == set()


def test_a_probe_that_is_gone_tells_nothing_of_any_name():
    assert probe("").resolve_each(["web", "tasks.web"]) == [set(), set()]
    assert probe("").resolve("web") == set()
