"""What is asked of nodes within a deadline ends with it."""

import threading
import time

import pytest
import testinfra

from swarmlab.cluster import deadline
from swarmlab.errors import Overdue
from swarmlab.parallel import parallel

HERE = testinfra.get_host("local://")


def test_a_command_that_hangs_is_given_up_and_what_it_printed_is_kept():
    start = time.monotonic()
    with deadline.within(3), pytest.raises(Overdue, match=r"did not end within [234] s") as late:
        deadline.run(HERE, "echo before; sleep 60; echo after")
    assert time.monotonic() - start < 30
    assert late.value.printed == "before\n"


def test_a_command_that_ends_in_time_is_as_without_a_deadline():
    line = "echo out; echo err >&2; exit 3"
    with deadline.within(20):
        limited = deadline.run(HERE, line)
    free = deadline.run(HERE, line)
    for done in (limited, free):
        assert (done.rc, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_the_first_deadline_counts_also_in_threads_and_only_in_its_context():
    assert deadline.left(60) == 60
    with deadline.within(10):
        with deadline.within(100):
            assert deadline.left(60) <= 10
            assert max(parallel(lambda _: deadline.left(60), range(3))) <= 10
            with deadline.within(100, anew=True):
                assert deadline.left(60) == 60
        with deadline.within(-5):
            assert 0 < deadline.left(60) < 1, "a question that takes no time can still be answered"
        others = []
        thread = threading.Thread(target=lambda: others.append(deadline.left(60)))
        thread.start()
        thread.join()
        assert others == [60], "of another thread nothing is limited"
    assert deadline.left(60) == 60
