"""Digests of services' images and credentials for registries: options of commands that are lost."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import wrap

_LEFT_OUT = 'for word do shift; [ "$word" = {} ] || set -- "$@" "$word"; done; exec docker.real "$@"'

FAULTS = [
    ClaimFault(
        "docker asks no registry for digests, and passes no credentials on",
        {
            "services/digest-pinned": r"was created with \S+ has the image \S+:swc-tag-\w+, and not its digest",
            "services/update-resolves-tag": r"and an update with it has registry:5000/web:swc-tag-\w+ in place of",
            "services/registry-credentials": "as complete, with the image behind a gate: .* lists @.* rejected",
        },
        script=wrap(
            "*--with-registry-auth*) " + _LEFT_OUT.format("--with-registry-auth"),
            '"service create"*swc-tag*) shift 2; exec docker.real service create --no-resolve-image "$@"',
            '"service update"*swc-tag*) shift 2; exec docker.real service update --no-resolve-image "$@"',
        ),
        nodes=("master",),
        run="services",
    ),
    ClaimFault(
        "nobody says which image was refused",
        {"services/registry-refuses": "naming 127.0.0.1:.* as the reason: .*rejected"},
        # No engine runs a task whose image it does not get, so the managers' answers are changed.
        answers={"/tasks": (r'"Err":"[^"]*"', '"Err":"it failed"')},
        run="services",
    ),
]
