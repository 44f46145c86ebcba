"""Labs by hand, rehearsals, what runs left, and their reports: python -m swarmlab COMMAND (--help lists them)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from swarmlab import evidence, netns, ownership, report
from swarmlab.cli.preflight import options, preflight
from swarmlab.cluster import leavings
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.images import workshop
from swarmlab.images.engines import engine_choice, known_engines
from swarmlab.labs import registry as kinds
from swarmlab.labs import standing as labels
from swarmlab.labs.containers import outer
from swarmlab.labs.containers.lab import DEFAULT, DindLab, check
from swarmlab.labs.existing import inventory
from swarmlab.labs.existing.lab import InventoryLab
from swarmlab.labs.machines import box
from swarmlab.labs.machines.lab import NAME, PROVIDERS, VagrantLab
from swarmlab.labs.machines.lab import check as check_machines
from swarmlab.rehearsal import likeness
from swarmlab.rehearsal import run as play
from swarmlab.rehearsal.plan import ORDER, WORDS, newest
from swarmlab.verdicts import compare, results


def say(line: str) -> None:
    """Tell the user what is being done; results go to standard output, this does not."""
    print(f"swarmlab: {line}", file=sys.stderr, flush=True)


def up(words: argparse.Namespace) -> int:
    """Bring a lab up, form the document's swarm on it, and say how to use it."""
    engines = words.engine.split(",")
    machines = words.lab == VagrantLab.kind
    if machines:
        if words.nodes != 3 or words.name not in (DEFAULT, NAME):
            raise UsageError(f"the lab of machines has three, and the name {NAME}; leave --nodes and --name out")
        check_machines(engines, words.provider)
    else:
        check(words.name, engines, words.nodes)
    if not 1 <= words.managers <= words.nodes:
        raise UsageError(f"of {words.nodes} nodes, 1 to {words.nodes} are managers, not {words.managers}")
    engine = outer.connect(say)
    try:
        kinds.remove_stale(engine, say)
        lab: DindLab | VagrantLab
        if machines:
            lab = VagrantLab(engine, engines=engines, provider=words.provider, progress=say)
        else:
            lab = DindLab(engine, name=words.name, engines=engines, nodes=words.nodes, progress=say)
        start = time.monotonic()
        lab.up()
        try:
            lab.measure()
            say("forming the swarm")
            swarm = Swarm.form(lab.nodes(), managers=words.managers, image=lab.image)
        except BaseException:
            lab.down()
            raise
        for node in swarm.nodes:
            print(f"{node.name:10} {node.address:16} engine {node.facts()['engine']}")
        option = "" if lab.name == DEFAULT else f" --lab-name {lab.name}"
        option = " --lab vagrant" if machines else option
        name = "" if lab.name == DEFAULT else f" --name {lab.name}"
        print(f"""
Lab {lab.name} is up ({time.monotonic() - start:.0f} s). Work with it:
  python -m swarmlab shell master{name}      a root shell on a node; docker there is the node's own
  pytest suites/{option}                     the suites on this lab; it stays as it is
  python -m swarmlab down{name}              take it down""")
        return 0
    finally:
        engine.release()


def down(words: argparse.Namespace) -> int:
    """Take a lab down, whole or in what parts are left of it."""
    engine = outer.connect(say)
    try:
        known = [lab.name for lab in labels.labs(engine)]
        for name in known if words.all else [words.name]:
            kinds.remove(engine, name, say)
            say(f"lab {name} is gone")
        return 0
    finally:
        engine.release()


def status(_: argparse.Namespace) -> int:
    """List labs with their nodes, engines and roles."""
    engine = outer.running()
    if engine is None:
        print("no lab is up (no engine answers)")
        return 0
    try:
        known = labels.labs(engine)
        if not known:
            print("no lab is up")
        for standing in known:
            maker = {True: standing.owner, False: "a run that was killed", None: f"{standing.owner}, elsewhere"}
            print(f"{standing.name} ({engine.url}; made by: {maker[standing.alive]})")
            for line in kinds.describe(engine, standing):
                print(f"  {line}")
        return 0
    finally:
        engine.release()


def shell(words: argparse.Namespace) -> int:
    """Open a root shell on a node (or run one command there)."""
    engine = outer.connect(say)
    command = kinds.attach(engine, words.name).shell(words.node, words.command)
    os.execvp(command[0], command)


