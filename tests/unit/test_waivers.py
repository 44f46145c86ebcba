"""Waivers that are limited to a kind of lab."""

from datetime import date

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.registry import KINDS
from swarmlab.verdicts import waivers

WAIVER = """\
- claim: 7.2.2/inspect
  lab: {lab}
  justification: known and accepted
  owner: ops
  expires: 2999-12-31
"""


def load(tmp_path, lab):
    file = tmp_path / "waivers.yaml"
    file.write_text(WAIVER.format(lab=lab))
    return waivers.load(file, today=date(2026, 1, 1), labs=KINDS)


@pytest.mark.parametrize("lab", list(KINDS))
def test_a_waiver_may_be_limited_to_any_kind_of_lab_and_holds_there(tmp_path, lab):
    loaded = load(tmp_path, lab)
    assert waivers.holding(loaded, "7.2.2/inspect", {"kind": lab, "nodes": []})
    for other in set(KINDS) - {lab}:
        assert not waivers.holding(loaded, "7.2.2/inspect", {"kind": other, "nodes": []})


def test_an_unknown_kind_of_lab_is_one_line_that_names_the_known_ones(tmp_path):
    with pytest.raises(UsageError) as wrong:
        load(tmp_path, "cloud")
    assert str(wrong.value).endswith(
        "waivers.yaml, line 1, column 3, 7.2.2/inspect: lab: 'cloud' is not one of dind, vagrant, inventory"
    )
