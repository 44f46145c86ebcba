"""junit.xml of a run that has taken over verdicts of an earlier one."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection
from pathlib import Path

from swarmlab import outputs

#: The attributes of a suite that count its tests, and the elements of a test by which each counts.
_COUNTS = {"errors": "error", "failures": "failure", "skipped": "skipped"}


def join(file: Path, earlier: Path, run: str, tests: Collection[str]) -> None:
    """Add the tests that were taken over to junit.xml, in a suite that has the earlier run's id in its name.

    Args:
        file: The run's junit.xml.
        earlier: That of the earlier run. If it has none, as it was killed, nothing is added.
        run: The earlier run's id.
        tests: Node ids of the tests that were taken over.

    Raises:
        LabError: The file cannot be written.
    """
    try:
        whole, before = ET.parse(file), ET.parse(earlier)
    except (OSError, ET.ParseError):
        return
    names = {_name(test) for test in tests}
    for suite in before.getroot().iter("testsuite"):
        for case in list(suite.iter("testcase")):
            if (case.get("classname"), case.get("name")) not in names:
                suite.remove(case)
        cases = suite.findall("testcase")
        if not cases:
            continue
        suite.set("tests", str(len(cases)))
        for count, element in _COUNTS.items():
            suite.set(count, str(sum(case.find(element) is not None for case in cases)))
        suite.set("time", f"{sum(float(case.get('time') or 0) for case in cases):.3f}")
        if "Z-" not in suite.get("name", ""):  # the suite of a run before that has its id already
            suite.set("name", f"{suite.get('name', 'pytest')} {run}")
        whole.getroot().append(suite)
    outputs.write(file, ET.tostring(whole.getroot(), encoding="unicode", xml_declaration=True) + "\n")


def _name(test: str) -> tuple[str, str]:
    """Return the class and the name by which pytest's junit.xml has a test.

    Example:
        >>> _name("suites/ch1/test_a.py::test_b[x]")
        ('suites.ch1.test_a', 'test_b[x]')
    """
    path, bracket, parameters = test.partition("[")
    file, *names = path.split("::")
    parts = [re.sub(r"\.py$", "", file.replace("/", ".")), *names]
    return ".".join(parts[:-1]), f"{parts[-1]}{bracket}{parameters}"
