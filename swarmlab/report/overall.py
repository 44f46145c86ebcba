"""The verdict of a whole run, or of several, and what each verdict means and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from swarmlab.verdicts.results import Run
from swarmlab.verdicts.verdict import Verdict

#: The verdicts in the order of the report, each with a sign by which readers distinguish it without colour.
SIGNS = {"pass": "✓", "fail": "✗", "blocked": "○", "broken": "!", "timeout": "…", "waived": "~", "not run": "–"}
#: What each verdict means.
MEANINGS = {
    "pass": "the cluster does what the claim says",
    "fail": "the cluster does not do it; the reason names the node where there is one",
    "broken": "the lab itself failed, so nothing is known about the cluster",
    "timeout": "a state that the judgement needs was not reached in time, so the claim was not judged",
    "blocked": "the lab lacks what the claim needs, so the claim was not judged; the reason names the need",
    "waived": "the claim did not pass, and an owner has accepted that until a date",
    "not run": "no test of the claim was run to its end",
}


@dataclass(frozen=True)
class Overall:
    """The verdict of a whole run, or of several.

    Attributes:
        word: The verdict, in a few words.
        tone: Its colour: "good" (all passed), "part" (all that was judged passed), "open" or "bad".
        summary: The numbers behind it.
    """

    word: str
    tone: str
    summary: str


def overall(run: Run) -> Overall:
    """Return the verdict of a whole run. It is never better than the worst verdict in it."""
    counts = run.counts
    passed, failed, waived = counts[Verdict.PASS], counts[Verdict.FAIL], counts[Verdict.WAIVED]
    lost = counts[Verdict.BROKEN] + counts[Verdict.TIMEOUT]
    ended = bool(run.unfinished) or any(why.startswith("the run ended before") for why in run.not_run.values())
    by_word = {str(verdict): number for verdict, number in counts.items()} | {"not run": len(run.not_run)}
    numbers = [f"{by_word[word]} {word}" for word in SIGNS if by_word[word]]
    stopped = f"The run did not end: {run.unfinished}. " if run.unfinished else ""
    total = len(run.claims) + len(run.not_run)
    of = f"the {total} claims that were chosen" if run.chosen else f"the catalogue's {total} claims"
    summary = f"{stopped}Of {of}: {', '.join(numbers)}."
    if failed:
        return Overall("Does not conform", "bad", summary)
    if lost or ended:
        why = "The run ended before all that it selected was judged. " if ended else "Some claims were not judged. "
        return Overall("Not established", "open", why + summary)
    if not passed + waived:
        return Overall("Nothing judged", "open", summary)
    accepted = f", {waived} waived" if waived else ""
    if counts[Verdict.BLOCKED] or run.not_run or run.chosen:
        return Overall(f"No failure in what was judged{accepted}", "open" if waived else "part", summary)
    return Overall(f"Conforms{accepted}", "open" if waived else "good", summary)


def overall_of(runs: Sequence[Run]) -> Overall:
    """Return the verdict of all runs together: that of the worst."""
    each = [overall(run) for run in runs]
    if len(each) == 1:
        return each[0]
    order = ["Does", "Not", "Nothing", "No", "Conforms"]
    worst = min(each, key=lambda verdict: (order.index(re.split(r"\W", verdict.word)[0]), verdict.tone != "open"))
    same = sum(verdict.word == worst.word for verdict in each)
    return Overall(worst.word, worst.tone, f"{same} of {len(each)} runs: {worst.word[0].lower()}{worst.word[1:]}.")
