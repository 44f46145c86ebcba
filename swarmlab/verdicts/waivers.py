"""Waivers: claims and findings of preflight that are accepted until a date."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from typing_extensions import Self

from swarmlab.verdicts.verdict import Verdict, worst

#: The verdicts that a waiver covers. A lab that failed is never waived.
WAIVABLE = (Verdict.FAIL, Verdict.TIMEOUT)


@dataclass(frozen=True, kw_only=True)
class _Accepted:
    """What every waiver has.

    Attributes:
        justification: Why that is accepted.
        owner: Who accepts it.
        expires: The last day on which the waiver holds.
        engine: The waiver holds only if the engine of every node has this version, such as "20.10.*"; empty for any.
        lab: The waiver holds only in a lab of this kind; empty for any.
    """

    justification: str
    owner: str
    expires: date
    engine: str = ""
    lab: str = ""

    @property
    def scope(self) -> str:
        """The engine and lab to which the waiver is limited; empty if it is not."""
        limits = (("engine", self.engine), ("lab", self.lab))
        return ", ".join(f"{name} {value}" for name, value in limits if value)

    def holds(self, lab: Mapping[str, Any]) -> bool:
        """Whether the waiver holds in a lab, given its facts: kind, and nodes with their engines."""
        if self.lab and self.lab != lab.get("kind"):
            return False
        engines = [str(node.get("engine", "")) for node in lab.get("nodes", [])]
        return not self.engine or (bool(engines) and all(fnmatch.fnmatch(engine, self.engine) for engine in engines))

    def raw(self) -> dict[str, Any]:
        """Return the waiver as a run's record has it; `from_raw` reads it back."""
        return asdict(self) | {"expires": self.expires.isoformat()}

    @classmethod
    def from_raw(cls, raw: Mapping[str, Any]) -> Self:
        """Return the waiver that `raw` returned."""
        return cls(**{**raw, "expires": date.fromisoformat(raw["expires"])})

    def _fields(self) -> dict[str, str]:
        """Return the fields that every waiver has in verdicts.json."""
        made = {"justification": self.justification, "owner": self.owner}
        return made | {"expires": self.expires.isoformat(), "scope": self.scope}


@dataclass(frozen=True, kw_only=True)
class Waiver(_Accepted):
    """A claim that need not hold for a while.

    Attributes:
        claim: Id of the claim.
    """

    claim: str

    def to_json(self, outcome: str) -> dict[str, str]:
        """Return the waiver as verdicts.json has it, with its *outcome* in the run."""
        return {"claim": self.claim, **self._fields(), "outcome": outcome}


@dataclass(frozen=True, kw_only=True)
class FindingWaiver(_Accepted):
    """A finding of preflight that is accepted for a while.

    Attributes:
        check: Name of the check.
        node: Host name of the nodes for which it holds, in which ``*`` and ``?`` stand for any characters; empty for
            any node, and for what concerns the whole cluster.
        says: A phrase that the finding must have; empty for any finding of the check.
        expired: It expired before it was read, and holds no more.
    """

    check: str
    node: str = ""
    says: str = ""
    expired: bool = False

    def __str__(self) -> str:
        """Return what it is for, in a few words."""
        return waiver_summary(self.to_json())

    def covers(self, check: str, node: str, text: str) -> bool:
        """Whether it is for what a check found on a node.

        Args:
            check: Name of the check.
            node: Host name of the node; empty for a finding about the whole cluster.
            text: What the finding says.
        """
        fits = not self.node or fnmatch.fnmatchcase(node, self.node)
        return not self.expired and check == self.check and fits and self.says in text

    def to_json(self) -> dict[str, str]:
        """Return the waiver as verdicts.json has it."""
        limits = {"node": self.node, "says": self.says}
        return {"check": self.check, **{key: value for key, value in limits.items() if value}, **self._fields()}

    def outcome(self, lab: Mapping[str, Any], findings: Iterable[Mapping[str, Any]]) -> str:
        """Return what the waiver did, in a few words.

        Args:
            lab: The facts of the lab (see `holds`).
            findings: The findings on it, as verdicts.json has them.
        """
        found = list(findings)
        own = [finding for finding in found if finding["check"] == self.check]
        used = [finding for finding in own if finding.get("waiver") == self.to_json()]
        if self.expired:
            return f"expired on {self.expires} and holds no more: mend the cluster, or renew it"
        if used:
            nodes = ", ".join(dict.fromkeys(str(node) for finding in used for node in finding["nodes"]))
            levels = ", ".join(dict.fromkeys(str(finding["level"]) for finding in used))
            return f"{levels}, waived" + (f": {nodes}" if nodes else "")
        if not found:
            return "preflight did not run"
        if not own:
            return "the check was not made here"
        if not self.holds(lab):
            return "does not hold here"
        if all(finding["level"] == "skipped" for finding in own):
            return "the check was skipped"
        return "matches no finding: take the waiver out, or correct its node or phrase"


def waiver_summary(waiver: Mapping[str, str]) -> str:
    """Return what a waiver is for in a few words, given its `FindingWaiver.to_json`."""
    where = f" on {waiver['node']}" if "node" in waiver else ""
    return waiver["check"] + where + (f" that says {waiver['says']!r}" if "says" in waiver else "")


def accepted_by(waiver: Mapping[str, str]) -> str:
    """Return who accepted a finding and until when, given its `FindingWaiver.to_json`."""
    return f"waived by {waiver['owner']} until {waiver['expires']}"


def holding(waivers: Iterable[Waiver], claim: str, lab: Mapping[str, Any]) -> Waiver | None:
    """Return the waiver of a claim that holds in a lab; None if there is none."""
    return next((waiver for waiver in waivers if waiver.claim == claim and waiver.holds(lab)), None)


def accepted(verdicts: Iterable[str]) -> Verdict:
    """Return the worst of a waived test's verdicts, where those that can be waived count as waived."""
    return worst(Verdict.WAIVED if Verdict(found) in WAIVABLE else Verdict(found) for found in verdicts)
