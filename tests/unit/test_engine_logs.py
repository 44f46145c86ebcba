"""The proof of engines' logs: what it excuses, and what it says of the rest."""

from tests.proof.existing.engine_logs import Asked, Line, since, times, unasked

REFUSED = 'level=error msg="Handler for GET /v1.41/tasks returned error: This node is not a swarm manager."'
REMOVED = 'level=error msg="Failed to find network u3r0jgwh1cmxj8dhp552fqs03 on node l4im4gf28xkn1wucc4o653d93"'
RAN = {"a.py::test_one": (10.0, 20.0), "a.py::test_two": (20.5, 30.0)}


def line(node, at, text=REFUSED):
    return Line(node, at, f'time="2026-11-29T09:00:{at:04.1f}Z" {text}')


def test_a_message_is_counted_by_node_and_test():
    lines = [line("slave01", 11), line("slave02", 12), line("slave02", 13), line("slave02", 25), line("slave01", 31)]
    first, *others = unasked(lines, RAN)
    assert first.startswith("1 on slave01, 2 on slave02 during a.py::test_one, such as: time=")
    assert "Handler for GET /v1.41/tasks" in first
    assert [text.partition(", such as")[0] for text in others] == [
        "1 on slave02 during a.py::test_two",
        "1 on slave01 during no test",
    ]


def test_lines_that_differ_in_ids_are_of_one_message():
    text = 'level=error msg="Error getting service swc-lone-{}: service {} not found"'
    lines = [
        line("m", 11, text.format("3b6943", "wt8c4ui4bgc2dsz9")),
        line("m", 12, text.format("7f1ca8", "y2r53ovsg4cc")),
    ]
    (sentence,) = unasked(lines, RAN)
    assert sentence.startswith("2 on m during a.py::test_one")


def test_a_claim_excuses_its_own_lines_in_its_own_test_alone():
    asked = [Asked("test_one", "not a swarm manager", "it is what the claim says")]
    assert unasked([line("m", 11)], RAN, asked) == []
    assert len(unasked([line("m", 25)], RAN, asked)) == 1
    assert len(unasked([line("m", 11, 'level=error msg="another"')], RAN, asked)) == 1


def test_what_engines_log_whatever_asks_them_is_excused():
    assert unasked([line("m", 11, REMOVED)], RAN) == []


def test_only_new_lines_count():
    old, same, new = line("m", 1), line("m", 2), line("m", 3)
    assert since([old, same], [old, same, same, new]) == [same, new]


def test_times_of_tests_are_read(tmp_path):
    (tmp_path / "when").write_text("10.0 20.0 a.py::test_one\n20.5 30.0 a.py::test_two[with blanks]\n")
    assert times(tmp_path / "when") == {"a.py::test_one": (10.0, 20.0), "a.py::test_two[with blanks]": (20.5, 30.0)}
