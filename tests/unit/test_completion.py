"""Completion by argcomplete of the real programs, and the nearest option of one that there is not."""

import os
import subprocess
import sys

import pytest

from swarmlab.cli import completion
from swarmlab.cli.main import main, parser
from swarmlab.images.engines import known_engines
from swarmlab.nearest import hint, nearest
from swarmlab.paths import ROOT
from swarmlab.preflight import CHECKS


@pytest.mark.parametrize(
    ("module", "line", "offered"),
    [
        ("swarmlab", "swarmlab pre", {"preflight"}),
        ("swarmlab", "swarmlab explain configs,7.2.4/", {"configs,7.2.4/rm"}),
        ("swarmlab", "swarmlab up --engine boo", {name for name in known_engines() if name.startswith("boo")}),
        ("swarmlab", "swarmlab shell ", set()),  # no engine answers, and nothing is said of it
        ("pytest", "pytest suites/ --claim 7.2.4/", {"7.2.4/rm"}),
    ],
)
def test_the_programs_answer_the_shell(module, line, offered, tmp_path):
    answer = tmp_path / "answer"
    asked = {
        "COMP_LINE": line,
        "COMP_POINT": str(len(line.encode())),
        "COMP_TYPE": "9",
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "DOCKER_HOST": "unix:///nowhere/docker.sock",
    }
    command = [sys.executable, "-m", module]
    ran = subprocess.run(command, cwd=ROOT, env={**os.environ, **asked}, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("", "")
    assert offered <= set(answer.read_text(encoding="utf-8").split("\n"))


def test_arguments_and_options_have_what_completes_them():
    top = parser()
    assert {action.dest for action in completion._actions(top)} >= set(completion._BY_NAME)
    assert completion._engines("book") == ["bookworm"]
    assert completion._engines("trixie,book") == ["trixie,bookworm"]


def test_nodes_and_labs_are_those_of_the_engine(monkeypatch):
    from types import SimpleNamespace

    released = []
    engine = SimpleNamespace(release=lambda: released.append(True))
    nodes = {"swarmlab": ["master", "slave01"], "mine": ["one"]}
    monkeypatch.setattr(completion.outer, "running", lambda **_: engine)
    monkeypatch.setattr(completion.standing, "labs", lambda _: [SimpleNamespace(name=name) for name in nodes])
    monkeypatch.setattr(
        completion.kinds,
        "attach",
        lambda _, name: SimpleNamespace(nodes=lambda: [SimpleNamespace(name=node) for node in nodes[name]]),
    )
    assert completion._labs() == ["swarmlab", "mine"]
    assert completion._nodes(parsed_args=SimpleNamespace(name=None)) == ["master", "slave01"]
    assert completion._nodes(parsed_args=SimpleNamespace(name="mine")) == ["one"]
    assert len(released) == 3


def test_every_check_is_offered_to_be_skipped():
    assert completion._checks() == [f"{name}=" for name in CHECKS]


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_shell_is_given_what_it_needs(shell, capsys):
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    assert "swarmlab" in printed
    assert "pytest" in printed
    assert "complete" in printed


def test_bash_takes_it(tmp_path):
    script = tmp_path / "completion"
    script.write_text(
        subprocess.run(
            [sys.executable, "-m", "swarmlab", "completion"], cwd=ROOT, capture_output=True, text=True
        ).stdout
    )
    ran = subprocess.run(
        ["bash", "-c", f"source {script} && complete -p swarmlab pytest"], capture_output=True, text=True
    )
    assert ran.returncode == 0
    assert ran.stdout.count("_python_argcomplete") == 2


# Did you mean


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (
            "preflight --inventroy swarm.yaml",
            "unrecognized arguments: --inventroy swarm.yaml; did you mean --inventory?",
        ),
        ("preflight --inventroy=swarm.yaml", "did you mean --inventory?; see: swarmlab preflight --help"),
        ("report --uot x", "report: unrecognized arguments: --uot; did you mean --out?"),
        ("status --zzzz", "status: unrecognized arguments: --zzzz; see: swarmlab status --help"),
        ("status extra", "status: unrecognized arguments: extra; see: swarmlab status --help"),
        ("statsu", "; did you mean status?; see: swarmlab --help"),
        ("preflihgt --json", "; did you mean preflight?"),
        ("engines fetsh x", "; did you mean fetch?"),
        ("completion bsah", "; did you mean bash?"),
    ],
)
def test_the_nearest_is_named(command, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--claimm", "configs"],
            "unrecognized arguments: --claimm; did you mean --claim?; see: pytest suites/ --help",
        ),
        (["--engin", "forky", "--reprots", "x"], "unrecognized arguments: --engin --reprots; did you mean --engine?"),
    ],
)
def test_the_nearest_option_of_the_suites_is_named(options, said):
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "suites/", *options, "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert ran.returncode == 4
    assert len(lines) == 1, lines
    assert said in lines[0]


def test_a_word_that_is_like_none_is_left():
    assert nearest("--zzzz", ["--name"]) == ""
    assert hint("--zzzz", ["--name"]) == ""
    assert hint("--nmae", ["--name"]) == "; did you mean --name?"
    assert nearest("x" * 10**6, ["x" * 10]) == ""
