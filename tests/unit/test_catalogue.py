import pytest

from swarmlab.errors import UsageError
from swarmlab.paths import ROOT
from swarmlab.verdicts.catalogue import load
from swarmlab.verdicts.parts import CIS, DOCUMENT, SWARM

TITLE = "# Chapter 7: using the swarm\n"
CLAIM = '- {id: 7.1/a-claim, must: "Something is so.", level: minor}\n'


@pytest.fixture
def read(tmp_path):
    """Reads a catalogue of one chapter with this text."""

    def _read(text):
        (tmp_path / "ch7.yaml").write_text(text, encoding="utf-8")
        return load(tmp_path)

    return _read


def test_the_projects_catalogue_is_read_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load.cache_clear()
    claims = load()
    claim = claims["8.1.1/tolerates-3"]
    assert (claim.section, claim.chapter, claim.level, claim.disrupts) == ("8.1.1", "8", "critical", True)
    assert claim.needs == ("managers>=3", "power")
    assert claims.titles["7"] == "Chapter 7: using the swarm"
    of_document = list(claims.of([DOCUMENT]).titles)
    assert of_document == sorted(of_document)
    assert [*of_document, *(part for part in (SWARM, CIS) if claims.of([part]))] == list(claims.titles)
    assert {claim.chapter for claim in claims.values()} == set(claims.titles)


def test_a_section_does_not_hold_its_subsections(read):
    claim = read(TITLE + CLAIM)["7.1/a-claim"]
    assert claim.within("7.1")
    assert claim.within("7")
    assert not claim.within("7.1.1")
    assert not claim.within("71")


def test_an_unknown_id_is_refused_with_the_nearest(read):
    with pytest.raises(UsageError, match=r"did you mean 7\.1/a-claim"):
        read(TITLE + CLAIM).claim("7.1/a-clam")


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (CLAIM + CLAIM, "7.1/a-claim: two entries have this id"),
        ('- {id: 7.1/b, must: "Something is so.", level: grave}', "7.1/b.*'grave'"),
        ('- {id: 7.1/b, must: "Something is so."}', "7.1/b.*'level'"),
        ('- {id: 7.1/b, must: "Something is so.", level: minor, needs: ["nodes>2"]}', "7.1/b.*unknown need 'nodes>2'"),
        ('- {id: 7.1/b, must: "Something is so.", level: minor, neds: [ipvs]}', "7.1/b.*'neds'"),
        ('- {id: 7.1 b, must: "Something is so.", level: minor}', "'7.1 b'"),
        ("- {id: 7.1/b, must: [", "YAML"),
        ("just words", "line 2, column 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(read, entry, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        read(TITLE + entry)
    assert "ch7.yaml" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_readme_has_the_number_of_the_documents_claims():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"*The document*: {len(load().of([DOCUMENT]))} claims" in text


def test_a_folder_without_chapters_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no claims"):
        load(tmp_path)
