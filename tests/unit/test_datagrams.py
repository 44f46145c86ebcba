"""Datagrams to every node: how long a node was silent, and how long the sender was."""

from types import SimpleNamespace

import pytest

from suites.support.upgrade.lost import present
from swarmlab.watching import datagrams as sending
from swarmlab.watching.datagrams import Datagram, Datagrams


def sent(*spans, unanswered=()):
    """Return datagrams sent ten times a second in these spans (begin, end), and not answered in *unanswered* ones."""
    made = Datagrams([SimpleNamespace(name="master", address="127.0.0.1")], 9000)
    for begin, end in spans:
        for tenth in range(round((end - begin) * 10) + 1):
            at = begin + tenth / 10
            made._sent.append(
                Datagram(at, "master", answered=not any(since < at < until for since, until in unanswered))
            )
    return made


def test_a_silent_node_is_silent_from_its_last_answer_to_its_next():
    datagrams = sent((0, 20), unanswered=[(5, 9), (12, 13)])
    assert datagrams.silence("master", 0, 20) == pytest.approx(4)
    assert datagrams.silence("master", 10, 20) == pytest.approx(1)
    assert datagrams.silence("master", 0, 7) == pytest.approx(2), "it is silent at the end"
    assert datagrams.pause("master", 0, 20) == pytest.approx(0.1)


def test_a_pause_of_the_sender_is_no_silence_of_the_node():
    datagrams = sent((0, 5), (11, 20))
    assert datagrams.silence("master", 0, 20) == pytest.approx(0.1)
    assert datagrams.pause("master", 0, 20) == pytest.approx(6)
    assert datagrams.pause("master", 0, 26) == datagrams.pause("master", 25, 31) == pytest.approx(6)


def test_a_node_that_is_silent_around_a_pause_is_silent():
    assert sent((0, 5), (11, 20), unanswered=[(3, 13)]).silence("master", 0, 20) == pytest.approx(4)


def test_a_node_is_away_in_its_step_and_what_was_before_the_first_step_does_not_count():
    control, first, second = (10, 20), (50, 60), (80, 90)
    assert present([control, first, second], 40, 100) == [(40, 50), (60, 80), (90, 100)]
    assert present([control], 40, 100) == [(40, 100)]
    assert present([(40, 60)], 40, 100) == [(40, 40), (60, 100)]


@pytest.mark.parametrize(("said", "good"), [("", True), (" master", True), (" id-1", True), (" id-2", False)])
def test_an_answer_counts_if_its_server_calls_the_node_that_was_asked(monkeypatch, said, good):
    monkeypatch.setattr(sending, "_PATIENCE", 0.0)
    datagrams = Datagrams(
        [SimpleNamespace(name="master", address="127.0.0.1")], 9000, names={"id-1": "master", "id-2": "slave01"}
    )
    datagrams._sent = [Datagram(0, "master")]

    def recvfrom(_):
        datagrams._end.set()
        return f"0{said}".encode(), ("127.0.0.1", 9000)

    datagrams._socket = SimpleNamespace(recvfrom=recvfrom)
    datagrams._hear()
    assert datagrams._sent[0].answered is good
