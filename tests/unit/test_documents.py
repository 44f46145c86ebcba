"""The documents hold: links lead somewhere, commands and paths exist, generated pages are those of today."""

import argparse
import ast
import functools
import re
import shlex
import sys
from pathlib import Path

import pytest

from swarmlab.cli.main import parser
from swarmlab.paths import ROOT
from tools.documents.options import _synopsis, verbs
from tools.documents.pages import FOLDER, PAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: First parts of paths of the checkout. What runs leave in reports/ is no part of it.
TOP = {file.name for file in ROOT.iterdir()} - {"reports", ".venv", ".tox", ".git"}
DOCUMENTS = sorted(
    file
    for file in [
        *ROOT.glob("*.md"),
        ROOT / "reports" / "README.md",
        *(doc for name in TOP for doc in (ROOT / name).rglob("*.md")),
    ]
    if not any(part.startswith(".") or part == "node_modules" for part in file.relative_to(ROOT).parts)
)
#: Names what was, with paths of that time.
HISTORY = {ROOT / "CHANGELOG.md"}
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)(.+?)\1", re.DOTALL)
PATH = re.compile(r"[\w.@*-]+(/[\w.@*-]+)+/?(::\w+)?")
#: A word in capitals that stands for a name of the reader's choice: NAME, chN.
PLACEHOLDER = re.compile(r"(?<![A-Za-z])(?!README|CHANGELOG)[A-Z]{2,}(?![a-z])|chN")
#: A name of code: a class, a member of it, a constant, a function with its brackets, a module or what is in one.
NAME = re.compile(
    r"([A-Z][a-z]\w*(\.\w+)?|[A-Z][A-Z_]{2,}|\w+(?=\()|(swarmlab|fixtures|suites|tests)(\.\w+)+)(\(.*\))?"
)


# Links


def prose(text):
    return FENCE.sub("", text)


def links(text):
    shown = SPAN.sub("", prose(text))
    return re.findall(r"\[[^\[\]]*\]\(([^)\s]+)\)", shown) + re.findall(r'(?:src|href)="([^"]+)"', shown)


@functools.cache
def anchors(file):
    """Return the named places of a document: its headings as GitHub names them, and ids."""
    text = prose(file.read_text())
    found = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in re.findall(r"^#+ +(.+?) *#*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        number = 1
        while (name := slug if number == 1 else f"{slug}-{number - 1}") in found:
            number += 1
        found.add(name)
    return found


def broken_links(file, text):
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        if not target.exists() or not target.is_relative_to(ROOT):
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: no such heading or id"


# Commands and paths


def commands(text):
    """The commands in blocks and spans of code, each as a list of words."""
    shell = [block for _, language, block in FENCE.findall(text) if language in ("", "sh", "bash", "console")]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *(span for _, span in SPAN.findall(prose(text)))]:
        for part in re.split(r"&&|\|\||;", re.sub(r"(^|\s)#.*", "", line.replace("\n", " "))):
            try:
                arguments = shlex.split(part)
            except ValueError:
                arguments = part.split()
            while arguments and re.fullmatch(r"\$|sudo|time|[A-Z_]+=.*", arguments[0]):
                arguments.pop(0)
            if arguments:
                arguments[0] = arguments[0].removeprefix(".venv/bin/")
                yield arguments[2:] if arguments[:3] == ["python", "-m", "swarmlab"] else arguments


def options(arguments):
    """Return the names of the options among *words*, also of those in brackets, up to a lone --."""
    shown = arguments[: arguments.index("--")] if "--" in arguments else arguments
    stripped = (word.strip("[]").partition("=")[0] for word in shown)
    return [word for word in stripped if re.fullmatch(r"--[a-z][a-z-]*|-[a-zA-Z]", word)]


@functools.cache
def swarmlab_options():
    """Return the names of the options of each command of swarmlab; by "" those of swarmlab itself."""
    top = parser()
    return {"": set(top._option_string_actions)} | {
        name: set(verb._option_string_actions) for name, (verb, _) in verbs(top).items()
    }


def wrong_commands(text, of_pytest):
    known = swarmlab_options()
    for program, *arguments in commands(text):
        if program == "make":
            targets = [word for word in arguments if re.fullmatch(r"[a-z][a-z0-9-]*", word)]
            yield from (f"make {target}: no such target" for target in targets if target not in TARGETS)
        elif program == "swarmlab" and arguments:
            verb = "" if arguments[0].startswith("-") else arguments[0]
            if verb in known:
                wrong = [name for name in options(arguments) if name not in known[verb]]
                yield from (f"{' '.join(['swarmlab', verb]).strip()} {name}: no such option" for name in wrong)
            elif not re.match(r"[A-Z…]", verb):
                yield f"swarmlab {verb}: no such command"
        elif program == "pytest":
            yield from (f"pytest {name}: no such option" for name in options(arguments) if name not in of_pytest)


def wrong_paths(text):
    named = [span.strip() for _, span in SPAN.findall(prose(text))]
    for word in dict.fromkeys([*named, *(word for arguments in commands(text) for word in arguments)]):
        if not PATH.fullmatch(word) or word.partition("/")[0] not in TOP or PLACEHOLDER.search(word):
            continue
        if not any(ROOT.glob(word.partition("::")[0].rstrip("/"))):
            yield f"{word}: no such path"


