"""What the lab asks of Vagrant for machines of VirtualBox."""

import warnings
from pathlib import Path

import pytest

from swarmlab.labs.machines import providers

#: As Vagrant 2.3.4 tells it, and as Vagrant from 2.4 on.
TOLD = """\
Host master
  HostName 127.0.0.1
  User vagrant
  Port 2222
  PasswordAuthentication no
{keys}
  IdentitiesOnly yes
"""


@pytest.fixture
def virtualbox(monkeypatch):
    def made(keys):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Vagrant itself, which need not be here
            from vagrant import Vagrant
        program = Vagrant()
        program.ssh_config = lambda **_: TOLD.format(keys="\n".join(f"  IdentityFile {key}" for key in keys))
        monkeypatch.setattr(providers.box, "vagrant", lambda **_: program)
        return providers.VirtualBox({"SWARMLAB_NAME": "machines"})

    return made


@pytest.mark.parametrize(
    "keys",
    [
        ["/root/.vagrant.d/insecure_private_key"],
        ["/v/insecure_private_keys/vagrant.key.ed25519", "/v/insecure_private_keys/vagrant.key.rsa"],
        ["/v/insecure_private_keys/vagrant.key.rsa", "/v/insecure_private_keys/vagrant.key.ed25519"],
    ],
)
def test_the_lab_logs_in_with_the_key_that_centos_knows(virtualbox, keys):
    address, port, key = virtualbox(keys).reach("master")
    assert (address, port) == ("127.0.0.1", 2222)
    assert key == Path(next(each for each in keys if "ed25519" not in each))


def test_vagrant_is_asked_to_set_the_sizes_of_disks(virtualbox):
    environment = virtualbox(["key"]).environment
    assert environment["VAGRANT_EXPERIMENTAL"] == "disks"
    assert environment["SWARMLAB_NAME"] == "machines"
