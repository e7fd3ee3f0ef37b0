# Two images from one file: `service` runs everything that needs no torch, `worker` runs the optimiser.
#   docker build --target service -t gfi-service:0.2.0 .
#   docker build --target worker -t gfi-worker:0.2.0 .
# Dependencies are exactly those of deploy/locks, by hash (`make lock`): two builds of one commit have the same packages.
FROM python:3.12.11-slim-bookworm AS source
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gfi gfi
COPY scheduler scheduler
COPY workers workers
COPY migrations migrations
COPY deploy/locks deploy/locks
RUN python -m venv /opt/gfi

FROM source AS build-service
RUN /opt/gfi/bin/pip install --no-cache-dir --require-hashes --requirement deploy/locks/service.txt \
 && /opt/gfi/bin/pip install --no-cache-dir --no-deps .

FROM source AS build-worker
RUN /opt/gfi/bin/pip install --no-cache-dir --require-hashes --requirement deploy/locks/worker.txt \
 && /opt/gfi/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12.11-slim-bookworm AS base
# tini passes SIGTERM on and reaps; the worker needs it to commit what it has finished.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home gfi \
 && mkdir -p /var/lib/gfi/models && chown -R gfi /var/lib/gfi
ENV PATH=/opt/gfi/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GFI_HOME=/var/lib/gfi
WORKDIR /var/lib/gfi
ENTRYPOINT ["tini", "--", "gfi"]
CMD ["--help"]

FROM base AS service
COPY --from=build-service /opt/gfi /opt/gfi
USER 10001

FROM base AS worker
COPY --from=build-worker /opt/gfi /opt/gfi
USER 10001
