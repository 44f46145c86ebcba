"""3.4 and 3.5: volumes that an image declares, and containers that share another's volumes."""

import re

import pytest

from fixtures.claims import claim
from suites.support.builders import CLASSIC, builders
from suites.support.commands import accepted, succeeded
from suites.support.mounts import inside, mounted
from swarmlab.cluster.marks import unique

#: The document's dockerfile1; its base is another, and the label is the suite's.
DOCKERFILE = """FROM {base}
LABEL {label}=
VOLUME ["volume01","volume02"]
CMD echo "--------- end ---------"
CMD /bin/bash
"""
PLACES = ("/volume01", "/volume02")


@pytest.fixture
def built(cluster, node):
    """The image of the document's dockerfile1, built once on each node for all tests."""

    def build():
        bench = cluster.bench(node, kept=True)
        return build_documented(bench, bench.folder({"dockerfile1": dockerfile(bench)}))

    return cluster.keep(("uchin_centos", node.name), build)


def dockerfile(bench):
    return DOCKERFILE.format(base=bench.image("client"), label=bench.label)


def build_documented(bench, folder, setting=""):
    """Build *folder* with the document's command, after the assignment that chooses a builder, if it is given.

    Returns:
        The image's name, and the command's output.
    """
    name = unique("uchin_centos")
    # Pull the base first: engines differ in whether the pull of a build keeps the image.
    accepted(bench.node, f"pull {bench.image('client')}")
    command = f"docker build -f dockerfile1 -t {name} ."
    done = bench.node.run(f"cd {folder} && {setting} {command}")
    succeeded(done, f"on {bench.node}, {command}")
    return name, done.output


@claim("3.4/image-volumes")
def test_each_volume_of_an_image_is_anonymous_in_every_container(node, bench, built):
    image, _ = built
    found = set()
    for box in (bench.start(image, "-t", "/bin/bash"), bench.start(image, "-t", "/bin/bash")):
        for place in PLACES:
            mount = mounted(bench, box, place)
            name = mount.get("Name", "")
            assert mount["Type"] == "volume", f"on {node}, {place} is a {mount['Type']}, not a volume"
            assert re.fullmatch("[0-9a-f]{64}", name), f"on {node}, {place} is the volume {name}, not an anonymous one"
            assert name not in found, f"on {node}, two paths or two containers of an image have the volume {name}"
            found.add(name)


@claim("3.4/image-volumes-sync")
def test_its_content_is_the_same_inside_and_on_the_node(node, bench, built):
    image, _ = built
    box = bench.start(image, "-t", "/bin/bash")
    for place in PLACES:
        source = mounted(bench, box, place)["Source"]
        inside(bench, box, f"echo {place} > {place}/inside")
        found = node.run(f"cat {source}/inside").out.strip()
        assert found == place, f"on {node}, what was written in {place} is not at its mount point {source}: {found!r}"
        bench.shell(f"echo outside > {source}/outside && rm {source}/inside")
        found = inside(bench, box, f"ls {place} && cat {place}/outside")
        assert found == "outside\noutside\n", f"on {node}, what {source} has is not in {place}: {found!r}"


@claim("3.4/build-file-option")
def test_build_takes_the_file_and_the_name_that_it_is_given(node, bench):
    other = f"{dockerfile(bench)}ENV SWC_FILE=Dockerfile\n"
    folder = bench.folder({"dockerfile1": other.replace("=Dockerfile", "=dockerfile1"), "Dockerfile": other})
    name, _ = build_documented(bench, folder)
    image = node.ask("GET", f"/images/{name}/json")
    assert f"{name}:latest" in image["RepoTags"], f"on {node}, -t {name} gave an image named {image['RepoTags']}"
    found = [word for word in image["Config"]["Env"] if word.startswith("SWC_FILE=")]
    assert found == ["SWC_FILE=dockerfile1"], f"on {node}, build -f dockerfile1 built from another file: {found}"


@claim("3.4/commands-are-steps")
def test_each_instruction_is_a_step_and_an_entry_of_the_history(cluster, node, bench):
    base = bench.image("client")
    text = dockerfile(bench)
    count = len(text.splitlines())
    folder = bench.folder({"dockerfile1": text})
    # Steps are judged with the classic builder: BuildKit shows none for metadata alone (see the claim's erratum).
    for builder in builders(cluster, bench):
        name, output = build_documented(bench, folder, builder.setting)
        steps = re.findall(r"^Step (\d+)/(\d+) : (\S+)", output, re.MULTILINE)
        if builder.name == CLASSIC:
            wanted = [(str(place), str(count), line.split()[0]) for place, line in enumerate(text.splitlines(), 1)]
            assert steps == wanted, f"on {node}, a Dockerfile of {count} instructions was built in the steps {steps}"
        entries = [entry["CreatedBy"] for entry in node.ask("GET", f"/images/{name}/history")]
        older = [entry["CreatedBy"] for entry in node.ask("GET", f"/images/{base}/history")]
        added = entries[: len(entries) - len(older)]
        own = text.splitlines()[1:]
        assert entries[len(added) :] == older, f"on {node}, the history of {name} does not go on with that of its base"
        assert len(added) == len(own), f"on {node}, {len(own)} instructions behind FROM gave the entries {added}"
        for instruction, entry in zip(reversed(own), added, strict=True):
            assert instruction.split()[0] in entry, f"on {node}, {instruction} stands in the history as {entry}"


@claim("3.5/volumes-from")
def test_containers_share_volumes_both_ways(node, bench, built):
    image, _ = built
    first = bench.start(image, "-t", "/bin/bash")
    second = bench.start(image, f"-t --volumes-from {first}", "/bin/bash")
    for place in PLACES:
        for writing, reading in ((first, second), (second, first)):
            inside(bench, writing, f"echo {writing} > {place}/{writing}")
            found = bench.execute(reading, f"cat {place}/{writing}").out.strip()
            assert found == writing, f"on {node}, --volumes-from shares {place}; written was {writing}, read {found!r}"


@claim("3.5/volumes-from-other-image")
def test_sharing_containers_may_have_different_images(node, bench, built):
    image, _ = built
    first = bench.start(image, "-t", "/bin/bash")
    second = bench.start("redis", f"--volumes-from {first}")
    images = {bench.inspect(box)["Image"] for box in (first, second)}
    assert len(images) == 2, f"on {node}, the two containers have the same image"
    for writing, reading in ((first, second), (second, first)):
        inside(bench, writing, f"echo {writing} > {PLACES[0]}/{writing}")
        found = bench.execute(reading, f"cat {PLACES[0]}/{writing}").out.strip()
        assert found == writing, f"on {node}, containers of two images share a volume; {writing} is read as {found!r}"


@claim("3.5/volumes-outlive-parent")
def test_shared_data_is_there_after_the_first_container_is_removed(node, bench, built):
    image, _ = built
    first = bench.start(image, "-t", "/bin/bash")
    inside(bench, first, f"echo kept > {PLACES[0]}/file")
    second = bench.start(image, f"-t --volumes-from {first}", "/bin/bash")
    accepted(node, f"rm --force {first}")
    found = bench.execute(second, f"cat {PLACES[0]}/file").out
    assert found == "kept\n", f"on {node}, shared data was 'kept', and with the first container removed is {found!r}"
    third = bench.start(image, f"-t --volumes-from {second}", "/bin/bash")
    found = bench.execute(third, f"cat {PLACES[0]}/file").out
    assert found == "kept\n", f"on {node}, a third container must share 'kept' of the second, and reads {found!r}"
