"""Chapter 2: networks of one engine."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import reword, wrap

#: Cases of `wrap`: when a container starts, every container learns the names and addresses of the others.
_TELL_NAMES = (
    '"run --detach"*) docker.real "$@" || exit; for one in $(docker.real ps -q); do for other in $(docker.real ps -q);'
    " do line=$(docker.real inspect --format '{{ .NetworkSettings.IPAddress }} {{ slice .Name 1 }}' $other);"
    ' docker.real exec $one sh -c "echo $line >> /etc/hosts"; done; done; exit'
)
_OWN_RESOLVER = (
    '"run --detach"*"--net swc-net-"*) docker.real "$@" || exit;'
    ' docker.real exec $4 sh -c "echo nameserver 127.0.0.1 > /etc/resolv.conf"; exit'
)

FAULTS = [
    ClaimFault(
        "docker0 lost its address",
        {"2.1/docker0": r"docker0 of slave02 has \[.*and the network bridge is"},
        script="ip -4 address flush dev docker0",
        nodes=("slave02",),
    ),
    ClaimFault(
        "modes of the network are others than asked for",
        {
            "2.1/container-address": "was given no address",
            "2.1/veth-appears": "a container has no eth0",
            "2.2/bridge-is-default": "without --net a container is attached",
            "2.2/mode-none": r"has addresses on \['lo', 'eth0'\]",
            "2.2/mode-host": "has a network stack of its own",
            "2.2/mode-container": "gave another network stack",
            "2.2/names-on-custom-network": "its name resolves to nothing",
            "2.3/create": "network create on .* gave 0123",
            "2.3/rm": "accepted .*, which a container is attached to",
            "2.3/inspect": "10.9.8.7",
        },
        script=wrap(
            reword('"run --detach"*"--net none"*', ("none", "bridge")),
            reword('"run --detach"*"--net host"*', ("host", "bridge")),
            reword('"run --detach"*"--net container:"*', ("container:*", "bridge")),
            _OWN_RESOLVER,
            '"run --detach"*"--net "*) exec docker.real "$@"',
            '"run --detach"*) shift 2; exec docker.real run --detach --net none "$@"',
            '"network create"*) docker.real "$@" >/dev/null; echo 0123; exit',
            '"network rm"*) exit 0',
            '"network inspect"*) docker.real "$@" | sed "/Gateway/s/: .*/: \\"10.9.8.7\\"/"; exit',
        ),
        run="ch2 a",
    ),
    ClaimFault(
        "containers of docker0 are kept apart",
        {"2.1/containers-reach-each-other": "on slave01, a container does not reach the other by ping"},
        script="iptables -I FORWARD -i docker0 -o docker0 -j DROP",
        nodes=("slave01",),
        run="ch2 b",
    ),
    ClaimFault(
        "stop, names, connect and ls do other than they say",
        {
            "2.1/veth-goes": "to remove the interface",
            "2.2/mode-bridge": "has the node's network stack",
            "2.2/no-names-on-default-bridge": "a container is reached by its name",
            "2.2/four-modes-listed": "does not show host host local",
            "2.3/connect": r"it added \[\]",
        },
        script=wrap(
            '"stop -t 1 "*) exit 0',
            reword('"run --detach"*"--net bridge"*', ("bridge", "host")),
            _TELL_NAMES,
            '"network ls --format"*) docker.real "$@" | grep -v ^host; exit',
            '"network connect"*) exit 0',
        ),
        run="ch2 b",
    ),
    ClaimFault(
        "docker0 without masquerade",
        {"2.1/default-route": "a container on slave02 to reach .* through docker0"},
        script="iptables -t nat -D POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        nodes=("slave02",),
        run="ch2 c",
    ),
    ClaimFault(
        "links, disconnect and ls do other than they say",
        {
            "2.2/link-resolves": "its name resolves to nothing",
            "2.3/disconnect": "disconnect must leave",
            "2.3/ls": "has the columns .*'PLACE'",
        },
        script=wrap(
            reword('"run --detach"*"--link"*', ("--link", "--label")),
            '"network disconnect"*) exit 0',
            '"network ls") docker.real "$@" | sed "s/SCOPE/PLACE/"; exit',
        ),
        run="ch2 c",
    ),
]
