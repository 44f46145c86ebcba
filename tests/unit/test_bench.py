"""The benchmark: its page and picture, its input, and the scripts that stand for the tests."""

import copy
import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from swarmlab.cli.main import main
from swarmlab.errors import UsageError
from swarmlab.labs.containers.lab import node_options
from swarmlab.paths import ROOT
from swarmlab.report import bench
from tools.bench import floor, growth


def step(name, nodes, seconds, busy, failed=""):
    return {
        "nodes": nodes,
        "step": name,
        "seconds": seconds,
        "busy": {"suite": 1.0, "engine": 1.0, "nodes": busy - 2},
        "failed": failed,
    }


def side(seconds, busy, failed=""):
    return {"seconds": seconds, "busy": {"suite": 0.0, "engine": 0.0, "nodes": busy}, "failed": failed}


FOUND = {
    "schema": 1,
    "started": "2026-11-29T10:00:00+00:00",
    "suite": {"revision": "abc"},
    "cores": 2,
    "load": 0.1,
    "growth": {
        "steps": [
            step("lab up", 3, 6.0, 9.0),
            step("lab up", 12, 24.0, 36.0),
            step("pairs", 3, 4.0, 4.0),
            step("pairs", 12, 64.0, 64.0),
            step("smoke", 3, 9.0, 9.0, "ended with 1"),
        ],
        "memory": [{"nodes": 3, "when": "with a swarm", "mean": 120.4, "most": 130.0, "files": 44.0}],
        "left_out": [{"nodes": 40, "why": "it needs | 9 MiB"}],
    },
    "floor": {
        "rows": [
            {"name": "lab up", "suite": side(6, 9.0), "bare": side(5, 8.0)},
            {"name": "rollback", "suite": side(60, 30.0), "bare": side(50, 20.0, "ended with 1: no")},
        ]
    },
}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(FOUND))
    return file


def test_the_page_says_how_the_work_grows(file):
    text = "\n".join(bench.blocks(bench.load(file), "growth.svg"))
    assert "| lab up | 6.0, 9.0 | 24.0, 36.0 | 1.0, 1.0 |" in text
    assert "| pairs | 4.0, 4.0 | 64.0, 64.0 | 2.0, 2.0 |" in text
    assert "| smoke | 9.0, 9.0 (ended with 1) |  |  |" in text
    assert "| 3 | with a swarm | 120 | 130 | 44 |" in text
    assert r"40 nodes: it needs \| 9 MiB." in text
    assert "| lab up | 6.0 | 5.0 | 9.0 | 8.0 | 1.12 |" in text
    assert "| rollback | 60.0 | 50.0 | 30.0 | 20.0 | ? |" in text
    assert "`rollback`: bare: ended with 1: no." in text
    assert "![Processor time of each step by number of nodes](growth.svg)" in text


def test_the_picture_shows_each_step_that_did_what_it_should(file):
    picture = bench.picture(bench.load(file))
    root = ElementTree.fromstring(picture)
    said = "".join(root.itertext())
    assert "pairs: 3 nodes 4.0 s, 12 nodes 64.0 s" in said
    assert "smoke" not in said
    assert len(root.findall("{*}circle")) == 4


@pytest.mark.parametrize("part", ["growth", "floor"])
def test_a_part_alone_is_a_benchmark(tmp_path, part):
    found = copy.deepcopy(FOUND)
    del found[part]
    (tmp_path / "bench.json").write_text(json.dumps(found))
    assert bench.load(tmp_path / "bench.json")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": 2}', '{"schema": 1, "started": 5}'])
def test_what_is_no_benchmark_is_refused_in_a_line(tmp_path, text):
    (tmp_path / "bench.json").write_text(text)
    with pytest.raises(UsageError, match="make bench"):
        bench.load(tmp_path / "bench.json")


def test_results_have_the_benchmark_and_its_picture(run, file, tmp_path, capsys):
    folder = run({})
    page, picture = tmp_path / "page.md", tmp_path / "images" / "growth.svg"
    given = ["results", "--times", str(folder), "--bench", str(file), "--picture", str(picture), "--out", str(page)]
    assert main(given) == 0
    assert "(images/growth.svg)" in page.read_text()
    assert picture.read_text().startswith("<svg")
    assert main(["results", "--times", str(folder), "--picture", str(picture)]) == 2
    assert "--picture: is the picture of a benchmark; give --bench too" in capsys.readouterr().err
    assert main(["results", str(folder), "--bench", str(file)]) == 2
    assert "--bench: is on the page of times; give --times too" in capsys.readouterr().err
    assert main(["results", "--times", str(folder)]) == 2
    assert "no run has a profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "nothing: is no part; write growth or floor"),
        (["--nodes", "three"], "--nodes three: write numbers of nodes"),
        (["--nodes", "0"], "--nodes 0: a lab has at least 1 node"),
        (["floor", "--tests", "no"], "--tests: no test no; there are"),
        (["--out", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_bad_input_gets_one_line(arguments, said):
    done = subprocess.run(
        [sys.executable, "-m", "tools.bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (2, 3)
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_test_of_the_floor_exists_and_has_a_script():
    for name, tests in floor.TESTS.items():
        assert (floor.SCRIPTS / f"{name}.sh").exists()
        for test in tests:
            module, _, function = test.partition("::")
            assert f"def {function}(" in (ROOT / "suites" / module).read_text(encoding="utf-8")
    module, _, function = growth.PAIRS.partition("::")
    assert f"def {function}(" in (ROOT / module).read_text(encoding="utf-8")


@pytest.mark.parametrize("script", sorted(floor.SCRIPTS.glob("*.sh")), ids=lambda script: script.stem)
def test_the_scripts_are_bash(script):
    subprocess.run(["bash", "-n", script], check=True)


def test_bare_nodes_have_the_options_of_the_labs_nodes():
    options = node_options([], {}, 2)
    made = floor.flags(options)
    covered = {"CapAdd", "CapDrop", "SecurityOpt", "MaskedPaths", "ReadonlyPaths", "DeviceCgroupRules", "Tmpfs"}
    covered |= {"CgroupnsMode", "Runtime", "LogConfig"}
    assert options.keys() - covered == {"Binds", "ExtraHosts"}  # which the scripts give
    assert "--cap-add=ALL" in made
    assert "--tmpfs=/run:exec,mode=755" in made
