"""Invalid options end in one line that names the mend."""

import subprocess
import sys

import pytest

from swarmlab.paths import ROOT
from swarmlab.verdicts.profiles import PROFILES

EXISTING = ["--lab", "inventory", "--inventory"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--lab", "cloud"], "--lab cloud: no such lab; choose one of dind, vagrant"),
        (
            ["--lab", "vagrant", "--provider", "xen"],
            "--provider xen: no such provider; choose one of libvirt, virtualbox",
        ),
        (["--profile", "quick"], "--profile quick: no such profile; choose one of full, smoke, safe, machines"),
        (["--lab", "vagrant", "-n", "2"], "-n: there is one lab of machines on a host"),
        (["--engine", "v99"], "--engine: no engine 'v99'; choose from"),
        (["--skip-preflight", "clock=full"], "--skip-preflight: no check 'clock'; did you mean clocks?; checks: "),
        (["--skip-preflight", "disk"], "--skip-preflight: to skip disk, give a reason: disk=REASON"),
        (["--image", "portainer"], "--image: 'portainer' is not NAME=REFERENCE or NAME=FILE"),
        (
            ["--image", "nginx=nginx:1"],
            "--image: nginx=nginx:1: no claim needs an image 'nginx'; choose from mysql",
        ),
        (["--image", "portainer=./none.tar"], "--image: portainer=./none.tar: there is no such file"),
        (["--lab", "inventory"], "--lab inventory: needs --inventory FILE, or --inventory ssh://USER@MANAGER"),
        (["--inventory", "swarm.yaml"], "--inventory: is an option of --lab inventory; give that too"),
        (["--may-disrupt", "x"], "--may-disrupt: is an option of --lab inventory; give that too"),
        ([*EXISTING, "nowhere.yaml"], "--inventory: inventory nowhere.yaml: cannot be read"),
        ([*EXISTING, "tox.ini"], "--inventory: inventory tox.ini: is not in the suite's format"),
        (
            [*EXISTING, "ssh://a", "--group", "x"],
            "--group: inventory ssh://a is not of Ansible and has no groups; leave",
        ),
        (["--group", "x"], "--group: is an option of --lab inventory; give that too"),
        ([*EXISTING, "ssh://a", "--ports", "1-2"], "--ports: 1-2 is not a port range"),
        ([*EXISTING, "ssh://a", "--engine", "trixie"], "--engine: a swarm that exists is taken as it is; leave it out"),
        ([*EXISTING, "ssh://a", "-n", "2"], "-n: all tests share the one swarm, so --lab inventory runs in one"),
        (["--image", "portainer=README.md"], "--image: portainer=README.md: is not a saved image; make one with:"),
        (["--rehearse", "20.10.24"], "--rehearse: an upgrade needs at least two engines, and '20.10.24' names 1"),
        (["--rehearse", "20.10.24,28.5.2", "-n", "2"], "-n: a rehearsal has one cluster"),
        (
            [*EXISTING, "ssh://a", "--rehearse", "20.10.24,28.5.2"],
            "--rehearse: an upgrade is not rehearsed on --lab inventory; use --lab dind or --lab vagrant",
        ),
    ],
)
def test_a_wrong_option_is_one_line(options, message, tmp_path):
    command = [sys.executable, "-m", "pytest", "suites/", "--reports", str(tmp_path / "reports"), *options]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    assert ran.returncode == 4
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert not (tmp_path / "reports").exists()


def test_reports_that_cannot_be_written_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    command = [sys.executable, "-m", "pytest", "suites/", "--reports", str(tmp_path / "file")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in (ran.stdout + ran.stderr).splitlines() if line.strip()]
    place = f"{tmp_path / 'file'} cannot be written: Not a directory"
    assert (ran.returncode, lines) == (3, [f"Exit: --reports: {place}; make room there, or name another place"])


def test_the_suite_of_rehearsals_is_run_by_a_rehearsal_only():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q"]
    document = subprocess.run([*command, "suites/"], cwd=ROOT, capture_output=True, text=True)
    assert document.returncode == 0
    assert "suites/upgrade" not in document.stdout
    alone = subprocess.run([*command, "suites/upgrade"], cwd=ROOT, capture_output=True, text=True)
    assert alone.returncode == 4
    assert "suites/upgrade runs in a rehearsal only; use " in alone.stdout + alone.stderr
    assert "swarmlab rehearse --to ENGINE, or add --rehearse A,B" in alone.stdout + alone.stderr
    options = ["suites/", "--rehearse", "20.10.24,26.1.5,28.5.2", "--rehearse-workers", "0"]
    ran = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    listed = [line for line in ran.stdout.splitlines() if "::" in line]
    assert listed
    assert all(line.startswith("suites/upgrade/") for line in listed)
    steps = [line.rpartition("[")[2].rstrip("]") for line in listed if "same_member" in line]
    assert steps == ["to-step1", "to-step2", "to-step3", "to-step4", "to-step5", "to-after"]
    names = [line.rpartition("[")[2].rstrip("]") for line in listed]
    assert names.index("to-step4") > max(place for place, name in enumerate(names) if name == "step3")
    assert not any("both_engines[step3]" in line for line in listed), (
        "no stage is mixed between two rounds of all nodes"
    )


def test_the_profile_of_machines_is_what_containers_cannot_judge_and_a_smoke_of_the_rest():
    command = [sys.executable, "-m", "pytest", "suites/", "--collect-only", "-q", "--profile", "machines"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert "test_published_port_answers_on_every_node" in listed
    assert "test_docker_is_enabled_and_runs_after_a_reboot" in listed
    assert "test_names_resolve_on_every_node" in listed
    assert "test_quiet_join_token_prints_the_token_alone" not in listed


def test_a_swarm_that_exists_is_not_disrupted_unless_it_may_be():
    command = [sys.executable, "-m", "pytest", "suites/", "--collect-only", "-q", *EXISTING, "ssh://root@192.0.2.1"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert "test_names_resolve_on_every_node" in listed
    assert "test_docker_is_enabled_and_runs_after_a_reboot" not in listed
    listed = subprocess.run([*command, "--may-disrupt", "x"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "test_docker_is_enabled_and_runs_after_a_reboot" in listed


def test_profiles_are_listed_by_one_command():
    command = [sys.executable, "-m", "pytest", "--profiles"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0
    assert [line.split()[0] for line in ran.stdout.splitlines() if not line.startswith(" ")] == list(PROFILES)
    assert "allowed to be blocked: image:portainer, internet, long" in ran.stdout


def test_the_safe_profile_disrupts_nothing_and_smoke_is_small():
    command = [sys.executable, "-m", "pytest", "suites/", "--collect-only", "-q", "--profile"]
    safe = subprocess.run([*command, "safe"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "test_names_resolve_on_every_node" in safe
    assert "test_docker_is_enabled_and_runs_after_a_reboot" not in safe
    smoke = subprocess.run([*command, "smoke"], cwd=ROOT, capture_output=True, text=True).stdout
    assert 3 <= sum("::test_" in line for line in smoke.splitlines()) <= 12
