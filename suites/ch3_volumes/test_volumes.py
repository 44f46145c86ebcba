"""3.2: volumes with and without a name."""

import json
import re
from datetime import datetime, timedelta, timezone

import pytest

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.mounts import inside, mounted
from suites.support.mounts import volume as known
from swarmlab.cluster.marks import unique
from swarmlab.wait import State, eventually


@pytest.fixture
def named(node, bench):
    """A name for a volume that ``-v`` makes, which is removed here: it gets no label of the suite."""
    name = unique("juming")
    yield name
    for box in node.containers(all=True, volume=name):
        bench.remove(box["Id"])
    node.docker(f"volume rm --force {name}")


@claim("3.2/anonymous-volume")
def test_v_with_a_path_alone_makes_a_volume_named_by_64_digits(node, bench):
    box = bench.start("web:1", "-v /etc/swc")
    mount = mounted(bench, box, "/etc/swc")
    assert mount["Type"] == "volume", f"on {node}, -v /etc/swc mounted a {mount['Type']}, not a volume"
    name = mount["Name"]
    assert re.fullmatch("[0-9a-f]{64}", name), f"on {node}, an anonymous volume is named {name}"
    volume = node.ask("GET", f"/volumes/{name}")
    assert volume["Driver"] == "local", f"on {node}, an anonymous volume has the driver {volume['Driver']}"
    inside(bench, box, "echo here > /etc/swc/file")
    kept = node.host.file(f"{volume['Mountpoint']}/file")
    assert kept.exists, f"what was written to an anonymous volume is not at {volume['Mountpoint']} of {node}"


@claim("3.2/random-port")
@pytest.mark.touches("publish ports of the engine's choice")
def test_P_publishes_each_exposed_port_on_a_random_one(node, bench):
    boxes = [bench.start("web:1", "-P --expose 8080") for _ in range(2)]
    given = []
    for box in boxes:
        ports = bench.inspect(box)["NetworkSettings"]["Ports"]
        assert set(ports) == {"80/tcp", "8080/tcp"}, f"on {node}, ports 80 and 8080 are exposed, -P published {ports}"
        for exposed, published in ports.items():
            hosts = {int(binding["HostPort"]) for binding in published or []}
            assert hosts, f"on {node}, -P did not publish the exposed {exposed}"
            given += hosts
        port = int(ports["80/tcp"][0]["HostPort"])
        id = bench.inspect(box)["Id"]
        eventually(
            lambda port=port, id=id: State((answer := node.get(port)).container == id[:12], str(answer)),
            f"the container on {node} to answer on the random port {port}",
            deadline=10,
        )
    assert len(set(given)) == len(given), f"on {node}, -P gave one port twice: {given}"
    assert not {80, 8080}.intersection(given), f"on {node}, -P published an exposed port as itself: {given}"


@claim("3.2/volume-ls")
def test_volume_ls_lists_volumes_with_and_without_name(node, bench):
    box = bench.start("client", "-v /anonymous")
    wanted = {mounted(bench, box, "/anonymous")["Name"], bench.volume("named")}
    header, *rows = accepted(node, "volume ls").splitlines()
    assert header.split() == ["DRIVER", "VOLUME", "NAME"], (
        f"docker volume ls on {node} has the columns {header.split()}"
    )
    listed = dict(reversed(row.split()) for row in rows)
    for name in wanted:
        assert listed.get(name) == "local", (
            f"docker volume ls on {node} shows {name} as {listed.get(name, 'not there')}"
        )


@claim("3.2/named-volume")
def test_v_with_a_name_makes_a_volume_of_that_name(node, bench, named):
    assert not known(node, named), f"{node} has a volume {named} before it was made"
    box = bench.start("client", f"-v {named}:/home")
    mount = mounted(bench, box, "/home")
    made = (mount["Type"], mount.get("Name"))
    assert made == ("volume", named), f"on {node}, -v {named}:/home mounted {made}"
    assert known(node, named), f"on {node}, -v {named}:/home made no volume of that name"


@claim("3.2/volume-inspect")
def test_volume_inspect_shows_when_driver_scope_and_mount_point(node, named):
    clock = datetime.fromtimestamp(float(node.run("date +%s").out), timezone.utc)
    accepted(node, f"volume create {named}")
    (shown,) = json.loads(accepted(node, f"volume inspect {named}"))
    wanted = {"Name": named, "Driver": "local", "Scope": "local"}
    found = {key: shown.get(key) for key in wanted}
    assert found == wanted, f"docker volume inspect on {node} shows {found}, not {wanted}"
    assert shown.get("CreatedAt"), f"docker volume inspect on {node} does not show when a volume was made: {shown}"
    created = datetime.fromisoformat(re.sub(r"\.\d+", "", shown["CreatedAt"]).replace("Z", "+00:00"))
    off = abs(created - clock)
    assert off < timedelta(minutes=2), f"{node} has {clock}, and shows a volume made just now as of {created}"
    place = node.host.file(shown["Mountpoint"])
    assert place.is_directory, f"docker volume inspect on {node} shows {shown['Mountpoint']}, which is no folder there"


@claim("3.2/mountpoint")
def test_a_volumes_data_lies_below_the_engines_root(node, bench, named):
    root = node.info()["DockerRootDir"]
    box = bench.start("client", f"-v {named}:/home")
    inside(bench, box, "echo here > /home/file")
    place = f"{root}/volumes/{named}/_data"
    shown = node.ask("GET", f"/volumes/{named}")["Mountpoint"]
    assert shown == place, f"{node} keeps its data in {root}, lists a volume at {shown}, not at {place}"
    file = node.host.file(f"{place}/file")
    assert file.exists, f"what was written to a volume is not in {place} of {node}"
    assert file.content_string == "here\n", f"{place}/file of {node} holds {file.content_string!r}"
    standard = {"/var/lib/docker", node.run("readlink -f /var/lib/docker").out.strip()}
    assert moved(node) or root in standard, f"{node} has no data-root set, and keeps its data in {root}"


def moved(node):
    """Whether the engine's settings, in its file or on its command line, move its data or change where it is."""
    started = node.run("tr '\\0' ' ' < /proc/$(pgrep -o -x dockerd)/cmdline").out
    named = re.search(r"--config-file[= ](\S+)", started)
    file = node.host.file(named[1] if named else "/etc/docker/daemon.json")
    settings = file.content_string if file.exists else ""
    words = ("data-root", "graph", "userns-remap")
    by_option = re.search(r" (--data-root|--graph|-g|--userns-remap|--rootless)\b", started)
    return bool(by_option) or any(f'"{word}"' in settings for word in words)


@claim("3.2/named-volume-persists")
def test_a_named_volumes_data_is_there_in_the_next_container(node, bench, named):
    first = bench.start("client", f"-v {named}:/home")
    inside(bench, first, "mkdir /home/folder && echo kept > /home/folder/file")
    bench.remove(first)
    assert known(node, named), f"on {node}, the named volume went with its container"
    second = bench.start("client", f"-v {named}:/mnt")
    got = inside(bench, second, "cat /mnt/folder/file || :")
    assert got == "kept\n", f"on {node}, 'kept' was written to a named volume, the next container reads {got!r}"
