"""The page of behaviours names claims that there are, and all claims of Swarm and of the benchmark."""

import fnmatch
import re

import yaml

from swarmlab.paths import CLAIMS, ROOT

PAGE = (ROOT / "docs/reference/behaviours.md").read_text()
#: What the page names: ids, and areas with a star.
NAMED = set(re.findall(r"`([a-z0-9.]+/[a-z0-9*-]+)`", PAGE))


def entries(*files):
    return [entry for file in files for entry in yaml.safe_load((CLAIMS / f"{file}.yaml").read_text())]


def test_every_claim_that_the_page_names_is_one():
    files = {file.stem for file in CLAIMS.glob("*.yaml")} - {"seconds", "reference"}
    known = {str(entry["id"]) for file in files for entry in entries(file) if "id" in entry}
    assert not {name for name in NAMED if not fnmatch.filter(known, name)}


def test_the_page_names_every_claim_of_swarm_and_of_the_benchmark():
    ids = {entry["id"] for entry in entries("swarm", "cis")}
    assert not {id for id in ids if not any(fnmatch.fnmatch(id, name) for name in NAMED)}


def test_what_is_not_judged_is_marked():
    reasons = {entry["id"] for entry in entries("swarm") if "why_not" in entry}
    for row in PAGE.splitlines():
        named = set(re.findall(r"`([a-z0-9.]+/[a-z0-9*-]+)`", row))
        if any(fnmatch.filter(reasons, name) for name in named):
            assert "not judged" in row, row
