"""The networks that a lab of machines takes: free on this host, and allowed by VirtualBox."""

from ipaddress import IPv4Network

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs.hosts import NETWORKS
from swarmlab.labs.machines import addresses

ALL = [f"192.168.{third}.0/24" for third in NETWORKS]


def test_a_network_that_something_else_has_is_not_taken():
    taken = [IPv4Network("192.168.56.0/24"), IPv4Network("192.168.58.128/25"), IPv4Network("10.0.0.0/8")]
    assert addresses.free(ALL, taken)[:2] == ["192.168.57.0/24", "192.168.59.0/24"]


@pytest.mark.parametrize(
    ("version", "settings", "first", "count"),
    [
        ((7, 0, 26), None, "192.168.56.0/24", 8),
        ((6, 1, 28), None, "192.168.56.0/24", 8),
        ((), None, "192.168.56.0/24", 8),
        ((6, 1, 26), "* 10.0.0.0/8\n", "192.168.56.0/24", 16),
        ((7, 0, 26), "# all\n* 0.0.0.0/0 ::/0\n", "192.168.56.0/24", 16),
        ((7, 0, 26), "* 10.0.0.0/8 192.168.60.0/23\n* 2001::/64\n", "192.168.60.0/24", 2),
    ],
)
def test_virtualbox_allows_what_its_settings_say(tmp_path, version, settings, first, count):
    file = tmp_path / "networks.conf"
    if settings is not None:
        file.write_text(settings)
    found = addresses.host_only(ALL, version, file)
    assert (found[0], len(found)) == (first, count)


@pytest.mark.parametrize("settings", ["* 10.0.0.0/8\n", "", "* 2001::/64\n"])
def test_a_range_that_virtualbox_does_not_allow_is_refused_in_one_line(tmp_path, settings):
    file = tmp_path / "networks.conf"
    file.write_text(settings)
    with pytest.raises(
        UsageError, match=r"^VirtualBox allows host-only networks in .* add the line '\* 192"
    ) as refused:
        addresses.host_only(ALL, (7, 0, 26), file)
    assert "\n" not in str(refused.value)


def test_settings_that_are_no_ranges_are_named(tmp_path):
    file = tmp_path / "networks.conf"
    file.write_text("* 192.168.56.0/99\n")
    with pytest.raises(UsageError, match=r"networks\.conf: '192\.168\.56\.0/99' is no range of addresses"):
        addresses.host_only(ALL, (7, 0, 26), file)


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("7.0.26r168464\n", (7, 0, 26)),
        ("WARNING: The vboxdrv kernel module is not loaded.\n6.1.50_Debianr161033\n", (6, 1, 50)),
        ("", ()),
    ],
)
def test_the_version_of_virtualbox_is_read(tmp_path, monkeypatch, told, version):
    program = tmp_path / "VBoxManage"
    program.write_text(f"#!/bin/sh\nprintf '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert addresses.virtualbox_version() == version
