"""What a lab of containers or machines needs of this machine."""

from __future__ import annotations

import functools
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from swarmlab.cluster.leavings import REGISTRY_IMAGE
from swarmlab.doctor import engine
from swarmlab.doctor.check import Look, examine
from swarmlab.errors import LabError, SwarmlabError
from swarmlab.host import Progress, as_root, cache_folder, check_cache, run_unasked, why_not_root
from swarmlab.images import workshop
from swarmlab.images.recipes import registry_reference
from swarmlab.labs import outer
from swarmlab.labs.outer import OuterEngine
from swarmlab.labs.routes import routes
from swarmlab.labs.standing import free_networks, lab_networks, taken_by_routes, taken_networks
from swarmlab.lists import few
from swarmlab.preflight import host, kernel, sight
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import NodeView, Sight

#: The oldest Python that works.
_PYTHON = (3, 10)
#: Seconds that a command of this machine may take.
_PATIENCE = 20.0
#: Programs that labs run here, each with the package that has it and what it is for.
_PROGRAMS = {
    "ip": ("iproute2", "network namespaces of private engines"),
    "iptables": ("iptables", "the rules of engines"),
    "nsenter": ("util-linux", "commands in network namespaces"),
    "ssh": ("openssh-client", "existing swarms and machines"),
    "ssh-keygen": ("openssh-client", "keys of existing swarms and machines"),
}
#: Those of them that only a machine needs that has an engine.
_OF_ENGINES = ("iptables", "nsenter")
#: What a finding of preflight about a missing module means for a lab: without these its claims are blocked only.
_BLOCK_ONLY = ("ip_vs", "ip_vs_rr", "esp4")


@dataclass
class Patient:
    """This machine.

    Attributes:
        engine: the outer engine, if one answers.
        failed: why the engine that the user names does not answer; None if it does, or none is named.
    """

    engine: OuterEngine | None = None
    failed: SwarmlabError | None = None

    @property
    def inside(self) -> bool:
        """Whether this process runs in a container of that engine, which then does what takes root."""
        return self.engine is not None and self.engine.own is not None

    @functools.cached_property
    def root(self) -> list[str] | None:
        """The prefix that runs a command as root; None if this user cannot."""
        return as_root()


def met(progress: Progress) -> Patient:
    """Return this machine, with the engine that answers on it. None is started."""
    try:
        return Patient(outer.running(progress))
    except SwarmlabError as failed:
        return Patient(failed=failed)


def python(_: Patient) -> Iterator[Finding]:
    """Whether Python is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _PYTHON:
        least = ".".join(map(str, _PYTHON))
        mend = "make the environment with a newer one: PYTHON=python3.11 ./setup.sh"
        yield Finding(Level.ERROR, f"Python {version} is older than {least}", "nothing works", mend=mend)
    else:
        yield Finding(Level.OK, f"Python {version}")


def rights(patient: Patient) -> Iterator[Finding]:
    """Whether this user is root, or becomes root without a password."""
    if patient.inside:
        yield Finding(Level.OK, "none are needed here: the engine makes all")
    elif patient.root is None:
        yield Finding(
            Level.WARNING if patient.engine else Level.ERROR,
            f"this user is not root, and {why_not_root()}",
            "no package is installed, no engine is started, and no image is made by mmdebstrap",
            mend="run as root, or give this user NOPASSWD in /etc/sudoers.d (visudo)",
        )
    else:
        yield Finding(Level.OK, "root" if not patient.root else "root by sudo")


def namespaces(patient: Patient) -> Iterator[Finding]:
    """Whether network namespaces can be made here."""
    if patient.inside:
        yield Finding(Level.OK, "none are needed here: the engine's containers have their own")
        return
    if patient.root is None:
        yield Finding(Level.INFO, "not tried, as that takes root", mend="run as root")
        return
    done = _run([*patient.root, "unshare", "--net", "true"])
    if done.returncode:
        said = " ".join(done.stderr.split())[-150:] or f"unshare ended with {done.returncode}"
        mend = "run where the kernel allows it (CAP_SYS_ADMIN): in a container, start that with --privileged"
        yield Finding(Level.ERROR, f"no network namespace can be made: {said}", "no lab can be brought up", mend=mend)
    else:
        yield Finding(Level.OK, "network namespaces can be made")


def modules(_: Patient) -> Iterator[Finding]:
    """Whether the kernel has what swarms need: overlay networks, bridges, IPVS."""
    view = NodeView("this machine")
    done = _run(["sh", "-c", sight.script(view, ["modules"], _PATIENCE)])
    view.answers = sight.parse_answers(done.stdout)
    if not view.answers:
        raise LabError(f"sh does not answer: {' '.join(done.stderr.split())[-150:]}")
    for finding in kernel.modules(Sight([view])):
        missing = re.search(r" (?:has no|keeps) (\w+)", finding.summary)
        if finding.level.trouble and missing and missing[1] in _BLOCK_ONLY:
            blocked = "claims of the routing mesh and of virtual addresses are blocked"
            yield replace(finding, level=Level.INFO, risk=blocked)
        else:
            yield finding


def programs(patient: Patient) -> Iterator[Finding]:
    """Whether the programs are there that labs run."""
    needed = {name: what for name, what in _PROGRAMS.items() if not (patient.inside and name in _OF_ENGINES)}
    lacking = {name: what for name, what in needed.items() if not shutil.which(name)}
    for name, (package, purpose) in lacking.items():
        yield Finding(
            Level.WARNING, f"there is no program {name}", f"it is for {purpose}", mend=f"apt-get install {package}"
        )
    if not lacking:
        yield Finding(Level.OK, ", ".join(needed))


def addresses(patient: Patient) -> Iterator[Finding]:
    """Whether the networks of labs are free: 192.168.56.0/24, and others after it."""
    if patient.inside:
        mend = "on the engine's host: ip route"
        yield Finding(Level.INFO, "not looked at, as a container does not see its host's routes", mend=mend)
        return
    first, *others = lab_networks()
    taken = taken_networks(patient.engine) if patient.engine else taken_by_routes(routes())
    free = free_networks(patient.engine) if patient.engine else [each for each in (first, *others) if each not in taken]
    if not free:
        yield Finding(
            Level.ERROR,
            f"the networks of labs are taken, by {few(dict.fromkeys(taken.values()))}",
            "no lab can be brought up",
            mend="take down a lab, or let SWARMLAB_PRIVATE=1 start an engine apart from these networks (as root)",
        )
    elif first in taken:
        # A private engine has a network namespace of its own, which has none of the host's routes.
        yield Finding(Level.INFO, f"{first} is taken by {taken[first]}; the next lab uses {free[0]}")
    else:
        yield Finding(Level.OK, f"{first} is free")


def engine_settings(patient: Patient) -> Iterator[Finding]:
    """Whether the engine's settings suit labs, and what confines its containers."""
    return engine.settings(patient.engine)


