from xml.etree import ElementTree

from swarmlab.evidence import PICTURE_LIMIT
from swarmlab.watching.timeline import Mark, Request, draw

NODES = ["master", "slave01", "slave02"]


def requests(count, nodes=NODES, replicas=3, lost=lambda _: ""):
    return [
        Request(number * 0.01, number * 0.01 + 0.008, nodes[number % len(nodes)], f"replica{number % replicas}", why)
        for number in range(count)
        for why in [lost(number)]
    ]


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.text and element.text.strip()]


def test_it_is_told_in_words_too_and_names_nodes_replicas_and_events():
    svg = draw("Requests", "all of them", NODES, requests(99), [Mark(0.5, "update accepted")], {"master": "gap 1 s"})
    shown = texts(svg)
    assert shown[:2] == ["Requests", "all of them"]
    assert {"master", "slave01", "slave02", "gap 1 s", "1  at 0.5 s: update accepted"} <= set(shown)
    assert "33 asked, 0 lost" in shown
    assert "line 1, replica0: 33 answers" in shown


def test_a_loss_is_a_black_cross_in_its_nodes_band_and_said_how():
    svg = draw("Requests", "", NODES, requests(99, lost=lambda number: "timed out" if number == 4 else ""))
    shown = texts(svg)
    assert "1 lost, the first at 0.04 s: 1 timed out" in shown
    assert shown.count("33 asked, 1 lost") == 1
    assert "33 asked, 1 lost" in shown[shown.index("slave01") :][:2]


def test_its_size_does_not_grow_with_requests_nodes_and_replicas():
    nodes = [f"node{number}" for number in range(9)]
    many = requests(60_000, nodes, 40, lambda number: "refused" if number % 7 == 0 else "")
    svg = draw("Requests", "many", nodes, many, [Mark(3.0, "drained")])
    ElementTree.fromstring(svg)
    assert len(svg) < PICTURE_LIMIT
    assert len(draw("Requests", "", NODES, requests(30_000, replicas=6))) < PICTURE_LIMIT / 2


def test_words_cannot_break_the_picture_and_hold_no_secret():
    token = "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-7p73s1dx5in4tatdymyhg9hu2"
    event = f"<b> & \"quoted\" 'so' --password=abc join {token}\x07"
    svg = draw("<Requests>", event, ["<node>"], [], [Mark(0, event)])
    shown = texts(svg)
    assert shown[0] == "<Requests>"
    assert "abc" not in svg
    assert token not in svg
    assert any("[redacted join token]" in line for line in shown)


def test_nothing_asked_is_a_picture_too():
    ElementTree.fromstring(draw("Requests", "", NODES, []))
