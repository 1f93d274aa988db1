# The sidecar as an image: non-root, exec form throughout, happy on a read-only root file system.
#
#   docker build -t cloudwatch-sidecar .
#   docker run --read-only -e AWS_REGION=eu-west-1 cloudwatch-sidecar
#
# BASE is any image with CPython 3.11, pip and a shell; both stages use it, because a virtual environment
# only works beside the interpreter it was made with.
ARG BASE=python:3.11-slim

# ---- build: the virtual environment, as the lock file says ----
FROM ${BASE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /src

# The environment has no pip of its own: the base's installs into it, and the final image carries none in its path.
RUN python -m venv --without-pip /opt/sidecar

# Dependencies first: this layer is rebuilt only when the lock file changes.
COPY requirements.lock ./
RUN pip --python /opt/sidecar install --no-compile -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY sidecar ./sidecar
RUN pip --python /opt/sidecar install --no-compile --no-deps .

# unchecked-hash: the bytecode stays valid whatever a copy or a snapshot does to modification times.
RUN /opt/sidecar/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/sidecar/lib

# ---- final ----
FROM ${BASE}

# Slim bases ship the standard library without bytecode. On a read-only root file system it would be compiled again at
# every start; a program the size of the health check, which runs every few seconds, takes 0.6 s that way, not 0.1 s.
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash -x '/(site-packages|lib2to3|idlelib|tests?)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# For a spool (deliver.spool_dir). A volume mounted here takes its owner from the image, so chown before VOLUME.
RUN install -d -o 65532 -g 65532 -m 0750 /var/lib/sidecar
# For Unix sockets (listen.statsd_socket), shared with the application's container.
RUN install -d -o 65532 -g 65532 -m 0755 /var/run/sidecar
VOLUME ["/var/lib/sidecar", "/var/run/sidecar"]

COPY --from=build /opt/sidecar /opt/sidecar

# Ready-made examples for SIDECAR_CONFIG, such as /etc/sidecar/axonflow.yaml. Without one the built-in defaults hold.
COPY config/ /etc/sidecar/

ENV PATH=/opt/sidecar/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cloudwatch-sidecar" \
      org.opencontainers.image.description="StatsD and JSON events in, Amazon CloudWatch metrics and logs out" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# Numeric, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532

# Documentation only: every listener binds localhost unless configured otherwise, and containers of one ECS task
# (awsvpc) or one pod share it. StatsD, EMF, ingest, admin.
EXPOSE 8125/udp 25888/tcp 25888/udp 8127/tcp 9127/tcp

STOPSIGNAL SIGTERM

# ECS and Kubernetes ignore this one and have their own, see deploy/.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["sidecar", "health"]

ENTRYPOINT ["sidecar"]
CMD ["run"]
