"""Checks of tasks that make no progress."""

from __future__ import annotations

from collections.abc import Iterator

from swarmlab.cluster.clocks import seconds_of
from swarmlab.preflight.finding import Finding, Level
from swarmlab.preflight.model import Sight, unasked

#: Seconds after which a task without an address or a node counts as stuck.
_STUCK = 30.0


def stuck(sight: Sight) -> Iterator[Finding]:
    """Whether tasks stay without an address (new) or without a node (pending), or stay though nobody wants them."""
    if not sight.asked:
        yield unasked(sight)
        return
    now = seconds_of(next(view for view in sight.nodes if view.name == sight.asked).info["SystemTime"])
    services = {service["ID"]: service["Spec"]["Name"] for service in sight.services}
    found: dict[tuple[str, str, str], int] = {}
    left: dict[tuple[str, str], int] = {}
    for task in sight.tasks:
        status = task["Status"]
        if status["State"] in ("new", "pending") and now - seconds_of(status["Timestamp"]) > _STUCK:
            name = services.get(task.get("ServiceID", ""), "no service")
            why = status.get("Err") or status.get("Message", "")
            if task["DesiredState"] not in ("running", "complete", "ready"):
                left[name, status["State"]] = left.get((name, status["State"]), 0) + 1
                continue
            found[name, status["State"], why] = found.get((name, status["State"], why), 0) + 1
    for (name, state, why), number in found.items():
        summary = f"{number} task{'s' if number > 1 else ''} of {name} {state} for over {_STUCK:.0f} s: {why}"
        if state == "new":
            mend = "why: on the leader: journalctl -u docker | grep -i alloc; the networks and ports of the service: "
            risk = "it does not run: the swarm has no address or port for it"
            yield Finding(
                Level.ERROR,
                summary,
                risk,
                "moby#37338, moby#43052",
                mend=f"{mend}docker service inspect --pretty {name}",
            )
        else:
            mend = (
                f"docker service ps --no-trunc {name}, then change its constraints and reservations, or the nodes' "
                "labels and availability: docker node ls"
            )
            yield Finding(Level.WARNING, summary, "it does not run: no node fits", mend=mend)
    for (name, state), number in left.items():
        summary = f"tasks of {name} that nobody wants stay {state}: {number}"
        risk = "they are listed for ever and run nowhere"
        mend = "upgrade the managers to 18.05 or later"
        yield Finding(Level.INFO, summary, risk, "swarmkit#2555, moby#36699", mend=mend)
    if not found and not left:
        yield Finding(Level.OK, f"none of {len(sight.tasks)} tasks")
