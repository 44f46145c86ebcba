"""What swarm promises of configs and of secrets alike."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from suites.support.commands import accepted, detached, refusal, table
from suites.support.payloads import (
    ONE_BY_ONE,
    WORDS,
    Payload,
    body,
    create,
    expect_content,
    expect_replaced,
    make,
    on_every_node,
    printed,
    value,
)
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import EngineRefused

#: A size just below what every engine takes: 500 KiB.
NEARLY = 500_000
#: Sizes that no engine takes: configs had the limit of secrets before they were given twice as much.
TOO_LARGE = {"configs": 1_024_000, "secrets": 512_000}
#: Where a task finds a config or secret whose target is not named.
DEFAULT = {"configs": "/", "secrets": "/run/secrets/"}


def _given(kind: str, *files: dict[str, Any]) -> dict[str, Any]:
    """Return the argument by which a service is created that has *files* of a kind (see `Payload.at`)."""
    return {kind: files}


def _got(manager: Node, kind: str, key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = manager.ask("GET", f"/{kind}/{key}")
    except EngineRefused as refused:
        raise AssertionError(f"{manager} does not find a {WORDS[kind]} that it has: {refused.explanation}") from refused
    return found


def expect_lifecycle(cluster: Swarm, kind: str) -> None:
    """Judge that every manager lists and finds what was created, by name and id, until it is removed."""
    first, second = make(cluster, kind, value()), make(cluster, kind, value())
    word = WORDS[kind]
    taken = refusal(cluster.manager.ask, "POST", f"/{kind}/create", body=body(cluster, kind, b"x", name=first.name))
    assert taken, f"{cluster.manager} took a second {word} with the name {first.name}"
    for manager in cluster.managers:
        for made in (first, second):
            for filters in ({"name": [made.name]}, {"id": [made.id]}):
                listed = [entry["ID"] for entry in manager.ask("GET", f"/{kind}", filters=filters)]
                assert listed == [made.id], f"{manager} lists {listed} with the filter {filters}, not {made.id}"
            ids = {key: _got(manager, kind, key)["ID"] for key in (made.id, made.name, made.id[:20])}
            assert set(ids.values()) == {made.id}, f"on {manager}, the {made} is {made.id}, and is found as {ids}"
            shown = [(row["ID"], row["NAME"]) for row in table(accepted(manager, f"{word} ls"))]
            assert (made.id, made.name) in shown, f"docker {word} ls on {manager} does not show the {made}"
    cluster.manager.ask("DELETE", first.path)
    cluster.manager.ask("DELETE", f"/{kind}/{second.name}")
    for manager in cluster.managers:
        left = {entry["ID"] for entry in manager.ask("GET", f"/{kind}")} & {first.id, second.id}
        assert not left, f"{manager} still lists a {word} that was removed: {left}"
        gone = refusal(manager.ask, "GET", first.path)
        assert gone, f"{manager} still finds the {first}, which was removed"


def expect_kept_while_used(cluster: Swarm, kind: str) -> None:
    """Judge that what a service has is not removed, by whatever key, and that the refusal names the service."""
    made = make(cluster, kind, value())
    service = create(cluster, "user", **_given(kind, made.at("/held")))
    for manager in cluster.managers:
        for key in (made.id, made.name):
            refused = refusal(manager.ask, "DELETE", f"/{kind}/{key}")
            assert refused, f"{manager} removed the {made}, which {service} has"
            assert service.name in refused, f"{manager} refuses to remove the {made}, and not for {service}: {refused}"
    told = cluster.manager.docker(f"{WORDS[kind]} rm {made.name}")
    assert not told.ok, f"docker {WORDS[kind]} rm on {cluster.manager} removed the {made}, which {service} has"
    _got(cluster.manager, kind, made.id)
    service.remove()
    refused = refusal(cluster.manager.ask, "DELETE", made.path)
    assert not refused, f"no service has the {made} any more, and {cluster.manager} does not remove it: {refused}"


def expect_immutable(cluster: Swarm, kind: str) -> None:
    """Judge that labels can be changed, and nothing else; a task that comes later has the content as it was made."""
    made, manager = make(cluster, kind, value()), cluster.manager
    other = base64.b64encode(value().encode()).decode()
    for what, change in (("content", {"Data": other}), ("name", {"Name": cluster.unique("other")})):
        refused = refusal(manager.revise, made.path, lambda spec, change=change: spec.update(change))
        assert refused, f"{manager} took another {what} for the {made}"
    manager.revise(made.path, lambda spec: spec["Labels"].update(colour="blue"))
    for asked in cluster.managers:
        spec = _got(asked, kind, made.id)["Spec"]
        kept = spec["Name"], spec["Labels"].get("colour"), spec.get("Data", "")
        wanted = made.name, "blue", base64.b64encode(made.data).decode() if kind == "configs" else ""
        assert kept == wanted, f"{asked} has another name, label or content of the {made}: {kept[:2]}"
    service = create(cluster, "reader", **_given(kind, made.at("/held")))
    expect_content(cluster, service.expect_running(1), "/held", made)


def expect_whole_on_every_node(cluster: Swarm, kind: str) -> None:
    """Judge that tasks on all nodes read the same 500 KB."""
    made = make(cluster, kind, secrets.token_bytes(NEARLY))
    _, tasks = on_every_node(cluster, "reader", **_given(kind, made.at("/held")))
    expect_content(cluster, tasks, "/held", made)


def expect_limit(cluster: Swarm, kind: str) -> None:
    """Judge that content without a byte, and too much of it, is refused and not kept."""
    for size in (0, TOO_LARGE[kind]):
        spec = body(cluster, kind, b"x" * size)
        refused = refusal(cluster.manager.ask, "POST", f"/{kind}/create", body=spec)
        assert refused, f"{cluster.manager} took a {WORDS[kind]} of {size} bytes"
        listed = cluster.manager.ask("GET", f"/{kind}", filters={"name": [spec["Name"]]})
        assert not listed, f"{cluster.manager} refused a {WORDS[kind]} of {size} bytes, and lists it"


def expect_target(cluster: Swarm, kind: str) -> None:
    """Judge file, owner, group and mode in tasks on every node, as given and as by default, with docker's command."""
    given, plain = make(cluster, kind, value()), make(cluster, kind, value())
    word, name, manager = WORDS[kind], cluster.unique("reader"), cluster.manager
    place = "/etc/given/deep/file"
    options = f"--{word} source={given.name},target={place},uid=1001,gid=1002,mode=0440 --{word} {plain.name}"
    options += f" --mode global --label {cluster.label} --name {name} {cluster.image('idle')}"
    accepted(manager, f"{detached(manager, 'service create')} {options}")
    wanted = {place: (given, "440 1001 1002"), f"{DEFAULT[kind]}{plain.name}": (plain, "444 0 0")}
    tasks = cluster.service(name).expect_running(len(cluster.nodes))
    for path, (made, rights) in wanted.items():
        expect_content(cluster, tasks, path, made)
        for task in tasks:
            found = printed(cluster, task, f"stat -L -c '%a %u %g' {path}")
            assert found == rights, (
                f"in the task on {task.node}, {path} has mode, owner and group {found}, not {rights}"
            )


