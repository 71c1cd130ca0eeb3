# Any base with s6-overlay 3, curl and Python with pip serves: nothing below asks for Alpine.
ARG BUILD_FROM=ghcr.io/home-assistant/base-python:3.13-alpine3.24
FROM ${BUILD_FROM}

# Root, confined by apparmor.txt: nobody else may read the keys in /ssl.
WORKDIR /usr/src/app

# Services start in a folder of their own, in which nothing is looked for: PYTHONPATH finds the
# package from there.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/usr/src/app \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1

# Wheels alone, each with a known hash, so that no compiler is needed and nobody can slip
# something in. Byte code that is never compared with its source is the same in every build.
COPY requirements.lock ./
RUN PIP_BREAK_SYSTEM_PACKAGES=1 PIP_EXTRA_INDEX_URL='' PIP_ROOT_USER_ACTION=ignore \
    python3 -m pip install --no-cache-dir --no-compile --disable-pip-version-check \
        --only-binary :all: --require-hashes -r requirements.lock \
    && python3 -m compileall -q -x '/pip/' --invalidation-mode unchecked-hash \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

COPY ocpp_addon ocpp_addon
RUN python3 -m compileall -q --invalidation-mode unchecked-hash ocpp_addon

COPY rootfs /

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["curl", "--fail", "--silent", "--output", "/dev/null", "http://127.0.0.1:8099/health"]

ARG BUILD_ARCH
ARG BUILD_VERSION
LABEL \
    io.hass.arch="${BUILD_ARCH}" \
    io.hass.type="app" \
    io.hass.version="${BUILD_VERSION}" \
    org.opencontainers.image.title="OCPP Gateway" \
    org.opencontainers.image.description="EV chargers connect here over OCPP, and show up in Home Assistant and on MQTT" \
    org.opencontainers.image.source="https://github.com/ocpp-gateway/ocpp-gateway" \
    org.opencontainers.image.licenses="Apache-2.0"
