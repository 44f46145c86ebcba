"""The file of the options of a cluster: what it may hold, what overrides it, and where it is looked for."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fixtures import config_file
from swarmlab import configuration, joined
from swarmlab.cli import common
from swarmlab.cli.test import SETTINGS, SUITES, pytest_command
from swarmlab.configuration import KEYS, find, read, take
from swarmlab.errors import UsageError
from swarmlab.labs.registry import kind_by_option
from swarmlab.paths import ROOT

#: Options of the suites with a value that the file does not have: they are of one run, and not of a cluster.
OF_A_RUN = {
    "--again",
    "--progress-json",
    "--claim",
    "--config",
    "--rehearse",
    "--rehearse-like",
    "--rehearse-managers",
    "--rehearse-order",
    "--rehearse-workers",
    "--shard",
}


def written(folder, text, name=configuration.FILE):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def test_its_keys_are_the_options_that_are_of_a_cluster():
    with_value = {f"--{key}" for key, form in KEYS.items() if form.form != "switch"}
    assert with_value == set(joined.OPTIONS) - OF_A_RUN


def test_values_are_read_and_paths_are_relative_to_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = written(
        tmp_path / "prod",
        """
        inventory = "swarm.yaml"
        waivers = "../waivers.yaml"
        reports = "/srv/reports"
        image = ["portainer=images/p.tar", "web=registry.example/web:1", "x=./y.tar"]
        engine = "bookworm,./packages"
        keep-runs = 60
        hours = 2.5
        every-node = true
        profile-run = false
        """,
    )
    written(tmp_path / "prod/images", "", "p.tar")
    known = read(file)
    prod = tmp_path / "prod"
    assert known.values == {
        "inventory": f"{prod}/swarm.yaml",
        "waivers": f"{tmp_path}/waivers.yaml",
        "reports": "/srv/reports",
        "image": [f"portainer={prod}/images/p.tar", "web=registry.example/web:1", f"x={prod}/y.tar"],
        "engine": f"bookworm,{prod}/packages",
        "keep-runs": 60,
        "hours": 2.5,
        "every-node": True,
        "profile-run": False,
    }
    assert known.words("hours") == ["--hours=2.5"]
    assert known.words("keep-runs") == ["--keep-runs=60"]
    assert (known.words("every-node"), known.words("profile-run")) == (["--every-node"], [])
    assert len(known.words("image")) == 3


def test_a_manager_is_no_path(tmp_path):
    assert read(written(tmp_path, 'inventory = "ssh://ops@m1:2222"')).text("inventory") == "ssh://ops@m1:2222"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('waiver = "x"', "line 1: unknown key 'waiver'; did you mean waivers?"),
        ('\nmay_disrupt = "x"', "line 2: unknown key 'may_disrupt'; did you mean may-disrupt?"),
        ('password = "hunter2"', "line 1: unknown key 'password'; known keys are catalogue, "),
        ("[deep]\nx = 1", "line 1: unknown key 'deep'; known keys are"),
        ("profile = 3", 'line 1: profile: is a number; write a text in quotes: profile = "…"'),
        ("ports = [1, 2]", "line 1: ports: is a list with other values than texts; write a text in quotes"),
        ('image = "web=x"', 'line 1: image: is a text; write a list of texts: image = ["…"]'),
        ("image = [1]", "line 1: image: is a list with other values than texts; write a list of texts"),
        ('keep-runs = "20"', "line 1: keep-runs: is a text; write a whole number: keep-runs = 20"),
        ("keep-runs = 2.5", "line 1: keep-runs: is a number; write a whole number"),
        ("hours = true", "line 1: hours: is true or false; write a number: hours = 2.5"),
        ('every-node = "yes"', "line 1: every-node: is a text; write true or false: every-node = true"),
        ("waivers = 2026-11-30", "line 1: waivers: is a date or time; write a text in quotes"),
        ('profile = " "', "line 1: profile: is empty; write a value, or leave it out"),
        ('profile = "a\\u0000"', "line 1: profile: has a NUL character in it"),
        ("profile = ", "line 1, column 11: is not TOML: Invalid value"),
        ("profile = 'a'\nprofile = 'b'", "is not TOML: Cannot overwrite a value"),
        ("x = " + "[" * 5000, "is not TOML: "),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_its_value(tmp_path, text, line):
    file = written(tmp_path, text)
    with pytest.raises(UsageError) as wrong:
        read(file)
    told = str(wrong.value)
    assert told.startswith(f"config {file}")
    assert line in told
    assert "\n" not in told
    assert "hunter2" not in told


def test_all_that_is_wrong_is_told_at_once(tmp_path):
    with pytest.raises(UsageError) as wrong:
        read(written(tmp_path, 'waiver = "x"\nprofile = 3\nhours = 1'))
    assert len(str(wrong.value).splitlines()) == 2


def test_a_file_that_is_not_there_or_no_text(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"profile = '\xe9'")
    with pytest.raises(UsageError, match=r"latin\.toml, line 1: is not text in UTF-8"):
        read(tmp_path / "latin.toml")


def test_a_project_may_hold_the_options_in_a_table(tmp_path):
    file = written(tmp_path, '[project]\nname = "x"\n[tool.swarmlab]\nprofile = "smoke"\n', configuration.PROJECT)
    assert read(file).values == {"profile": "smoke"}
    assert find(tmp_path).file == file
    file.write_text('[project]\nname = "x"\n')
    assert find(tmp_path) is None
    with pytest.raises(UsageError, match=r"has no table \[tool\.swarmlab\]"):
        read(file)
    file.write_text("[project]\nkeep = 1\n\n[tool.swarmlab]\nkeep = 1\n")
    with pytest.raises(UsageError, match="line 5: unknown key 'keep'; did you mean keep-runs"):
        read(file)


def test_the_file_beside_the_inventory_goes_before_that_of_the_folder(tmp_path):
    beside, here = written(tmp_path / "prod", ""), written(tmp_path, "")
    written(tmp_path, "[tool.swarmlab]", configuration.PROJECT)
    assert find(tmp_path, "prod/swarm.yaml").file == beside
    assert find(tmp_path, "other/swarm.yaml").file == here
    assert find(tmp_path, "ssh://m1").file == here
    assert find(tmp_path).file == here


# What a run takes


def taken(folder, *words):
    return take(words, folder, kind_by_option)


def test_the_command_line_overrides_the_file_and_the_file_overrides_the_defaults(tmp_path):
    written(tmp_path, 'inventory = "swarm.yaml"\nprofile = "safe"\nports = "40000-40099"')
    found = taken(tmp_path, "suites/", "--profile", "smoke", "--ports=50000-50099")
    assert found.words == ["--lab=inventory", f"--inventory={tmp_path}/swarm.yaml"]
    assert found.beaten == ["profile", "ports"]
    assert found.summary == (
        f"of {tmp_path}/swarmlab.toml: --lab=inventory --inventory={tmp_path}/swarm.yaml; the command line overrides "
        "its profile, ports"
    )


@pytest.mark.parametrize(
    ("text", "words", "used"),
    [
        ('inventory = "swarm.yaml"', ["--lab", "inventory"], True),
        ('inventory = "swarm.yaml"', ["--inventory", "swarm.yaml"], True),
        ('inventory = "swarm.yaml"', ["--inventory=./swarm.yaml"], True),
        ('inventory = "swarm.yaml"', ["--inventory", "other.yaml"], False),
        ('inventory = "swarm.yaml"', ["--inventory", "ssh://m1"], False),
        ('inventory = "swarm.yaml"', ["--lab", "dind"], False),
        ('inventory = "swarm.yaml"', ["--lab-name", "mine"], False),
        ('lab-name = "mine"', ["--lab-name", "mine"], True),
        ('lab-name = "mine"', ["--lab-name", "other"], False),
        ('lab-name = "mine"', ["--inventory", "swarm.yaml"], False),
        ('engine = "trixie"', ["--inventory", "swarm.yaml", "--lab", "inventory"], False),
        ('engine = "trixie"', ["--lab", "dind"], True),
        ('provider = "libvirt"', ["--lab", "vagrant"], True),
        ('provider = "libvirt"', ["--lab", "dind"], False),
        ('reports = "here"', ["--inventory", "swarm.yaml"], True),
        ('reports = "here"', ["--lab", "vagrant"], True),
    ],
)
def test_a_file_that_nobody_named_is_for_no_other_cluster(tmp_path, text, words, used):
    written(tmp_path, text)
    found = taken(tmp_path, "suites/", *words)
    assert (not found.left) is used
    if not used:
        assert found.words == ()
        assert "names another cluster (--" in found.summary
    named = taken(tmp_path, "--config", configuration.FILE, *words)
    assert not named.left, "what is named is used"


@pytest.mark.parametrize("words", [["--rehearse", "a,b"], ["--claims"], ["--profiles"], ["--help"]])
def test_a_run_that_judges_no_cluster_takes_nothing(tmp_path, words):
    written(tmp_path, "nonsense")
    assert taken(tmp_path, *words) is None


def test_no_file_is_no_error(tmp_path):
    assert taken(tmp_path, "suites/") is None


# In the programs


def pytest_run(*words, cwd):
    command = [sys.executable, "-m", "pytest", f"--rootdir={ROOT}", "-c", str(SETTINGS), str(SUITES), *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_pytest_takes_the_options_of_the_file_and_tells_it(tmp_path):
    written(tmp_path, 'lab-name = "mine"\nhours = 3\nimage = ["portainer=a", "mysql=b"]\nkeep-runs = 7')
    words = ("--co", "-q", "--keep-runs=9", "-k", "no_test_has_this_name")
    shown = pytest_run(*words[:1], *words[2:], cwd=tmp_path)
    assert f"options of {tmp_path}/swarmlab.toml: --lab-name=mine --hours=3 --image=portainer=a --image=mysql=b" in (
        shown.stdout
    )
    assert "the command line overrides its keep-runs" in shown.stdout
    written(tmp_path, "hours = -1")
    refused = pytest_run(*words, cwd=tmp_path)
    assert (refused.returncode, "--hours -1: write the hours" in refused.stderr) == (4, True)
    written(tmp_path, "hour = 1")
    refused = pytest_run(*words, cwd=tmp_path)
    assert (refused.returncode, "line 1: unknown key 'hour'; did you mean hours?" in refused.stderr) == (4, True)


def test_the_options_of_the_file_are_in_the_verdicts(monkeypatch):
    found = {"file": "/x/swarmlab.toml", "keys": ["profile", "image"], "left": ""}
    values = {"--profile": "smoke", "--image": ["a=b", "c=d"], "--lab": "dind"}
    monkeypatch.setattr(config_file, "taken", lambda _: found)
    told = config_file.options(SimpleNamespace(getoption=values.get))
    assert told == {
        "lab": "dind",
        "lab-name": None,
        "engine": None,
        "profile": "smoke",
        "image": ["a=b", "c=d"],
        "config": "/x/swarmlab.toml",
        "of_config": ["profile", "image"],
    }
    assert json.loads(json.dumps(told)) == told


def test_swarmlab_test_is_pytest_of_the_suites_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = written(tmp_path, "hours = 1", "prod.toml")
    start = [sys.executable, "-m", "pytest", f"--rootdir={ROOT}", "-c", str(SETTINGS)]
    assert pytest_command([], "") == [*start, str(SUITES)]
    assert pytest_command(["-k", "x", "--lab", "dind"], "prod.toml") == [
        *start,
        str(SUITES),
        f"--config={known}",
        "-k",
        "x",
        "--lab=dind",
    ]
    (tmp_path / "test_one.py").write_text("")
    assert pytest_command(["test_one.py::test_x"], "") == [*start, "test_one.py::test_x"]
    with pytest.raises(UsageError, match="unknown key"):
        pytest_command([], str(written(tmp_path, "x = 1", "wrong.toml")))


class Args:
    inventory = group = config = name = None

    def __init__(self, **given):
        vars(self).update(given)


def test_commands_take_the_inventory_of_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert common.inventory_options(Args()) == {}
    written(tmp_path, 'inventory = "swarm.yaml"\ngroup = "docker"\nports = "40000-40099"')
    own = {"--inventory": f"{tmp_path}/swarm.yaml", "--group": "docker"}
    assert common.inventory_options(Args()) == own
    assert capsys.readouterr().err == f"swarmlab: {tmp_path}/swarmlab.toml names the inventory {tmp_path}/swarm.yaml\n"
    assert common.inventory_options(Args(), "ports") == own | {"--ports": "40000-40099"}
    assert common.inventory_options(Args(group="other"))["--group"] == "other"
    assert common.inventory_options(Args(inventory="swarm.yaml")) == own | {"--inventory": "swarm.yaml"}
    assert common.inventory_options(Args(inventory="other.yaml")) == {"--inventory": "other.yaml", "--group": ""}
    assert common.inventory_options(Args(name="mine")) == {}
    written(tmp_path, "hours = 1")
    assert common.inventory_options(Args()) == {}
    with pytest.raises(UsageError, match="names no inventory; write one there, or give --inventory"):
        common.inventory_options(Args(config=configuration.FILE))
