import os
import subprocess
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


def local(tmp_path, **programs):
    """Return a probe whose commands run here, with *programs* (shell scripts) in place of those of the container."""
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    def execute(_, command):
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(["sh", "-c", command], env=path, capture_output=True, text=True, check=False)
        return Result(command, done.returncode, done.stdout, done.stderr)

    return Probe(SimpleNamespace(execute=execute), "client")


#: Answers over UDP with the first two addresses of a name, as truncated where it is asked for a long list.
DRILL = """
flags="qr rd ra"; all="10.0.1.1 10.0.1.2"
[ $1 = -t ] && { shift; all="$all 10.0.1.3"; } || case $1 in tasks.*) flags="qr tc rd ra";; esac
echo ";; flags: $flags ; QUERY: 1, ANSWER: 2"; echo ";; $1.\tIN\tA"
for A in $all; do printf '%s.\t600\tIN\tA\t%s\n' "$1" "$A"; done
"""


def test_a_truncated_answer_is_asked_for_again_over_tcp(tmp_path):
    short, long = local(tmp_path, drill=DRILL).resolve_each(["web", "tasks.web"])
    assert short == {"10.0.1.1", "10.0.1.2"}
    assert long == {"10.0.1.1", "10.0.1.2", "10.0.1.3"}


def test_requests_at_the_same_time_have_their_answers_in_order(tmp_path):
    # The last argument is the URL, whose number decides how long the answer takes.
    curl = 'for U; do :; done; N=${U##*/}; sleep 0.$((5 - N)); printf "X-Server: box$N\\r\\n\\t200\\t$N\\n"'
    urls = [f"http://web/{place}" for place in range(5)]
    answers = local(tmp_path, curl=curl).fetch(urls, at_once=3)
    assert [(answer.url, answer.size, answer.container) for answer in answers] == [
        (url, place, f"box{place}") for place, url in enumerate(urls)
    ]
    assert local(tmp_path).fetch([], at_once=3) == []
