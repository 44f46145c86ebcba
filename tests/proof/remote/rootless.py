"""A rootless engine of Debian's packages, in namespaces of its own, of a user that this machine does not know."""

import contextlib
import shutil
from pathlib import Path

from swarmlab.labs.answering import engine_at
from swarmlab.wait import State, wait
from tests.proof.remote.far import PERSON, Machine, as_person, end, show_python

_SCRIPT = "/usr/share/docker.io/contrib/dockerd-rootless.sh"
#: What it needs, with the package of each.
_PROGRAMS = {"rootlesskit": "rootlesskit", "slirp4netns": "slirp4netns", "newuidmap": "uidmap"}
#: Accounts, and devices that this machine may give to root alone; both are seen in the engine's namespace only.
_OWN = """
runtime=/run/user/$1 etc=/run/etc
mkdir -p "$runtime" "$etc" && chown "$1:$1" "$runtime" && chmod 700 "$runtime"
cp /etc/passwd /etc/group "$etc"
echo "person:x:$1:$1::$2:/bin/sh" >> "$etc/passwd"
echo "person:x:$1:" >> "$etc/group"
for part in subuid subgid; do echo person:200000:65536 > "$etc/$part"; done
chmod 644 "$etc"/*
for part in passwd group subuid subgid; do mount --bind "$etc/$part" "/etc/$part"; done
mknod /run/tun c 10 200 && chmod 666 /run/tun && mount --bind /run/tun /dev/net/tun
"""


@contextlib.contextmanager
def rootless(folder: Path):
    """Yield the machine of a rootless engine that answers, and its address there."""
    lacking = [package for program, package in _PROGRAMS.items() if not shutil.which(program)]
    lacking += [] if Path(_SCRIPT).exists() else ["docker.io"]
    assert not lacking, f"install {' '.join(lacking)}"
    home = folder / "rootless"
    home.mkdir()
    shutil.chown(home, PERSON, PERSON)
    runtime = f"/run/user/{PERSON}"
    machine = Machine("rootless")
    try:
        machine.run("sh", "-euc", _OWN, "sh", PERSON, home)
        show_python(machine)
        environment = ["env", "-i", f"HOME={home}", f"XDG_RUNTIME_DIR={runtime}", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        log = folder / "rootless.log"
        daemon = machine.start(*as_person(), *environment, _SCRIPT, log=log)
        try:
            # From here its socket is below the root of one of its processes.
            url = f"unix:///proc/{machine.holder.pid}/root{runtime}/docker.sock"

            def up() -> State:
                ready = "API listen on" in log.read_text()
                return State(ready, log.read_text()[-300:], hopeless=daemon.poll() is not None)

            wait(up, "the rootless engine to answer", deadline=90)
            engine_at(url, timeout=20).close()
            yield machine, f"unix://{runtime}/docker.sock"
        finally:
            end(daemon)
    finally:
        machine.close()
