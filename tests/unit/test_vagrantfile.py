"""The Vagrantfile is one that Vagrant takes, for both providers. Run by `make test-vm`, which installs Vagrant."""

import os
import shutil
import subprocess

import pytest

from swarmlab.labs.machines.lab import PROVIDERS
from swarmlab.paths import ROOT


@pytest.mark.skipif(not shutil.which("vagrant"), reason="Vagrant is not installed")
@pytest.mark.parametrize("provider", PROVIDERS)
def test_vagrant_accepts_it(provider, tmp_path):
    # Vagrant reads a provider's settings only if the provider is installed, which it finds out by its version.
    stand_in = tmp_path / "bin" / "VBoxManage"
    stand_in.parent.mkdir()
    stand_in.write_text("#!/bin/sh\necho 7.0.26r168464\n")
    stand_in.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
        "VAGRANT_HOME": str(tmp_path / "home"),
        "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
        "VAGRANT_DEFAULT_PROVIDER": provider,
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }
    done = subprocess.run(["vagrant", "validate"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "validated successfully" in done.stdout
    assert "deprecated" not in done.stdout + done.stderr


#: Prints the kernel's command line of each machine of libvirt.
PRINTER = """
class Settings
  def method_missing(name, *given, **, &block)
    puts given[0] if name == :cmd_line=
    return ENV["SWARMLAB_DRIVER"] if name == :driver
    block&.call(self, self)
    self
  end
end
module Vagrant
  def self.configure(_) = yield(Settings.new)
end
load "./Vagrantfile"
"""


@pytest.mark.skipif(not shutil.which("ruby"), reason="Ruby is not installed")
def test_a_machine_boots_with_the_control_groups_that_its_engine_can_use():
    environment = {**os.environ, "SWARMLAB_CGROUPS": "v1,v2"}
    done = subprocess.run(["ruby", "-e", PRINTER], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    legacy = [" systemd.unified_cgroup_hierarchy=0 " in line for line in done.stdout.splitlines()]
    assert legacy == [True, False, True]


@pytest.mark.skipif(not shutil.which("ruby"), reason="Ruby is not installed")
@pytest.mark.parametrize(("driver", "stable"), [("qemu", True), ("kvm", False)])
def test_programs_have_stable_addresses_on_machines_that_are_emulated_alone(driver, stable):
    environment = {**os.environ, "SWARMLAB_DRIVER": driver}
    done = subprocess.run(["ruby", "-e", PRINTER], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [" norandmaps " in line for line in done.stdout.splitlines()] == [stable] * 3
