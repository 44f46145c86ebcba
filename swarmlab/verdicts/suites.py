"""The suites' tests and the claims that each names, read from their source."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from swarmlab.nearest import nearest
from swarmlab.paths import ROOT
from swarmlab.verdicts.catalogue import Catalogue
from swarmlab.verdicts.parts import PARTS

#: The folder of all suites.
FOLDER = ROOT / "suites"
#: Folder of the suite that only a rehearsal of an upgrade runs. It has a catalogue of its own.
UPGRADE = "upgrade"


@dataclass
class Suites:
    """The tests below a folder, read from their source without importing it.

    Coverage is read from the source and not from pytest's collection: it must not depend on what the run selects
    (paths, -k, -m, --lf), and must be known before any test process starts.

    Attributes:
        tests: Ids of the claims that each test names, by its node id without parameters.
        problems: A line for each error in how tests name claims.
    """

    tests: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, root: Path) -> Suites:
        """Read all Python files below *folder*. Node ids are relative to *root*."""
        suites = cls()
        for file in sorted(folder.rglob("*.py")):
            if file.relative_to(folder).parts[0] == UPGRADE:  # a separate suite
                continue
            name = file.relative_to(root).as_posix()
            try:
                module = ast.parse(file.read_text(encoding="utf-8"))
            except SyntaxError as wrong:
                suites.problems.append(f"{name}:{wrong.lineno}: not valid Python: {wrong.msg}")
                continue
            for node_id, function in _functions(module, name):
                suites._add(node_id, function, collected=file.name.startswith("test_"))
        return suites

    def naming(self, id: str) -> list[str]:
        """Return the tests that name the claim *id*."""
        return [test for test, ids in self.tests.items() if id in ids]

    def check(self, claims: Catalogue, complete: list[str]) -> list[str]:
        """Return a line for each error: `problems`, unknown ids, and claims of *complete* parts without a test."""
        problems = list(self.problems)
        for test, ids in self.tests.items():
            problems += [f"{test} names the unknown claim {id!r}{_near(id, claims)}" for id in ids if id not in claims]
        named = {id for ids in self.tests.values() for id in ids}
        for part in complete:
            listed = [claim for claim in claims.values() if claim.within(part)]
            if not listed and part not in PARTS:
                problems.append(f"complete_sections lists {part}, which is not a chapter or section of the catalogue")
            problems += [
                f"no test names the claim {claim.id}, and complete_sections says that {part} is complete"
                for claim in listed
                if claim.id not in named
            ]
        return problems

    def _add(self, node_id: str, function: ast.FunctionDef | ast.AsyncFunctionDef, *, collected: bool) -> None:
        file = node_id.partition("::")[0]
        marks = [decorator for decorator in function.decorator_list if _is_claim(decorator)]
        arguments = [argument for mark in marks if isinstance(mark, ast.Call) for argument in mark.args]
        ids = [
            argument.value
            for argument in arguments
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        ]
        if len(ids) < len(arguments) or len(arguments) < len(marks):
            self.problems.append(f'{node_id} must name its claims: @claim("SECTION/slug")')
        elif collected and not marks and function.name.startswith("test"):
            self.problems.append(f'{node_id} names no claim; add @claim("SECTION/slug")')
        if collected and function.name.startswith("test"):
            if node_id in self.tests:
                self.problems.append(f"{node_id} is defined twice, and pytest would run only the last; rename one")
            self.tests[node_id] = tuple(dict.fromkeys(ids))
        elif marks:
            self.problems.append(
                f"{file}:{function.lineno}: {function.name} names a claim, but pytest collects functions test* of "
                "files test_*.py only"
            )


def _functions(
    parent: ast.Module | ast.ClassDef, prefix: str
) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in parent.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}::{node.name}", node
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _functions(node, f"{prefix}::{node.name}")


def _is_claim(decorator: ast.expr) -> bool:
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (named.id if isinstance(named, ast.Name) else getattr(named, "attr", "")) == "claim"


def _near(id: str, claims: Catalogue) -> str:
    near = nearest(id, claims)
    return f"; did you mean {near!r}?" if near else "; pytest --claims lists all"


def tests_by_claim(folder: Path, root: Path) -> dict[str, list[str]]:
    """Return the tests below *folder* by the id of the claim that they name. Claims without a test are left out.

    Node ids are relative to *root*.
    """
    tests: dict[str, list[str]] = {}
    for test, ids in Suites.read(folder, root).tests.items():
        for id in ids:
            tests.setdefault(id, []).append(test)
    return tests


def tests_of(claim_id: str) -> tuple[str, ...]:
    """Return the node ids of the tests that judge a claim, without parameters; also of one that a rehearsal judges.

    Example:
        >>> tests_of("7.2.4/rm")
        ('suites/ch7_usage/test_services.py::test_rm_removes_everything_and_frees_the_port',)
    """
    return tuple(_tests().get(claim_id, ()))


@functools.cache
def _tests() -> dict[str, list[str]]:
    return {**tests_by_claim(FOLDER, ROOT), **tests_by_claim(FOLDER / UPGRADE, ROOT)}
