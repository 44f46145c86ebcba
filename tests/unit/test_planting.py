"""Faults are planted where they belong, and what cannot be planted is an error."""

import subprocess
from types import SimpleNamespace

import pytest

from tests.proof.planting import Fault, wrap_any


class Node:
    def __init__(self, name, *, ok=True):
        self.name, self.scripts, self.ok = name, [], ok

    def __str__(self):
        return self.name

    def run(self, script):
        self.scripts.append(script)
        return SimpleNamespace(ok=self.ok, output="no such program")


@pytest.mark.parametrize(
    ("fault", "planted"),
    [
        (Fault("everywhere", script="x"), ["master", "slave01"]),
        (Fault("on one node", script="x", nodes=("slave01",)), ["slave01"]),
        (Fault("in another way"), []),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_script_runs_where_the_fault_belongs(fault, planted):
    nodes = [Node("master"), Node("slave01")]
    fault.plant(nodes)
    assert [node.name for node in nodes if node.scripts] == planted


def test_a_script_that_fails_is_an_error():
    with pytest.raises(AssertionError, match="a fault on master: no such program"):
        Fault("a fault", script="x").plant([Node("master", ok=False)])


def test_a_wrapped_program_handles_its_cases_and_passes_on_the_rest(tmp_path):
    program = tmp_path / "greet"
    program.write_text('#!/bin/sh\necho "hello $*"\n')
    program.chmod(0o755)
    subprocess.run(["sh", "-c", wrap_any("greet", '"bad word"*) exit 3', folder=str(tmp_path))], check=True)

    def greet(*arguments):
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run([program, *arguments], capture_output=True, text=True, env=path)

    assert greet("you").stdout == "hello you\n"
    assert greet("bad", "word").returncode == 3
