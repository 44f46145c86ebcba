"""4.1 and 4.2: images made of a container, and of a Dockerfile with its context."""

import re

import pytest

from fixtures.claims import claim
from fixtures.cluster import on_one_node
from suites.support.accounts import NO_QUESTIONS, ssh_port
from suites.support.builders import BUILDKIT, from_base
from suites.support.commands import accepted, succeeded
from swarmlab.cluster.marks import unique

#: Bytes of the file that no instruction uses.
_USELESS = 4_000_000
_UNITS = {"b": 1, "kb": 1e3, "mb": 1e6}


@claim("4.1/commit")
def test_commit_makes_an_image_that_holds_the_change(node, bench):
    box = bench.start("client")
    bench.execute(box, "mkdir -p /opt/installed && echo changed > /opt/installed/file")
    image = unique("image")
    accepted(node, f"commit {box} {image}")
    found = bench.execute(bench.start(image), "cat /opt/installed/file")
    assert found.out == "changed\n", f"on {node}, a container was changed, and the image of it holds {found.output!r}"
    base = bench.execute(bench.start("client"), "[ ! -e /opt/installed ]")
    assert base.ok, f"on {node}, docker commit changed the image that the container was made of"


@claim("4.2/build-tag")
def test_build_gives_exactly_the_name_and_tag(node, bench, all_builders):
    for builder in all_builders:
        name = unique("mycentos")
        folder = bench.folder({"Dockerfile": from_base(bench)})
        done = builder.run(folder, f"--label {bench.label} -t {name}:v1 .")
        succeeded(done, f"{builder}")
        listed = tags(node, name)
        assert listed == [f"{name}:v1"], f"{builder} must name the image {name}:v1; it named {listed or 'none'}"


@claim("4.2/default-file")
def test_the_file_named_dockerfile_is_built_when_none_is_named(bench, all_builders):
    files = {
        "Dockerfile": from_base(bench) + "ENV SWC_FILE=Dockerfile\n",
        "other": from_base(bench) + "ENV SWC_FILE=other\n",
        "below/Dockerfile": from_base(bench) + "ENV SWC_FILE=below\n",
    }
    for builder in all_builders:
        built = [word for word in builder.image(builder.build(files))["Config"]["Env"] if word.startswith("SWC_FILE=")]
        assert built == ["SWC_FILE=Dockerfile"], f"{builder} must build the file Dockerfile, and built {built}"


@claim("4.2/context-is-sent")
@on_one_node
def test_a_useless_file_makes_the_transfer_larger(bench, all_builders):
    for builder in all_builders:
        sent = {}
        for used in ("nothing", "the context"):
            text = from_base(bench) + ("COPY . /context\n" if used == "the context" else "COPY small /small\n")
            for useless in (False, True):
                folder = bench.folder({"Dockerfile": text, "small": f"{unique('text')}\n"})
                if useless:
                    bench.shell(f"head -c {_USELESS} /dev/urandom > {folder}/useless")
                plain = "--progress=plain" if builder.name == BUILDKIT else ""
                done = builder.run(folder, f"--no-cache {plain} --label {bench.label} -t {unique('image')} .")
                succeeded(done, f"{builder}")
                sent[used, useless] = transferred(done.output)
        grown = {used: sent[used, True] - sent[used, False] for used in ("nothing", "the context")}
        # The classic builder sends everything; BuildKit only what an instruction uses (see the claim's erratum).
        wanted = {"nothing": builder.name != BUILDKIT, "the context": True}
        for used, large in wanted.items():
            sizes = f"it was {sent[used, False]:.0f} bytes without, {sent[used, True]:.0f} with it"
            case = f"{builder} sends a context of which {used} is used; a useless file has {_USELESS} bytes"
            assert (grown[used] > 0.9 * _USELESS) == large, f"{case}, and {sizes}"


