# The image of the nightly batch and, with `--target demo`, the image of the trial: the same with the demo extra.
#
# Needs BuildKit (Docker 20.10 or newer) or buildah 1.28; `make image` uses whichever there is.
# The secret pip-conf leads pip to a mirror or through a proxy; it may name /run/secrets/ca-certificates, the other secret,
# as its cert. No layer keeps either.
# The same inputs give the same layers: bytecode depends on nothing but its source, what we add is from 1980, and the
# builder gives the image itself SOURCE_DATE_EPOCH. Without a change of the lock a release shares its largest layer.

# Another name here, and a mirror is used.
ARG PYTHON_IMAGE=python:3.13-slim


# The virtualenv with what is locked: made anew when the lock or the base changes, and the same until then.
FROM ${PYTHON_IMAGE} AS dependencies
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONHASHSEED=0
WORKDIR /build
COPY requirements.lock docker/prune.py ./
RUN --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates \
    --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/costbatch \
 && python -m pip --quiet --python /opt/costbatch/bin/python \
      install --no-compile --require-hashes --no-deps --requirement requirements.lock \
 && python prune.py /opt/costbatch/lib/python*/site-packages \
 && python -m compileall -fq --invalidation-mode unchecked-hash /opt/costbatch/lib \
 && find /opt/costbatch -exec touch --no-dereference --date=1980-01-01 {} +


# The wheel of the project, made with locked tools.
FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY requirements-build.lock ./
RUN --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates \
    --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/build \
 && python -m pip --quiet --python /opt/build/bin/python \
      install --no-compile --require-hashes --no-deps --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY alembic alembic
COPY costbatch costbatch
COPY helm/costbatch/Chart.yaml helm/costbatch/
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /wheel


# The project as it lies over the virtualenv, without what only the trial has, which goes to /trial; and the bytecode of
# what the project uses of the standard library.
FROM dependencies AS project
COPY docker/standard_library.py ./
COPY --from=wheel /wheel /wheel
RUN python -m pip --quiet --python /opt/costbatch/bin/python \
      install --no-compile --no-index --no-deps --root /project /wheel/*.whl \
 && rm -f /project/opt/costbatch/lib/python*/site-packages/costbatch-*.dist-info/direct_url.json \
 && python -m compileall -fq --invalidation-mode unchecked-hash -s /project -p / /project \
 && package="$(echo /project/opt/costbatch/lib/python*/site-packages/costbatch)" \
 && mkdir -p "/trial${package#/project}" \
 && mv "$package/demo" "$package/simulator" "/trial${package#/project}" \
 && PYTHONPATH="$(echo /project/opt/costbatch/lib/python*/site-packages)" \
      /opt/costbatch/bin/python standard_library.py /standard-library \
 && find /project /trial /standard-library -exec touch --no-dereference --date=1980-01-01 {} +


# What only the trial has: a server for the simulated AWS, and PostgreSQL.
FROM dependencies AS demo-dependencies
COPY requirements-demo.lock ./
RUN --mount=type=secret,id=pip-conf,target=/etc/pip.conf \
    --mount=type=secret,id=ca-certificates \
    --mount=type=cache,target=/root/.cache/pip \
    python -m pip --quiet --python /opt/costbatch/bin/python \
      install --no-compile --require-hashes --no-deps --root /demo --requirement requirements-demo.lock \
 && python -m compileall -fq --invalidation-mode unchecked-hash -s /demo -p / /demo \
 && find /demo -exec touch --no-dereference --date=1980-01-01 {} +


# What runs.
FROM ${PYTHON_IMAGE} AS release
# The base comes with pip, which has no business here, and without bytecode: as nothing can be written, every start
# would compile the standard library anew.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/*-packages/pip* /usr/local/lib/python3*/ensurepip \
 && touch --date=1980-01-01 /usr/local/bin /usr/local/lib/python3* /usr/local/lib/python3*/*-packages
COPY --from=project /standard-library /
COPY --from=dependencies /opt/costbatch /opt/costbatch
COPY --from=project /project/opt/costbatch /opt/costbatch
ENV PATH=/opt/costbatch/bin:$PATH
ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="costbatch" \
      org.opencontainers.image.description="Collects the daily cost of every AWS account into PostgreSQL and flags anomalies." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# By number, so that Kubernetes can see that it is not root. Nothing is ever written to the root filesystem.
USER 65532:65532
# No HEALTHCHECK: a batch is healthy when it ends with 0, and Kubernetes would ignore one.
# No STOPSIGNAL: the default, SIGTERM, is what costbatch ends on in order.
ENTRYPOINT ["costbatch"]


FROM release AS demo
COPY --from=demo-dependencies /demo/opt/costbatch /opt/costbatch
COPY --from=project /trial/opt/costbatch /opt/costbatch
LABEL org.opencontainers.image.title="costbatch-demo" \
      org.opencontainers.image.description="costbatch with a simulated AWS and a PostgreSQL, for trials only."


# The last stage is what is built without --target.
FROM release AS costbatch
