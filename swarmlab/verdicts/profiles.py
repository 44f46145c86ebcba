"""Profiles: named selections of claims. `fixtures.profiles` maps each to tests."""

from __future__ import annotations

from dataclasses import dataclass

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.nearest import hint
from swarmlab.verdicts.parts import CIS


@dataclass(frozen=True)
class Profile:
    """A named selection of claims.

    Attributes:
        summary: what it selects, for help.
        offers: needs that the run itself meets, beside what its lab offers.
        hours: the longest that one test may take, unless --hours sets it.
        allows: for a profile that certifies: the needs for which a claim may be blocked. The run fails unless every
            claim of the catalogue passed, is waived, or is blocked for these alone. None for other profiles.
        parts: the parts of the catalogue that it is about, whatever a run judges otherwise; None: --catalogue chooses.
    """

    summary: str
    offers: frozenset[str] = frozenset()
    hours: float = 0.5
    allows: frozenset[str] | None = None
    parts: tuple[str, ...] | None = None


#: The profiles by name.
PROFILES: dict[str, Profile] = {
    "full": Profile("every claim of the chosen parts of the catalogue (default)"),
    "smoke": Profile("a few tests (containers: a minute) that show whether the rest is worth running"),
    "safe": Profile("the claims that can be judged without disrupting anything"),
    "machines": Profile("what container nodes cannot judge, and a smoke of the rest"),
    "nightly": Profile("every claim, also those that take long", frozenset({"long"}), hours=8),
    "certify": Profile(
        "every claim; fails unless each passed, is waived, or is blocked for a need that may be lacking",
        allows=frozenset({"internet", "image:portainer", "long"}),
    ),
    "cis": Profile("the recommendations of the CIS Docker Benchmark, which no other profile judges", parts=(CIS,)),
}


def profile(name: str, option: str) -> Profile:
    """Return the profile of this name.

    Args:
        name: Name of the profile.
        option: The option that named it, for the message.

    Raises:
        UsageError: No profile has this name.
    """
    if name not in PROFILES:
        near = hint(name, PROFILES)
        raise UsageError(f"{option} {shown(name, 60)}: no such profile{near}; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
