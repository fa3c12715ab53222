# The service and one worker, on a volume: docker run --read-only -p 8000:8000 -v pathway:/data pathway-fhir
# Other commands of the command line go after the image's name: docker run ... pathway-fhir work

FROM python:3.12-slim-bookworm AS build
WORKDIR /build
COPY requirements/run.lock requirements/run.lock
RUN python -m venv /opt/pathway \
    && /opt/pathway/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.lock
COPY pyproject.toml README.md openapi.yaml ./
COPY mappings mappings
COPY service service
COPY sandbox sandbox
RUN /opt/pathway/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/pathway/bin/python -m pip uninstall --yes --disable-pip-version-check pip setuptools \
    && /opt/pathway/bin/python -m compileall -q /opt/pathway/lib

FROM python:3.12-slim-bookworm
RUN groupadd --gid 10001 pathway \
    && useradd --uid 10001 --gid pathway --home-dir /data --no-create-home --shell /usr/sbin/nologin pathway \
    && install --directory --owner pathway --group pathway --mode 0700 /data
COPY --from=build /opt/pathway /opt/pathway
# hadolint ignore=DL3064
ENV PATH=/opt/pathway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATHWAY_FHIR_DATABASE_URL=sqlite:////data/pathway.db \
    PATHWAY_FHIR_SECRET_FILE=/data/secret \
    PATHWAY_FHIR_HOST=0.0.0.0
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('PATHWAY_FHIR_PORT', 8000)}/health/ready\", timeout=4)"]
ENTRYPOINT ["pathway-fhir"]
CMD ["serve", "--with-worker"]
