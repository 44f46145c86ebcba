"""6.2: Portainer. The faults of its program are those of the double."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.claims.faults.ch5 import wrap_compose
from tests.proof.planting import reword, wrap

FAULTS = [
    ClaimFault(
        "Portainer hides a node, forgets its settings, and takes a second administrator",
        {
            "6.2/portainer-shows-swarm": r"Portainer on master does not show the nodes \['\w",
            "6.2/settings-survive": "Portainer on master forgot its administrator",
            "6.2/portainer-first-login": "Portainer on master lets a second visitor set an administrator",
        },
        portainer=("hides", "forgets", "again"),
        run="portainer a",
    ),
    ClaimFault(
        "Portainer speaks TLS on its port",
        {
            "6.2/portainer-run": "started by docker run on master, to answer on port 9000: .*HTTP 400",
            "6.2/portainer-compose": "started by docker-compose on master, to answer on port 9000: .*HTTP 400",
            "6.2/portainer-scheme": "Portainer on master to speak HTTP on port 9000: .*HTTP 400",
        },
        portainer=("https",),
        run="portainer b",
    ),
    ClaimFault(
        "Portainer lets anybody in, and keeps a container that it was to remove; its file and command lead elsewhere",
        {
            "6.2/portainer-first-login": "Portainer on master lets somebody log in with another password",
            "6.2/portainer-shows-swarm": "Portainer on master removed the container .*, and it is on master still",
            "6.2/portainer-run": "Portainer on master has .* at /data, not swc-portainer-data",
            "6.2/settings-survive": "Portainer on master forgot its administrator",
            "6.2/portainer-compose": "to answer on port 9000: .*Connection refused",
        },
        script=wrap(reword('"run -d -p 9000:9000"*', ("*:/data", "/data")))
        + wrap_compose('*" up -d"*) sed -i s/9000:9000/9001:9000/ docker-compose.yml; exec docker-compose.real "$@"'),
        portainer=("any", "stays"),
        run="portainer c",
    ),
    ClaimFault(
        "Portainer shows its engines to anybody, and makes no container",
        {
            "6.2/portainer-first-login": "Portainer on master shows its engines to somebody who did not log in",
            "6.2/portainer-shows-swarm": "Portainer on master made no container on master",
        },
        portainer=("open", "elsewhere"),
        run="portainer d",
    ),
    ClaimFault(
        "docker run starts a container on another node too",
        {"6.2/run-is-not-swarm": "docker run on master started a container on slave02 too"},
        script=wrap('"run -d --name swc-box"*) su - hadoop -c "ssh slave02 docker $*"'),
        nodes=("master",),
        run="portainer a",
    ),
    ClaimFault(
        "docker-compose starts a task of the swarm",
        {"6.2/run-is-not-swarm": "docker-compose started on master is (marked as the swarm's|the container of)"},
        script=wrap_compose(
            '"-p swc-box"*" up -d"*) docker service create --label swarm-conformance --name $2'
            " --constraint node.hostname==master registry:5000/client; exit"
        ),
        nodes=("master",),
        run="portainer b",
    ),
]
