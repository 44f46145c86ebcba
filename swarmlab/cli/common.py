"""Shared by the verbs: the parser, messages, options that name a lab or have no effect, and nodes by name."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from swarmlab import configuration, option_rules, outputs
from swarmlab.cluster.node import Node
from swarmlab.errors import UsageError
from swarmlab.files import kind_of, named, shown
from swarmlab.labs.base import Lab
from swarmlab.labs.existing.ansible import GROUP
from swarmlab.labs.registry import DEFAULT
from swarmlab.labs.standing import Standing
from swarmlab.nearest import hint

#: What names a run on the command line.
RUN = "folder of a run, its verdicts, or a folder of reports, of which the latest run is taken"
#: Most characters of a message. What is longer was put into it by a file or a command.
_MESSAGE = 480
#: How argparse refuses a word that is none of several, and their list.
_INVALID = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)$")


def say(line: str) -> None:
    """Print progress on standard error. Results go to standard output.

    A terminal that is gone, or a file on a full disk, ends no command: it is only not told any more.
    """
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr:
            print(f"swarmlab: {shown(line, 4 * _MESSAGE)}", file=sys.stderr, flush=True)


def complain(line: str) -> None:
    """Print the error that ends a command; the middle of a line is cut if it is long."""
    for each in line.splitlines():
        say(shown(each, _MESSAGE))


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, and refuses values that are empty."""

    def error(self, message: str) -> NoReturn:
        """End the program with 2 and one line."""
        known = message.replace("argument COMMAND: ", "")
        if choice := _INVALID.search(message):
            known += hint(choice[1], re.findall(r"[\w.:-]+", choice[2]))
        program = self.prog.removeprefix("swarmlab").strip()
        complain(f"{program}: {known}; see: {self.prog} --help" if program else f"{known}; see: swarmlab --help")
        self.exit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as every parser does, and refuse values that are empty: they would count as not given."""
        found, rest = super().parse_known_args(args, namespace)
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            value = getattr(found, action.dest, None)
            if value != action.default and (wrong := option_rules.mistake(name_of(action), value)):
                self.error(wrong)
        return found, rest

    def refuse_unknown(self, words: Sequence[str]) -> None:
        """End the program as `error` does if words of the command line are no arguments; name the nearest option."""
        if not words:
            return
        options = [option for action in self._actions for option in action.option_strings]
        typo = next((word.partition("=")[0] for word in words if word.startswith("-")), "")
        self.error(f"unrecognized arguments: {' '.join(words)}{hint(typo, options) if typo else ''}")


def name_of(action: argparse.Action) -> str:
    """Return an option's name with dashes, or the placeholder of an argument."""
    return action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the option that names a lab."""
    parser.add_argument("--name", help=f"name of the lab (default: {DEFAULT.default_name})")


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the option that agrees to change a lab of another user."""
    parser.add_argument("--yes", action="store_true", help="change a lab that another user made, without a question")


def agreed(args: argparse.Namespace, what: str) -> Callable[[Standing], bool]:
    """Return a function that says whether a lab of another user may be changed: by --yes, or asked on a terminal.

    Args:
        args: the options of the command.
        what: what is to be done to it, for the question, such as "take it down".
    """

    def asked(lab: Standing) -> bool:
        if args.yes:
            return True
        if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
            return False
        print(f"swarmlab: lab {lab.name} is {lab.person}'s; {what}? [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return asked


def lab_name(args: argparse.Namespace) -> str:
    """Return the name of the lab that the options choose."""
    return str(args.name or DEFAULT.default_name)


def add_inventory(parser: argparse.ArgumentParser) -> None:
    """Add the options that name an existing swarm."""
    parser.add_argument(
        "--inventory", metavar="FILE|ssh://USER@MANAGER", help="inventory of an existing swarm, in place of a lab"
    )
    add_group(parser)
    parser.add_argument(
        configuration.OPTION,
        metavar="FILE",
        help=f"file of the options of a cluster, which may name its inventory (default: {configuration.FILE} beside "
        f"the inventory or here, else [{configuration.TABLE}] of {configuration.PROJECT} here)",
    )


def add_group(parser: argparse.ArgumentParser) -> None:
    """Add the option that names groups of an inventory of Ansible."""
    parser.add_argument(
        "--group", metavar="NAME[,NAME…]", help=f"group of an inventory of Ansible that is the swarm (default: {GROUP})"
    )


def inventory_options(args: argparse.Namespace, *more: str) -> dict[str, str]:
    """Return the options that name an existing swarm, as `Request.options`; empty if none is named.

    A file of options names one too, unless ``--name`` names a lab; a line tells that then.

    Args:
        args: the options of the command.
        more: further keys of such a file that are wanted, such as "ports".

    Raises:
        UsageError: a group is named, and no inventory; or a file of options is wrong, or names no inventory.
    """
    here, given = Path.cwd(), str(args.inventory or "")
    known = None
    if args.config:
        known = configuration.read(args.config)
    elif not getattr(args, "name", None):
        known = configuration.find(here, given)
    own = known.text("inventory") if known else ""
    if known and given and not args.config and own != configuration.whole(given, here):
        known = None  # it is of another cluster
    if not given and known and own:
        say(f"{known.file} names the inventory {own}")
    if not (given or own):
        if args.group:
            raise UsageError("--group: is for an inventory of Ansible; give --inventory too")
        if args.config and known:
            raise UsageError(f"--config: {known.file} names no inventory; write one there, or give --inventory")
        return {}
    wanted = {f"--{key}": known.text(key) if known else "" for key in ("group", *more)}
    return {**wanted, "--inventory": given or own, **({"--group": args.group} if args.group else {})}


def refuse(args: argparse.Namespace, beside: str, *options: str, why: str = "has no effect") -> None:
    """Refuse options that have no effect beside another.

    Args:
        args: the options of the command; one that was not given is None, False or an empty list.
        beside: the other option, which was given.
        options: the names of those that have no effect beside it, with dashes.
        why: the reason, for the message.

    Raises:
        UsageError: one of them was given.
    """
    for option in options:
        if getattr(args, option.lstrip("-").replace("-", "_"), None) not in (None, False, []):
            raise UsageError(option_rules.no_effect(option, beside, why))


def output_file(option: str, value: str) -> Path:
    """Return the file that an option names for results, before work begins whose results are to go there.

    Args:
        option: the option, for messages.
        value: its value.

    Raises:
        UsageError: it is a folder, or no path.
        LabError: it cannot be written.
    """
    file = named(value, option)
    found = kind_of(file, f"{option} {shown(value)}")
    if found == "folder":
        raise UsageError(f"{option} {shown(value)}: is a folder; name a file")
    if not found or file.is_file():  # a device or a pipe takes what it takes
        outputs.check(outputs.target(file).absolute().parent)
    return file


def node_named(lab: Lab, name: str) -> Node:
    """Return the node of a lab's default cluster that has this host name.

    Raises:
        UsageError: there is none.
    """
    for node in lab.nodes():
        if node.name == name:
            return node
    raise lab.no_node(name, lab.nodes())
