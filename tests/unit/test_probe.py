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


def test_each_request_has_its_own_answer():
    printed = (
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nX-Server: 0123456789ab\r\n\r\n\t200\t65536\n.\n"
        "curl: (28) Connection timed out after 2001 milliseconds\n\t000\t0\n.\n"
        "HTTP/1.1 200 OK\r\nx-server: ba9876543210\r\n\r\n"
        "curl: (18) transfer closed with 10 bytes remaining to read\n\t200\t1014\n.\n"
    )
    whole, late, cut, none = probe(printed).fetch(["http://a/", "http://b/", "http://c/", "http://d/"])
    assert (whole.status, whole.size, whole.container, whole.error) == (200, 65536, "0123456789ab", "")
    assert (late.status, late.container, late.error) == (0, "", "Connection timed out after 2001 milliseconds")
    assert (cut.size, cut.container, cut.error) == (
        1014,
        "ba9876543210",
        "transfer closed with 10 bytes remaining to read",
    )
    assert (none.status, none.url, none.error) == (0, "http://d/", "the probe gave no answer")
