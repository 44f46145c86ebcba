"""A rootless engine is told as such in one line, and nothing is made on it.

`make proof-remote`. Nodes need control groups and a /sys that they may write to.
"""

import subprocess
import sys

import pytest

from swarmlab.paths import ROOT
from tests.proof.remote.far import as_person, open_folder
from tests.proof.remote.rootless import rootless

pytestmark = pytest.mark.lab

SAYS = "is rootless, and nodes need control groups and a /sys that they may write to, which it cannot give them; "


@pytest.fixture(scope="module")
def engine():
    with open_folder() as folder, rootless(folder) as (machine, url):
        home = str(folder / "rootless")
        environment = {"DOCKER_HOST": url, "HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin"}

        def run(*words):
            command = [*machine.inside, f"--wd={ROOT}", *as_person(), sys.executable, "-B", "-m"]
            command += [word.replace("{home}", home) for word in words]
            return subprocess.run(
                command, env=environment, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
            )

        def docker(*words):
            command = [*machine.inside, *as_person(), "docker", *words]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

        yield run, docker


@pytest.mark.parametrize(
    "words",
    [
        ["swarmlab", "up"],
        ["pytest", "suites/", "--profile", "smoke", "-p", "no:cacheprovider", "--reports={home}/none"],
        ["swarmlab", "rehearse", "--out={home}/none"],
    ],
    ids=lambda words: words[0],
)
def test_a_rootless_engine_is_told_as_such_before_anything_is_made(engine, words):
    run, docker = engine
    done = run(*words)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert SAYS in lines[0]
    assert done.returncode == (4 if words[0] == "pytest" else 2)
    assert docker("ps", "-aq") == docker("images", "-q") == docker("volume", "ls", "-q") == ""
    assert docker("network", "ls", "-q", "--filter", "type=custom") == ""


def test_without_labs_the_others_need_nothing_of_it(engine):
    run, _ = engine
    done = run("swarmlab", "status")
    assert (done.returncode, done.stdout) == (0, "no lab is up\n")
