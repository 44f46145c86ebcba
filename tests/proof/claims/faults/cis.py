"""The CIS Docker Benchmark: swarms that do not follow its recommendations."""

from swarmlab.cluster import pki
from swarmlab.cluster.node import DATA_ROOT
from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import wrap

#: The commands by which the suite makes a swarm that follows the recommendations; it makes no other with them.
_INIT, _JOIN = '"swarm init --advertise-addr"*--autolock*', '"swarm join"*--data-path-addr*'
_OWN = "$(hostname -i | cut -d ' ' -f 1)"
#: A root certificate that is 400 days old.
_AUTHORITY = pki.Authority.make()
_OLD = _AUTHORITY.issue(_AUTHORITY.root.subject, since=-400, until=4000).leaf
_ROOT = f"{DATA_ROOT}/{pki.FOLDER}/swarm-root-ca.crt"
#: Lets slave01 join as a manager, with an old root certificate.
_SECOND = (
    f"{_JOIN}) if [ $(hostname) = slave01 ]; then"
    ' token=$(su - hadoop -c "ssh master docker swarm join-token -q manager");'
    ' for word do shift; case "$word" in SWMTKN*) word=$token;; esac; set -- "$@" "$word"; done; fi;'
    f' docker.real "$@" && if [ $(hostname) = slave01 ]; then cp /root/old.pem {_ROOT}; fi; exit'
)

FAULTS = [
    ClaimFault(
        "a swarm that follows no recommendation but autolock",
        {
            "cis/manager-count": "the swarm has 2 managers; an even number",
            "cis/one-interface": "master listens on port 2377 of every address",
            "cis/overlays-encrypted": "overlay networks that are not encrypted: plain",
            "cis/secrets-used": "leaky has DB_PASSWORD$",
            "cis/unlock-key-rotated": "rotated the unlock key, and it is the one from before",
            "cis/node-certificates-rotated": "the policy is 90 days, and the swarm makes certificates for 200 days",
            "cis/root-rotated": "the policy is 90 days, and slave01 trusts a root of 400",
            "cis/data-plane-apart": "data of master goes by the address for management",
        },
        script=f"cat > /root/old.pem <<'PEM'\n{pki.pem_of(_OLD)}PEM\n"
        + wrap(
            f"{_INIT}) docker.real swarm init --autolock --advertise-addr {_OWN} --cert-expiry 4800h &&"
            " docker.real network create --driver overlay plain && docker.real service create --detach"
            " --no-resolve-image --name leaky --replicas 0 --env DB_PASSWORD=open --env DB_USER=me web; exit",
            _SECOND,
            '"swarm unlock-key --rotate"*) exit 0',
        ),
    ),
    ClaimFault(
        "init leaves autolock off, and gives long certificates",
        {
            "cis/autolock": "autolock is off",
            "cis/node-certificates-rotated": "the policy is 90 days, and the certificate of .* is valid for 200.0 days",
        },
        # A rotation applies the setting at once.
        script=wrap(
            f'{_INIT}) docker.real "$@" --cert-expiry 4800h && docker.real swarm update --autolock=false &&'
            " docker.real swarm ca --rotate >/dev/null; exit"
        ),
    ),
]
