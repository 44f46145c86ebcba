"""Running again: what an earlier run left bad or undone is run anew, and the rest of its verdicts is taken over.

The new run begins its record with entries of the earlier one, marked with its id. The verdicts follow from that as they
do from the record of any run. A test that ends anew takes the place of its entry from the earlier run. The evidence of
the earlier run becomes part of the new one's folder, so that it stays when the earlier run is removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import exists, shown
from swarmlab.verdicts import folders, history, record
from swarmlab.verdicts.gathered import Gathered, function_of, understood
from swarmlab.verdicts.verdict import Verdict
from swarmlab.verdicts.waivers import FindingWaiver, Waiver

#: The word that names the latest run.
LATEST = "latest"
#: Most characters of an earlier reason in a line.
_REASON = 160


@dataclass(frozen=True)
class Plan:
    """Which tests are run again. Workers of pytest-xdist get it as JSON.

    Attributes:
        claims: Ids of claims that were fail, broken or timeout: all their tests are run again.
        tests: Node ids of tests that are run again in any case: they did not end, or what they saw made one of these
            claims fail.
        functions: Such tests without parameters, of a run of a release that kept no node ids.
        known: The tests that the earlier run could have run, without parameters.
        selected: Node ids of those that it selected. Others are not run again.
        whole: The tests without parameters that it selected with all their parameters: these may have others now.
    """

    claims: frozenset[str] = frozenset()
    tests: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    selected: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        """Whether there is anything to run again."""
        return bool(self.claims or self.tests or self.functions)

    def has(self, test: str, claims: Iterable[str]) -> bool:
        """Whether a test is run again.

        Args:
            test: Its node id.
            claims: Ids of the claims that it judges.
        """
        function = function_of(test)
        if test in self.tests or function in self.functions:
            return True
        # A test that is new to the suites may be needed for the claim to pass.
        may_run = test in self.selected or function in self.whole or function not in self.known
        return may_run and not self.claims.isdisjoint(claims)

    def may_have(self, function: str, claims: Iterable[str]) -> bool:
        """Whether any parameter of a test may be run again."""
        if self.has(function, claims) or any(function_of(test) == function for test in self.tests):
            return True
        return not self.claims.isdisjoint(claims) and any(function_of(test) == function for test in self.selected)

    def to_json(self) -> dict[str, list[str]]:
        """Return it as JSON; `from_json` reads it back."""
        return {name: sorted(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, raw: Mapping[str, Collection[str]]) -> Plan:
        """Return the plan that `to_json` returned."""
        return cls(**{name: frozenset(values) for name, values in raw.items()})


@dataclass(frozen=True)
class Earlier:
    """The run that is gone on with.

    Attributes:
        folder: Its folder.
        entries: The entries of its record.
        found: What they say, with the waivers that hold now.
        raw: Its verdicts by that, as verdicts.json has them.
        expired: Its waivers that have expired since: what they covered is run again.
    """

    folder: Path
    entries: Sequence[Mapping[str, Any]]
    found: Gathered
    raw: Mapping[str, Any]
    expired: Sequence[Waiver] = field(default=())

    @classmethod
    def read(cls, path: Path, *, today: date, waivers: Sequence[Waiver] | None = None) -> Earlier:
        """Read a run.

        Args:
            path: Its folder, or a folder of reports, of which the latest run is taken.
            today: The day on which a waiver must not have expired.
            waivers: The waivers that hold now; None for those of the run.

        Raises:
            UsageError: There is no run, it goes on, or it cannot be gone on with.
        """
        folder = folders.find(path).parent.resolve()
        file = folder / folders.RECORD
        if not file.is_file():
            raise UsageError(
                f"{folder} has no {folders.RECORD}, which says what was run; name the folder that a run wrote"
            )
        if folders.running(folder, elsewhere=False):
            raise UsageError(f"{folder}: the run goes on; wait until it has ended")
        with understood(file):
            entries = list(record.read(file))
            if not any(entry["record"] == "selected" for entry in entries):
                raise UsageError(f"{folder}: the run ended before its tests were chosen; run the suites anew")
            start = entries[0]
            if not start.get("catalogue", True):
                raise UsageError(f"{folder} is a rehearsal's, whose tests have an order; rehearse anew")
            own = [Waiver.from_raw(raw) for raw in start["waivers"]]
            held = [waiver for waiver in own if waiver.expires >= today] if waivers is None else list(waivers)
            expired = [waiver for waiver in own if waiver.expires < today] if waivers is None else []
            entries[0] = {**start, "waivers": [waiver.raw() for waiver in held]}
            found = Gathered(entries)
            return cls(folder, entries, found, found.result(), expired)

    @property
    def run(self) -> str:
        """Its id: the name of its folder."""
        return self.folder.name

    @property
    def start(self) -> Mapping[str, Any]:
        """What the run was."""
        return self.found.start

    def finding_waivers(self, today: date) -> list[FindingWaiver]:
        """Return its waivers of preflight's findings as of a day; one that has expired since holds no more."""
        own = map(FindingWaiver.from_raw, self.start.get("finding_waivers", []))
        return [replace(waiver, expired=waiver.expires < today) for waiver in own]

    @property
    def status(self) -> int:
        """The exit status that its verdicts give: 1 if one is bad or a certificate is refused, else 0."""
        bad = any(Verdict(claim["verdict"]).bad for claim in self.raw["claims"])
        return int(bad or bool(self.raw.get("certification")))

    @property
    def bad(self) -> dict[str, Verdict]:
        """The claims that were fail, broken or timeout, by id."""
        found = {claim["id"]: Verdict(claim["verdict"]) for claim in self.raw["claims"]}
        return {id: verdict for id, verdict in found.items() if verdict.bad}

    @property
    def options(self) -> dict[str, Any]:
        """The options that chose its lab, its profile and its claims, by name."""
        options = {f"--{name}": value for name, value in self.start["options"].items()}
        options |= self.start.get("given", {})
        return {name: value for name, value in options.items() if value not in (None, "", [], False)}

    def plan(self) -> Plan:
        """Return which tests are run again."""
        bad = frozenset(self.bad)
        ended = self.found.tests
        tests = {id for id in self.found.ids if id not in ended}
        for claim in self.raw["claims"]:
            if claim["id"] in bad:
                tests |= set(claim["tests"])  # also those of other claims, which saw what made this one fail
        functions: set[str] = set()
        if not self.found.ids:
            functions = set(self.found.selected) - {function_of(test) for test in ended}
        known = {test for tests_of in self.start["tests"].values() for test in tests_of}
        names = (bad, tests, functions, known, self.found.ids, self._whole())
        return Plan(*map(frozenset, names))

    def _whole(self) -> set[str]:
        """Return the tests that were selected with all their parameters."""
        if not self.found.ids:
            return set(self.found.selected)
        chosen = Counter(map(function_of, self.found.ids))
        judgements = {function_of(id): entry.get("judgement") for id, entry in self.found.tests.items()}
        return {name for name, found in judgements.items() if found and chosen[name] == found["variants"]}

    def summary(self, plan: Plan) -> str:
        """Return what is run again, in a few words: the numbers of bad claims, and of tests that did not end."""
        verdicts = list(self.bad.values())
        words = [f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict if verdict in verdicts]
        undone = len([test for test in plan.tests if test not in self.found.tests]) + len(plan.functions)
        if undone:
            words.append(f"{undone} test{'' if undone == 1 else 's'} not run")
        return ", ".join(words)

    def facts(self) -> list[dict[str, Any]]:
        """Return the earlier runs of the run that goes on with this one, as verdicts.json has them."""
        own = {
            "run": self.run,
            "host": self.start.get("host", ""),
            "started": self.start["started"],
            "seconds": self.raw["seconds"],
            "unfinished": self.raw["unfinished"],
            "conditions": list(history.conditions(self.raw)),
        }
        return [*self.raw.get("runs", []), own]

    def tests_of(self, now: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return the tests of each claim by which the new run judges it.

        A claim that is taken over stands by the tests that it had, also if the suites have changed since.

        Args:
            now: The tests of each claim by the suites of now.
        """
        kept = {claim["id"] for claim in self.raw["claims"]} - self.bad.keys()
        then = self.start["tests"]
        return {id: list(then.get(id, tests) if id in kept else tests) for id, tests in now.items()}

    def taken_over(self, now: Collection[str], gone: Collection[str] = ()) -> Iterator[dict[str, Any]]:
        """Yield the entries that the new run's record begins with.

        Args:
            now: The tests of the suites of now, without parameters.
            gone: Node ids of tests that no longer exist although their function does, as a node has another name.
        """
        bad = self.bad.keys()
        prefix = self._prefix
        for entry in self.entries:
            kind, run = entry["record"], entry.get("run") or self.run
            own = not entry.get("run")
            if kind == "lab":
                facts = dict(entry["facts"])
                look = facts.get("preflight", {})
                if own and look.get("evidence"):
                    facts["preflight"] = {**look, "evidence": _prefixed(look["evidence"], prefix)}
                host = entry.get("host") or (self.start.get("host", "") if own else "")
                yield {**entry, "facts": facts, "run": run, "host": host}
            elif kind == "selected":
                yield {**entry, "run": run}
            elif kind == "split":
                yield dict(entry)
            elif kind == "test" and entry is self.found.tests[entry["test"]]:
                taken = {**entry, "run": run}
                if judgement := entry.get("judgement"):
                    if function_of(entry["test"]) not in now or entry["test"] in gone:
                        judgement = _without(judgement, bad)  # nothing can judge these anew
                    if own:
                        files = [_prefixed(file, prefix) for file in judgement["evidence"]]
                        judgement = {**judgement, "evidence": files}
                    taken["judgement"] = judgement
                elif function_of(entry["test"]) not in now or entry["test"] in gone:
                    continue
                yield taken
        yield {"record": "before", "claims": self._before()}

    def files(self) -> Iterator[tuple[Path, str]]:
        """Yield the files of its evidence, each with its name in the new run's folder."""
        for file in sorted((self.folder / "evidence").glob("*")):
            yield file, _prefixed(f"evidence/{file.name}", self._prefix)

    @property
    def _prefix(self) -> str:
        return f"run-{len(self.raw.get('runs', [])) + 1}-"

    def _before(self) -> dict[str, list[dict[str, Any]]]:
        found = {id: list(entries) for id, entries in self.found.before.items()}
        for claim in self.raw["claims"]:
            ended = {
                "run": claim.get("run") or self.run,
                "verdict": claim["verdict"],
                "reason": claim["reason"],
                "seconds": claim["seconds"],
                "evidence": [_prefixed(file, self._prefix) for file in claim["evidence"]],
            }
            known = found.setdefault(claim["id"], [])
            if ended["run"] not in [entry["run"] for entry in known]:
                known.append(ended)
        return found


def _prefixed(file: str, prefix: str) -> str:
    """Return the name of a file of evidence in the run that takes it over; one that has such a name keeps it."""
    folder, _, name = file.rpartition("/")
    known = name.startswith("run-") and name.removeprefix("run-").partition("-")[0].isdecimal()
    return file if known else f"{folder}/{prefix}{name}"


def _without(judgement: Mapping[str, Any], claims: Collection[str]) -> dict[str, Any]:
    """Return a judgement that says nothing of some claims."""
    left = [id for id in judgement["claims"] if id not in claims]
    asides = {id: reasons for id, reasons in judgement.get("asides", {}).items() if id not in claims}
    return {**judgement, "claims": left, "asides": asides}


def lines(claims: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line for each claim that has another verdict than in the run before.

    Args:
        claims: The claims of a run, as verdicts.json has them.
    """
    for claim in claims:
        if claim.get("before") and not claim.get("run"):
            last = claim["before"][-1]
            if last["verdict"] != claim["verdict"]:
                reason = f": {shown(last['reason'], _REASON)}" if last["reason"] else ""
                yield f"{claim['verdict']!s:8} {claim['id']}; {last['verdict']} in {last['run']}{reason}"


def take_files(files: Iterable[tuple[Path, str]], folder: Path) -> None:
    """Make files of an earlier run part of a run's folder. They take no more room where the file system has links.

    Args:
        files: The files, each with its name in the folder.
        folder: The run's folder.

    Raises:
        OSError: The folder cannot be written.
    """
    for file, name in files:
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            try:
                os.link(file, target)
            except (FileExistsError, FileNotFoundError):
                raise
            except OSError:  # another file system, or one without links
                shutil.copy2(file, target)


def find(given: str, reports: Path, start: Path) -> Path:
    """Return where the run is that an option names.

    Args:
        given: The folder of a run or of reports, the id of a run, or the word `latest`.
        reports: The folder of reports in which ids and the latest run are looked for.
        start: The folder that relative paths start from.

    Raises:
        UsageError: There is none.
    """
    if given == LATEST:
        return folders.find(reports).parent
    if "/" not in given and exists(reports / folders.RUNS / given / folders.RECORD):
        return reports / folders.RUNS / given
    path = start / given
    if not exists(path):
        raise UsageError(
            f"{shown(given)}: there is no such run; write the folder of a run, or leave it out for the latest"
        )
    return folders.find(path).parent