@functools.cache
def names_of_code():
    """Return all names and whole strings of the Python code, its modules, and the environment variables."""
    known = set(re.findall(r"`([A-Z_]+)`", (FOLDER / "environment.md").read_text()))
    for file in (file for top in ("swarmlab", "fixtures", "suites", "tests") for file in (ROOT / top).rglob("*.py")):
        known.add(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
        for node in ast.walk(ast.parse(file.read_text())):
            found = [getattr(node, field, None) for field in ("id", "attr", "name", "arg", "value")]
            known.update(name for name in found if isinstance(name, str))
    return known


def wrong_names(text):
    """The names of code in spans that the code does not have; what a block of the document has may be a placeholder."""
    shown = set(re.findall(r"\w+", " ".join(block for _, _, block in FENCE.findall(text))))
    for _, span in SPAN.findall(prose(text)):
        name = span.partition("(")[0]
        parts = {name} if name in names_of_code() else {part for part in name.rpartition(".")[::2] if part}
        if NAME.fullmatch(span) and name not in TOP | shown and not parts <= names_of_code():
            yield f"{span}: no such name in the code"


@pytest.fixture(scope="module")
def of_pytest(pytestconfig):
    """The names of all options of pytest, its plugins and those of fixtures/."""
    groups = [*pytestconfig._parser._groups, pytestconfig._parser._anonymous]
    return {name for group in groups for option in group.options for name in option.names()} | {"-h", "--help"}


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_commands_and_paths_lead_somewhere(file, of_pytest):
    text = file.read_text()
    found = [*broken_links(file, text), *wrong_commands(text, of_pytest)]
    if file not in HISTORY:
        found += wrong_paths(text)
        found += [] if file.parent == FOLDER else wrong_names(text)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x](docs/none.md)", "docs/none.md: no such file"),
        ("[`x`](claims/README.md#none)", "claims/README.md#none: no such heading or id"),
        ("# One\n\n[x](#two)", "#two: no such heading or id"),
        ("![x](docs/images/none.png)", "docs/images/none.png: no such file"),
        ('<img src="none.png">', "none.png: no such file"),
        ("[x](../outside.md)", "../outside.md: no such file"),
        ("`make nothing`", "make nothing: no such target"),
        ("```\nmake test nothing   # make more\n```", "make nothing: no such target"),
        ("```sh\nENGINE=x .venv/bin/swarmlab fly --high\n```", "swarmlab fly: no such command"),
        ("```\n.venv/bin/python -m swarmlab up --high 7\n```", "swarmlab up --high: no such option"),
        ("`swarmlab --nothing`", "swarmlab --nothing: no such option"),
        ("```\npytest suites/ \\\n  --laboratory dind\n```", "pytest --laboratory: no such option"),
        ("`pytest suites/ -y`", "pytest -y: no such option"),
        ("`swarmlab/none.py`", "swarmlab/none.py: no such path"),
        ("`claims/none*.yaml`", "claims/none*.yaml: no such path"),
        ("```\npytest suites/ch9_none\n```", "suites/ch9_none: no such path"),
        ("`Nonesuch`", "Nonesuch: no such name in the code"),
        ("`Node.nonesuch`", "Node.nonesuch: no such name in the code"),
        ("`nonesuch()`", "nonesuch(): no such name in the code"),
        ("`NONE_SUCH`", "NONE_SUCH: no such name in the code"),
        ("`swarmlab.none.such`", "swarmlab.none.such: no such name in the code"),
    ],
)
def test_what_leads_nowhere_is_found(text, message, of_pytest):
    file = ROOT / "README.md"
    found = [*broken_links(file, text), *wrong_commands(text, of_pytest), *wrong_paths(text), *wrong_names(text)]
    assert found == [message]


def test_what_is_right_is_not_found(of_pytest):
    text = """
[x](claims/README.md#the-claims-of-the-document) and [y](https://example.org/none) in `suites/ch1_hosts`, `reports/x`
`tests/proof/claims/faults/ch*.py`, `suites/ch7_usage/test_TOPIC.py`, `swarmlab VERB`, `swarmlab shell a -- ls --all`
`Node.ask`, `Lab.upgrade(node, engine)`, `to_json()`, `CHECKS`, `DOCKER_HOST`, `swarmlab.errors.Blocked`, `Makefile`
```
.venv/bin/pytest suites/ -n 3 --lab vagrant -k "x or y"     # make nothing of it
make conformance ENGINE=trixie PYTEST_ARGS="--nothing"
```
"""
    found = [*broken_links(ROOT / "README.md", text), *wrong_commands(text, of_pytest), *wrong_paths(text)]
    assert not [*found, *wrong_names(text)]


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


# The rooms of swarmlab


