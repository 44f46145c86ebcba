"""5.1 and 5.3: the document's composetest, built and started by one command."""

import re

import pytest

from fixtures.claims import claim
from fixtures.cluster import on_one_node
from suites.support.commands import succeeded
from suites.support.compose_projects import COMPOSETEST, project, tools
from swarmlab.errors import Blocked
from swarmlab.wait import State, eventually


@pytest.fixture
def started(cluster, node, lab):
    """The example as each tool started it, with the command's result; started once on a node for all tests."""

    def start():
        bench = cluster.bench(node, kept=True)
        files = {file.name: file.read_text(encoding="utf-8") for file in COMPOSETEST.iterdir() if file.is_file()}
        projects = [project(bench, tool, files) for tool in tools(node, lab.declared(node.name).compose)]
        return [(made, made.compose("up -d")) for made in projects]

    return cluster.keep(("composetest", node.name), start)


@claim("5.1/one-file-many-services")
@on_one_node
def test_one_file_starts_containers_that_belong_together(started):
    for example in up(started):
        running = [container for container in example.containers() if container["State"]["Running"]]
        services = sorted(container["Config"]["Labels"]["com.docker.compose.service"] for container in running)
        assert services == ["redis", "web"], f"{example} must run web and redis; it runs {services}"
        networks = [set(container["NetworkSettings"]["Networks"]) for container in running]
        assert networks[0] & networks[1], f"the containers of {example} share no network: {networks}"
        assert networks[0] != {"bridge"}, f"the containers of {example} have no network of their own"


@claim("5.3/up")
@on_one_node
def test_up_builds_web_and_starts_it_with_redis(node, cluster, started):
    for example in up(started):
        (web,), (redis,) = one_of(example, "web"), one_of(example, "redis")
        for container in (web, redis):
            assert container["State"]["Running"], f"{container['Name']} of {example} is {container['State']['Status']}"
        built = node.ask("GET", f"/images/{web['Image']}/json")
        found = (built["Config"]["Cmd"], built["Config"]["WorkingDir"], "FLASK_APP=app.py" in built["Config"]["Env"])
        wanted = (["flask", "run"], "/code", True)
        assert found == wanted, f"web of {example} must be built from its Dockerfile; its image has {found}"
        pulled = node.ask("GET", f"/images/{cluster.image('redis')}/json")
        assert redis["Image"] == pulled["Id"], f"redis of {example} runs {redis['Config']['Image']}, not {pulled['Id']}"


@claim("5.3/counter")
@on_one_node
def test_the_page_counts_each_request(started):
    for example in up(started):
        count = first_answer(example)
        for expected in range(count + 1, count + 6):
            answer = example.node.get(example.port)
            got = counted(answer)
            assert got == expected, f"{example} was asked for the {expected}th time, and answers {first_line(answer)}"


@claim("5.3/service-name")
@on_one_node
def test_web_reaches_redis_by_its_service_name(started):
    for example in up(started):
        services = sorted(
            container["Config"]["Labels"]["com.docker.compose.service"] for container in example.containers()
        )
        assert "redis" in services, f"{example} has no service redis, by whose name web asks; it has {services}"
        (web,), (redis,) = one_of(example, "web"), one_of(example, "redis")
        held = {network["IPAddress"] for network in redis["NetworkSettings"]["Networks"].values()}
        found = "".join(example.node.execute(web["Id"], "getent ahostsv4 redis").out.split()[:1])
        assert found in held, f"in web of {example}, redis is {found or 'unknown'}, its container has {held}"
        count = first_answer(example)
        kept = example.node.execute(redis["Id"], "redis-cli get hits").out.strip()
        assert kept == str(count), f"web of {example} counted {count}, and its redis holds {kept or 'nothing'}"


@claim("5.3/retries")
@on_one_node
def test_web_answers_again_after_redis_was_restarted(node, started):
    for example in up(started):
        first_answer(example)
        (web,), (redis,) = one_of(example, "web"), one_of(example, "redis")
        done = node.docker(f"restart -t 2 {redis['Id']}")
        done.expect(f"docker restart of redis of {example}", error=AssertionError)
        eventually(
            lambda example=example: State(bool(counted(answer := example.node.get(example.port))), first_line(answer)),
            f"{example} to answer again after redis was restarted",
            deadline=30,
        )
        (now,) = one_of(example, "redis")
        assert now["State"]["StartedAt"] != redis["State"]["StartedAt"], f"redis of {example} was not restarted"
        (after,) = one_of(example, "web")
        same = all(after["State"][key] == web["State"][key] for key in ("StartedAt", "Pid"))
        assert same, f"web of {example} must answer again by itself, and was restarted"


def up(started):
    """Return the projects, all of which must be started."""
    for example, done in started:
        if "is unsupported" in done.output and not done.ok:
            raise Blocked(f"{example.tool} of {example.node} takes no file of the version that the document's has")
        succeeded(done, f"{example.tool} up on {example.node}")
    return [example for example, _ in started]


def one_of(example, service):
    """Return the one container of a service, in a list."""
    found = example.containers(service)
    assert len(found) == 1, f"{example} must have one container of {service}; it has {len(found)}"
    return found


def first_answer(example):
    """Return the count of the first answer; the page's server takes a moment to listen."""
    got = eventually(
        lambda: State(bool(counted(answer := example.node.get(example.port))), first_line(answer)),
        f"{example} to answer 'Hello World! I have been seen N times.'",
        deadline=30,
    ).summary
    return int(re.search(r"\d+", got)[0])


def counted(answer):
    """N of the document's answer; None if the answer is another."""
    found = re.fullmatch(r"Hello World! I have been seen (\d+) times\.\n", answer.body.decode(errors="replace"))
    return int(found[1]) if found and answer.ok else None


def first_line(answer):
    """Return the first line of an answer's body, or its error, for messages."""
    return answer.body.decode(errors="replace").strip().partition("\n")[0] if answer.ok else str(answer)
