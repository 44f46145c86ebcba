"""Kills runs outright at random moments, and looks whether the next run is clean and the results so far are kept.

``python -m tests.proof.interruptions.kills --count 50`` (two hours) writes a row for each kill to a JSON file. If the
file has some already, as of a proof that was interrupted, it goes on there. It ends with 1 if a row is bad.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from swarmlab.labs import outer
from swarmlab.paths import REPORTS
from swarmlab.report.kills import bad
from swarmlab.verdicts import folders, record
from swarmlab.wait import State, wait
from tests.proof.interruptions.trial import Trial, engine_of_trials, program

#: A small selection: a lab, tests of which one needs a cluster of its own, and the lab's removal.
TESTS = ["suites/ch2_networks/test_commands.py"]
#: Seconds in which processes of a killed run end, such as workers without their controller.
_ORPHANS = 60.0


def main() -> int:
    """Kill runs, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50, help="number of kills (default: 50)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="seed of the moments, to repeat them")
    parser.add_argument("--out", type=Path, default=REPORTS / "proof" / "kills.json", metavar="FILE")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    rows: list[dict[str, Any]] = []
    if args.out.exists():
        rows = json.loads(args.out.read_text(encoding="utf-8"))["kills"]
        if len(rows) >= args.count:
            rows = []
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with engine_of_trials() as engine, tempfile.TemporaryDirectory(prefix="kills-") as made:
        whole = _seconds_of_a_run(Path(made))
        number = 0
        while len(rows) < args.count:
            number += 1
            workers = chance.random() < 0.3
            victim = chance.choice(["controller", "worker"]) if workers else "run"
            moment = chance.uniform(0.2, whole)
            row = kill(Path(made) / str(number), moment, victim, engine)
            if row is None:  # the run had ended, as the machine was busier when the whole run was timed
                whole = min(whole, moment)
                continue
            rows.append(row)
            table = {"schema": 1, "seed": args.seed, "whole run seconds": round(whole, 1), "kills": rows}
            args.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
            print(f"{len(rows)}/{args.count} {row}", flush=True)
    wrong = [row for row in rows if bad(row)]
    print(f"{len(rows)} kills, {len(wrong)} of them with a bad end; table: {args.out} (seed {args.seed})")
    return int(bool(wrong))


def _command(reports: Path, *, processes: int = 0) -> list[str]:
    options = ["-v", "-n", str(processes), "--engine", "bookworm", "--reports", str(reports)]
    return [program("pytest"), *TESTS, *options]


def _seconds_of_a_run(folder: Path) -> float:
    """Run the selection once; return how long it takes."""
    run = Trial(_command(folder / "whole"), folder / "first")
    status = run.end(600)
    if status not in (0, 1):
        raise SystemExit(f"the run without a kill ended with {status}:\n{run.output[-2000:]}")
    return time.monotonic() - run.started


def kill(folder: Path, moment: float, victim: str, engine: outer.OuterEngine) -> dict[str, Any] | None:
    """Kill a run at a moment, and let the next run follow at once.

    Args:
        folder: an empty folder for both runs; both write their reports to the same.
        moment: seconds after the start.
        victim: "run" for a run of one process, else "controller" or "worker" of a run with two workers.
        engine: the engine of the labs.

    Returns:
        A row of the table; None if the run had ended before.
    """
    reports = folder / "reports"
    run = Trial(_command(reports, processes=0 if victim == "run" else 2), folder / "killed")
    while time.monotonic() - run.started < moment and run.process.poll() is None:
        time.sleep(0.02)
    hit = _victim(run, victim)
    at = time.monotonic() - run.started
    if hit is None:
        return None
    os.kill(hit, signal.SIGKILL)
    if victim == "worker":
        run.end(300)  # the run goes on, with another worker in its place
    else:
        run.process.wait(300)
    tests = tests_ended(run.output, 1 if victim == "run" else 2)
    kept = _kept(reports)
    left = run.left(engine)
    following = Trial(_command(reports), folder / "next")
    status = following.end(600)
    removed = _removed(run, engine)
    return {
        "moment": round(at, 1),
        "victim": victim,
        "phase": phase_of(run.output),
        "left": [line for line in left if not line.startswith("process")],
        "tests ended": tests,
        "verdicts kept": kept,
        "left after the next run": removed + following.left(engine),
        "next status": status,
        "traceback": "Traceback" in following.output,
    }


def _victim(run: Trial, victim: str) -> int | None:
    """Return the process to kill; None if it has ended."""
    if run.process.poll() is not None:
        return None
    if victim != "worker":
        return run.process.pid
    workers = [pid for pid, line in run.processes().items() if "execnet" in line or "-c import sys;exec" in line]
    return min(workers) if workers else run.process.pid


def phase_of(output: str) -> str:
    """Return what the run was at when it was killed, by what it had printed."""
    tests = _results_printed(output)
    if re.search(r"^=+ .*(passed|failed).* in ", output, re.MULTILINE):
        return "ended"
    if not re.search(r"collected|workers \[|scheduling", output):
        return "loading"
    return f"after {tests} tests" if tests else "before the first test"


def tests_ended(output: str, processes: int) -> int:
    """Return how many tests had ended for certain, by what the run had printed.

    A result is printed before its test's fixtures are torn down, so the last of each process may not have ended.
    """
    return max(0, _results_printed(output) - processes)


def _results_printed(output: str) -> int:
    word = r"(?:PASSED|FAILED|ERROR|SKIPPED)"
    alone = rf"^(?:suites/\S+ )?{word}\s+\[ *\d+%\]"
    return len(re.findall(rf"{alone}|^\[gw\d+\] \[ *\d+%\] {word} ", output, re.MULTILINE))


def _kept(reports: Path) -> int | None:
    """Return how many tests the killed run's record has; None if it has none."""
    files = list((reports / "runs").glob(f"*/{folders.RECORD}"))
    if not files:
        return None
    latest = max(files, key=lambda file: file.stat().st_mtime)
    return len({entry["test"] for entry in record.read(latest) if entry["record"] == "test"})


def _removed(run: Trial, engine: outer.OuterEngine) -> list[str]:
    """Return what is left of a killed run after the next, once its processes have had time to end."""

    def gone() -> State:
        left = run.left(engine)
        return State(not left, "; ".join(left))

    try:
        wait(gone, "the killed run to be gone", deadline=_ORPHANS, every=1)
    except Exception:
        return run.left(engine)
    return []


if __name__ == "__main__":
    sys.exit(main())
