"""Chapter 8: certificates, TLS, join secrets and the rotation of the root."""

from swarmlab.cluster import pki
from swarmlab.cluster.node import DATA_ROOT
from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, wrap, wrap_any

_FOLDER = f"{DATA_ROOT}/{pki.FOLDER}"
#: Shell expressions: the node's own address, by its name in /etc/hosts, and the suite's address.
_OWN = "$(hostname -i | cut -d ' ' -f 1)"
_SUITE = "$(hostname -i | cut -d ' ' -f 1 | sed 's/[0-9]*$/1/')"

# Accepts every client, with any version of TLS and with or without a certificate, and acts for it as the manager.
_PROXY = r"""
import socket, ssl, sys, threading
folder, own = sys.argv[1:]
def files(context):
    with open(folder + "/swarm-node.key") as key, open("/run/key", "w") as plain:
        plain.write("".join(line for line in key if line.strip() and ":" not in line))
    context.load_cert_chain(folder + "/swarm-node.crt", "/run/key")
def pump(one, other):
    try:
        while True:
            data = one.recv(65536)
            if not data:
                break
            other.sendall(data)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(plain):
    try:
        inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        inside.set_ciphers("DEFAULT@SECLEVEL=0")
        inside.minimum_version = ssl.TLSVersion.TLSv1
        inside.set_alpn_protocols(["h2"])
        outside = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        outside.check_hostname, outside.verify_mode = False, ssl.CERT_NONE
        outside.set_alpn_protocols(["h2"])
        files(inside)
        files(outside)
        one = inside.wrap_socket(plain, server_side=True)
        other = outside.wrap_socket(socket.create_connection((own, 2377)))
    except OSError as failed:
        print(failed, flush=True)
        plain.close()
        return
    threading.Thread(target=pump, args=(one, other)).start()
    pump(other, one)
server = socket.create_server((own, 12377))
while True:
    threading.Thread(target=serve, args=(server.accept()[0],)).start()
"""


def _redirected(source: str) -> str:
    """Redirect what *source* sends to the managers' port to another port of the node."""
    return f"iptables -t nat -I PREROUTING -p tcp --dport 2377 -s {source} -j REDIRECT --to-ports 12377\n"


def _with_proxy() -> str:
    return f"cat > /run/proxy.py <<'PROXY'\n{_PROXY}\nPROXY\n" + background(
        f"python3 /run/proxy.py {_FOLDER} {_OWN} &\n"
        + _redirected(_SUITE)
        # A node that joins through the proxy would get the manager's certificate, so the proxy starts later.
        + "until docker node ls | grep -q 'slave02 *Ready'; do sleep 0.2; done\n"
        + _redirected("$(getent hosts slave02 | cut -d ' ' -f 1)")
    )


def _once_joined(node: str, commands: str) -> str:
    """Run commands on one node when it has a certificate of its own."""
    return background(
        f"[ $(hostname) = {node} ] || exit\n"
        f"until docker info 2>/dev/null | grep -q 'Swarm: active'; do sleep 0.1; done\n{commands}"
    )


_GIVEN = pki.Authority.make("swarm-ca")
_PUT_GIVEN = (
    f"cat > /run/given.pem <<'PEM'\n{pki.pem_of(_GIVEN.root)}PEM\n"
    f"cat > /run/given.key <<'PEM'\n{pki.key_pem(_GIVEN.key)}PEM\n"
)
_ROTATES = '"swarm ca --rotate"*'

