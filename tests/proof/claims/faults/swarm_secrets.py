"""Configs and secrets: managers that do not keep their rules, and nodes that leave secrets lying about."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, proxy, wrap

#: What a manager answers in place of refusals, and what it does not find.
_LAX = r"""
payload = re.search(r"/(config|secret)s/(.*)$", path)
if method == "GET" and payload and re.fullmatch("[a-z0-9]{20}", payload[2]):
    status, data = 404, b'{"message": "there is none"}'
if method == "DELETE" and payload and status >= 400:
    status, data = 200, b"{}"
if method == "POST" and payload and payload[2].partition("?")[0].endswith("/update") and status >= 400:
    status, data = 200, b"{}"
if method == "POST" and payload and payload[2] == "create" and status >= 400 and not json.loads(body)["Data"]:
    status, data = 201, b'{"ID": "none"}'
"""

#: What becomes of services that have configs or secrets on their way to a manager. One that is bound to a worker gets
#: a companion on the other worker, with the same secret.
_ASTRAY = r"""
import re
if method == "POST" and re.search("/services/", path):
    for old, new in (("/second/copy", "/elsewhere"), ("/added", "/missing")):
        body = body.replace(json.dumps(old).encode(), json.dumps(new).encode())
    spec = json.loads(body)["TaskTemplate"]
    if spec.get("Placement", {}).get("Constraints") and spec["ContainerSpec"].get("Secrets"):
        os.system("docker service create --detach=false --label swarm-conformance --constraint node.hostname==slave02"
            " --secret " + spec["ContainerSpec"]["Secrets"][0]["SecretName"] + " registry:5000/idle")
"""

#: Shows what a secret holds, once it is known.
_TELLING = r"""
if method == "POST" and path.endswith("/secrets/create"):
    Handler.known = json.loads(body)["Data"]
if method == "GET" and path.endswith("/secrets") and getattr(Handler, "known", ""):
    data = data.replace(b'"Name":', b'"Data":"' + Handler.known.encode() + b'","Name":')
"""

#: Keeps a secret in clear beside the log of the managers.
_IN_CLEAR = r"""
import base64
if method == "POST" and path.endswith("/secrets/create"):
    with open("/var/lib/docker/swarm/raft/gremlin", "ab") as kept:
        kept.write(base64.b64decode(json.loads(body)["Data"]))
"""

_NOT_FOUND = "master does not find a {} that it has: there is none"
_REMOVED = r"master removed the {0} swc-{0}-\w+, which swc-user-\w+ has"
_CHANGED = r"master took another content for the {0} swc-{0}-\w+"
_SHORT = r"in the task on slave02, /held has 400000 bytes and the {0} swc-{0}-\w+ 500000"
_OPEN = "in the task on .*, /etc/given/deep/file has mode, owner and group 444 1001 1002, not 440"

FAULTS = [
    ClaimFault(
        "a manager does not keep the rules of configs and secrets",
        {
            "configs/lifecycle": _NOT_FOUND.format("config"),
            "secrets/lifecycle": _NOT_FOUND.format("secret"),
            "configs/kept-while-used": _REMOVED.format("config"),
            "secrets/kept-while-used": _REMOVED.format("secret"),
            "configs/immutable": _CHANGED.format("config"),
            "secrets/immutable": _CHANGED.format("secret"),
            "configs/limit": "master took a config of 0 bytes",
            "secrets/limit": "master took a secret of 0 bytes",
            "configs/twice": "in the task on .* there is no /second/copy",
            "secrets/twice": "in the task on .* there is no /second/copy",
            "configs/updated-by-service": "in the task on .* there is no /added",
            "secrets/only-where-used": "slave02 runs no task with the secret, and has it in /var/lib/docker/con",
        },
        script=proxy(_LAX, asked=_ASTRAY),
        nodes=("master",),
        run="payloads a",
    ),
    ClaimFault(
        "a node has the first part of large configs and secrets",
        {
            "configs/content-on-every-task": _SHORT.format("config"),
            "secrets/content-on-every-task": _SHORT.format("secret"),
        },
        script=background(
            # The engine has made the file system read-only by then.
            "while sleep 0.05; do for file in $(find /var/lib/docker/containers -path '*/mounts/*' -size +450k);"
            " do mount -o remount,rw $(dirname $file); truncate -s 400000 $file; done; done"
        ),
        nodes=("slave02",),
        run="payloads a",
    ),
    ClaimFault(
        "a node copies secrets to its disk",
        {
            "secrets/in-memory": "has the secret, and it is on the disk of slave01 in /var/lib/docker/tmp/",
            "secrets/gone-after-task": "the secret to leave every node with the task.* killed.*slave01 has it in",
            "secrets/rotated-by-update": "that the update removed to be on no node: .*slave01 has it in",
        },
        script=background(
            "while sleep 0.05; do for file in /var/lib/docker/containers/*/mounts/secrets/*; do"
            ' [ ! -f "$file" ] || cp -n "$file" /var/lib/docker/tmp/; done; done'
        ),
        nodes=("slave01",),
        run="payloads b",
    ),
    ClaimFault(
        "a node keeps the secrets of a service that is removed",
        {"secrets/gone-after-task": "the secret to leave all nodes with its service.*slave01 has it in"},
        script=background(
            "while sleep 0.05; do for box in $(grep -l swc-removed- /var/lib/docker/containers/*/config.v2.json); do"
            " cp -n $(dirname $box)/mounts/secrets/* /var/lib/docker/tmp/; done; done"
        ),
        nodes=("slave01",),
        run="payloads a",
    ),
    ClaimFault(
        "a manager tells what secrets hold",
        {"secrets/not-shown": "master shows what a secret holds to GET /secrets"},
        script=proxy(_TELLING),
        nodes=("master",),
        run="payloads b",
    ),
    ClaimFault(
        "docker takes files for anybody's, and images of containers have their secrets",
        {
            "configs/target-and-mode": _OPEN,
            "secrets/target-and-mode": _OPEN,
            "secrets/not-in-image": "an image that was made of the task's container on .* has its secret",
        },
        script=wrap(
            '"service create"*mode=0440*) for word do shift; word=$(echo "$word" | sed s/mode=0440/mode=0444/);'
            ' set -- "$@" "$word"; done; exec docker.real "$@"',
            '"commit "*) for box do case $box in ????????????????????????????????????????????????????????????????)'
            " break;; esac; done; docker.real exec $box cat /run/secrets/held > /run/held;"
            ' docker.real "$@"; for image do :; done; made=$(docker.real create $image);'
            " docker.real cp /run/held $made:/etc/held;"
            " docker.real commit --change 'LABEL swarm-conformance=' $made $image; exec docker.real rm $made",
        ),
        run="payloads b",
    ),
    ClaimFault(
        "a manager keeps secrets in clear",
        {"secrets/encrypted-at-rest": "master keeps a secret in clear in /var/lib/docker/swarm/raft/gremlin"},
        script=proxy(_IN_CLEAR),
        nodes=("master",),
        run="services",
    ),
]
