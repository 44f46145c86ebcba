"""The private libvirt's traces, and how machines come to run on KVM or on emulation."""

import os
import time

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs import service
from swarmlab.labs.machines import libvirt
from swarmlab.labs.machines.libvirt import Libvirt


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


@pytest.mark.parametrize(
    ("script", "answers"),
    [
        ("exit 0", True),
        ("exit 1", False),
        ("read -r password < /dev/tty && exit 0; exit 1", False),  # as polkit's agent on a terminal does
        ("if read -r password; then exit 0; else exit 1; fi", False),
        ("exec sleep 60", False),  # as where the agent of a desktop shows a window
    ],
)
def test_a_question_for_a_password_keeps_nobody_waiting(tmp_path, monkeypatch, script, answers):
    (tmp_path / "virsh").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "virsh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(libvirt, "_PATIENCE", 1.0)
    begun = time.monotonic()
    assert Libvirt("qemu:///system", private=False).answers() is answers
    assert time.monotonic() - begun < 10


def test_a_libvirt_that_this_user_may_not_start_is_told_and_not_waited_for(monkeypatch):
    monkeypatch.setattr(libvirt.shutil, "which", lambda name: name)
    monkeypatch.setattr(Libvirt, "answers", lambda _: False)
    stopped = service.Service("libvirtd.service", "loaded", "inactive")
    monkeypatch.setattr(libvirt.service, "look", lambda _: stopped)
    monkeypatch.setattr(service, "as_root", lambda: None)
    monkeypatch.setattr(service, "why_not_root", lambda: "sudo asks for a password")
    with pytest.raises(UsageError, match=r"libvirtd\.service is installed and stopped, and this user may not start it"):
        Libvirt.connect(private=False, progress=print)
