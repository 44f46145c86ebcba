"""The check of seccomp profiles: whether containers may call what the C libraries of today's images call."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from swarmlab.preflight.defects import of_distribution
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import CALLS, NodeView, Sight, by_node
from swarmlab.preflight.options import pairs
from swarmlab.verdicts.defects import numbers

#: What fails where a call is refused with "Operation not permitted": programs do not try an older call then.
_FAILS = {
    "statx": "ls and stat fail with glibc 2.28 and newer",
    "clone3": "no thread starts with glibc 2.34 and newer",
    "faccessat2": "files are taken for unreadable with glibc 2.33 and newer",
}
_RUN_ONE = "run a container on {nodes} while preflight looks: docker run -d --rm IMAGE sleep 60"
_MEND = (
    "on {nodes}: upgrade the engine to 20.10.10 or later, or give it a profile that knows them (seccomp-profile in "
    "/etc/docker/daemon.json, then systemctl restart docker), or use images of the engine's time"
)


@by_node
def refused(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the engine's seccomp profile refuses system calls of today's images."""
    profile = _profile(view)
    if profile in ("", "unconfined"):
        yield Finding(Level.OK, "containers are not filtered")
        return
    # What containers were started with says more than a version: distributions change profiles, and so do users.
    containers, knowing = _of_containers(view.read("seccomp"))
    if containers:
        unknown = {call: containers - number for call, number in knowing.items() if number < containers}
        most = max(unknown.values(), default=0)
        some = "its" if most == containers else f"{most} of {containers}"
        whose = f"the seccomp profile of {some} containers"
    elif profile in ("default", "builtin"):
        unknown = {call: 1 for call, since in CALLS.items() if view.release < since}
        whose = f"the seccomp profile of engine {view.version['Version']}"
        if unknown and of_distribution(view.version["Version"]):
            raise Unknown(f"no container runs to look at, and {whose} may be its distribution's own", _RUN_ONE)
    else:
        raise Unknown(
            f"no container runs to look at, and its seccomp profile {profile} is not the engine's own", _RUN_ONE
        )
    refused = _refused(unknown, view.runc)
    if refused:
        summary = f"{whose} refuses what today's images call: {', '.join(refused)}"
        risk = "; ".join(f"{call}: {_FAILS[call]}" for call in refused)
        yield Finding(Level.WARNING, summary, risk, "moby#42680, moby#42836", mend=_MEND)
    else:
        yield Finding(Level.OK, f"refuses none of {', '.join(CALLS)}")


def _profile(view: NodeView) -> str:
    """Return the name of the engine's default profile; empty if it filters nothing."""
    view.swarm  # noqa: B018 - raises if the engine does not answer
    for option in view.info.get("SecurityOptions") or []:
        fields = pairs(str(option))
        if fields.get("name") == "seccomp":
            return fields.get("profile", "default")
    return ""


def _of_containers(text: str) -> tuple[int, dict[str, int]]:
    """Return the number of containers with a profile, and of those whose profile names each call."""
    counted = {name: int(number) for name, number in re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE)}
    if "containers" not in counted:
        raise Unknown("the profiles of its containers were not counted", "let preflight be root on {nodes}")
    return counted["containers"], {call: counted.get(call, 0) for call in CALLS}


def _refused(unknown: Mapping[str, int], runc: str) -> list[str]:
    """Return the calls that are refused, of those that a profile does not know.

    From 1.0.0-rc93 on, runc answers "not implemented" to a call that is newer than all that the profile knows, and
    programs then try an older one.
    """
    calls = list(CALLS)
    forgiving = bool(runc) and numbers(runc) >= numbers("1.0.0-rc93")
    return [
        call for call in unknown if not forgiving or any(newer not in unknown for newer in calls[calls.index(call) :])
    ]
