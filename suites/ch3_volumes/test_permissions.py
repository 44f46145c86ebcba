"""3.3: read-only and read-write mounts."""

import pytest

from fixtures.claims import claim
from suites.support.mounts import inside

#: Every kind of write to a folder that holds `file` and `folder`.
WRITES = {
    "create a file": "echo x > /home/new",
    "append to a file": "echo x >> /home/file",
    "truncate a file": ": > /home/file",
    "delete a file": "rm -f /home/file",
    "rename a file": "mv /home/file /home/renamed",
    "change a file's mode": "chmod 777 /home/file",
    "change a file's owner": "chown 12345 /home/file",
    "make a folder": "mkdir /home/made",
    "remove a folder": "rmdir /home/folder",
    "link a file": "ln /home/file /home/linked",
}
_LISTING = "find . -printf '%p %m %U %s %l\\n' | sort; cat file"


@pytest.fixture(params=["volume", "folder"])
def source(request, node, bench):
    """The source of a mount (a named volume, or a folder of the node), and its path on the node."""
    if request.param == "volume":
        name = bench.volume("juming")
        place = node.ask("GET", f"/volumes/{name}")["Mountpoint"]
    else:
        name = place = bench.folder()
    bench.shell(f"cd {place} && echo kept > file && chmod 644 file && mkdir folder")
    return name, place


@claim("3.3/ro-refuses-writes")
def test_a_ro_mount_refuses_every_write_from_inside(node, bench, source):
    name, place = source
    box = bench.start("client", f"-v {name}:/home:ro")
    before = bench.shell(f"cd {place} && {_LISTING}")
    for what, command in WRITES.items():
        done = bench.execute(box, f"LC_ALL=C; {command}")
        assert not done.ok, f"on {node}, a container can {what} in the :ro mount of {name}"
        output = done.output.replace("\n", " ")
        assert "read-only file system" in output.lower(), f"on {node}, to {what} in a :ro mount fails with: {output}"
    after = bench.shell(f"cd {place} && {_LISTING}")
    assert after == before, f"on {node}, what a container did in the :ro mount of {name} changed it: {after!r}"


@claim("3.3/ro-follows-host")
def test_what_the_node_changes_is_visible_in_a_ro_mount(node, bench, source):
    name, place = source
    box = bench.start("client", f"-v {name}:/home:ro")
    found = inside(bench, box, "cat /home/file")
    assert found == "kept\n", f"on {node}, {name} holds 'kept', and a :ro mount of it shows {found!r}"
    bench.shell(f"cd {place} && echo changed > file && echo new > folder/new")
    found = inside(bench, box, "cat /home/file /home/folder/new")
    assert found == "changed\nnew\n", f"{node} changed {name} and made a file there; its :ro mount shows {found!r}"
    bench.shell(f"rm {place}/file")
    found = inside(bench, box, "ls /home")
    assert found == "folder\n", f"{node} removed a file of {name}; its :ro mount shows {found.split()}"


@claim("3.3/rw-allows-writes")
def test_rw_allows_writes_and_is_the_default(node, bench, source):
    name, place = source
    for mode in (":rw", ""):
        box = bench.start("client", f"-v {name}:/home{mode}")
        inside(bench, box, f"echo {mode or 'default'} >> /home/file && mkdir /home/made && rmdir /home/made")
        found = bench.shell(f"tail -n 1 {place}/file").strip()
        assert found == (mode or "default"), (
            f"on {node}, {name} mounted with '{mode}' was written to, and holds {found!r}"
        )
        (mount,) = bench.inspect(box)["Mounts"]
        assert mount["RW"], f"on {node}, {name} mounted with '{mode}' is listed as read-only"