def logs(words: argparse.Namespace) -> int:
    """Collect what every node can tell into a folder, secrets redacted."""
    engine = outer.connect(say)
    try:
        lab = kinds.attach(engine, words.name)
        folder = Path(words.folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in Swarm(lab.nodes()).diagnosis().items():
            file = folder / (name.replace(": ", "-").replace(" ", "-").replace("/", "-") + ".txt")
            file.write_text(evidence.redact(text) + "\n", encoding="utf-8")
            print(file)
        return 0
    finally:
        engine.release()


def cleanup(words: argparse.Namespace) -> int:
    """Remove what runs of the suites left on a swarm: what carries their label or a name of theirs, no more."""
    if words.inventory:
        lab = InventoryLab(inventory.read(words.inventory), progress=say)
        try:
            lab.connect(to_judge=False)
            return _cleanup(lab.nodes(), lab.known.registry, dry=words.dry_run)
        finally:
            lab.disconnect()
    engine = outer.connect(say)
    try:
        return _cleanup(kinds.attach(engine, words.name, say).nodes(), "", dry=words.dry_run)
    finally:
        engine.release()


def _cleanup(nodes: Sequence[Node], registry: str, *, dry: bool) -> int:
    manager = Swarm(nodes).manager
    held = leavings.holder(manager)
    if held and ownership.alive(held) and not dry:
        raise UsageError(f"the suites are at work on this swarm ({held}); what is theirs goes with them")
    found = leavings.find(nodes, manager, registry)
    if dry:
        noted = [f"config {leavings.LOCK}"] if held else []
        print("\n".join([*map(str, found), *noted]) or "nothing is left")
        return 0
    left = leavings.remove(found, nodes)
    if held:
        leavings.release(manager)
        print(f"removed config {leavings.LOCK}")
    for one in found:
        if not any(line.startswith(f"{one}: ") for line in left):
            print(f"removed {one}")
    for line in left:
        say(f"could not be removed: {line}")
    if not found and not held:
        print("nothing is left")
    return int(bool(left))


def push_images(words: argparse.Namespace) -> int:
    """Push the suites' images to a registry from which the nodes of a swarm that exists can pull them."""
    engine = outer.connect(say)
    try:
        pushed = workshop.Workshop(engine.client, say, outside=netns.outside()).push(words.registry)
        print("\n".join(pushed))
        return 0
    finally:
        engine.release()


def make_box(words: argparse.Namespace) -> int:
    """Make the Vagrant box of the libvirt provider, if it is not there yet, and print its name."""
    made = box.Box(engine_choice(words.engine))
    made.prepare(say)
    print(made.name)
    return 0


def make_report(words: argparse.Namespace) -> int:
    """Make one HTML file of one run's verdicts and evidence, or of several runs'."""
    paths = [Path(path) for path in words.runs or ["reports"]]
    runs = [results.load(path) for path in paths]
    out = Path(words.out) if words.out else (runs[0].folder if len(runs) == 1 else Path("reports")) / "report.html"
    report.write(runs, out)
    print(out)
    return 0


def compare_runs(words: argparse.Namespace) -> int:
    """Say what got worse from one run to another; the exit status is 1 where anything did."""
    old, new = results.load(Path(words.old)), results.load(Path(words.new))
    found = compare.compare(old, new)
    print("\n".join(compare.lines(old, new, found, markdown=words.markdown)))
    return int(found.regressed)


def rehearse(words: argparse.Namespace) -> int:
    """Rehearse the upgrade of a swarm; the exit status is 1 where it comes to no-go."""
    if words.path and (words.start or words.to):
        raise UsageError("--path names all engines, in place of --from and --to; leave those out")
    like = _likeness(words) if words.like else None
    start = (like.oldest if like else engine_choice(words.start or "")).suite
    path = words.path or ",".join([start, *(words.to or [newest().suite])])
    managers, workers = play.SHAPES[words.lab]
    shape = (
        managers if words.managers is None else words.managers,
        workers if words.workers is None else words.workers,
    )
    plan = play.plan(path, words.order, *shape, words.lab, words.claims, like, reboot=words.reboot)
    folder = Path(words.out)
    decision = play.rehearse(plan, words.lab, folder, words.claims, say)
    print("\n".join([*play.lines(decision), f"The whole of it: {folder / play.PAGE}"]))
    return decision.status


def _likeness(words: argparse.Namespace) -> likeness.Likeness:
    """The likeness of the swarm that --like names; what contradicts it is told as far as may be before it is read."""
    play.check(words.lab, words.claims)
    if words.managers is not None:
        raise UsageError("--managers: with --like they are the swarm's; leave it out (--workers N takes fewer workers)")
    if words.workers is not None and words.workers < 0:
        raise UsageError(f"--workers {words.workers}: there are 0 or more")
    for name in [words.start, *(words.to or []), *(words.path or "").split(",")]:
        engine_choice(name or "")
    file = Path(words.like)
    if file.name == likeness.FILE:
        if words.workers is not None:
            raise UsageError("--workers: a likeness that was read has its shape; leave it out, or name the inventory")
        made = likeness.Likeness.load(file)
    else:
        made = likeness.read(inventory.read(words.like), words.workers, play.hosts(likeness.MOST_NODES), say)
    begun = words.start or (words.path or "").split(",")[0]
    if begun and engine_choice(begun) != made.oldest:
        option = f"--from {words.start}" if words.start else f"--path {words.path}"
        raise UsageError(f"{option}: the swarm of {words.like} begins with {made.oldest}; begin there, or leave it out")
    for line in made.told["limits"]:
        say(line)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (2 for what the user has to mend)."""
    parser = argparse.ArgumentParser(prog="python -m swarmlab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(action: Callable[[argparse.Namespace], int], *, named: bool = True) -> argparse.ArgumentParser:
        name = action.__name__.removeprefix("make_").removesuffix("_runs").replace("_", "-")
        added = commands.add_parser(name, help=(action.__doc__ or "").splitlines()[0])
        added.set_defaults(action=action)
        if named:
            added.add_argument("--name", default=DEFAULT, help=f"which lab (default: {DEFAULT})")
        return added

    making = command(up)
    known = ", ".join(map(str, known_engines().values()))
    making.add_argument("--engine", default="", help=f"engine of the nodes, several in turn by comma; known: {known}")
    making.add_argument("--lab", default="dind", choices=kinds.DEFAULT_NAMES, help="kind of nodes (default: dind)")
    making.add_argument("--provider", default=PROVIDERS[0], help=f"of --lab vagrant: {', '.join(PROVIDERS)}")
    making.add_argument("--nodes", type=int, default=3, help="how many nodes (default: 3)")
    making.add_argument("--managers", type=int, default=1, help="how many of them are managers (default: 1)")
    command(down).add_argument("--all", action="store_true", help="every lab, also what killed runs left")
    command(status, named=False)
    entering = command(shell)
    entering.add_argument("node", help="host name of the node")
    entering.epilog = "What follows -- is run on the node in place of a shell."
    command(logs).add_argument("folder", metavar="DIR", help="where the files go")
    options(command(preflight))
    cleaning = command(cleanup)
    cleaning.add_argument("--inventory", metavar="FILE", help="of a swarm that exists, in place of a lab")
    cleaning.add_argument("--dry-run", action="store_true", help="only list what would be removed")
    pushing = command(push_images, named=False)
    pushing.add_argument("registry", metavar="HOST[:PORT][/PATH]", help="as the inventory's key registry has it")
    rehearsing = command(rehearse, named=False)
    rehearsing.add_argument("--like", metavar="INVENTORY", help=f"a swarm to make the lab like; or its {likeness.FILE}")
    rehearsing.add_argument("--from", dest="start", metavar="ENGINE", help="engine of the swarm (default: the lab's)")
    rehearsing.add_argument("--to", action="append", metavar="ENGINE", help="engine to go to; several: one by one")
    rehearsing.add_argument("--path", metavar="A,B[,C…]", help="all engines in one word, in place of --from and --to")
    rehearsing.add_argument("--order", default=ORDER, help=f"{', '.join(WORDS)} and host names (default: {ORDER})")
    rehearsing.add_argument("--managers", type=int, help="managers of the cluster (default: 3)")
    rehearsing.add_argument(
        "--workers", type=int, help="workers of it (default: 1, on machines 0; with --like: the swarm's)"
    )
    rehearsing.add_argument("--reboot", action="store_true", help="restart each machine with its new engine")
    rehearsing.add_argument("--claims", default="smoke", metavar="PROFILE", help="judged before and after (smoke)")
    rehearsing.add_argument("--out", default="reports/rehearsal", metavar="DIR", help="default: reports/rehearsal")
    rehearsing.add_argument("--lab", default="dind", choices=kinds.DEFAULT_NAMES, help="kind of nodes (default: dind)")
    boxing = command(make_box, named=False)
    boxing.add_argument("--engine", default="", help="engine of the box")

    reporting = command(make_report, named=False)
    reporting.add_argument("runs", nargs="*", metavar="RUN", help="folder of reports, or verdicts.json")
    reporting.add_argument("--out", metavar="FILE", help="default: report.html beside the run's verdicts")

    comparing = command(compare_runs, named=False)
    comparing.add_argument("old", metavar="OLD", help="folder of reports, or verdicts.json, of the run before")
    comparing.add_argument("new", metavar="NEW", help="the same of the run after")
    comparing.add_argument("--markdown", action="store_true", help="for a pull request or a chat")

    given = list(sys.argv[1:] if arguments is None else arguments)
    end = given.index("--") if "--" in given else len(given)
    words = parser.parse_args(given[:end])
    words.command = " ".join(given[end + 1 :])
    if words.command and words.action is not shell:
        parser.error(f"only shell takes a command: {words.command}")
    try:
        code: int = words.action(words)
        return code
    except SwarmlabError as failed:
        say(str(failed))
        return 2
    except KeyboardInterrupt:
        say("interrupted")
        return 130
