"""Labs by hand, and what runs left: python -m swarmlab up|down|status|shell|logs|preflight|box|report|compare."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from swarmlab import box, compare, evidence, images, kinds, labels, outer, report, results
from swarmlab.dind import DEFAULT, DindLab, check
from swarmlab.errors import SwarmlabError, UsageError
from swarmlab.machines import NAME, PROVIDERS, VagrantLab
from swarmlab.machines import check as check_machines
from swarmlab.preflight import findings
from swarmlab.swarm import Swarm


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


def make_box(words: argparse.Namespace) -> int:
    """Make the Vagrant box of the libvirt provider, if it is not there yet, and print its name."""
    made = box.Box(images.engine_choice(words.engine))
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


def preflight(words: argparse.Namespace) -> int:
    """Say what this machine and the lab on it offer; the exit status is 1 where a lab cannot be brought up."""
    worst = 0
    for finding in findings(words.name):
        print(f"{finding.level:8} {finding.name:22} {finding.seen}")
        if finding.mend and finding.level != "ok":
            print(f"{'':32}{finding.mend}")
        worst = max(worst, finding.level == "error")
    return worst


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (2 for what the user has to mend)."""
    parser = argparse.ArgumentParser(prog="python -m swarmlab", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(action: Callable[[argparse.Namespace], int], *, named: bool = True) -> argparse.ArgumentParser:
        name = action.__name__.removeprefix("make_").removesuffix("_runs")
        added = commands.add_parser(name, help=(action.__doc__ or "").splitlines()[0])
        added.set_defaults(action=action)
        if named:
            added.add_argument("--name", default=DEFAULT, help=f"which lab (default: {DEFAULT})")
        return added

    making = command(up)
    known = ", ".join(map(str, images.engines().values()))
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
    command(preflight)
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


if __name__ == "__main__":
    sys.exit(main())
