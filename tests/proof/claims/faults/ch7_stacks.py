"""7.3: stacks."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, drop, wrap

#: In a wrapped `docker stack deploy -c FILE STACK`: is the stack there already?
_AGAIN = "docker.real stack services -q $5 2>/dev/null | grep -q ."


def ssh(node: str, command: str) -> str:
    """Run a docker command on another node."""
    return f'su - hadoop -c "ssh {node} {command}"'


FAULTS = [
    ClaimFault(
        "a config has other content, all is restarted, nothing is listed, and a service brings another",
        {
            "7.3/stack-deploy": "in the task on .*, /greeting is 'good evening",
            "7.3/stack-redeploy": "_steady did not change in the file, and TaskTemplate of it did",
            "7.3/stack-listing": "docker stack ls does not show swc-stack",
            "7.3/one-service-per-create": r"made the services \['swc-one-.*', 'swc-second'\]",
            "7.3/wordpress-stack": r"slave02 has the volumes \[\] of",
        },
        script=wrap(
            f'"stack deploy"*) ! {_AGAIN} || again=yes;'
            " sed -i 's|db-data:/var/lib/mysql|/var/lib/mysql|' $4;"
            ' sed -i s/morning/evening/ "$(dirname $4)"/greeting 2>/dev/null;'
            ' docker.real "$@" || exit; [ -z "$again" ] || docker.real service update --detach --force $5_steady; exit',
            '"stack ls"*) docker.real "$@" | head -n 1; exit',
            '"service create"*) docker.real "$@" || exit; exec docker.real service create --detach --quiet'
            " --label swarm-conformance --name swc-second registry:5000/client",
        ),
        run="stacks a",
    ),
    ClaimFault(
        "a network has another name, a changed file changes nothing, and data is kept beside the volume",
        {
            "7.3/stack-deploy": r"networks with the label .* are \['swc-other'\], not",
            "7.3/stack-redeploy": "both tasks of .*_changing to run .*web:2",
            "7.3/stack-listing": "docker stack ps to show the tasks of",
            "7.3/one-service-per-create": r"docker stack deploy of two services made \['swc-stack-.*_changing'\]",
            "7.3/wordpress-stack": "the page on .* to show what was written before the database's task was replaced",
        },
        script=wrap(
            f'"stack deploy"*) ! {_AGAIN} || exit 0;'
            " sed -i -e 's|db-data:/var/lib/mysql|db-data:/data|' $4;"
            " sed -i -e 's|^  inner:|  inner:\\n    name: swc-other|' -e 's|^version: .*|version: \"3.5\"|' $4;"
            " case $(cat $4) in *'replicas: 1'*) sed -i '/^  steady:/,/^networks:/{/^networks:/!d}' $4;; esac",
            '"stack ps"*) docker.real "$@" | grep -v slave01; exit',
        ),
        run="stacks b",
    ),
    ClaimFault(
        "data path of stacks closed on a node",
        {
            "7.3/stack-deploy": "the name web to lead to every task .*with slave02:",
            "7.3/stack-spreads": "the page of swc-.* on .* to answer",
            "7.3/wordpress-stack": "the page on (master|slave01) to show",
        },
        script=drop("udp dport 4789"),
        nodes=("slave02",),
        run="stacks c",
    ),
    ClaimFault(
        "a volume is made anew with the changed options",
        {"7.3/stack-redeploy": "the volume of .* on master was .*size=1m.*, and is .*size=2m.* now"},
        script=wrap(
            f'"stack deploy"*) if {_AGAIN} && grep -q size=2m $4; then docker.real service rm $5_web;'
            " until docker.real volume rm $5_data; do sleep 0.5; done; fi"
        ),
        nodes=("master",),
        run="stacks c",
    ),
    ClaimFault(
        "a secret is made anew with the changed content",
        {"7.3/stack-redeploy": "docker stack deploy on master took a secret whose content changed"},
        script=wrap(
            '"stack deploy"*) ! grep -q another "$(dirname $4)/word" || echo open sesame > "$(dirname $4)/word"'
        ),
        nodes=("master",),
        run="stacks d",
    ),
    ClaimFault(
        "replicas of a stack are shown wrong",
        {"7.3/stack-listing": "docker stack services to show the services of"},
        script=wrap('"stack services swc"*) docker.real "$@" | sed s,3/3,0/3,; exit'),
        nodes=("master",),
        run="stacks c",
    ),
    ClaimFault(
        "a node takes no tasks of stacks",
        {"7.3/stack-spreads": "one task of web on every node: .*no task of web on slave02"},
        script=background("while sleep 0.5; do docker node update --availability pause slave02; done"),
        nodes=("master",),
    ),
    ClaimFault(
        "stack rm leaves a network",
        {"7.3/stack-rm": "there are still networks swc-stack-.*_inner"},
        script=wrap(
            '"stack rm"*) docker.real "$@"; [ -e /run/left ] || { touch /run/left; docker.real network create'
            " --driver overlay --label com.docker.stack.namespace=$3 --label swarm-conformance $3_left_inner; }; exit"
        ),
    ),
    ClaimFault(
        "stack rm is refused for good",
        {"7.3/stack-rm": "docker stack rm to remove swc-stack-.*on master ended with 1.*is in use by task"},
        script=wrap(
            '"stack rm swc-stack"*) docker.real "$@" >/dev/null; echo "$3_inner is in use by task 7" >&2; exit 1'
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "stack rm removes a volume on a node",
        {"7.3/stack-rm": r"after stack rm, slave01 has the volumes \[\] of"},
        script=wrap(
            '"stack rm"*) docker.real "$@"; '
            + ssh("slave01", "'until docker volume rm -f $3_data; do sleep 0.5; done' >/dev/null 2>&1")
            + "; exit"
        ),
        nodes=("master",),
    ),
    ClaimFault(
        "stack rm leaves a secret",
        {"7.3/stack-rm": "there are still secrets swc-stack-.*_word"},
        script=wrap(
            '"stack rm"*) docker.real "$@"; [ -e /run/left ] || { touch /run/left; echo x | docker.real secret create'
            " --label swarm-conformance $3_word - >/dev/null; }; exit"
        ),
    ),
    ClaimFault(
        "stack rm empties a volume on a node",
        {"7.3/stack-rm": "after stack rm, the volume on slave02 holds"},
        script=wrap(
            '"stack rm"*) '
            + ssh("slave02", "docker run --rm -v $3_data:/data registry:5000/client rm -f /data/mine >/dev/null 2>&1")
            + '; exec docker.real "$@"'
        ),
        nodes=("master",),
    ),
]
