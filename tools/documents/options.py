"""Pages of the command line and of pytest's options, from the parsers themselves."""

from __future__ import annotations

import argparse
import importlib
import runpy
import textwrap
from collections.abc import Iterable
from typing import Any

from swarmlab import configuration
from swarmlab.cli.main import parser
from swarmlab.paths import ROOT
from swarmlab.report.markdown import code, plain, table
from tools.documents.markdown import page


def command_line() -> str:
    """Return the page of the command ``swarmlab``, from its parser."""
    top = parser()
    found = verbs(top)
    blocks = [
        plain(top.description or ""),
        "The command works from any folder. [Exit statuses](exit-statuses.md) and "
        "[environment variables](environment.md) have pages of their own.",
        _options(top),
        table(
            ["command", "does"], ([f"[{code(name)}](#{name})", plain(summary)] for name, (_, summary) in found.items())
        ),
    ]
    for name, (verb, summary) in found.items():
        parts = [word.replace(" ", "\0") for word in _synopsis(verb)]
        lines = textwrap.wrap(
            " ".join([f"swarmlab {name}", *parts]), 100, subsequent_indent="    ", break_on_hyphens=False
        )
        synopsis = "\n".join(["```", *lines, "```"]).replace("\0", " ")
        blocks += [f"## {name}", plain(summary), synopsis, _options(verb), plain(verb.epilog or "")]
    return page("Command line", "the parser of swarmlab/cli/main.py", *blocks)


def verbs(top: argparse.ArgumentParser) -> dict[str, tuple[argparse.ArgumentParser, str]]:
    """Return the parser and the summary of each command of *top*, by name."""
    [commands] = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    summaries = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    return {name: (verb, summaries[name]) for name, verb in commands.choices.items()}


def pytest_options() -> str:
    """Return the page of the options that the plugins of fixtures/ add to pytest."""
    found = plugin_options()
    blocks = [
        "`pytest suites/` takes pytest's own options, those of its plugins (`-n` of xdist) and these. "
        "[Exit statuses](exit-statuses.md) have a page of their own.",
        *(part for group in found.groups.values() for part in (f"## {group.title}", _options(group))),
        "## Settings in pyproject.toml",
        table(["setting", "meaning"], ([code(name), plain(_sentence(help))] for name, help in found.settings.items())),
    ]
    return page("Options of pytest suites/", "the plugins that conftest.py names", *blocks)


#: What the form of a value of a file of options is called, and what is said of its paths.
_FORMS = {
    "text": "text",
    "texts": "list of texts",
    "number": "number",
    "whole": "whole number",
    "switch": "true, false",
}
_PATHS = {
    "": "",
    "whole": "a path is relative to the file",
    "after =": "a FILE is relative to the file",
    "among": "a path is relative to the file",
}


def options_file() -> str:
    """Return the page of the file that holds the options of a cluster."""
    actions = [action for group in plugin_options().groups.values() for action in group._group_actions]
    meanings = {action.option_strings[-1].removeprefix("--"): action.help or "" for action in actions}
    return page(
        f"{configuration.FILE}",
        "KEYS in swarmlab/configuration.py",
        f"`{configuration.FILE}` holds the options of a cluster, and so does the table `[{configuration.TABLE}]` of "
        f"`{configuration.PROJECT}`. It is a file of TOML. A key is the name of an option of `pytest suites/` without "
        "the dashes ([pytest options](pytest-options.md)). Other keys are refused.",
        "The first of these counts: the file that `--config` names, the file beside the inventory that the command "
        "line names, the file in the current folder, the table in the current folder. The command line overrides "
        "it. If the command line names another inventory or lab, nothing is taken of a file that nobody named. "
        "[Keep the options in a file](../how-to/existing-swarm.md#keep-the-options-in-a-file) shows one.",
        table(
            ["key", "value", "meaning"],
            (
                [
                    code(name),
                    _FORMS[key.form],
                    plain("; ".join(filter(None, [_sentence(meanings[name]).rstrip("."), _PATHS[key.path]]))),
                ]
                for name, key in configuration.KEYS.items()
            ),
        ),
        "Where a key is of one kind of lab only, such as `inventory`, `lab` need not stand beside it. "
        "`swarmlab doctor`, `preflight`, `explain`, `cleanup`, `logs` and `shell` take `inventory` and `group` of it, "
        "unless `--name` names a lab.",
    )


def plugin_options() -> Options:
    """Return the options and settings of the plugins that the checkout's conftest.py names."""
    found = Options()
    for name in runpy.run_path(str(ROOT / "conftest.py"))["pytest_plugins"]:
        add = getattr(importlib.import_module(name), "pytest_addoption", None)
        if add is not None:
            add(found)
    return found


class Options:
    """The part of ``pytest.Parser`` that the plugins use, over argparse's groups.

    Attributes:
        groups: Groups of options by name.
        settings: Help of each setting by name.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._parser = argparse.ArgumentParser(prog="pytest suites/", add_help=False)
        self.groups: dict[str, argparse._ArgumentGroup] = {}
        self.settings: dict[str, str] = {}

    def getgroup(self, name: str, *_: Any, **__: Any) -> Any:
        """Return the group of this name."""
        if name not in self.groups:
            group = self.groups[name] = self._parser.add_argument_group(name)
            group.addoption = group.add_argument  # type: ignore[attr-defined]
        return self.groups[name]

    def addini(self, name: str, help: str, *_: Any, **__: Any) -> None:
        """Record a setting."""
        self.settings[name] = help


def _synopsis(verb: argparse.ArgumentParser) -> list[str]:
    shown = [action for action in verb._actions if "--help" not in action.option_strings]
    options = [_name(action) if action.required else f"[{_name(action)}]" for action in shown if action.option_strings]
    return [*options, *(_form(action) for action in shown if not action.option_strings)]


def _form(action: argparse.Action) -> str:
    """Return the values of an argument or option as the command line takes them: one, several, or none."""
    forms = {"*": "[{0} …]", "+": "{0} [{0} …]", "?": "[{0}]"}
    return forms.get(str(action.nargs), "{0}").format(_value(action))


def _options(group: Any) -> str:
    """Return the table of the arguments and options of a parser or group; empty if there are none."""
    actions: Iterable[argparse.Action] = getattr(group, "_group_actions", None) or group._actions
    shown = [
        action
        for action in actions
        if "--help" not in action.option_strings and not isinstance(action, argparse._SubParsersAction)
    ]
    heads = ["option", "meaning"] if any(action.option_strings for action in shown) else ["argument", "meaning"]
    return table(heads, ([code(_name(action)), _meaning(action)] for action in shown))


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return _value(action)
    value = "" if action.nargs == 0 else f" {_form(action)}"
    return ", ".join(action.option_strings) + value


def _value(action: argparse.Action) -> str:
    if action.metavar:
        return str(action.metavar)
    return "|".join(map(str, action.choices)) if action.choices else action.dest.upper().replace("_", "-")


def _meaning(action: argparse.Action) -> str:
    if action.help is None:
        return ""
    return plain(_sentence(action.help % {**vars(action), "prog": "swarmlab"}))


def _sentence(text: str) -> str:
    """Return *text* as a sentence; a first word that is a name of a file keeps its case."""
    begun = text[:1].upper() + text[1:] if text.split()[0].isalpha() else text
    return begun if begun.endswith(".") else f"{begun}."