def expect_twice(cluster: Swarm, kind: str) -> None:
    """Judge that one service may have the same at two places."""
    made = make(cluster, kind, value())
    # With different modes, engines give both files the last one, which nobody promises otherwise.
    both = [made.at(path) for path in ("/first", "/second/copy")]
    _, tasks = on_every_node(cluster, "reader", **_given(kind, *both))
    for path in ("/first", "/second/copy"):
        expect_content(cluster, tasks, path, made)


def expect_rotated(cluster: Swarm, kind: str) -> Payload:
    """Judge that an update exchanges, adds and removes what tasks on every node have; return what is had no more."""
    old, new, more = (make(cluster, kind, value()) for _ in range(3))
    service, before = on_every_node(
        cluster, "reader", update=ONE_BY_ONE, **_given(kind, old.at("/same"), old.at("/dropped"))
    )
    expect_content(cluster, before, "/same", old)

    def exchange(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["ContainerSpec"][kind.capitalize()] = [new.at("/same"), more.at("/added")]

    service.update(exchange)
    tasks = expect_replaced(service, before)
    expect_content(cluster, tasks, "/same", new)
    expect_content(cluster, tasks, "/added", more)
    for task in tasks:
        still = cluster.probe(task).run("test -e /dropped").ok
        assert not still, f"the update removed {old} from the service, and the task on {task.node} still has /dropped"
    refused = refusal(cluster.manager.ask, "DELETE", old.path)
    assert not refused, f"no service has the {old} any more, and {cluster.manager} does not remove it: {refused}"
    return old