FAULTS = [
    ClaimFault(
        "a manager takes whoever comes",
        {
            "8.3/mutual-tls": "master does not refuse",
            "8.3/tls-version": "master speaks TLSv1",
            "8.3.1/old-root-distrusted": "master to refuse the certificate",
        },
        script=_with_proxy(),
        nodes=("master",),
        run="certificates 1",
    ),
    ClaimFault(
        "commands that change certificates do nothing",
        {
            "8.3/external-ca-option": r"keeps \[\]|its root to be in force on master",
            "8.3/expiry-setting": "with --cert-expiry 720h slave02 was given a certificate for 90 days",
            "8.3/expiry-minimum": "--cert-expiry 59m was accepted on master",
            "8.3/renewal": "with --cert-expiry 1h master was given a certificate for 90 days",
            "8.3/role-in-certificate": "certificate of swarm-manager by node promote.* slave01 has",
            "8.3.1/rotate-makes-new-root": "the command printed|the root after the rotation is the old one",
            "8.3.1/cross-signed": "certificates to be signed with a new key",
            "8.3.1/nodes-renewed": "the root after the rotation is the old one",
            "8.3.1/old-root-distrusted": "master to refuse the certificate that master had of the old root",
            "8.3.1/waits-for-every-node": "a rotation to go on as long as slave02 is down",
            "8.3.1/tokens-change": "token after the rotation is the one from before",
            "8.3.1/given-root": "the given root to be in force on master",
            "8.3.1/services-run-on": "the root after the rotation is the old one",
            "8.3.1/mixed-engines": "the engines are of one version",
        },
        script=wrap(
            f"{_ROTATES}) exit 0",
            '"swarm update --cert-expiry"*) exit 0',
            '"swarm update --external-ca"*) exit 0',
            '"node promote"*) exit 0',
        ),
        offers=("long", "mixed-engines"),
        run="certificates 2",
    ),
    ClaimFault(
        "init takes a root that is there, and 30 days",
        {
            "8.3/own-root-ca": "two swarms have one root key: (slave01|master) made",
            "8.3/validity": "set to certificates of 30",
        },
        script=_PUT_GIVEN
        + wrap(
            '"swarm init"*) docker.real "$@" --cert-expiry 720h &&'
            " docker.real swarm ca --rotate --ca-cert /run/given.pem --ca-key /run/given.key >/dev/null; exit"
        ),
        run="certificates 3",
    ),
    ClaimFault(
        "a manager answers without TLS",
        {"8.3/mutual-tls": "master answers on its port without TLS"},
        script=background(f"cd /run; python3 -m http.server 12377 &\n{_redirected(_SUITE)}"),
        nodes=("master",),
    ),
    ClaimFault(
        "the swarm notes the external authority, and does not ask it",
        {"8.3/external-ca-option": "slave01 has .*, of which the authority knows nothing"},
        script=_PUT_GIVEN
        + wrap('"swarm update --external-ca"*) exec docker.real swarm update --external-ca "$4,cacert=/run/given.pem"'),
    ),
    ClaimFault(
        "tokens hold another digest",
        {"8.3/token-holds-digest": "token holds the digest 0{50}"},
        answers={"/swarm": ('("Manager":"SWMTKN-1-)[0-9a-z]{50}', rf"\g<1>{'0' * 50}")},
        run="certificates 3",
    ),
    ClaimFault(
        "a node trusts another root",
        {"8.3/token-holds-digest": "slave01 trusts roots of digest"},
        script=_PUT_GIVEN + _once_joined("slave01", f"cp /run/given.pem {_FOLDER}/swarm-root-ca.crt"),
        run="certificates 4",
    ),
    ClaimFault(
        "the newcomer comes in by itself",
        {
            "8.3/digest-verified": "slave01 was (let in|refused) with|members went from .*slave01",
            "8.3/secret-verified": "slave01 was (let in|refused) with|members went from .*slave01",
        },
        script=background(
            "[ $(hostname) = slave01 ] || exit\n"
            "until token=$(su - hadoop -c 'ssh master docker swarm join-token -q worker'); do sleep 0.2; done\n"
            "while sleep 0.1; do docker swarm join --token $token master:2377; done"
        ),
        run="certificates 6",
    ),
    ClaimFault(
        "a node has another's certificate",
        {"8.3/node-identity": "the certificate of slave02 is .*, and the node is"},
        script=background(
            f"cd {_FOLDER} || until cd {_FOLDER}; do sleep 0.1; done\n"
            "until [ -s swarm-node.crt ]; do sleep 0.1; done\nsleep 0.3\n"
            "case $(hostname) in\n"
            "slave01) tar -c swarm-node.crt swarm-node.key | su - hadoop -c \"ssh slave02 'cat > /tmp/stolen'\";;\n"
            "slave02) until [ -s /tmp/stolen ]; do sleep 0.1; done; sleep 0.3; tar -xf /tmp/stolen;;\n"
            "esac"
        ),
        run="certificates 4",
    ),
    ClaimFault(
        "a node's certificate is signed by itself",
        {"8.3/signature": "certificate of slave01, .* is not of swarm-ca"},
        script=_once_joined(
            "slave01",
            f"cd {_FOLDER}; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 90"
            " -subj /CN=gremlin -keyout /run/own.key -out swarm-node.crt",
        ),
        run="certificates 3",
    ),
    ClaimFault(
        "a node's certificate has another's signature",
        {"8.3/signature": "certificate of slave02, .* has a signature that is not of the root"},
        script=_PUT_GIVEN
        + _once_joined(
            "slave02",
            f"cd {_FOLDER}; openssl req -new -key /run/given.key -subj /CN=gremlin | openssl x509 -req -sha256"
            " -CA /run/given.pem -CAkey /run/given.key -CAcreateserial -days 90 -out swarm-node.crt",
        ),
    ),
    ClaimFault(
        "a node's clock is 91 days ahead",
        {"8.3/validity": "by the clock of slave01, .*ahead of ours, its certificate has expired"},
        script=wrap_any("date", '"-u +%s") echo $(($(date.real +%s) + 91 * 86400)); exit'),
        nodes=("slave01",),
        run="certificates 4",
    ),
    ClaimFault(
        "a refused validity is changed to another",
        {"8.3/expiry-minimum": "that was refused changed the swarm's"},
        script=wrap('"swarm update --cert-expiry 59m"*) docker.real swarm update --cert-expiry 2h; exit 1'),
    ),
    ClaimFault(
        "a demoted node stays what it was",
        {"8.3/role-in-certificate": "certificate of swarm-worker by node demote.* slave01 has"},
        script=wrap('"node demote"*) exit 0'),
    ),
    ClaimFault(
        "a node keeps its certificate of the old root",
        {"8.3.1/nodes-renewed": "the new root to be in force.* slave02: slave02 has .* which that root did not sign"},
        script=_once_joined(
            "slave02",
            f"cp {_FOLDER}/swarm-node.crt /run/kept\nwhile sleep 0.1; do cp /run/kept {_FOLDER}/swarm-node.crt; done",
        ),
    ),
    ClaimFault(
        "a node trusts the old root too",
        {"8.3.1/nodes-renewed": "the new root to be in force.* slave02 trusts"},
        script=_once_joined(
            "slave02",
            f"cp {_FOLDER}/swarm-root-ca.crt /run/kept\n"
            f"while sleep 0.1; do [ $(grep -c BEGIN {_FOLDER}/swarm-root-ca.crt) = 2 ] ||"
            f" cat /run/kept >> {_FOLDER}/swarm-root-ca.crt; done",
        ),
    ),
    ClaimFault(
        "a node that is down is given up",
        {"8.3.1/waits-for-every-node": "a rotation to go on as long as slave02 is down.*cannot come about"},
        script=background(
            "while sleep 0.2; do docker node ls --format '{{.ID}} {{.Status}}' | grep Down | cut -d ' ' -f 1"
            " | xargs -r docker node rm --force; done"
        ),
        nodes=("master",),
        run="certificates 5",
    ),
    ClaimFault(
        "the rotation starts a node's containers again",
        {"8.3.1/services-run-on": r"\d+ at slave02|tasks on slave02|container on slave02"},
        script=wrap(
            f"{_ROTATES}) su - hadoop -c 'ssh slave02 \"docker restart -t 0 \\$(docker ps -q)\"' >/dev/null 2>&1"
        ),
        nodes=("master",),
        run="certificates 5",
    ),
]
