"""1.3.2: the first container, of the hello image."""

import pytest

from fixtures.claims import claim
from suites.support.commands import last, succeeded
from suites.support.swarm_events import now
from swarmlab.errors import Blocked, EngineRefused
from swarmlab.wait import State, eventually

GREETING = "Hello from Docker!"


@claim("1.3.2/hello-world")
def test_hello_image_greets_and_leaves_no_container(node, bench):
    reference = bench.reference("hello")
    before = containers(node, reference)
    eventually(lambda: greeted(bench), f"docker run --rm of hello on {node} to greet and to end with 0", deadline=5)
    eventually(
        lambda: State(not (left := containers(node, reference) - before), f"left is {sorted(left)}"),
        f"docker run --rm on {node} to leave no container",
        deadline=5,
    )


@claim("1.3.2/first-run-pulls")
@pytest.mark.cluster(bare=True)
def test_first_run_of_an_image_pulls_it_and_the_second_does_not(node, bench):
    forget(node, bench.reference("hello"))
    for run, wanted in (("first", True), ("second", False)):
        begun = now(node)
        done = bench.run("hello")
        succeeded(done, f"the {run} run of hello on {node}")
        pulls = pulled(node, bench.reference("hello"), begun)
        if wanted:
            assert pulls, f"{node} lacked the image hello, and its first run pulled nothing"
        else:
            assert not pulls, f"{node} had the image hello, and its second run pulled it: {pulls}"


def greeted(bench):
    """Run hello; whether it greeted. Each poll runs it, as a busy command line may lose the output of a short run."""
    done = bench.run("hello")
    summary = f"it printed {done.out.strip()!r}" if done.ok else f"it ended with {done.code}: {last(done)}"
    return State(done.ok and GREETING in done.out.splitlines(), summary)


def containers(node, image):
    """Return the ids of the node's containers of an image, running or not."""
    return {container["Id"] for container in node.containers(all=True) if container["Image"] == image}


def forget(node, image):
    """Remove an image from the node.

    Raises:
        Blocked: a container uses it.
    """
    try:
        node.ask("DELETE", f"/images/{image}")
    except EngineRefused as refused:
        if refused.status == 409:
            raise Blocked(f"the image {image} is in use on {node}: {refused.explanation}") from refused
        if refused.status != 404:
            raise
    try:
        node.ask("GET", f"/images/{image}/json")
    except EngineRefused as refused:
        if refused.status == 404:
            return
        raise
    pytest.fail(f"{node} removed the image {image}, and still has it")


def pulled(node, image, since):
    """Return the ids in the engine's events of pulls of *image*, from *since* to now."""
    events = node.events(since, now(node), {"type": ["image"], "event": ["pull"]})
    return [event["Actor"]["ID"] for event in events if event["Actor"]["ID"].startswith(image)]
