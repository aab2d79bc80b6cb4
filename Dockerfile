# The same server for users with Docker: docs/quickstart.md, docker-compose.yml. Not run here: docs/limitations.md.

# OHIF's dist, verified against the committed sha512 by the script that `make setup` uses.
FROM node:22.21.1-bookworm-slim AS viewer
WORKDIR /src
COPY setup/ohif setup/ohif
COPY ohif/ohif-app.sha512 ohif/ohif-app.sha512
RUN setup/ohif

# The wheel; its build tools come from the full lock and stay behind in this stage.
FROM python:3.11.14-slim-bookworm AS wheel
WORKDIR /src
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY profiles profiles
COPY mappings mappings
COPY orthanc orthanc
COPY ohif ohif
COPY interop interop
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

FROM python:3.11.14-slim-bookworm AS installed
COPY requirements-runtime.lock /tmp/
RUN python -m venv /opt/interop \
    && /opt/interop/bin/pip install --no-cache-dir --require-hashes --no-deps -r /tmp/requirements-runtime.lock
COPY --from=wheel /wheel /tmp/wheel
RUN /opt/interop/bin/pip install --no-cache-dir --no-deps --no-index /tmp/wheel/*.whl

FROM python:3.11.14-slim-bookworm
# 999 is the user of the Orthanc image too: worklist files and Orthanc's configuration (mode 0600) pass between them.
# The folders exist with that owner, so that a named volume that is first mounted here takes it over.
RUN groupadd --system --gid 999 interop \
    && useradd --system --uid 999 --gid 999 --home-dir /var/lib/interop --shell /usr/sbin/nologin interop \
    && install -d -o 999 -g 999 -m 0700 /var/lib/interop \
    && install -d -o 999 -g 999 /var/lib/worklist /etc/orthanc
COPY --from=installed /opt/interop /opt/interop
COPY --from=viewer /src/build/ohif/dist /usr/share/interop/ohif
ENV PATH=/opt/interop/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    INTEROP_DATA_DIR=/var/lib/interop \
    INTEROP_OHIF_DIR=/usr/share/interop/ohif
USER 999:999
WORKDIR /var/lib/interop
EXPOSE 8000 2575
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["interop"]
CMD ["serve"]
