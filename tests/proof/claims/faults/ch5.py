"""Chapter 5: Docker Compose. Planted on the default engine, whose command line has no compose plugin."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import wrap, wrap_any


def wrap_compose(*cases: str) -> str:
    """Replace docker-compose, as `wrap` does the docker command."""
    return wrap_any("docker-compose", *cases, folder="/usr/local/bin")


def changed(file: str, edit: str) -> str:
    """Return a case for `wrap_compose`: change the project's *file* before the project starts."""
    return f"""*" up -d"*) sed -i "{edit}" {file}; exec docker-compose.real "$@\""""


FAULTS = [
    ClaimFault(
        "redis has another name",
        {
            "5.3/service-name": "has no service redis, by whose name web asks; it has",
            "5.3/counter": "to answer 'Hello World! I have been seen N times.'",
        },
        script=wrap_compose(changed("docker-compose.yml", "s/^  redis:/  cache:/")),
    ),
    ClaimFault(
        "the page does not count, redis does not come back, and files are read otherwise",
        {
            "5.3/counter": "was asked for the .*th time, and answers",
            "5.3/retries": "to answer again after redis was restarted",
            "5.2/executable": "reports 1.25.5, not 1.29.2",
            "5.2/separate-install": "the engine's package docker.io of .* has /usr/bin/docker-compose",
            "5.2/stack-needs-no-compose": "docker stack deploy ended with 17",
            "5.3/build-not-in-swarm": "accepted a service with only build",
            "5.4/sections": "refuses a file with volumes, networks and configs",
            "5.4/bad-file-refused": "accepted a file with imagee",
        },
        script=wrap_compose(
            '"version --short") echo 1.25.5; exit',
            """*" up -d"*) [ ! -e app.py ] || sed -i "s/cache.incr('hits')/int(cache.ping()) + 41/" app.py;"""
            ' sed -i /imagee/d docker-compose.yml; exec docker-compose.real "$@"',
            '*" config "*) ! grep -q greeting docker-compose.yml; exit',
        )
        + wrap(
            '"restart"*) shift; exec docker.real stop "$@"',
            '"stack deploy"*) docker-compose version >/dev/null || exit 17;'
            ' sed -i "s|build: .*|image: registry:5000/client|" $4; exec docker.real "$@"',
        )
        + wrap_any("dpkg", '"-L "*) dpkg.real "$@"; echo /usr/bin/docker-compose; exit'),
        run="ch5 a",
    ),
    ClaimFault(
        "up starts one service only",
        {
            "5.1/one-file-many-services": r"it runs \['web'\]",
            "5.3/up": "must have one container of redis; it has 0",
        },
        script=wrap_compose('*" up -d"*) exec docker-compose.real "$@" web'),
    ),
]
