"""Write claims/seconds.yaml from runs: ``python -m tools.estimates RUN…``.

Of several runs, each test has the mean of its seconds. Seconds of less than a tenth are left at that.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean

import yaml

from swarmlab.errors import UsageError
from swarmlab.verdicts.seconds import ESTIMATES, of_run

_HEAD = """\
# Seconds that each test takes, by its node id, on a lab of containers. They decide no verdict: a first run orders its
# tests by them, and --shard splits a run by them. Made by `make estimates` from runs. Do not edit: run it again.
"""


def main(paths: list[str]) -> int:
    """Write the file from these runs; return the exit status."""
    try:
        runs = [of_run(Path(path)).tests for path in paths]
    except UsageError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    tests = sorted({test for run in runs for test in run})
    found = {test: round(mean(run[test] for run in runs if test in run), 1) for test in tests}
    ESTIMATES.write_text(_HEAD + yaml.safe_dump(found, width=200, allow_unicode=True), encoding="utf-8")
    print(f"{ESTIMATES}: {len(found)} tests, {sum(found.values()):.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
