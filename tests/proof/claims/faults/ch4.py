"""Chapter 4: Dockerfile."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import wrap

FAULTS = [
    ClaimFault(
        "a Dockerfile is built otherwise than it is written",
        {
            "4.1/commit": "and the image of it holds",
            "4.2/default-file": r"built \['SWC_FILE=other'\]",
            "4.2/context-is-sent": "sends a context of which nothing is used",
            "4.2/outside-context-refused": "which is outside the context",
            "4.2/context-argument": "was given no context, and did not refuse",
            "4.3/run-shell-form": "ran a RUN with a variable",
            "4.3/run-exec-form": "must leave",
            "4.3/workdir": "RUN, COPY and the container must be in",
            "4.3/env": "ENV sets two values",
            "4.3/expose": "EXPOSE 80 is recorded as",
            "4.3/cmd": "to say .* without words",
            "4.3/layers": "adds 2 layers, added are 1",
        },
        script=wrap(
            '"commit"*) exec docker.real commit $(docker.real run --detach registry:5000/client) "$3"',
            '"build"*.) if [ -e other ]; then set -- "$@" -f other; fi; [ ! -e useless ] || : > useless;'
            " sed -i -e '/COPY .*\\(secret\\|link\\)/d' -e '/^RUN word=/s/^RUN .*/RUN echo none > \\/shell/'"
            """ -e 's/^RUN \\["touch", \\(.*\\)\\]/RUN touch \\1/' -e 's/WORKDIR below/WORKDIR \\//'"""
            " -e '/^ENV SWC_WORDS/d' -e '/^EXPOSE/d' -e '/^CMD .*default/d' -e '/^ADD/d' Dockerfile;"
            ' exec docker.real "$@"',
            '"build"*) exit 0',
        ),
        run="ch4 a",
    ),
    ClaimFault(
        "names, bases, copies and ways to other engines are lost",
        {
            "4.2/build-tag": "it named .*:latest",
            "4.2/remote-engine": r"(master|slave\d\d) has no image of it|the image holds|ended with",
            "4.3/from": "on other layers",
            "4.3/copy": "COPY of three files put there|ended with",
        },
        script=wrap(
            '"build"*":v1 .") for word do shift; set -- "$@" "${word%:v1}"; done; exec docker.real "$@"',
            '"build"*) sed -i -e "/^RUN echo more/i FROM registry:5000/redis" -e "s/^COPY folder .*/RUN true/"'
            ' Dockerfile; [ -z "$DOCKER_HOST" ] || DOCKER_HOST=; exec docker.real "$@"',
        ),
        run="ch4 b",
    ),
]
