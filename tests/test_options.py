"""Options that cannot be get one line that names the mend."""

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.profiles import PROFILES

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lab", "cloud"], "--lab cloud: no such lab; choose one of dind, vagrant"),
        (["--provider", "xen"], "--provider xen: no such provider; choose one of libvirt, virtualbox"),
        (["--profile", "quick"], "--profile quick: no such profile; choose one of full, smoke, safe, machines"),
        (["--lab", "vagrant", "-n", "2"], "-n: there is one lab of machines on a host"),
        (["--engine", "99"], "--engine: no engine '99'; choose from"),
        (["--image", "portainer"], "--image: 'portainer' is not NAME=REFERENCE or NAME=FILE"),
        (
            ["--image", "nginx=nginx:1"],
            "--image: nginx=nginx:1: no claim needs an image 'nginx'; choose from mysql",
        ),
        (["--image", "portainer=./none.tar"], "--image: portainer=./none.tar: there is no such file"),
        (["--image", "portainer=README.md"], "--image: portainer=README.md: is no saved image; make one with: docker"),
    ],
)
def test_a_wrong_option_is_one_line(words, said, tmp_path):
    command = [sys.executable, "-m", "pytest", "suites/", "--reports", str(tmp_path / "reports"), *words]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert ran.returncode == 4
    assert len(lines) == 1, lines
    assert said in lines[0]
    assert not (tmp_path / "reports").exists()


def test_the_profile_of_machines_is_what_containers_cannot_judge_and_a_smoke_of_the_rest():
    command = [sys.executable, "-m", "pytest", "suites/", "--collect-only", "-q", "--profile", "machines"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert "test_published_port_answers_on_every_node" in listed
    assert "test_docker_is_enabled_and_runs_after_a_reboot" in listed
    assert "test_names_resolve_on_every_node" in listed
    assert "test_quiet_join_token_prints_the_token_alone" not in listed


def test_profiles_are_listed_by_one_command():
    command = [sys.executable, "-m", "pytest", "--profiles"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0
    assert [line.split()[0] for line in ran.stdout.splitlines() if not line.startswith(" ")] == list(PROFILES)
    assert "may be lacking: image:portainer, internet, long" in ran.stdout


def test_the_safe_profile_disrupts_nothing_and_smoke_is_small():
    command = [sys.executable, "-m", "pytest", "suites/", "--collect-only", "-q", "--profile"]
    safe = subprocess.run([*command, "safe"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "test_names_resolve_on_every_node" in safe
    assert "test_docker_is_enabled_and_runs_after_a_reboot" not in safe
    smoke = subprocess.run([*command, "smoke"], cwd=ROOT, capture_output=True, text=True).stdout
    assert 3 <= sum("::test_" in line for line in smoke.splitlines()) <= 12
