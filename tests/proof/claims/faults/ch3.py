"""Chapter 3: data volumes."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import reword, wrap

FAULTS = [
    ClaimFault(
        "mounts are others than asked for",
        {
            "3.1/bind-container-to-host": "does not appear in",
            "3.1/bind-host-to-container": "cat /home/file ended with 1",
            "3.1/bind-survives-container": "the data of a container is gone from",
            "3.1/several-mounts": "cat /mnt/first/name ended with 1",
            "3.1/environment": "is not in the container's environment",
            "3.2/random-port": "did not publish the exposed",
            "3.2/named-volume": "mounted .*-other",
            "3.2/mountpoint": "no such volume",
            "3.2/named-volume-persists": "the named volume went with its container",
            "3.3/ro-refuses-writes": "can create a file in the :ro mount",
            "3.4/image-volumes": "exactly one mount must be at /volume01; there are 0",
            "3.4/image-volumes-sync": "exactly one mount must be at /volume01; there are 0",
            "3.4/commands-are-steps": "was built in the steps",
        },
        script=wrap(
            reword(
                '"run --detach"*',
                ("/var/tmp/swc-*:ro", '"${word%:ro}"'),
                ("swc-juming-*:ro", '"${word%:ro}"'),
                ("/var/tmp/swc-*", '"${word#*:}"'),
                ("swc-juming-*", '"${word%:*}-other:${word#*:}"'),
                ("-e", "--label"),
                ("-P", "--tty"),
            ),
        )
        + "cat > /usr/local/bin/docker <<'BUILD'\n#!/bin/sh\n[ \"$1\" != build ] || sed -i /VOLUME/d dockerfile1\n"
        'exec /usr/bin/docker "$@"\nBUILD\nchmod +x /usr/local/bin/docker',
        run="ch3 a",
    ),
    ClaimFault(
        "ports, databases, volumes and sharing are others than asked for",
        {
            "3.1/port-mapping": "the container on .* to answer on",
            "3.1/database-example": "refused SELECT n FROM",
            "3.2/anonymous-volume": "exactly one mount must be at /etc/swc; there are 0",
            "3.2/volume-ls": "shows .* as not there",
            "3.2/volume-inspect": "shows a volume made just now as of 2001",
            "3.3/ro-follows-host": "cat /home/file ended with 1",
            "3.3/rw-allows-writes": "ended with [12]: .*Read-only",
            "3.5/volumes-from": "read is ''",
            "3.5/volumes-from-other-image": "is read as ''",
            "3.5/volumes-outlive-parent": "with the first container removed is ''",
        },
        script=wrap(
            reword(
                '"run --detach"*',
                ("*:80", '"${word%:80}:81"'),
                ("*:/var/lib/mysql", "/var/lib/mysql"),
                ("*:/home:ro", "/var/tmp/swc-other:/home:ro"),
                ("*:/home:rw", '"${word%:rw}:ro"'),
                ("/etc/swc", "/etc/swc-other"),
                ("--volumes-from", "--label"),
            ),
            '"volume ls") docker.real "$@" | grep -v swc-named; exit',
            '"volume inspect"*) docker.real "$@" | sed "s/\\"CreatedAt\\": \\"..../\\"CreatedAt\\": \\"2001/"; exit',
        ),
        run="ch3 b",
    ),
    ClaimFault(
        "build takes another file",
        {"3.4/build-file-option": r"built from another file: \['SWC_FILE=Dockerfile'\]"},
        script=wrap(reword('"build -f dockerfile1"*', ("dockerfile1", "Dockerfile"))),
    ),
]
