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


class Answers(libvirt.Libvirt):
    """A libvirt that answers as written, and notes what it is asked to change."""

    def __init__(self, answers, *, private=False):
        super().__init__(libvirt.SYSTEM, private=private)
        self.answers = answers
        self.done = []

    def virsh(self, *arguments):
        words = " ".join(map(str, arguments))
        if words.split()[0] in ("destroy", "undefine", "net-destroy", "net-undefine", "pool-destroy", "pool-undefine"):
            self.done.append(words)
            return ""
        return self.answers.get(words, "")


OURS = {
    "list --all --name": "web\nmachines-master\n",
    "list --name": "web\nmachines-master\n",
    "domuuid machines-master": libvirt.id_of("list", "machines-master"),
    "net-list --all --name": "default\nmachines-nat\n",
    "net-list --name": "default\n",
    "net-uuid machines-nat": libvirt.id_of("net-list", "machines-nat"),
    "pool-list --all --name": "default\nmachines\n",
    "pool-uuid machines": libvirt.id_of("pool-list", "machines"),
}


def test_what_has_the_labs_ids_is_removed_and_nothing_else():
    found = Answers(OURS)
    found.refuse_foreign(["machines-master"], ["machines-nat"], "machines")
    found.remove(["machines-master"], ["machines-nat"], "machines")
    assert found.done == [
        "destroy machines-master",
        "undefine machines-master --managed-save --snapshots-metadata",
        "net-undefine machines-nat",
        "pool-destroy machines",
        "pool-undefine machines",
    ]


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ("domuuid machines-master", "machine machines-master"),
        ("net-uuid machines-nat", "network machines-nat"),
        ("pool-uuid machines", "pool machines"),
    ],
)
def test_what_has_a_name_of_the_lab_and_is_anothers_is_refused_and_never_removed(asked, what):
    found = Answers({**OURS, asked: "0b0b4b9c-1e1b-4a3b-9f61-0f4b8a4a7b11"})
    with pytest.raises(UsageError, match=f"has a {what} that is not this lab's; rename it, or run with SWARMLAB_PRIV"):
        found.refuse_foreign(["machines-master"], ["machines-nat"], "machines")
    found.remove(["machines-master"], ["machines-nat"], "machines")
    assert not [words for words in found.done if words.split()[1] == what.split()[1]]


def test_in_a_private_libvirt_all_is_the_labs():
    found = Answers({**OURS, "pool-uuid machines": "another"}, private=True)
    found.remove([], [], "machines")
    assert found.done == ["pool-destroy machines", "pool-undefine machines"]


def test_the_ranges_of_all_networks_are_read():
    ip = "<network><name>a</name><ip address='192.168.56.1' netmask='255.255.255.0'/>"
    found = Answers(
        {
            "net-list --all --name": "a\nb\nc\n",
            "net-dumpxml a": f"{ip}<ip family='ipv6' address='fd00::1' prefix='64'/></network>",
            "net-dumpxml b": "<network><name>b</name><ip family='ipv4' address='10.9.1.1' prefix='16'/></network>",
            "net-dumpxml c": "<network><name>c</name><forward mode='bridge'/></network>",
        }
    )
    assert [str(each) for each in found.ranges()] == ["192.168.56.0/24", "10.9.0.0/16"]


@pytest.mark.parametrize("uri", ["", "qemu:///system", "qemu+unix:///system?socket=/run/other/libvirt-sock"])
def test_a_libvirt_of_the_system_is_taken(monkeypatch, uri):
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", uri)
    assert libvirt.chosen() == (uri or "qemu:///system")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("qemu:///session", "a libvirt of one user makes no networks"),
        ("qemu+unix:///session?socket=/run/user/1000/libvirt/libvirt-sock", "a libvirt of one user makes no networks"),
        ("qemu+ssh://other/system", "need a QEMU of this host"),
        ("xen:///system", "need a QEMU of this host"),
        ("test:///default", "need a QEMU of this host"),
    ],
)
def test_another_libvirt_is_refused_in_one_line_with_the_mend(monkeypatch, uri, reason):
    monkeypatch.setenv("LIBVIRT_DEFAULT_URI", uri)
    with pytest.raises(UsageError, match=reason) as refused:
        libvirt.chosen()
    assert "write qemu:///system, or run with SWARMLAB_PRIVATE=1" in str(refused.value)
    assert "\n" not in str(refused.value)


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
    if "sleep" in script:
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
