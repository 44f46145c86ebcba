"""What a run has gathered so far, and the verdicts that follow: while it goes on, at its end, or read back.

A run is a series of entries, which `swarmlab.verdicts.record` keeps in a file:

==========  ============================================================================
start       what the run is: command, options, host, user, shard, suite, waivers, catalogue, its tests; with
            --again the earlier runs (`runs`)
selected    tests that were selected: their functions, and their node ids; of claims that --claim chooses those that
            were left out, with the reason
split       of a shard: what the split was made from (see `swarmlab.verdicts.shards`)
lab         the facts of a lab, as of now; in a merged run also the shard and the host that it belonged to
test        a test that ended: its seconds, its judgement, what else pytest said of it
lost        a worker of pytest-xdist that died
before      with --again: how claims ended in earlier runs
end         how long the run took, and why it ended before its last test, if it did
==========  ============================================================================

With --again a run takes over entries of an earlier one (see `swarmlab.verdicts.again`). These have its id as `run`.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import shown
from swarmlab.lists import few
from swarmlab.verdicts import record
from swarmlab.verdicts.defects import known_failures
from swarmlab.verdicts.verdict import Verdict, worst
from swarmlab.verdicts.waivers import WAIVABLE, FindingWaiver, Waiver, accepted, accepted_by, holding

#: Version of the layout of verdicts.json. Keys may be added within a version; the meaning of a key never changes.
SCHEMA = 1
#: The facts of a lab that verdicts.json has for each lab (see `swarmlab.labs.base.Lab.account`).
_OF_EACH = ("cluster", "provider", "driver", "speed", "memory_mib", "seconds", "sample", "standing")
#: What verdicts.json has of the start of a run as far as it is known.
_WHERE_KNOWN = ("catalogue", "cluster", "chosen", "others", "host", "user", "shard", "shards", "runs")


class Gathered:
    """The entries of one run, and what follows from them."""

    def __init__(self, entries: Iterable[Mapping[str, Any]] = ()) -> None:
        """Take the entries so far, oldest first."""
        self._start: Mapping[str, Any] = {}
        self._end: Mapping[str, Any] | None = None
        self._last: float = 0.0
        self._selected: set[str] = set()
        self._left_out: dict[str, str] = {}
        self._selected_before: dict[str, str] = {}
        self._ids: set[str] = set()
        self._before: dict[str, list[dict[str, Any]]] = {}
        self._split: Mapping[str, Any] | None = None
        self._places: dict[str, Mapping[str, str]] = {}
        self._labs: dict[str, dict[str, Any]] = {}
        self._tests: dict[str, Mapping[str, Any]] = {}
        self._rest: dict[str, Mapping[str, Any]] = {}
        self._lost: dict[str, str] = {}
        for entry in entries:
            self.take(entry)

    def take(self, entry: Mapping[str, Any]) -> None:
        """Add one entry."""
        kind = entry["record"]
        if kind == "start":
            self._start = entry
        elif kind == "selected":
            if run := entry.get("run"):
                self._selected_before |= dict.fromkeys(entry["tests"], run)
            else:
                self._selected |= set(entry["tests"])
                self._left_out |= entry.get("left_out", {})
            self._ids |= set(entry.get("ids", ()))
        elif kind == "lab":
            known = self._labs.get(entry["name"])
            if entry.get("run") and known and not known.get("run"):
                return  # a lab that stands, of which this run has said more
            self._labs[entry["name"]] = {**entry["facts"], **({"run": entry["run"]} if entry.get("run") else {})}
            self._places[entry["name"]] = {key: entry[key] for key in ("run", "shard", "host") if entry.get(key)}
        elif kind == "split":
            self._split = entry
        elif kind == "test":
            self._keep_rest(self._tests.get(entry["test"], {}), entry)
            self._tests[entry["test"]] = entry
            self._last = entry["finished"]
        elif kind == "lost":
            self._lost[entry["worker"]] = entry["why"]
        elif kind == "before":
            for id, ended in entry["claims"].items():  # shards have some each
                before = self._before.setdefault(id, [])
                before += [one for one in ended if one not in before]
        elif kind == "end":
            self._end = entry

    def _keep_rest(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Keep what a test said in an earlier run of claims that the run does not judge in which it ended anew."""
        old, new = before.get("judgement"), now.get("judgement")
        if before.get("run") and not now.get("run") and old and new:
            left = [id for id in old["claims"] if id not in new["claims"]]
            asides = {id: why for id, why in old.get("asides", {}).items() if id not in new["claims"]}
            if left:
                judgement = {**old, "claims": left, "asides": asides}
                self._rest[before["test"]] = {**before, "judgement": judgement}

    @property
    def labs(self) -> Mapping[str, Mapping[str, Any]]:
        """The facts of the run's labs, by name."""
        return self._labs

    @property
    def start(self) -> Mapping[str, Any]:
        """What the run is."""
        return self._start

    @property
    def end(self) -> Mapping[str, Any] | None:
        """How long it took, and why it ended before its last test; None while it runs, or if it was killed."""
        return self._end

    @property
    def split(self) -> Mapping[str, Any] | None:
        """What the run is a part of: the `digest` of the split, and its number of `tests`; None if it is not known."""
        return self._split

    @property
    def selected(self) -> frozenset[str]:
        """The tests that were selected, without parameters; also those of the earlier runs that it has gone on with."""
        return frozenset(self._selected | self._selected_before.keys())

    @property
    def ids(self) -> frozenset[str]:
        """The node ids of these; empty in a record of before 1.0.0."""
        return frozenset(self._ids)

    @property
    def before(self) -> Mapping[str, list[dict[str, Any]]]:
        """How claims ended in earlier runs that it has gone on with, by the claim's id."""
        return self._before

    @property
    def tests(self) -> Mapping[str, Mapping[str, Any]]:
        """The tests that ended, by node id."""
        return self._tests

    @property
    def lab(self) -> dict[str, Any]:
        """Kind, name, nodes and facts of the run's lab, or of all its labs if each worker had one."""
        labs = list(self._of_use().values())
        return {
            "kind": ", ".join(dict.fromkeys(lab["kind"] for lab in labs)),
            "name": ", ".join(lab["name"] for lab in labs),
            "nodes": [{**node, "lab": lab["name"]} for lab in labs for node in lab["nodes"]],
            "each": {lab["name"]: {key: lab[key] for key in _OF_EACH if key in lab} for lab in labs},
        }

    def _of_use(self) -> dict[str, dict[str, Any]]:
        """Return the labs, without those of earlier runs on which nothing was judged that still counts."""
        used = {entry["judgement"].get("lab") for entry in self._tests.values() if entry.get("judgement")}
        return {name: lab for name, lab in self._labs.items() if not lab.get("run") or name in used}

    @property
    def waivers(self) -> list[Waiver]:
        """The waivers of the run."""
        return [Waiver.from_raw(raw) for raw in self._start["waivers"]]

    @property
    def finding_waivers(self) -> list[dict[str, str]]:
        """The run's waivers of findings, each with what it did."""
        looks = [facts["preflight"] for facts in self._labs.values() if "preflight" in facts]
        found = [finding for look in looks for finding in look["findings"]]
        waivers = map(FindingWaiver.from_raw, self._start.get("finding_waivers", []))
        return [{**waiver.to_json(), "outcome": waiver.outcome(self.lab, found)} for waiver in waivers]

    def result(self) -> dict[str, Any]:
        """Return the verdicts as verdicts.json has them."""
        by_claim = self._by_claim()
        incomplete = {id: why for id, found in by_claim.items() if (why := self._incomplete(id, found))}
        catalogue = self._start["claims"]
        claims = [
            self._claim(claim, by_claim[id])
            for claim in catalogue
            if (id := claim["id"]) in by_claim and id not in incomplete
        ]
        judged = {claim["id"]: claim for claim in claims}
        counted = Counter(claim["verdict"] for claim in claims)
        lab, waivers = self.lab, self.waivers
        result = {
            "schema": SCHEMA,
            "started": self._start["started"],
            "seconds": self._seconds(),
            "unfinished": self._unfinished(),
            **{key: self._start[key] for key in ("suite", "command", "profile", "options")},
            **{key: self._start[key] for key in _WHERE_KNOWN if self._start.get(key)},
            "lab": {key: value for key, value in lab.items() if key != "nodes"},
            "nodes": lab["nodes"],
            "preflight": [
                {"lab": name, **({"run": facts["run"]} if "run" in facts else {}), **facts["preflight"]}
                for name, facts in self._of_use().items()
                if "preflight" in facts
            ],
            "followed": self._followed(),
            "lost_workers": self._lost,
            "waivers": [waiver.to_json(self._outcome(waiver, judged)) for waiver in waivers],
            "finding_waivers": self.finding_waivers,
            "summary": {str(verdict): counted[str(verdict)] for verdict in Verdict},
            "claims": claims,
            "not_run": {
                claim["id"]: incomplete.get(claim["id"]) or self._not_run(claim["id"])
                for claim in catalogue
                if claim["id"] not in judged
            },
            "tests": {test: round(entry["seconds"], 2) for test, entry in self._tests.items()},
        }
        # A part of a run certifies nothing: what it lacks may be in the others.
        if self._start["allows"] is not None and not self._start.get("shard"):
            result["certification"] = list(self._refusals(judged, frozenset(self._start["allows"])))
            result["certification_waived"] = list(self._waived(result))
        return result

    def _seconds(self) -> float:
        if self._end is not None:
            return float(self._end["seconds"])
        begun = datetime.fromisoformat(self._start["started"]).timestamp()
        return round(max(0.0, self._last - begun), 1)

    def _unfinished(self) -> str:
        if self._end is not None:
            return str(self._end["why"])
        begun = datetime.fromisoformat(self._start["started"])
        last = begun + timedelta(seconds=self._seconds())
        return f"it was killed, or its disk was full: nothing is known of it after {last:%Y-%m-%d %H:%M:%S %Z}"

    def claim(self, id: str) -> dict[str, Any] | None:
        """Return the entry of a claim in verdicts.json as of now; None if it is not judged."""
        found = self._by_claim({id}).get(id)
        if not found or self._incomplete(id, found):
            return None
        claim = next((each for each in self._start["claims"] if each["id"] == id), None)
        return self._claim(claim, found) if claim else None

    def why_not(self, id: str) -> str:
        """Return why a claim is not judged as of now, as verdicts.json has it."""
        found = self._by_claim({id}).get(id)
        return (self._incomplete(id, found) if found else "") or self._not_run(id)

    def _by_claim(self, only: Container[str] | None = None) -> dict[str, list[dict[str, Any]]]:
        """Return the judgements of each claim, or of *only* some."""
        named: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for test, entry in [*self._tests.items(), *self._rest.items()]:
            judgement = entry.get("judgement")
            doubt = entry.get("doubt")
            # Pytest's own outcome counts too: a judgement of pass does not override it.
            if doubt and (judgement is None or judgement["verdict"] == Verdict.PASS):
                # A worker that dies leaves no judgement, only pytest's report of it.
                ids = [id for id, tests in self._start["tests"].items() if function_of(test) in tests]
                blank = {"claims": ids, "test": test, "variants": 1, "evidence": []}
                reason = doubt.splitlines()[-1]
                judgement = {**blank, **(judgement or {}), "verdict": str(Verdict.BROKEN), "reason": reason}
            if judgement is None:
                continue
            judgement = {**judgement, "seconds": entry["seconds"], "run": entry.get("run", "")}
            for id in judgement["claims"]:
                if only is None or id in only:
                    named[id].append(judgement)
            # An observation that contradicts another claim makes that claim fail; it can never make it pass.
            for id, reasons in judgement.get("asides", {}).items():
                if only is not None and id not in only:
                    continue
                reason = "; ".join(reasons)
                found = {"verdict": str(Verdict.FAIL), "reason": reason, "findings": [(str(Verdict.FAIL), reason)]}
                named[id].append({**judgement, **found})
        return named

    def _followed(self) -> dict[str, int]:
        """Count the tasks that were followed from start to end, their services, and the tests that did so."""
        judgements = [entry["judgement"] for entry in self._tests.values() if entry.get("judgement")]
        counts = [counts for judgement in judgements if (counts := judgement.get("followed"))]
        sums = {kind: sum(each[kind] for each in counts) for kind in ("tasks", "services")}
        return {**sums, "tests": sum(bool(each["tasks"]) for each in counts)}

    def _incomplete(self, id: str, judgements: list[dict[str, Any]]) -> str:
        """Return why a claim has not passed yet although nothing failed: a test or a parameter did not run."""
        if any(judgement["verdict"] != Verdict.PASS for judgement in judgements):
            return ""
        for test in self._start["tests"].get(id, []):
            ran = [judgement for judgement in judgements if function_of(judgement["test"]) == test]
            if not ran or len(ran) < ran[0]["variants"]:
                how = (" with all parameters" if ran else "") + self._here
                return f"passed so far, but {test} did not run{how}"
        return ""

    @property
    def _here(self) -> str:
        return f" in shard {shard}" if (shard := self._start.get("shard")) else ""

    def _not_run(self, id: str) -> str:
        """Return why a claim has no verdict."""
        tests = self._start["tests"].get(id)
        if not tests:
            return "no test"
        if not self._selected.intersection(tests):
            if earlier := sorted(self._selected_before[test] for test in tests if test in self._selected_before):
                return f"not run in {earlier[-1]}, and not selected now"
            why = "; ".join(dict.fromkeys(self._left_out[test] for test in tests if test in self._left_out))
            return f"not selected{self._here}{why and f': {why}'}"
        why = self._end["why"] if self._end else ""
        return f"the run ended before: {why}" if why else "the run ended before"

    def _refusals(self, judged: Mapping[str, Any], allows: frozenset[str]) -> Iterator[str]:
        """Yield why the cluster cannot be certified, a line for each kind of reason."""
        reasons: dict[str, list[str]] = defaultdict(list)
        for id in (claim["id"] for claim in self._start["claims"]):
            claim = judged.get(id)
            if claim is None:
                reasons["not run"].append(id)
            elif claim["verdict"] == Verdict.BLOCKED:
                needs = [need for need in claim["lacking"] if need not in allows]
                if needs:
                    reasons[f"blocked for {', '.join(needs)}, which this profile does not allow"].append(id)
                elif not claim["lacking"]:
                    reasons[f"blocked: {claim['reason']}"].append(id)
            elif claim["verdict"] not in (Verdict.PASS, Verdict.WAIVED):
                reasons[claim["verdict"]].append(id)
        for reason, ids in reasons.items():
            yield f"{len(ids)} {reason}: {', '.join(ids)}"

    def _waived(self, result: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is waived in a run that certifies, a line for each claim and finding."""
        for claim in result["claims"]:
            if claim["verdict"] == Verdict.WAIVED:
                yield f"{claim['id']}: {claim['reason']}"
        for look in result["preflight"]:
            for finding in look["findings"]:
                if "waiver" in finding:
                    nodes = f"{few(finding['nodes'])}: " if finding["nodes"] else ""
                    said = f"preflight, {finding['level']}: {finding['check']}: {nodes}{finding['seen']}"
                    yield f"{said} ({accepted_by(finding['waiver'])})"

    def _claim(self, claim: Mapping[str, Any], judgements: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a claim's entry in verdicts.json."""
        judgements = [self._with_waiver(claim["id"], judgement) for judgement in judgements]
        verdict = worst(Verdict(judgement["verdict"]) for judgement in judgements)
        waiver = next((j["waiver"] for j in judgements if "waiver" in j), None) if verdict is Verdict.WAIVED else None
        lacking = dict.fromkeys(need for judgement in judgements for need in judgement.get("lacking", []))
        # The run that has found it; of several the newest.
        run = max((j["run"] for j in judgements if j["verdict"] == str(verdict)), key=lambda run: (not run, run))
        before = [entry for entry in self._before.get(claim["id"], []) if entry["run"] != run]
        return {
            **claim,
            "lacking": list(lacking),
            **({"run": run} if run else {}),
            **({"before": before} if before else {}),
            **({"waiver": waiver} if waiver else {}),
            "verdict": str(verdict),
            "reason": next((j["reason"] for j in judgements if j["verdict"] == str(verdict)), ""),
            **({"known": known} if (known := self._known(claim["id"], judgements)) else {}),
            # Evidence of the verdict comes first.
            "evidence": [
                file
                for judgement in sorted(judgements, key=lambda judgement: judgement["verdict"] != str(verdict))
                for file in judgement["evidence"]
            ],
            "judged": self._judged_where(judgements),
            **({"own_cluster": True} if self._own_cluster(judgements, verdict) else {}),
            "tests": [judgement["test"] for judgement in judgements],
            "seconds": round(sum(judgement["seconds"] for judgement in judgements), 2),
        }

    def _lab_of(self, judgement: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the facts of the lab that a test ran on; of all labs if that is not known."""
        return self._labs.get(judgement.get("lab", "")) or self.lab

    def _judged_where(self, judgements: list[dict[str, Any]]) -> list[dict[str, str]]:
        """Return each place where tests of a claim ran, as far as it is known: shard, host, lab and engine."""
        places: list[dict[str, str]] = []
        hosts = {each["run"]: each.get("host", "") for each in self._start.get("runs", [])}
        hosts[""] = self._start.get("host") or ""
        for judgement in judgements:
            name = judgement.get("lab", "")
            run = judgement["run"]
            own = {"run": run, "shard": self._start.get("shard") or "", "host": hosts.get(run, ""), "lab": name}
            nodes = self._labs.get(name, {}).get("nodes", [])
            engines = dict.fromkeys(str(node["engine"]) for node in nodes if node.get("engine"))
            place = {**own, **self._places.get(name, {}), "engine": ", ".join(engines)}
            place = {key: value for key, value in place.items() if value}
            if place and place not in places:
                places.append(place)
        return places

    @staticmethod
    def _own_cluster(judgements: list[dict[str, Any]], verdict: Verdict) -> bool:
        """Whether the tests that decided a verdict had a cluster that was made for them and removed after them."""
        return all(each.get("own_cluster") for each in judgements if each["verdict"] == str(verdict))

    def _known(self, id: str, judgements: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the known defects of the cluster's engines that explain why a claim fails; it still fails."""
        failed = [judgement for judgement in judgements if judgement["verdict"] == Verdict.FAIL]
        nodes = [node for judgement in failed for node in self._lab_of(judgement).get("nodes", [])]
        engines = [str(node["engine"]) for node in nodes if node.get("engine")]
        found = known_failures(id, [judgement["reason"] for judgement in failed], engines)
        return [failure.to_json() for failure in found]

    def _with_waiver(self, id: str, judgement: dict[str, Any]) -> dict[str, Any]:
        """Return a test's judgement, changed to waived if a waiver applies and all that went wrong can be waived."""
        verdict = Verdict(judgement["verdict"])
        lab = self._labs.get(judgement.get("lab", ""), {})
        waiver = holding(self.waivers, id, lab) if verdict in WAIVABLE else None
        if waiver is None:
            return judgement
        left = accepted(found for found, _ in judgement["findings"])
        if left is not Verdict.WAIVED:
            reason = next(reason for found, reason in judgement["findings"] if found == left)
            return {**judgement, "verdict": str(left), "reason": reason}
        reason = f"{verdict}: {judgement['reason']} (waived by {waiver.owner} until {waiver.expires})"
        return {
            **judgement,
            "verdict": str(Verdict.WAIVED),
            "reason": reason,
            "waiver": waiver.to_json(f"{verdict}, waived"),
        }

    def _outcome(self, waiver: Waiver, judged: Mapping[str, Any]) -> str:
        """Return what a waiver did in the run, in a few words."""
        claim = judged.get(waiver.claim)
        if claim is None:
            return "the claim was not run"
        if claim["verdict"] == Verdict.PASS:
            return "not needed: the claim passes, so take the waiver out"
        if claim["verdict"] == Verdict.WAIVED:
            here = claim["waiver"]["scope"] == waiver.scope
            return str(claim["waiver"]["outcome"]) if here else "not used"
        if claim["verdict"] in WAIVABLE and not waiver.holds(self.lab):
            return f"does not hold here: {claim['verdict']}"
        return f"does not change {claim['verdict']}"


def read(file: Path) -> dict[str, Any]:
    """Return the verdicts of a run that did not end, from its record.

    Args:
        file: The run's verdicts.jsonl.

    Raises:
        UsageError: The file cannot be read, or a run of the suites did not write it.
    """
    with understood(file):
        return Gathered(record.read(file)).result()


@contextlib.contextmanager
def understood(file: Path) -> Iterator[None]:
    """Turn every error of a block that reads a run's record into one line that names the file.

    Raises:
        UsageError: The file cannot be read, or a run of the suites did not write it.
    """
    try:
        yield
    except OSError as failed:
        raise UsageError(f"{file} cannot be read: {failed.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as broken:
        why = f"{broken} is missing" if isinstance(broken, KeyError) else shown(broken, 120)
        raise UsageError(f"{file} is not the record of a run: {why}") from None


def function_of(node_id: str) -> str:
    """Return a test's node id without parameters and without the group that xdist may add."""
    file, _, name = node_id.partition("::")
    return f"{file}::{name.partition('[')[0].partition('@')[0]}"
