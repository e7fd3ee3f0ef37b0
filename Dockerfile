# One image for every service; the command decides what it is. Build: docker build -t gfi .
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY gfi gfi
COPY scheduler scheduler
COPY workers workers
COPY migrations migrations
RUN python -m venv /opt/gfi \
 && /opt/gfi/bin/pip install --no-cache-dir --upgrade pip \
 && /opt/gfi/bin/pip install --no-cache-dir '.[sample,postgres,peers]'

FROM python:3.12-slim-bookworm
# tini passes SIGTERM on and reaps; the worker needs it to commit what it has finished.
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --create-home gfi
COPY --from=build /opt/gfi /opt/gfi
ENV PATH=/opt/gfi/bin:$PATH PYTHONUNBUFFERED=1 GFI_HOME=/var/lib/gfi
RUN mkdir -p /var/lib/gfi/models && chown -R gfi /var/lib/gfi
USER gfi
WORKDIR /var/lib/gfi
ENTRYPOINT ["tini", "--", "gfi"]
CMD ["--help"]