@pytest.mark.parametrize("way", ["above", "absolute", "link"])
@claim("4.2/outside-context-refused")
def test_a_file_outside_the_context_is_not_copied(node, bench, all_builders, way):
    for builder in all_builders:
        outside = bench.folder({"secret": "secret\n"})
        source = {"above": "../secret", "absolute": f"{outside}/secret", "link": "link"}[way]
        bench.write(f"{outside}/context/Dockerfile", from_base(bench) + f"COPY {source} /copied\n")
        bench.shell(f"ln -s ../secret {outside}/context/link")
        name = unique("image")
        done = builder.run(f"{outside}/context", f"--no-cache --label {bench.label} -t {name} .")
        assert not done.ok, f"{builder} copied {source}, which is outside the context"
        made = [
            image["RepoTags"]
            for image in node.ask("GET", "/images/json")
            if f"{name}:latest" in (image["RepoTags"] or [])
        ]
        assert not made, f"{builder} refused to copy {source}, and made the image {made}"


@claim("4.2/remote-engine")
@on_one_node
def test_a_client_on_another_machine_builds_from_its_own_files(cluster, node, bench, all_builders, user):
    client = next((listed for listed in cluster.nodes if listed is not node), node)
    for builder in all_builders:
        text = from_base(bench) + "COPY local /local\n"
        content = unique("content")
        folder = cluster.bench(client).folder({"Dockerfile": text, "local": content})
        name = unique("image")
        command = f"{builder.setting} docker build --no-cache --label {bench.label} -t {name} ."
        done = client.run(f"cd {folder} && {through(node, command, user)}", user=user)
        succeeded(done, f"from {client}, {builder}")
        tags = [tag for listed in node.ask("GET", "/images/json") for tag in listed["RepoTags"] or []]
        assert f"{name}:latest" in tags, (
            f"{client} had {node} build, {builder} ended well, and {node} has no image of it"
        )
        found = builder.shows(name, "cat /local")
        assert found == content, f"{client} built on {node} from its own file {content!r}, the image holds {found!r}"
        if client is not node:
            elsewhere = [
                listed for listed in client.ask("GET", "/images/json") if f"{name}:latest" in (listed["RepoTags"] or [])
            ]
            assert not elsewhere, f"{client} built on {node}, and has the image itself"
            assert not node.host.file(f"{folder}/local").exists, f"{node} has the file of {client} itself"
        client.run(f"rm -rf {folder}")


@claim("4.2/context-argument")
def test_build_without_a_context_is_refused(node, bench, all_builders):
    for builder in all_builders:
        name = unique("image")
        folder = bench.folder({"Dockerfile": from_base(bench)})
        done = builder.run(folder, f"--label {bench.label} -t {name}")
        assert not done.ok, f"{builder} was given no context, and did not refuse"
        made = [
            image["RepoTags"]
            for image in node.ask("GET", "/images/json")
            if f"{name}:latest" in (image["RepoTags"] or [])
        ]
        assert not made, f"{builder} refused to build without a context, and made the image {made}"


def through(node, command, user):
    """Return *command* for a shell of another machine, so that it asks the engine of *node* as the cluster user.

    The engine's socket is forwarded by ssh, which every command line can use; ssh:// came later. The user's
    known_hosts stays as it is.
    """
    there = f"{NO_QUESTIONS} -p {ssh_port(node)} -S $way/control {user}@{node.address}"
    forward = f"ssh -f -N -M -o ExitOnForwardFailure=yes -L $way/engine:/var/run/docker.sock {there}"
    return (
        f"way=$(mktemp -d); {{ {forward} </dev/null >$way/said 2>&1 || {{ cat $way/said; false; }}; }}"
        f" && DOCKER_HOST=unix://$way/engine {command};"
        f" code=$?; ssh -O exit {there} 2>/dev/null; rm -r $way; exit $code"
    )


def tags(node, name):
    """Return the tags of this name on a node."""
    return [tag for image in node.ask("GET", "/images/json") for tag in image["RepoTags"] or [] if name in tag]


def transferred(printed):
    """Return bytes of the context in the output of a build; the largest number where the output counts up."""
    form = r"(?:build context to Docker daemon|transferring context:)\s+([\d.]+)\s*([kM]?B)"
    counts = [float(number) * _UNITS[unit.lower()] for number, unit in re.findall(form, printed)]
    assert counts, f"the command line does not print how much it sends: {printed[-200:]!r}"
    return max(counts)
