"""``python -m tools.bench``: measure, and write bench.json, bench.md and growth.svg."""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import datetime, timezone
from pathlib import Path

from fixtures.collector import suite_facts
from swarmlab import outputs
from swarmlab.cli import interruption
from swarmlab.cli.common import Parser, complain, say
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.labs import outer
from swarmlab.paths import REPORTS, ROOT
from swarmlab.report import bench
from tools.bench import floor, growth

PARTS = ("growth", "floor")


def main() -> int:
    """Measure what the arguments name."""
    parser = Parser(prog="python -m tools.bench", description="Measure how the work grows, and how much is overhead.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{' or '.join(PARTS)} (default: both)")
    parser.add_argument("--nodes", default="3,10,20,40", metavar="N[,N…]", help="sizes of labs (default: 3,10,20,40)")
    parser.add_argument(
        "--tests", metavar="NAME[,NAME…]", help=f"tests of the part floor (default: {','.join(floor.TESTS)})"
    )
    parser.add_argument("--out", type=Path, default=REPORTS / "bench", metavar="DIR", help="folder of the results")
    args = parser.parse_args()
    try:
        return interruption.guarded(lambda: _measure(args))
    except UsageError as wrong:
        complain(str(wrong))
        return 2
    except SwarmlabError as failed:
        complain(str(failed))
        return 3


def _measure(args: argparse.Namespace) -> int:
    parts = args.parts or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        raise UsageError(f"{unknown[0]}: is no part; write {' or '.join(PARTS)}")
    try:
        sizes = [int(size) for size in args.nodes.split(",")]
    except ValueError:
        raise UsageError(f"--nodes {args.nodes}: write numbers of nodes, such as 3,10,20") from None
    if min(sizes) < 1:
        raise UsageError(f"--nodes {args.nodes}: a lab has at least 1 node")
    tests = args.tests.split(",") if args.tests else list(floor.TESTS)
    if unknown := [test for test in tests if test not in floor.TESTS]:
        raise UsageError(f"--tests: no test {unknown[0]}; there are {', '.join(floor.TESTS)}")
    out = args.out.absolute()
    outputs.check(out)
    engine = outer.connect(say)
    try:
        made = {
            "schema": bench.SCHEMA,
            **_now(),
            "suite": suite_facts(ROOT),
            "cores": os.cpu_count(),
        }
        # What was measured is written after each part, so that an interruption leaves what there is.
        if "growth" in parts:
            made["growth"] = {**_now(), **growth.measure(engine, sizes, out / "reports", say)}
            _write(out, made)
        if "floor" in parts:
            made["floor"] = {**_now(), **floor.measure(engine, tests, out / "reports", say)}
            _write(out, made)
    finally:
        engine.release()
    print(out / "bench.md")
    return 0


def _now() -> dict[str, object]:
    """Return the time, and the load of the machine before what is measured next."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 1),
    }


def _write(out: Path, made: dict[str, object]) -> None:
    outputs.write(out / bench.NAME, json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    found = bench.load(out / bench.NAME)
    outputs.write(out / "bench.md", "\n\n".join(["# Benchmark", *bench.blocks(found, "growth.svg")]) + "\n")
    if found.get("growth"):
        outputs.write(out / "growth.svg", bench.picture(found))


if __name__ == "__main__":
    sys.exit(main())
