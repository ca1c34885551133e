# The studio in a container, as a user without rights:
#
#   docker build -t unboxed .                                        CPU, about 1.5 GB
#   docker build -t unboxed-cuda --build-arg TORCH=cuda .            CUDA; run it with --gpus all
#   docker run --rm -p 127.0.0.1:8321:8321 -e UNBOXED_STUDIO_TOKEN=SECRET -v "$PWD/run:/data/run:ro" unboxed
#
# Other commands take the place of the last line: docker run --rm -v "$PWD:/data" unboxed unboxed fit --data photos --out run
FROM python:3.12-slim AS build
ARG TORCH=cpu
WORKDIR /source
RUN python -m venv /opt/unboxed
ENV PATH=/opt/unboxed/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# PyTorch first, in a layer of its own: it is most of the image and seldom changes.
RUN if [ "$TORCH" = cuda ]; then pip install torch; \
    else pip install torch --index-url https://download.pytorch.org/whl/cpu; fi
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install ".[studio,hub,heic]"

FROM python:3.12-slim
LABEL org.opencontainers.image.title="unboxed" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 1000 --create-home unboxed
COPY --from=build /opt/unboxed /opt/unboxed
ENV PATH=/opt/unboxed/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /data
USER unboxed
EXPOSE 8321
HEALTHCHECK --interval=30s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8321/')"]
CMD ["unboxed", "studio", "/data/run", "--host", "0.0.0.0", "--port", "8321"]