def test_the_rooms_are_the_layers_of_the_import_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    contract = next(each for each in contracts if each.get("containers") == ["swarmlab"])
    layers = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
    section = text.partition("## Rooms of swarmlab")[2].partition("\n## ")[0]
    listed = {
        name: re.findall(r"`([\w/]+)`", holds) for name, holds in re.findall(r"^\| (.+?) \| (.+) \|$", section, re.M)
    }
    rooms = [name.strip("`").removeprefix("swarmlab/") for name in listed if name.startswith("`")]
    assert listed["the entries"] == contract["exhaustive_ignores"]
    assert sorted([*rooms, *listed["the ground"]]) == sorted(name for layer in layers for name in layer)
    height = {name: number for number, layer in enumerate(layers) for name in layer}
    assert [height[name] for name in rooms] == sorted(height[name] for name in rooms)
    assert max(height[name] for name in rooms) < min(height[name] for name in listed["the ground"])


# Generated pages


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_those_of_today(name):
    assert (FOLDER / name).read_text() == PAGES[name](), f"docs/reference/{name} is out of date; run: make docs"


def test_no_generated_page_is_left_of_another_time():
    made = {file.name for file in FOLDER.glob("*.md") if "Made by `make docs`" in file.read_text()}
    assert made == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_tell_nothing_of_this_machine(name):
    text = PAGES[name]()
    for word in (str(ROOT), str(Path.home()) + "/"):
        assert word not in text


# Environment variables


def variables_of_python(source):
    """The names of the environment variables that a module reads; None for one that is no literal.

    A variable is read by os.environ or os.getenv, or by a dict of the same function that was made of os.environ.
    """

    def is_environ(node):
        return isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ"

    if "environ" not in source and "getenv" not in source:
        return
    tree = ast.parse(source)
    scopes = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.Module))]
    for scope in scopes:
        copies = {
            target.id
            for node in ast.walk(scope)
            if isinstance(node, ast.Assign) and any(is_environ(part) for part in ast.walk(node.value))
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value, (ast.Call, ast.Dict))
        } - {"environment"}
        for node in ast.walk(scope):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                of, key = node.value, node.slice
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"
                and node.args
            ):
                of, key = node.func.value, node.args[0]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "os.getenv":
                of, key = None, node.args[0]
            else:
                continue
            if of is None or is_environ(of) or (isinstance(of, ast.Name) and of.id in copies and scope is not tree):
                yield key.value if isinstance(key, ast.Constant) else None


def variables_of_tools():
    """The names of the variables that make, shell, Node and Ruby are given here."""
    forms = {
        "Makefile": r"^((?!SHELL)[A-Z_]+) [?:]=|\$\(((?!MAKE)[A-Z_]+)\)",
        "setup.sh": r"\$\{([A-Z_]+):-",
        "Vagrantfile": r'ENV(?:\.fetch\(|\[)"([A-Z_]+)"',
        "tools/plan": r"\$\{([A-Z_]+):-",
        "tools/shard": r"\$\{([A-Z_]+):[-+]",
        "tools/nightly": r"\$\{([A-Z_]+):[-+]",
        "tools/publish": r"^(SWARMLAB_[A-Z_]+)=",
        "tools/browser/look": r"\$\{([A-Z_]+):-",
        "tools/browser/look.mjs": r"process\.env\.([A-Z_]+)",
        "tools/allure/generate": r"\$\{([A-Z_]+):-",
        "tools/allure/generate.mjs": r"process\.env\.([A-Z_]+)",
        "tools/allure/allurerc.mjs": r"process\.env\.([A-Z_]+)",
    }
    for name, form in forms.items():
        for found in re.finditer(form, (ROOT / name).read_text(), re.MULTILINE):
            yield found[found.lastindex]


def test_every_environment_variable_is_documented():
    files = [
        file
        for folder in ("swarmlab", "fixtures", "tools", "suites", "tests/proof")
        for file in (ROOT / folder).rglob("*.py")
        if "node_modules" not in file.parts
    ]
    read = {name for file in files for name in variables_of_python(file.read_text())} | set(variables_of_tools())
    rows = re.findall(r"^\| (`[^|]*`) \|", (FOLDER / "environment.md").read_text(), re.MULTILINE)
    documented = [name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)]
    assert None not in read
    assert len(documented) == len(set(documented))
    assert set(documented) == read


def test_reading_of_the_environment_is_found():
    source = """
import os
A = os.environ["A"] + os.getenv("B") + os.environ.get("C", "")
def f():
    raw = dict(os.environ)
    os.environ["SET"] = raw["D"]
    return raw.get("E")
def g(name):
    return os.environ[name]
"""
    assert set(variables_of_python(source)) == {"A", "B", "C", "D", "E", None}


def test_a_synopsis_says_what_is_needed_and_what_may_be_left_out():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ssh", required=True)
    parser.add_argument("--again", nargs="?", metavar="RUN")
    parser.add_argument("--json", action="store_true")
    for name, nargs in (("node", None), ("one", "?"), ("some", "+"), ("any", "*")):
        parser.add_argument(name, nargs=nargs)
    synopsis = "--ssh SSH|[--again [RUN]]|[--json]|NODE|[ONE]|SOME [SOME …]|[ANY …]"
    assert _synopsis(parser) == synopsis.split("|")
