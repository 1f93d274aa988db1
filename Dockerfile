# The sidecar as an image: non-root, exec form throughout, happy on a read-only root file system.
#
#   docker build -t cloudwatch-sidecar .
#   docker run --read-only -e AWS_REGION=eu-west-1 cloudwatch-sidecar
#
# BASE is any image with CPython 3.11, pip and glibc. The final stage holds what the sidecar needs of it, and has no
# shell, no package manager and no pip: deploy/image/root.py says what.
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

# botocore brings the models of about 430 AWS services; the sidecar uses six.
COPY deploy/image ./image
RUN python image/prune.py /opt/sidecar/lib/python3.*/site-packages

# unchecked-hash: the bytecode stays valid whatever a copy or a snapshot does to modification times.
RUN /opt/sidecar/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/sidecar/lib

RUN python image/root.py /image /opt/sidecar

# ---- final ----
FROM scratch

# With the folders of volumes, which belong to the user: a volume mounted there takes its owner from the image.
COPY --from=build /image /
VOLUME ["/var/lib/sidecar", "/var/run/sidecar"]

# Ready-made examples for SIDECAR_CONFIG, such as /etc/sidecar/axonflow.yaml. Without one the built-in defaults hold.
COPY config/ /etc/sidecar/

ENV PATH=/opt/sidecar/bin:/usr/local/bin:/usr/bin:/bin \
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
