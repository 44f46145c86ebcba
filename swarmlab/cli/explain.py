"""``swarmlab explain``: all that is known of claims, in words or as JSON."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable, Iterator

from swarmlab.cli.common import add_inventory, add_name, inventory_options, lab_name, refuse, say
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.files import shown
from swarmlab.labs import outer, standing
from swarmlab.labs import registry as kinds
from swarmlab.labs.base import Lab, Request
from swarmlab.labs.existing.kind import EXISTING
from swarmlab.paths import command
from swarmlab.preflight.checks import CHECKS
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.catalogue import Unjudged, not_judged
from swarmlab.verdicts.choosing import KINDS, matching, unknown
from swarmlab.verdicts.explain import DISRUPTS, Explanation, explanation

#: Version of what --json prints (swarmlab/verdicts/explain.schema.json).
SCHEMA = 1
_WIDTH = 110


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("chosen", nargs="+", metavar="CLAIM", help=KINDS)
    add_name(parser)
    add_inventory(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.epilog = (
        "Of the lab that --name, --inventory or a file of options names, or that stands, it says what it offers."
    )


def run(args: argparse.Namespace) -> int:
    """Explain claims: what each says, rests on and needs, which tests judge it, and what to do when it fails."""
    if options := inventory_options(args):
        refuse(args, "--inventory", "--name")
    ids, left = _meant(args.chosen)
    with_lab = _Asked(args, options)
    try:
        found = [explanation(id, options=with_lab.options, lacks=with_lab.lacks) for id in ids]
    finally:
        with_lab.close()
    if args.json:
        told = {
            **{"schema": SCHEMA, "lab": with_lab.name or None, "claims": [each.to_json() for each in found]},
            "not_judged": [{"id": one.id, "source": one.source, "why_not": one.why_not} for one in left],
        }
        print(json.dumps(told, indent=1, ensure_ascii=False))
        return 0
    blocks = ["\n".join(lines(each, with_lab.name, with_lab.shell)) for each in found]
    blocks += [f"{one.id}\n  No test judges it: {one.why_not}\n  Source: {one.source}" for one in left]
    print("\n\n\n".join(blocks))
    return 0


def _meant(words: list[str]) -> tuple[list[str], list[Unjudged]]:
    """Return the ids of the claims that words mean, and what no test judges.

    Raises:
        UsageError: A word means nothing.
    """
    ids: list[str] = []
    left: list[Unjudged] = []
    for word in words:
        found = [claim.id for each in (catalogue.load(), catalogue.rehearsal()) for claim in matching(word, each)]
        unjudged = not_judged(word)
        if not found and not unjudged:
            raise UsageError(unknown(word, catalogue.load()))
        ids += found
        left += [unjudged] if unjudged else []
    return list(dict.fromkeys(ids)), list(dict.fromkeys(left))


class _Asked:
    """The lab that is asked what it offers, if there is one.

    Attributes:
        name: its name; empty if there is none.
        options: options of pytest that choose it.
        shell: the command that opens a shell on a node of it.
    """

    def __init__(self, args: argparse.Namespace, existing: dict[str, str]) -> None:
        """Reach the lab that the options name, or the one that stands.

        Args:
            args: the options of the command.
            existing: those that name an existing swarm, also of a file of options; empty if none is named.

        Raises:
            SwarmlabError: the lab that the command line names cannot be reached.
        """
        self._end: Callable[[], None] = lambda: None
        self._lab: Lab | None = None
        self.options: list[str] = []
        if existing:
            self._reach_existing(existing, named=bool(args.inventory or args.config))
            given = [word for name, value in existing.items() if value for word in (name, value)]
            self.options = ["--lab", EXISTING.word, *given]
            self.shell = command("swarmlab", "shell", *given, "NODE")
        else:
            self._reach_standing(args)
            self.options = ["--lab-name", args.name] if args.name else []
            self.shell = command("swarmlab", "shell", *(["--name", args.name] if args.name else []), "NODE")
        self.name = self._lab.name if self._lab else ""

    def _reach_existing(self, options: dict[str, str], *, named: bool) -> None:
        try:
            lab = EXISTING.reach(Request(options=options), say, to_judge=False)
        except SwarmlabError as failed:
            if named:
                raise
            say(f"it is not known what the swarm offers: {failed}")
        else:
            self._lab, self._end = lab, lab.down

    def _reach_standing(self, args: argparse.Namespace) -> None:
        try:
            engine = outer.running(say if args.name else lambda _: None)
        except SwarmlabError:
            if args.name:
                raise
            return
        if engine is None:
            if args.name:
                raise UsageError(f"no lab {shown(repr(args.name), 60)}: no engine answers on this machine")
            return
        self._end = engine.release
        name = lab_name(args)
        if args.name or name in [lab.name for lab in standing.labs(engine)]:
            self._lab = kinds.attach(engine, name)

    @property
    def lacks(self) -> Callable[[str], str] | None:
        """Returns why the lab lacks a need, empty if it offers it; None without a lab."""
        return self._lacks if self._lab else None

    def _lacks(self, need: str) -> str:
        assert self._lab
        try:
            if need == DISRUPTS:
                return "" if self._lab.offers.disruptable else "this lab may not be disrupted"
            return "; ".join(self._lab.offers.missing([need]))
        except SwarmlabError as failed:
            return f"it is not known: {failed}"

    def close(self) -> None:
        """Leave the lab."""
        self._end()


def lines(told: Explanation, lab: str = "", shell: str = "swarmlab shell NODE") -> Iterator[str]:
    """Yield an explanation as lines for a terminal. Commands are in one line each, so that they can be pasted.

    Args:
        told: the explanation.
        lab: the name of the lab that was asked for the needs; empty if none was.
        shell: the command that opens a shell on a node.
    """
    claim = told.claim
    yield f"{claim.id} ({claim.level}; {told.title})"
    yield from _wrapped(claim.must)
    if told.quote:
        yield from ("", f"The document says (claims/document.txt, {told.quote.place})")
        yield from (f"  {line}" for line in told.quote.text.splitlines())
    for name, text in claim.notes():
        yield from ("", name)
        yield from _wrapped(text)
    if told.needs:
        yield from ("", f"It needs{f'; lab {lab} was asked' if lab else ''}")
        for need in told.needs:
            answer = {None: "", "": "offered: "}.get(need.lacking, f"missing ({need.lacking}): ")
            yield from _wrapped(f"{answer}{need.name}: {need.meaning}", "  - ")
    yield from ("", "Tests that judge it")
    yield from (f"  {test}" for test in told.tests)
    yield from ("", "What usually breaks it")
    for cause in told.guide.causes:
        yield from _wrapped(cause, "  - ")
    yield from ("", f"How to look, as root on the node that failed ({shell})")
    yield from (f"  {line}" for line in told.guide.look)
    yield from ("", "How to mend it")
    yield from (f"  - {mend}" for mend in told.guide.mend)
    if told.guide.note:
        yield from _wrapped(told.guide.note)
    if told.guide.checks:
        yield from ("", f"Preflight looks for these causes ({command('swarmlab', 'preflight')})")
        for check in told.guide.checks:
            yield from _wrapped(f"{check}: {CHECKS[check].summary}", "  - ")
    if told.known:
        yield from ("", "Known incidents and defects")
        for known in told.known:
            yield from _wrapped(str(known), "  - ")
    yield from ("", "Judge it alone", f"  {told.alone}")


def _wrapped(text: str, bullet: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_on_hyphens=False,
        break_long_words=False,
    )
