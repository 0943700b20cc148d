# The web app of Synthlift. Build:  docker build -t synthlift .
# Without CUDA, 5 GB smaller:       docker build -t synthlift --build-arg VARIANT=cpu .
# TORCH_INDEX names another place of PyTorch's builds without CUDA, such as a mirror of your own.
# Run:  docker run --rm -p 127.0.0.1:8000:8000 -v synthlift:/data synthlift
# It prints a token to sign in with, unless SYNTHLIFT_TOKEN is set. With a GPU add:
#   --gpus all    and the arguments    serve --host 0.0.0.0 --device cuda:0
# Nothing is downloaded when it runs. scripts/try_container.py runs and tries these steps.

FROM python:3.12-slim-bookworm AS build
ARG VARIANT=gpu
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_CACHE_DIR=/cache
RUN python -m pip install --no-cache-dir "uv>=0.9,<1"
WORKDIR /source
COPY requirements/run.txt requirements/run.txt
COPY scripts/without_cuda.py scripts/without_cuda.py
# PyTorch's builds without CUDA come from its own index, in the pinned versions; all else is pinned
# by hash, too.
RUN --mount=type=cache,target=/cache \
    uv venv --python /usr/local/bin/python /opt/synthlift \
    && if [ "$VARIANT" = cpu ]; then \
        python scripts/without_cuda.py requirements/run.txt > others.txt \
        && python scripts/without_cuda.py requirements/run.txt --torch > torch.txt \
        && uv pip install --python /opt/synthlift/bin/python --no-deps --require-hashes \
            --compile-bytecode -r others.txt \
        && UV_DEFAULT_INDEX="$TORCH_INDEX" uv pip install --python /opt/synthlift/bin/python \
            --no-deps --compile-bytecode -r torch.txt; \
    else \
        uv pip install --python /opt/synthlift/bin/python --require-hashes \
            --compile-bytecode -r requirements/run.txt; \
    fi
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN --mount=type=cache,target=/cache \
    uv pip install --python /opt/synthlift/bin/python --no-deps --no-build-isolation \
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
