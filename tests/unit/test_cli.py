"""Bad input to the command line: one line, and nothing is started."""

import json
import os
import subprocess
import sys

import pytest

from swarmlab import host
from swarmlab.cli.main import main
from swarmlab.labs import outer
from swarmlab.paths import ROOT
from swarmlab.preflight.host import EVERY


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.delenv("SWARMLAB_PRIVATE", raising=False)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("up --engine v17", "swarmlab: no engine 'v17'; choose from 20.10.5 (bullseye), "),
        ("up --nodes 0", "swarmlab: a cluster of the container lab has 1 to 60 nodes, not 0"),
        ("up --managers 4", "swarmlab: --managers 4: write 1 to 3, the number of nodes"),
        ("up --name My_Lab", "swarmlab: 'My_Lab' is not the name of a lab: write at most 31 of a-z, 0-9 and -"),
        ("up --lab vagrant --nodes 5", "swarmlab: the lab of machines has 3 nodes, not 5"),
        (
            "up --lab vagrant --provider xen",
            "swarmlab: --provider xen: no such provider; choose one of libvirt, virtualbox",
        ),
        (
            "up --lab vagrant --provider virtualbox --engine trixie",
            "swarmlab: --engine trixie: the provider virtualbox takes whole versions of docker-ce, such as 18.06.3; ",
        ),
        ("box --engine v17", "swarmlab: no engine 'v17'; choose from "),
        ("up", "swarmlab: no engine answers at DOCKER_HOST=unix:///nowhere/docker.sock; mend or unset it"),
        ("preflight --skip disc=full", "swarmlab: no check 'disc'; did you mean disk?; checks: host-memory, "),
        ("preflight --skip disk", "swarmlab: to skip disk, give a reason: disk=REASON"),
        ("rehearse --to v17", "swarmlab: no engine 'v17'; choose from "),
        ("rehearse --path 28.5.2,20.10.24", "swarmlab: 28.5.2 (forky) to 20.10.24 (bookworm) is no upgrade; "),
        ("rehearse --order workers", "swarmlab: --order workers leaves master, slave01, slave02 out"),
        ("rehearse --lab vagrant --workers 1", "swarmlab: the lab of machines has 3 nodes, not 4; ask for as many"),
        (
            "rehearse --reboot",
            "swarmlab: --reboot: nodes of --lab dind have no system of their own to restart; use --lab vagrant",
        ),
        ("rehearse --claims quick", "swarmlab: --claims quick: no such profile; choose one of full, smoke, safe, "),
        ("rehearse", "swarmlab: no engine answers at DOCKER_HOST="),
        ("shell master", "swarmlab: no engine answers at DOCKER_HOST="),
    ],
)
def test_one_line_names_the_thing_and_the_mend(command, line, capsys):
    assert main(command.split()) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(line)
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "phrase"),
    [
        ("shell master --name x --inventory y", "--name: has no effect beside --inventory"),
        ("logs --name x --inventory y", "--name: has no effect beside --inventory"),
        ("logs --inventory none.yaml", "none.yaml: cannot be read: No such file"),
        ("logs file", "file: is a file; name a folder, or an archive that ends with .tar.gz"),
        ("init --inventory none.yaml", "none.yaml: cannot be read: No such file"),
        ("init --inventory ssh://", "is wrong: write ssh://[USER@]HOST[:PORT] of one manager"),
        ("init --inventory ssh://ops@fd00::1:x", "is wrong: write ssh://[USER@]HOST[:PORT] of one manager"),
        ("init --inventory ssh://ops@m1:99999", "is no address of a manager; write ssh://[USER@]HOST[:PORT]"),
        ("init --inventory ssh://ops:word-77@m1", "ssh://ops:[redacted password]@m1: is no address of a manager"),
        ("doctor --image web:1 --host", "--image: has no effect beside --host; leave one of them out"),
        ("doctor --inventory nodes.yaml --host", "--inventory: has no effect beside --host; leave one of them out"),
        ("doctor --image web:1", "--image: is for an existing swarm; give --inventory too"),
        ("doctor --ports 1-100", "--ports: is for an existing swarm; give --inventory too"),
        ("doctor --group x", "--group: is for an inventory of Ansible; give --inventory too"),
        ("doctor --inventory nodes.yaml --ports 1-2", "--ports: 1-2 is not a port range: write FIRST-LAST"),
        ("doctor --inventory none.yaml", "none.yaml: cannot be read: No such file"),
        ("doctor --config empty.toml", "empty.toml names no inventory; write one there, or give --inventory"),
        ("preflight --list --config x", "--config: has no effect beside --list"),
        ("test --config none.toml", "none.toml: cannot be read: No such file"),
    ],
)
def test_one_line_refuses_what_is_wrong_with_a_swarm_or_a_file(command, phrase, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in (("file", ""), ("empty.toml", ""), ("nodes.yaml", "nodes: [{address: 192.0.2.1}]")):
        (tmp_path / name).write_text(text)
    assert main(command.split()) == 2
    printed = capsys.readouterr()
    assert phrase in printed.err
    assert (printed.err.count("\n"), printed.out) == (1, "")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_provider_that_is_not_installed_is_named(monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert main(["up", "--lab", "vagrant", "--provider", "virtualbox"]) == 2
    printed = capsys.readouterr().err
    assert printed == "swarmlab: the provider virtualbox needs VBoxManage; install VirtualBox and Vagrant\n"


def test_status_without_the_engine_that_was_named(capsys):
    assert main(["status"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "swarmlab: no engine answers at DOCKER_HOST=unix:///nowhere/docker.sock; mend or unset it\n"


def test_status_without_an_engine(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("DOCKER_HOST")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(outer, "_DEFAULT", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr(outer, "run_folder", lambda: tmp_path)
    monkeypatch.setattr(outer, "_installed", lambda: "/opt/dockerd")
    assert main(["status"]) == 0
    assert capsys.readouterr().out == "no lab is up: no engine answers, as /opt/dockerd does not run\n"


def test_preflight_without_an_engine_is_an_error(capsys):
    assert main(["preflight"]) == 1
    assert "no engine answers at DOCKER_HOST=" in capsys.readouterr().out
    assert main(["preflight", "--json", "--skip", "host-engine=known"]) == 0
    told = {one["check"]: one for one in json.loads(capsys.readouterr().out)}
    assert (told["host-engine"]["level"], told["host-engine"]["seen"]) == ("skipped", "known")


def test_the_checks_of_the_preflight_are_listed(capsys):
    assert main(["preflight", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(EVERY)


def test_nothing_can_be_installed_without_apt(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(outer.UsageError, match=r"needs docker\.io .* and has no apt-get"):
        host.install(["engine"], print)


def test_a_reader_that_closes_the_output_is_no_error_to_trace(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with (tmp_path / "err").open("w+") as err:
        command = [sys.executable, "-m", "swarmlab", "preflight", "--list"]
        ran = subprocess.run(command, check=False, cwd=ROOT, stdout=writing, stderr=err)
        err.seek(0)
        assert (ran.returncode, err.read()) == (141, "")
    os.close(writing)
