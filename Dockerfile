# topcoat as an image. The project's folder is mounted at /project:
#
#   docker build --tag topcoat .
#   docker run --rm -v "$PWD:/project" topcoat check phase1
#
# For a CUDA GPU (driver 580 or newer), and with the host's driver handed in:
#
#   docker build --build-arg CUDA=13 --tag topcoat:cuda13 .
#   docker run --rm --gpus all -v "$PWD:/project" topcoat:cuda13 run phase1
#
# MLX's wheels need glibc 2.35 or newer; Debian 12 has 2.36.

ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim-bookworm
# CUDA: empty for a CPU, 13, or 12 for older drivers.
ARG CUDA=
COPY --from=build /wheels /wheels
# Both builds of MLX put their library at the same place, and the last one wins.
RUN set -eu; \
    case "$CUDA" in "") extra= ;; 12) extra="[cuda]" ;; 13) extra="[cuda13]" ;; *) echo "CUDA is 12 or 13"; exit 1 ;; esac; \
    pip install --no-cache-dir "$(ls /wheels/*.whl)$extra"; \
    if [ -n "$CUDA" ]; then pip install --no-cache-dir --force-reinstall --no-deps "mlx-cuda-$CUDA"; fi; \
    rm -r /wheels
# Kernels that are compiled once, and the model hub's files, stay if these folders are mounted.
ENV MLX_PTX_CACHE_DIR=/cache/ptx HF_HOME=/cache/huggingface
WORKDIR /project
ENTRYPOINT ["topcoat"]
CMD ["--help"]
