"""How long tests take: the seconds that earlier runs kept, or the estimates beside the catalogue on the first run.

They decide no verdict: only how many processes a run has, in which order tests start, and how a run is split over
machines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from swarmlab.errors import UsageError
from swarmlab.files import YamlFile, read_text
from swarmlab.paths import CLAIMS
from swarmlab.verdicts import results
from swarmlab.verdicts.gathered import function_of

#: The estimates: seconds of each test by its node id. ``make estimates`` writes it from runs.
ESTIMATES = CLAIMS / "seconds.yaml"
#: Seconds of a test of which nothing is known.
_UNKNOWN = 5.0
#: How many of the newest runs are read for kept seconds: a run of a few tests must not hide those of all tests.
_NEWEST = 5


class Seconds:
    """The seconds that tests take."""

    def __init__(self, tests: Mapping[str, float]) -> None:
        """Keep seconds by node id."""
        self.tests = {id: float(seconds) for id, seconds in tests.items()}
        self._variants: dict[str, list[float]] = {}
        for id, seconds in self.tests.items():
            self._variants.setdefault(function_of(id), []).append(seconds)

    def of(self, test: str) -> float:
        """Return the seconds of a test: its own, else the mean of its other parameters, else a guess.

        Args:
            test: its node id.

        Example:
            >>> Seconds({"suites/t.py::test_a[master]": 4.0}).of("suites/t.py::test_a[slave01]")
            4.0
        """
        if test in self.tests:
            return self.tests[test]
        alike = self._variants.get(function_of(test), [])
        return sum(alike) / len(alike) if alike else _UNKNOWN

    def total(self, function: str) -> float:
        """Return the seconds of a test with all parameters that are known.

        Args:
            function: its node id without parameters.
        """
        return sum(self._variants.get(function, [_UNKNOWN]))

    def over(self, older: Seconds) -> Seconds:
        """Return these seconds, and *older* ones of tests that these do not have."""
        return Seconds({**older.tests, **self.tests})


def estimates() -> Seconds:
    """Return the estimates of the checkout, which are the same on every machine that has its revision.

    Raises:
        UsageError: The file is not one of estimates.
    """
    content = YamlFile(read_text(ESTIMATES), str(ESTIMATES)).content
    if not isinstance(content, dict) or not all(_is_number(value) for value in content.values()):
        raise UsageError(f"{ESTIMATES} holds no seconds by test; make it anew: make estimates RUNS=…")
    return Seconds(content)


def of_run(path: Path) -> Seconds:
    """Return the seconds that the tests of a run took.

    Args:
        path: The run's folder, its verdicts, or a folder of reports, of which the latest run is taken.

    Raises:
        UsageError: There is no run, or it was made before runs kept the seconds of tests.
    """
    run = results.load(path)
    tests = run.raw.get("tests")
    if not tests:
        raise UsageError(f"{run.path} has no seconds of tests; name a run of this release, or leave the option out")
    return Seconds(tests)


def kept(folders: Iterable[Path]) -> Seconds | None:
    """Return the seconds that runs kept, each test's of the newest that has it; None if none did.

    Args:
        folders: Folders of runs, the newest first. What cannot be read is left out.
    """
    found: Seconds | None = None
    read = 0
    for folder in folders:
        if read == _NEWEST:
            break
        if seconds := _of_folder(folder):
            read += 1
            found = found.over(seconds) if found else seconds
    return found


def _of_folder(folder: Path) -> Seconds | None:
    try:
        raw: Any = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
        tests = raw["tests"]
        return Seconds(tests) if tests and all(map(_is_number, tests.values())) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
