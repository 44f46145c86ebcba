"""The profile of a run: profile.json beside its verdicts, made of the parts of its tests, and read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmlab import layouts, outputs
from swarmlab.errors import UsageError
from swarmlab.files import kind_of, read_json
from swarmlab.timing.processors import Busy, Processors, machine
from swarmlab.timing.recorder import KINDS, Entry, Recorder, together

#: The file, in a run's folder.
NAME = "profile.json"
#: The number of its layout.
SCHEMA = 1
#: What the time of the tests went to, with the kinds of spans whose own time it is.
USES: dict[str, tuple[str, ...]] = {
    "between two looks of a wait": ("wait",),
    "commands on nodes": ("command",),
    "calls of the nodes' engines": ("call",),
    "calls of the outer engine": ("outer",),
    "the suite, and what it does in several threads": ("fixture", "phase", "test"),
}
#: Most bytes of a profile.
_MOST_BYTES = 2**26
_LAYOUT = Path(__file__).with_name("profile.schema.json")
_DIGITS = 4


@dataclass(frozen=True)
class Test:
    """A test, as the profile has it.

    Attributes:
        id: its node id.
        lab: the name of the lab that it ran on.
        seconds: its duration.
        call: the duration of its own steps, without preparation and clean-up, which may be for other tests, too.
        busy: what the processors did meanwhile.
        entries: what it spent its time on.
    """

    id: str
    lab: str
    seconds: float
    call: float
    busy: Busy
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Profile:
    """Where a run spent its time.

    Attributes:
        seconds: its duration.
        cores: the number of this machine's processors.
        labs: the number of labs.
        busy: what the processors did during the run.
        other: seconds of the processors for programs that are not the run's.
        idle: seconds of the processors without work.
        tests: its tests, in the order in which they ended.
    """

    seconds: float
    cores: int
    labs: int
    busy: Busy
    other: float
    idle: float
    tests: tuple[Test, ...] = field(default=())

    def entries(self, kind: str, among: Iterable[str] | None = None, *, beside: bool = True) -> list[Entry]:
        """Return the entries of a kind, those of one name together, the longest first.

        Args:
            kind: one of `swarmlab.timing.recorder.KINDS`.
            among: ids of the tests that count; None for all.
            beside: count those of threads beside the tests, too.
        """
        wanted = None if among is None else set(among)
        found: dict[str, Entry] = {}
        for test in self.tests:
            for entry in test.entries if wanted is None or test.id in wanted else ():
                if entry.kind == kind and (beside or not entry.beside):
                    found[entry.name] = together(found[entry.name], entry) if entry.name in found else entry
        return sorted(found.values(), key=lambda entry: (-entry.seconds, entry.name))

    def uses(self) -> dict[str, float]:
        """Return the seconds that the tests took together, by what they went to (see `USES`)."""
        own = dict.fromkeys(KINDS, 0.0)
        for test in self.tests:
            for entry in test.entries:
                own[entry.kind] += 0.0 if entry.beside else entry.own
        return {use: sum(own[kind] for kind in kinds) for use, kinds in USES.items()}


def part(recorder: Recorder, test: str) -> dict[str, Any]:
    """Return what a recorder took of a test that ended, as JSON for the profile.

    Args:
        recorder: the recorder; it forgets what is returned.
        test: the test's node id.
    """
    entries = recorder.take()
    whole = next((entry for entry in entries if entry.kind == "test"), None)
    call = next((entry.seconds for entry in entries if (entry.kind, entry.name) == ("phase", "call")), 0.0)
    return {
        "test": test,
        "lab": recorder.lab,
        "seconds": _rounded(whole.seconds if whole else 0.0),
        "call": _rounded(call),
        **_busy(whole.busy if whole else Busy()),
        "so_far": {"shims": recorder.processors.shims(), "nodes": recorder.processors.busy().nodes},
        "spent": [_entry(entry) for entry in entries],
    }


class Gathering:
    """Gathers the parts of a run's tests, from one process or several, and makes the profile of them."""

    def __init__(self, processors: Processors) -> None:
        """Begin with the run.

        Args:
            processors: counts what the processors do for the whole run.
        """
        self._processors = processors
        self._machine = machine()
        self._parts: list[Mapping[str, Any]] = []
        self._so_far: dict[str, Mapping[str, float]] = {}

    def add(self, worker: str, found: Mapping[str, Any]) -> None:
        """Add what `part` returned in a process of the run."""
        self._so_far[worker] = found["so_far"]
        self._parts.append({key: value for key, value in found.items() if key != "so_far"})

    def to_json(self, seconds: float) -> dict[str, Any]:
        """Return the profile as JSON.

        Args:
            seconds: how long the run took.
        """
        busy = self._processors.busy()
        shims, nodes = (sum(found[what] for found in self._so_far.values()) for what in ("shims", "nodes"))
        engine = busy.engine - self._processors.shims() + shims
        worked, idle = (now - then for now, then in zip(machine(), self._machine, strict=True))
        other = max(0.0, worked - busy.suite - engine - nodes)
        profile = {
            "schema": SCHEMA,
            "seconds": _rounded(seconds),
            "cores": os.cpu_count() or 1,
            "labs": len({found["lab"] for found in self._parts if found["lab"]}),
            "busy": {**_busy(Busy(busy.suite, engine, nodes)), "other": _rounded(other), "idle": _rounded(idle)},
        }
        return {**profile, "totals": self._totals(), "tests": list(self._parts)}

    def write(self, folder: Path, seconds: float) -> Profile | None:
        """Write profile.json to a run's folder and return the profile; None if no test ended.

        Raises:
            LabError: it cannot be written.
        """
        if not self._parts:
            return None
        made = self.to_json(seconds)
        lines = ",\n".join(json.dumps(found, ensure_ascii=False) for found in made.pop("tests"))
        head = json.dumps(made, indent=1, ensure_ascii=False)
        outputs.write(folder / NAME, f'{head[:-2]},\n "tests": [\n{lines}\n ]\n}}\n')
        return load(folder)

    def _totals(self) -> list[dict[str, Any]]:
        """Return the entries of all tests together, by lab, kind and name."""
        found: dict[tuple[str, str, str, bool], Entry] = {}
        for of_test in self._parts:
            for raw in of_test["spent"]:
                entry = _read(raw)
                key = (of_test["lab"], entry.kind, entry.name, entry.beside)
                found[key] = together(found[key], entry) if key in found else entry
        ordered = sorted(found.items(), key=lambda pair: (pair[0][0], KINDS.index(pair[0][1]), -pair[1].seconds))
        # The entries of tests and phases say the same as the tests.
        return [{"lab": key[0], **_entry(entry)} for key, entry in ordered if entry.kind not in ("test", "phase")]


