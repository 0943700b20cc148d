# The web app of Synthlift. Build:  docker build -t synthlift .
# Run:  docker run --rm -p 127.0.0.1:8000:8000 -v synthlift:/data synthlift
# It prints a token to sign in with, unless SYNTHLIFT_TOKEN is set. With a GPU add:
#   --gpus all    and the arguments    serve --host 0.0.0.0 --device cuda:0
# Nothing is downloaded when it runs.

FROM python:3.12-slim-bookworm AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
RUN python -m pip install --no-cache-dir "uv>=0.9,<1"
WORKDIR /source
COPY requirements/web.txt requirements/web.txt
RUN uv venv --python /usr/local/bin/python /opt/synthlift \
    && uv pip install --no-cache --python /opt/synthlift/bin/python --require-hashes \
        --compile-bytecode -r requirements/web.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN uv pip install --no-cache --python /opt/synthlift/bin/python --no-deps --no-build-isolation \
        --compile-bytecode .

FROM python:3.12-slim-bookworm
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin synthlift \
    && install --directory --owner=synthlift --group=synthlift --mode=0700 /data \
    && install --directory /pictures
COPY --from=build /opt/synthlift /opt/synthlift
ENV PATH=/opt/synthlift/bin:$PATH \
    SYNTHLIFT_STORE=/data/store \
    SYNTHLIFT_DATA_HOME=/data/home \
    MPLCONFIGDIR=/data/cache/matplotlib \
    XDG_CACHE_HOME=/data/cache \
    HF_HUB_OFFLINE=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["synthlift"]
CMD ["serve", "--host", "0.0.0.0", "--data", "/pictures", "--no-browser"]
