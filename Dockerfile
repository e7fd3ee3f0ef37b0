# Two images from one file: `service` runs everything that needs no torch, `worker` runs the optimiser.
#   docker build --target service -t gfi-service .
#   docker build --target worker -t gfi-worker .
FROM python:3.12-slim-bookworm AS source
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gfi gfi
COPY scheduler scheduler
COPY workers workers
COPY migrations migrations
RUN python -m venv /opt/gfi && /opt/gfi/bin/pip install --no-cache-dir --upgrade pip

FROM source AS build-service
RUN /opt/gfi/bin/pip install --no-cache-dir '.[service]'

FROM source AS build-worker
RUN /opt/gfi/bin/pip install --no-cache-dir '.[service,method,sample,peers]'

FROM python:3.12-slim-bookworm AS base
# tini passes SIGTERM on and reaps; the worker needs it to commit what it has finished.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home gfi \
 && mkdir -p /var/lib/gfi/models && chown -R gfi /var/lib/gfi
ENV PATH=/opt/gfi/bin:$PATH PYTHONUNBUFFERED=1 GFI_HOME=/var/lib/gfi
WORKDIR /var/lib/gfi
ENTRYPOINT ["tini", "--", "gfi"]
CMD ["--help"]

FROM base AS service
COPY --from=build-service /opt/gfi /opt/gfi
USER gfi

FROM base AS worker
COPY --from=build-worker /opt/gfi /opt/gfi
USER gfi