def disk(patient: Patient) -> Iterator[Finding]:
    """Whether disks have room: the engine's, the cache's, that of reports."""
    return engine.room(patient.engine)


def limits(_: Patient) -> Iterator[Finding]:
    """Whether the kernel's limits suit three nodes."""
    return engine.limits()


def architecture(_: Patient) -> Iterator[Finding]:
    """Whether the kinds of lab are made for this machine's processor."""
    machine = platform.machine()
    if machine == "x86_64":
        yield Finding(Level.OK, machine)
    elif machine == "aarch64":
        yield Finding(Level.INFO, f"{machine}: labs of containers were not tried on it; machines are not made for it")
    else:
        yield Finding(
            Level.WARNING,
            f"{machine}: Docker has no archives of engines for it, and labs were not tried here",
            "only Debian's engines can be had",
            mend="run on a machine of x86-64",
        )


def cache(_: Patient) -> Iterator[Finding]:
    """Whether images can be kept in the cache."""
    check_cache()
    yield Finding(Level.OK, str(cache_folder()))


def images(patient: Patient) -> Iterator[Finding]:
    """Whether the suites' images are made, or can be made here."""
    if patient.engine and patient.engine.client.images.list(name=registry_reference()):
        yield Finding(Level.OK, "the images of workloads are made")
    elif shutil.which("mmdebstrap") or patient.engine or patient.root is not None:
        yield Finding(
            Level.INFO,
            "the images of workloads are not made yet",
            "the first run makes them, which takes some minutes and packages of Debian",
            mend="nothing needs to be done",
        )
    else:
        raise LabError("neither an engine nor mmdebstrap nor root's rights are there to make images")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command of this machine that only looks.

    Raises:
        LabError: there is no such program, or it does not end.
    """
    try:
        return run_unasked(command, timeout=_PATIENCE)
    except FileNotFoundError:
        raise LabError(f"there is no program {command[0]}; install it") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{command[0]} did not end within {_PATIENCE:.0f} s") from None


#: The checks of this machine by name, beside those of preflight. A new one is a function, and a line here.
CHECKS: Mapping[str, Look[Patient]] = {
    "host-python": python,
    "host-rights": rights,
    "host-namespaces": namespaces,
    "host-modules": modules,
    "host-programs": programs,
    "host-addresses": addresses,
    "host-engine-settings": engine_settings,
    "host-room": disk,
    "host-limits": limits,
    "host-architecture": architecture,
    "host-cache": cache,
    "host-images": images,
}
#: Those of them that a run on an existing swarm needs, too: it makes images here, and reaches nodes by ssh.
FOR_EXISTING = ("host-python", "host-cache", "host-images")


def look(patient: Patient) -> list[Finding]:
    """Return the findings about this machine: of preflight's checks of it, and of all `CHECKS`."""
    found = [*host.machine(), host.engine(patient.engine, patient.failed)]
    return [*found, *examine(CHECKS, patient)]


def look_for_existing(patient: Patient, *, registry: bool) -> list[Finding]:
    """Return the findings about what a run on an existing swarm needs of this machine.

    Args:
        patient: this machine.
        registry: the swarm has a registry with the images, so that none is made here.
    """
    names = [name for name in FOR_EXISTING if not (registry and name == "host-images")]
    found = examine({name: CHECKS[name] for name in names}, patient)
    if not registry and not _kept():
        found.append(host.engine(patient.engine, patient.failed))
    return found


def _kept() -> bool:
    """Whether the registry with the suites' images is kept as a file, so that no engine is needed to make it."""
    return workshop.archive_file(f"{REGISTRY_IMAGE}:{registry_reference().rpartition(':')[2]}").exists()
