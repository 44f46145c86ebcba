"""Issues, commits, advisories and addresses that a text names are links in the report; nothing else is."""

import re

import pytest

from swarmlab.report.incidents import linked
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.defects import defects

GITHUB = "https://github.com"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("moby#41775", f"{GITHUB}/moby/moby/issues/41775"),
        ("swarmkit#2273", f"{GITHUB}/moby/swarmkit/issues/2273"),
        ("libnetwork#2661", f"{GITHUB}/moby/libnetwork/issues/2661"),
        ("docker/cli#2875", f"{GITHUB}/docker/cli/issues/2875"),
        ("docker/for-linux#171", f"{GITHUB}/docker/for-linux/issues/171"),
        ("docker/for-win#1660", f"{GITHUB}/docker/for-win/issues/1660"),
        ("docs#5519", f"{GITHUB}/docker/docs/issues/5519"),
        ("traefik#12253", f"{GITHUB}/traefik/traefik/issues/12253"),
        ("moby PR 50467", f"{GITHUB}/moby/moby/pull/50467"),
        ("moby commit 898a7d799e", f"{GITHUB}/moby/moby/commit/898a7d799e"),
        ("moby 1143f413f6", f"{GITHUB}/moby/moby/commit/1143f413f6"),
        ("CVE-2024-21626", "https://www.cve.org/CVERecord?id=CVE-2024-21626"),
        ("GHSA-xr7r-f8xq-vfvv", f"{GITHUB}/advisories/GHSA-xr7r-f8xq-vfvv"),
        ("https://docs.docker.com/engine/swarm/configs/", "https://docs.docker.com/engine/swarm/configs/"),
    ],
)
def test_what_has_a_page_is_a_link(text, address):
    assert linked(f"({text}), and more.") == f'(<a href="{address}" rel="noreferrer">{text}</a>), and more.'


@pytest.mark.parametrize(
    "text", ["task#3", "a/b#1", "suites/t.py#12", "seen with 20.10.24", "javascript:x", "<b>&", "moby#"]
)
def test_all_else_is_text(text):
    assert "<a" not in linked(text)
    assert "<b>" not in linked(text)


def test_every_incident_of_the_catalogue_has_a_page():
    words = [word for defect in defects() for word in defect.incidents]
    words += [word for incident in catalogue.incidents().values() for word in incident.incidents]
    without = [word for word in words if "<a" not in linked(word) and not re.match("seen with ", word)]
    assert without == []
