"""Docker's commands on a swarm that exists have settings of their own. The shell is real, docker is a double."""

import json
import os
import subprocess

import pytest

from swarmlab.labs.existing import node as existing
from swarmlab.labs.existing.node import SshNode

DOCKER = """#!/bin/sh
echo "$DOCKER_CONFIG"; cat "$DOCKER_CONFIG/config.json" "$DOCKER_CONFIG/cli-plugins/docker-compose"
touch "${DOCKER_CONFIG:-$HOME/.docker}/.buildNodeID"
pwd
exit ${1:-0}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs a command as it is sent to a machine whose home is in the test's folder."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "docker").write_text(DOCKER)
    (tmp_path / "bin" / "docker").chmod(0o755)
    (tmp_path / "home").mkdir()
    (tmp_path / "var").mkdir()
    monkeypatch.setattr(existing, "FOLDERS", str(tmp_path / "var"))

    def run(command, settings="swc-cli-{user}-abcdef"):
        node = SshNode.__new__(SshNode)
        node.client_settings = settings
        environment = {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
        environment |= {"DOCKER_HOST": "tcp://192.0.2.1:2375", "COMPOSE_FILE": "other.yaml"}
        line = node._apart(command)
        return subprocess.run(
            ["sh", "-c", line], cwd=tmp_path / "home", env=environment, capture_output=True, text=True
        )

    return run


def test_a_command_of_dockers_writes_beside_a_copy_of_the_users_settings(run, tmp_path):
    own = tmp_path / "home" / ".docker"
    (own / "cli-plugins").mkdir(parents=True)
    (own / "config.json").write_text("{credentials}\n")
    (own / "cli-plugins" / "docker-compose").write_text("plugin\n")
    for code in (0, 3):  # the second finds the copy
        done = run(f"docker {code}")
        assert done.returncode == code
        place, *read, folder = done.stdout.splitlines()
        assert place.startswith(f"{tmp_path}/var/swc-cli-")
        assert read == ["{credentials}", "plugin"]
        assert folder == str(tmp_path / "home")
    assert sorted(file.name for file in own.iterdir()) == ["cli-plugins", "config.json"]
    (made,) = (tmp_path / "var").iterdir()
    assert made.stat().st_mode & 0o777 == 0o700
    assert (made / ".buildNodeID").exists()


def test_what_a_user_has_commands_print_and_containers_get_is_not_in_the_copy(run, tmp_path):
    own = tmp_path / "home" / ".docker"
    own.mkdir()
    settings = {"psFormat": "{{.Names}}", "auths": {"r": {"auth": "x"}}, "proxies": {"default": {"httpProxy": "p"}}}
    (own / "config.json").write_text(json.dumps(settings) + "\n")
    copied = json.loads(run("docker").stdout.splitlines()[1])
    assert copied == {"swc-psFormat": "{{.Names}}", "auths": settings["auths"], "swc-proxies": settings["proxies"]}
    assert json.loads((own / "config.json").read_text()) == settings


def test_no_variable_of_a_user_leads_a_command_elsewhere(run, tmp_path):
    program = tmp_path / "bin" / "docker"
    program.write_text("#!/bin/sh\nenv | grep -E '^(DOCKER|COMPOSE|BUILDX)_' | sort\n")
    found = run("DOCKER_BUILDKIT=1 docker").stdout.split()
    assert [word.partition("=")[0] for word in found] == ["BUILDX_BUILDER", "DOCKER_BUILDKIT", "DOCKER_CONFIG"]


def test_a_user_without_settings_is_given_none(run, tmp_path):
    assert run("docker").returncode == 0
    assert not list((tmp_path / "home").iterdir())


def test_other_commands_and_commands_before_the_run_are_sent_as_they_are():
    node = SshNode.__new__(SshNode)
    node.client_settings = "swc-cli-{user}-abcdef"
    assert node._apart("ls /var") == "ls /var"
    node.client_settings = ""
    assert node._apart("docker info") == "docker info"