def layout() -> dict[str, Any]:
    """Return the JSON schema of profile.json."""
    return layouts.layout(_LAYOUT)


def load(folder: Path) -> Profile | None:
    """Return the profile of the run of a folder; None if it has none.

    Raises:
        UsageError: the file is not a profile.
    """
    file = folder / NAME
    if not kind_of(file):
        return None
    raw = read_json(file, most=_MOST_BYTES)
    layouts.refuse_newer(raw, file, SCHEMA)
    if wrong := layouts.mistake(raw, layout()):
        raise UsageError(f"{file} is no profile of a run: {wrong}")
    return Profile(
        raw["seconds"],
        raw["cores"],
        raw["labs"],
        _busy_of(raw["busy"]),
        raw["busy"]["other"],
        raw["busy"]["idle"],
        tuple(
            Test(
                test["test"],
                test["lab"],
                test["seconds"],
                test["call"],
                _busy_of(test),
                tuple(map(_read, test["spent"])),
            )
            for test in raw["tests"]
        ),
    )


def dearest(tests: Sequence[Test], count: int) -> list[Test]:
    """Return the tests that took most of the processors."""
    return sorted(tests, key=lambda test: (-test.busy.total, test.id))[:count]


def _rounded(seconds: float) -> float:
    return round(seconds, _DIGITS)


def _busy(busy: Busy) -> dict[str, float]:
    return {name: _rounded(seconds) for name, seconds in busy._asdict().items()}


def _busy_of(raw: Mapping[str, Any]) -> Busy:
    return Busy(raw["suite"], raw["engine"], raw["nodes"])


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "name": entry.name,
        "count": entry.count,
        "seconds": _rounded(entry.seconds),
        "own": _rounded(entry.own),
        **_busy(entry.busy),
        **({"beside": True} if entry.beside else {}),
    }


def _read(raw: Mapping[str, Any]) -> Entry:
    beside = raw.get("beside", False)
    return Entry(raw["kind"], raw["name"], raw["count"], raw["seconds"], raw["own"], _busy_of(raw), beside)
