"""4.3: what each instruction of a Dockerfile does."""

import pytest

from fixtures.claims import claim
from suites.support.builders import from_base
from swarmlab.wait import State, eventually

#: The layer that holds nothing: the digest of an empty archive.
_EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"


@claim("4.3/from")
def test_the_layers_begin_with_the_bases(bench, all_builders):
    for builder in all_builders:
        built = layers(builder, builder.build({"Dockerfile": from_base(bench) + "RUN echo more > /more\n"}))
        base = layers(builder, bench.image("client"))
        assert built[: len(base)] == base, f"{builder} built FROM {bench.image('client')} on other layers: {built}"
        assert len(built) > len(base), f"{builder} added nothing to the layers of {bench.image('client')}"


@claim("4.3/run-shell-form")
def test_run_goes_through_a_shell(bench, all_builders):
    text = from_base(bench) + "RUN word=shell && echo $word-$HOME > /shell && false || echo or >> /shell\n"
    for builder in all_builders:
        found = builder.shows(builder.build({"Dockerfile": text}), "cat /shell").split("\n")
        assert found == ["shell-/root", "or"], f"{builder} ran a RUN with a variable and && as {found}"


@claim("4.3/run-exec-form")
def test_run_of_a_list_goes_through_no_shell(bench, all_builders):
    text = from_base(bench) + 'RUN ["mkdir", "/made"]\nRUN ["touch", "/made/$HOME && true"]\n'
    for builder in all_builders:
        found = builder.shows(builder.build({"Dockerfile": text}), "ls /made")
        assert found == "$HOME && true", f"{builder} must leave '$HOME && true' as written, and made {found!r} of it"


@claim("4.3/workdir")
def test_workdir_sets_the_folder_of_what_follows(bench, all_builders):
    text = from_base(bench) + "WORKDIR /code\nRUN pwd > /ran\nCOPY file .\nWORKDIR below\nRUN pwd >> /ran\n"
    for builder in all_builders:
        image = builder.build({"Dockerfile": text, "file": "copied\n"})
        found = builder.shows(image, "cat /ran /code/file; pwd").split()
        wanted = ["/code", "/code/below", "copied", "/code/below"]
        assert found == wanted, f"{builder}: RUN, COPY and the container must be in {wanted}; they are in {found}"


@claim("4.3/env")
def test_env_is_in_the_containers_environment(bench, all_builders):
    text = from_base(bench) + 'ENV FLASK_APP=app.py\nENV SWC_WORDS="two words"\nRUN echo $FLASK_APP > /built\n'
    for builder in all_builders:
        image = builder.build({"Dockerfile": text})
        found = builder.shows(image, 'echo "$FLASK_APP,$SWC_WORDS"; cat /built').split("\n")
        assert found == ["app.py,two words", "app.py"], f"{builder}: ENV sets two values; the container has {found}"


@claim("4.3/copy")
def test_copy_puts_files_of_the_context_into_the_image(bench, all_builders):
    text = from_base(bench) + "COPY one.txt /named.txt\nCOPY folder /folder\n"
    files = {"one.txt": "one\n", "folder/two.txt": "two\n", "folder/below/three.txt": "three\n", "left.txt": "left\n"}
    for builder in all_builders:
        image = builder.build({"Dockerfile": text, **files})
        show = "cat /named.txt /folder/two.txt /folder/below/three.txt; [ ! -e /left.txt ] || echo left"
        found = builder.shows(image, show)
        assert found.split()[:3] == ["one", "two", "three"], f"{builder}: COPY of three files put there {found!r}"
        assert found.split()[3:] == [], f"{builder} copied a file that no COPY names"


@claim("4.3/expose")
@pytest.mark.touches("publish ports of the engine's choice")
def test_expose_records_the_port_that_P_publishes(node, bench, all_builders):
    text = from_base(bench) + 'EXPOSE 80\nCMD ["web"]\n'
    for builder in all_builders:
        image = builder.build({"Dockerfile": text})
        recorded = list(builder.image(image)["Config"].get("ExposedPorts") or {})
        assert recorded == ["80/tcp"], f"{builder}: EXPOSE 80 is recorded as {recorded}"
        box = bench.start(image, "-P")
        ports = bench.inspect(box)["NetworkSettings"]["Ports"].get("80/tcp")
        assert ports, f"on {node}, -P does not publish the exposed port of what {builder} built"
        eventually(
            lambda port=int(ports[0]["HostPort"]): State((answer := node.get(port)).ok, str(answer)),
            f"the published port of what {builder} built to answer",
            deadline=10,
        )


@claim("4.3/cmd")
def test_cmd_is_the_default_that_arguments_replace(bench, all_builders):
    text = from_base(bench) + 'CMD ["echo", "first"]\nCMD ["echo", "default"]\n'
    for builder in all_builders:
        image = builder.build({"Dockerfile": text})
        for command, wanted in (("", "default"), ("echo other", "other")):
            box = bench.start(image, "--log-driver json-file", command)
            given = f"with the words {command}" if command else "without words"
            eventually(
                lambda box=box, wanted=wanted: State((found := printed(bench, box)) == wanted, repr(found)),
                f"what {builder} built to say {wanted!r} {given}",
                deadline=10,
            )


@claim("4.3/layers")
def test_each_change_of_the_file_system_is_one_layer(bench, all_builders):
    joined = {
        "RUN echo 1 > /1 && echo 2 > /2": 1,
        "RUN echo 1 > /1\nRUN echo 2 > /2": 2,
        "COPY one /one\nADD two /two": 2,
        'ENV A=1\nEXPOSE 80\nLABEL b=2\nCMD ["true"]': 0,
        "WORKDIR /new": 1,
        "WORKDIR /etc": 0,
    }
    base = len(layers(all_builders[0], bench.image("client")))
    for builder in all_builders:
        for instructions, wanted in joined.items():
            text = from_base(bench) + instructions + "\n"
            image = builder.build({"Dockerfile": text, "one": "1\n", "two": "2\n"})
            added = [layer for layer in layers(builder, image)[base:] if layer != _EMPTY]
            line = instructions.replace("\n", " / ")
            assert len(added) == wanted, f"{builder}: {line} adds {wanted} layers, added are {len(added)}"


def layers(builder, image):
    """Return the digests of an image's layers."""
    return builder.image(image)["RootFS"]["Layers"]


def printed(bench, box):
    """Return a container's output, from the engine's log: the command line may lose the output of a short run."""
    return bench.node.docker(f"logs {box}").output.strip()
