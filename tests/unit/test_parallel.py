"""One action on many items: every item has its turn, whichever fail."""

import pytest

from swarmlab.parallel import parallel


def test_results_come_in_the_order_of_the_items():
    assert parallel(lambda item: item * 2, range(30), at_once=3) == [item * 2 for item in range(30)]


def test_an_error_keeps_no_item_from_its_turn():
    done = []

    def act(item):
        done.append(item)
        if item in (0, 5):
            raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        parallel(act, range(30), at_once=2)
    assert sorted(done) == list(range(30))
