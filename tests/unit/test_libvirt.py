"""The private libvirt's traces, and how machines come to run on KVM or on emulation."""

import os

import pytest

from swarmlab.labs.machines import libvirt


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(libvirt, "run_folder", lambda: tmp_path)
    monkeypatch.setattr(libvirt, "NETNS", "no-such-namespace")
    # Removing a folder unmounts what other namespaces have on it: those of a running lab are not for tests.
    monkeypatch.setattr(libvirt, "OVERLAID", {"run": str(tmp_path / "run-libvirt")})
    return tmp_path


def test_sweeping_leaves_alone_what_it_did_not_start(tmp_path):
    network = tmp_path / "libvirt" / "run" / "network"
    network.mkdir(parents=True)
    (network / "cluster.pid").write_text(str(os.getpid()))  # a number that is somebody else's by now
    libvirt.sweep()
    assert not (tmp_path / "libvirt").exists()


def test_a_kvm_that_boots_nothing_means_emulation_and_is_not_tried_again(tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(libvirt.os, "access", lambda *_: True)
    monkeypatch.setattr(libvirt, "boots_on_kvm", lambda *files: tried.append(files))
    for _ in range(2):
        assert libvirt.accelerator(tmp_path / "vmlinuz", tmp_path / "initrd", print) == "qemu"
    assert len(tried) == 1


def test_kvm_is_used_where_a_kernel_boots_on_it(tmp_path, monkeypatch):
    monkeypatch.setattr(libvirt.os, "access", lambda *_: True)
    monkeypatch.setattr(libvirt, "boots_on_kvm", lambda *_: True)
    assert libvirt.accelerator(tmp_path / "vmlinuz", tmp_path / "initrd", print) == "kvm"


def test_without_kvm_nothing_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(libvirt.os, "access", lambda *_: False)
    monkeypatch.setattr(libvirt, "boots_on_kvm", lambda *_: pytest.fail("a kernel was started"))
    assert libvirt.accelerator(tmp_path / "vmlinuz", tmp_path / "initrd", print) == "qemu"
