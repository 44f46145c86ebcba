"""Metrics of a run or of a preflight, as a file for the textfile collector of Prometheus's node_exporter.

The file is OpenMetrics with gauges alone and without timestamps. So it is also the older text format, which is what
node_exporter reads: that knows no other types of OpenMetrics, refuses timestamps, and takes ``# EOF`` for a comment.

Series of all claims, checks, levels and verdicts are there in every file, so that none vanishes when it is zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest

from swarmlab import outputs
from swarmlab.preflight import Level
from swarmlab.preflight.host import EVERY
from swarmlab.verdicts.catalogue import LEVELS
from swarmlab.verdicts.parts import chapter_of
from swarmlab.verdicts.results import Run
from swarmlab.verdicts.verdict import Verdict

#: Name of the file in the folder of a run.
FILE = "metrics.prom"
#: The levels of findings that matter.
TROUBLE = (Level.ERROR, Level.WARNING, Level.UNKNOWN)
#: The value of a claim's verdict: the worse, the higher.
VALUES = {verdict: value for value, verdict in enumerate(reversed(Verdict))}


class Metrics:
    """Gauges of one cluster.

    Files that node_exporter reads together must have no series in common, or it leaves out all of one. So a run and a
    preflight of one cluster differ in a label, and so do runs of several profiles.
    """

    def __init__(self, cluster: str, lab: str, engines: Iterable[str], profile: str = "") -> None:
        """Begin without a gauge.

        Args:
            cluster: Name of the cluster, which stays from run to run.
            lab: Kind of the lab.
            engines: Versions of its engines.
            profile: Profile of a run; empty for a preflight without one.
        """
        self._registry = CollectorRegistry()
        self._labels = {"cluster": cluster, "lab": lab, "engine": ", ".join(sorted(set(engines))), "profile": profile}

    def gauge(self, name: str, summary: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> None:
        """Add a gauge.

        Args:
            name: Its name without the prefix of all.
            summary: What it says, in a line.
            samples: Labels beside those of the cluster, and the value.
        """
        held = list(samples)
        if not held:
            return
        names = [*self._labels, *held[0][0]]
        made = Gauge(f"swarmlab_{name}", summary, names, registry=self._registry)
        for labels, value in held:
            made.labels(**self._labels, **labels).set(value)

    def sample(self, name: str, summary: str, value: float, **labels: str) -> None:
        """Add a gauge with one sample."""
        self.gauge(name, summary, [(labels, value)])

    def preflight(self, findings: Iterable[Mapping[str, Any]], seconds: float, when: datetime) -> None:
        """Add what preflight found.

        Args:
            findings: The findings, as verdicts.json has them.
            seconds: How long it looked.
            when: When it ended.
        """
        counted = Counter(
            (str(finding["check"]), str(finding["level"]), "yes" if "waiver" in finding else "no")
            for finding in findings
        )
        checks = dict.fromkeys([*EVERY, *(check for check, _, _ in counted)])
        self.gauge(
            "preflight_findings",
            "Findings of preflight by check and level; waived says whether an owner has accepted them.",
            (
                ({"check": check, "level": str(level), "waived": waived}, counted[check, str(level), waived])
                for check in checks
                for level in TROUBLE
                for waived in ("no", "yes")
            ),
        )
        self.sample("preflight_seconds", "Seconds that preflight took.", seconds)
        self.sample("preflight_timestamp_seconds", "When preflight ended, in seconds since 1970.", when.timestamp())

    def text(self) -> str:
        """Return the content of the file."""
        made: bytes = generate_latest(self._registry)  # type: ignore[no-untyped-call]
        return made.decode()


def of_run(run: Run) -> Metrics:
    """Return the metrics of a run."""
    raw = run.raw
    # A node whose engine did not answer has words in that place.
    engines = [engine for engine in run.each("engine") if not engine.startswith("does not answer")]
    kind, profile = str(raw["lab"].get("kind", "")), str(raw.get("profile", ""))
    made = Metrics(str(raw.get("cluster") or kind), kind, engines, profile)
    suite = {key: str(raw.get("suite", {}).get(key, "")) for key in ("version", "revision")}
    made.sample("suite_info", "Version of the suite that wrote this.", 1, **suite)
    ended = run.started + timedelta(seconds=run.seconds)
    made.sample("run_timestamp_seconds", "When the run ended, in seconds since 1970.", ended.timestamp())
    made.sample("run_info", "The parts of the catalogue that the run judged.", 1, catalogue=",".join(run.parts))
    made.sample("run_seconds", "Seconds that the run took.", run.seconds)
    made.sample("run_finished", "1 if the run got to its last test, else 0.", not run.unfinished)
    made.sample("nodes", "Nodes of the cluster, or of all clusters that the run made.", len(run.nodes))
    _claims(made, run)
    if looks := raw.get("preflight", []):
        made.preflight(run.preflight, sum(float(look.get("seconds", 0)) for look in looks), ended)
    return made


def _claims(made: Metrics, run: Run) -> None:
    labels = {id: _labels(chapter_of(id), claim.level) for id, claim in run.claims.items()}
    counted = Counter((each["chapter"], each["level"], str(run.claims[id].verdict)) for id, each in labels.items())
    chapters = dict.fromkeys(each["chapter"] for each in labels.values())
    made.gauge(
        "claims",
        "Claims that were judged, by chapter, level and verdict.",
        (
            ({**_labels(chapter, level), "verdict": str(verdict)}, counted[chapter, level, str(verdict)])
            for chapter in chapters
            for level in LEVELS
            for verdict in Verdict
        ),
    )
    made.sample("claims_not_run", "Claims of the catalogue that the run did not judge.", len(run.not_run))
    values = ", ".join(f"{value} {verdict}" for verdict, value in VALUES.items())
    made.gauge(
        "claim_verdict",
        f"Verdict of a claim, the worse the higher: {values}.",
        (({"claim": id, **labels[id]}, VALUES[claim.verdict]) for id, claim in run.claims.items()),
    )
    made.gauge(
        "claim_seconds",
        "Seconds that the tests of a claim took.",
        (({"claim": id, **labels[id]}, claim.seconds) for id, claim in run.claims.items()),
    )


def _labels(chapter: str, level: str) -> dict[str, str]:
    return {"chapter": chapter, "level": level}


def write(made: Metrics, *files: Path) -> None:
    """Write metrics to files, of which each is whole whenever it is read.

    Raises:
        LabError: One cannot be written.
    """
    for file in files:
        outputs.write(file, made.text())
