"""Guides and quotes: every claim has one that fits, and what they name exists."""

import re
import subprocess

import pytest

from swarmlab.errors import UsageError
from swarmlab.preflight import CHECKS
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.guides import PLACEHOLDERS, _fits, _rank, guide_of, guides
from swarmlab.verdicts.parts import DOCUMENT
from swarmlab.verdicts.quotes import DOCUMENT as TEXT
from swarmlab.verdicts.quotes import quote_of, quotes

CLAIMS = {**catalogue.load(), **catalogue.rehearsal()}
QUOTES = quotes.__wrapped__

ENTRY = """
- claims: [{claims}]
  causes: [A firewall drops packets.]
  look: ["{look}"]
  mend: [Take the rule out.]
"""


def entry(*claims, look="true"):
    return ENTRY.format(claims=", ".join(f'"{claim}"' for claim in claims), look=look)


@pytest.fixture
def written(tmp_path):
    """Return a function that writes guides to a file of its own."""

    def _written(text, name="guides.yaml"):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return _written


# Guides


def test_every_claim_has_a_guide_and_one_alone():
    for id in CLAIMS:
        guide = guide_of(id)
        assert all((guide.causes, guide.look, guide.mend)), id
        ranks = [(_rank(pattern, id), len(pattern)) for pattern in guides() if _fits(pattern, id)]
        assert ranks.count(max(ranks)) == 1, f"two patterns are as specific for {id}"


def test_every_pattern_is_the_guide_of_some_claim():
    taken = {id(guide_of(claim)) for claim in CLAIMS}
    dead = [pattern for pattern, guide in guides().items() if not any(_fits(pattern, claim) for claim in CLAIMS)]
    assert not dead
    assert not [pattern for pattern, guide in guides().items() if id(guide) not in taken]


def test_checks_and_incidents_that_guides_name_exist():
    for pattern, guide in guides().items():
        assert set(guide.checks) <= set(CHECKS), pattern
        known = {name for name in guide.incidents if name.startswith("known/")}
        assert known <= set(catalogue.incidents()), pattern


def test_every_check_of_preflight_is_named_by_a_guide():
    assert set(CHECKS) == {check for guide in guides().values() for check in guide.checks}


def commands():
    for pattern, guide in guides().items():
        made = guide.filled(node="slave01", manager="master", service="web")
        yield from ((pattern, line) for line in made.look)
        for mend in made.mend:
            assert mend.count("`") % 2 == 0, f"{pattern}: {mend}"
            # What begins with a dash is an option of a command that the sentence names.
            yield from ((pattern, line) for line in re.findall(r"`([^`]*)`", mend) if not line.startswith("-"))


def test_commands_are_lines_for_a_shell():
    lines = dict.fromkeys(line for _, line in commands())
    script = "\n".join(f"check() {{\n{line}\n}}" for line in lines)
    ran = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert not ran.stderr
    assert ran.returncode == 0


def test_placeholders_are_filled_in_and_no_other_stands_there():
    for pattern, line in commands():
        assert not re.search(r"(?<!\{)\{(node|manager|service|nodes)\}", line), f"{pattern}: {line}"
    shown = guide_of("8.1.2/drain-moves-tasks").filled()
    assert all(placeholder not in line for placeholder in PLACEHOLDERS for line in (*shown.look, *shown.mend))
    assert any("NODE" in line for line in shown.look)
    assert any("slave01" in line for line in guide_of("8.1.2/drain-moves-tasks").filled(node="slave01").look)


def test_braces_of_docker_stay():
    assert any("{{.Name}}" in line for line in guide_of("1.1/three-nodes").filled(node="x").look)


def test_what_to_do_without_systemd_is_told_where_a_command_needs_it():
    assert "/var/log/dockerd.log" in guide_of("7.2.5/rollback").note
    assert guide_of("1.1/disks").note == ""
    plain = guide_of("7.2.5/rollback").without_systemd()
    assert "tail -n 2000 /var/log/dockerd.log | grep -i -E 'update|rollback|paused'" in plain.look
    for pattern, guide in guides().items():
        assert not [line for line in guide.without_systemd().look if "journalctl -u docker" in line], pattern


@pytest.mark.parametrize(
    ("claim", "taken"),
    [
        ("7.2.1/rm", "exact"),
        ("7.2.1/rmdir", "long glob"),
        ("7.2.1/other", "short glob"),
        ("7.2.2/any", "section"),
        ("7.3/any", "chapter"),
        ("swarm-any/any", "all of Swarm"),
    ],
)
def test_the_most_specific_pattern_wins(written, claim, taken):
    file = written(
        entry("7", look="chapter")
        + entry("7.2.2", look="section")
        + entry("7.2.1/*", look="short glob")
        + entry("7.2.1/rm*", look="long glob")
        + entry("7.2.1/rm", look="exact")
        + entry("swarm", look="all of Swarm")
    )
    assert guide_of(claim, file).look == (taken,)


def test_a_claim_without_a_guide_is_refused(written):
    with pytest.raises(UsageError, match=r"no guide is for the claim 8\.1/x"):
        guide_of("8.1/x", written(entry("7")))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (entry("7") + entry("8", "7"), "two guides are for 7; keep one"),
        (entry("7") + "  cause: [x]\n", "'cause'"),
        (entry("7").replace("packets.", "packets"), "does not match"),
        (entry(), r"\[\] should be non-empty|is too short"),
    ],
)
def test_wrong_guides_are_refused_in_one_line(written, text, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        guides(written(text))
    assert "guides.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


# Quotes


def test_every_claim_of_the_document_has_its_sentence_there():
    lines = TEXT.read_text(encoding="utf-8").splitlines()
    for id in catalogue.load().of([DOCUMENT]):
        quote = quote_of(id)
        passage = "\n".join(lines[quote.line - 1 : quote.line + quote.text.count("\n")])
        assert quote.text in passage, id
        assert quote.text.partition("\n")[0] in lines[quote.line - 1], id
        assert quote.heading in lines[: quote.line], id
        assert quote.place == f"{quote.heading}, line {quote.line}"


def test_other_claims_have_none():
    assert set(quotes()) == set(catalogue.load().of([DOCUMENT]))
    assert quote_of("configs/immutable") is None


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ('- {id: 7.1/x, line: 4, text: "CentOS 8"}', r"7\.1/x: line 4 of document\.txt has no such text"),
        ('- {id: 7.1/x, line: 5, text: "CentOS 7"}', "line 5"),
        ('- {id: 7.1/x, line: 9999, text: "CentOS 7"}', "line 9999"),
        ('- {id: 7.1/x, line: 0, text: "CentOS 7"}', "0 is less than the minimum"),
        ("- {id: 7.1/x, line: 4}", "'text'"),
        ('- {id: 7.1/x, line: 4, text: "CentOS 7"}\n' * 2, r"7\.1/x: two entries have this id"),
    ],
)
def test_a_quote_that_is_not_there_is_refused(written, entries, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        QUOTES(written(entries, "quotes.yaml"))
    assert str(refused.value).startswith("quotes.yaml, ")
