"""On virtual machines made from Debian packages: what a stranger with an engine and an ordinary user would do.

`make proof-host` (hours where machines are emulated). The users are a member of the group docker, one with sudo and no
group, and one with neither. What was on the engine before has to be there afterwards, unchanged.
"""

from __future__ import annotations

import json
import time

import pytest

from swarmlab.verdicts import catalogue
from swarmlab.wait import wait
from tests.proof.host.machine import ADMIN, CHECKOUT, GUEST, MEMBER, SUITES, running

pytestmark = pytest.mark.lab

#: What an owner has on the engine before: two containers, one of them behind a published port, and rules of their own.
_OWNED = """
set -e
for image in /mnt/*.tar; do docker load --quiet --input $image; done
tar --create --directory /bin busybox | docker import - shop:1
docker network create --subnet 10.77.0.0/24 shop
docker volume create shop-data
docker run --rm --volume shop-data:/data shop:1 /busybox sh -c "echo kept > /data/index.html"
docker run --detach --name shop --restart always --network shop --publish 8080:80 --volume shop-data:/data shop:1 \
    /busybox httpd -f -p 80 -h /data
docker create --name stopped --label owner=shop shop:1 /busybox true
iptables --insert DOCKER-USER --source 10.9.9.9 --jump DROP
iptables --append INPUT --protocol tcp --dport 9999 --jump DROP
"""
#: All of this host that a run might change, and that does not change by itself.
_DUMP = {
    "containers": "docker ps --all --quiet --no-trunc | sort | xargs docker inspect --format"
    " '{{.Name}} {{.Id}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}} {{json .NetworkSettings}}'",
    "volumes": "docker volume ls --quiet | grep -v ^swarmlab- | sort | xargs docker volume inspect",
    "networks": "docker network ls --quiet --no-trunc | sort | xargs docker network inspect",
    "images": "docker image ls --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}' | sort",
    "rules": "iptables-save | sed -E 's/\\[[0-9]+:[0-9]+\\]//; /^#/d'",
    "rules for IPv6": "ip6tables-save | sed -E 's/\\[[0-9]+:[0-9]+\\]//; /^#/d'",
    "links": "ip -brief link",
    "routes": "ip route",
    "packages": "dpkg-query --show",
    "users": "getent passwd; getent group",
    "engine": "systemctl show --property MainPID docker.service; find /etc/docker",
    "settings": "sysctl -a 2>/dev/null | grep -E '^(net.ipv4.(ip_forward|conf.all|neigh.default)|vm.overcommit)'",
    "namespaces": "ip netns list; ls /run/netns 2>/dev/null",
    "answer": "busybox wget -q -O - http://127.0.0.1:8080/index.html",
}
#: The claims that no container was judged on where the kernel lacks IPVS.
_OF_THE_MESH = sorted(claim.id for claim in catalogue.load().of([catalogue.DOCUMENT]).values() if "ipvs" in claim.needs)


@pytest.fixture(scope="module", params=SUITES)
def host(request, tmp_path_factory):
    """A host with an engine that has work of its own, and the checkout of a user of the group docker."""
    suite = SUITES[request.param]
    with running(suite, tmp_path_factory.mktemp(suite.name)) as machine:
        assert machine.expect("root", "stat --file-system --format %T /sys/fs/cgroup").strip() == suite.cgroups
        assert machine.expect("root", "systemctl is-active docker").strip() == "active"
        machine.expect("root", _OWNED)
        place = f"cp -r /mnt/checkout {CHECKOUT} && chown -R {MEMBER}: {CHECKOUT}"
        machine.expect("root", place)
        # As the README says, with what would be downloaded on the second disk.
        begun = time.monotonic()
        machine.expect(MEMBER, f"cd {CHECKOUT} && PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt/wheels ./setup.sh")
        print(f"{suite.name}: setup.sh took {time.monotonic() - begun:.0f} s")
        machine.before = dump(machine)
        yield machine


def dump(machine):
    """Return all of a host that a run might change, by name."""
    return {name: machine.run("root", command).stdout for name, command in _DUMP.items()}


def judged(machine, user, *options):
    """Run the suites; return the exit status and the claims by their verdicts."""
    begun = time.monotonic()
    words = " ".join(options)
    ran = machine.run(user, f"cd {CHECKOUT} && .venv/bin/pytest suites/ {words} --reports ~/reports", seconds=4 * 3600)
    print(f"{machine.suite.name} {user}: {words}: {time.monotonic() - begun:.0f} s")
    found = {}
    for claim in json.loads(machine.expect(user, "cat ~/reports/latest/verdicts.json"))["claims"]:
        found.setdefault(claim["verdict"], {})[claim["id"]] = claim["reason"]
    return ran.returncode, found


def swarmlab(machine, user, words):
    return machine.run(user, f"cd {CHECKOUT} && .venv/bin/swarmlab {words}")


def test_a_user_of_the_group_docker_gets_the_smoke(host):
    status, found = judged(host, MEMBER, "--profile smoke")
    assert (status, set(found)) == (0, {"pass"}), found


def test_the_mesh_is_judged_in_containers(host):
    status, found = judged(host, MEMBER, "--catalogue document", *(f"--claim {claim}" for claim in _OF_THE_MESH))
    assert (status, sorted(found.get("pass", {}))) == (0, _OF_THE_MESH), found


def test_a_user_with_sudo_and_without_the_group_gets_the_smoke(host):
    status, found = judged(host, ADMIN, "--profile smoke")
    assert (status, set(found)) == (0, {"pass"}), found


@pytest.mark.parametrize("verb", ["status", "up", "doctor --host"])
def test_a_user_without_rights_is_told_the_ways_out(host, verb):
    told = swarmlab(host, GUEST, verb)
    said = told.stdout + told.stderr
    assert told.returncode != 0, said
    assert "Traceback" not in said
    for way in ("join the group docker", "run with sudo", "DOCKER_HOST="):
        assert way in said, said
    assert host.expect("root", _DUMP["packages"]) == host.before["packages"]


def test_a_lab_outlives_the_login_that_made_it(host):
    assert swarmlab(host, MEMBER, "up --name kept").returncode == 0
    try:
        number = host.expect("root", f"id -u {MEMBER}").strip()
        gone = f"test ! -e /run/user/{number}"
        wait(lambda: host.run("root", gone).returncode == 0, "the login's folder to go", deadline=120)
        stands = swarmlab(host, MEMBER, "status")
        assert stands.returncode == 0
        assert "kept" in stands.stdout
        assert not any(word in stands.stdout + stands.stderr for word in ("broken", "not answer", "Traceback"))
        status, found = judged(host, MEMBER, "--lab-name kept", "--claim 7.2.1/create-with-port")
        assert (status, set(found)) == (0, {"pass"}), found
    finally:
        ended = swarmlab(host, MEMBER, "down --name kept")
    assert ended.returncode == 0


def test_nothing_of_the_host_has_changed(host):
    after = dump(host)
    for name, was in host.before.items():
        assert after[name] == was, name
