# The project as an image, which runs the suites on container nodes of the engine whose socket is mounted:
#
#   docker build -t swarm-conformance .
#   docker run --rm -v /var/run/docker.sock:/var/run/docker.sock -v "$PWD/reports:/reports" swarm-conformance
#
# docs/how-to/container.md says more. `make image` makes it also where no registry of images is reached.
ARG BASE=debian:trixie-slim
FROM ${BASE}
COPY images/run /tmp/run
RUN sh /tmp/run/install && rm -rf /tmp/run
WORKDIR /opt/swarm-conformance
# The environment first: it stays as it is where only suites change.
COPY pyproject.toml requirements.lock setup.sh ./
COPY swarmlab/__init__.py swarmlab/
RUN touch README.md LICENSE && ./setup.sh
COPY . .
RUN chmod -R go=rX . \
    && .venv/bin/python -m compileall -q swarmlab fixtures \
    && mkdir -p -m 1777 .pytest_cache \
    && ln -s /reports reports
ENV PATH=/opt/swarm-conformance/.venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    SWARMLAB_IMAGE=1 \
    SWARMLAB_CACHE=/cache \
    SWARMLAB_ENGINES_LOCK=/cache/engines.lock
ENTRYPOINT ["tini", "-g", "--", "swarm-conformance"]
