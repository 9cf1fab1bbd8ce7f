#!/usr/bin/env bash
# Build, verify and measure on an NVIDIA GPU: benchmarks/gpu.py, on a machine that has a driver, Python with a torch built for
# CUDA, an nvcc of that CUDA (on the PATH, in CUDA_HOME or from pip), CMake, a C++ compiler and pytest. Everything else comes
# from gpu-wheels/, which `make gpu-wheels` fills where there is a network; here nothing is fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}

"$PYTHON" -c 'import torch' || { echo "gpu.sh: $PYTHON has no torch; name another one: PYTHON=... $0" >&2; exit 1; }

if [[ " $* " != *" --dry-run "* ]]; then
  "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' \
    || { echo "gpu.sh: torch finds no CUDA device here; $0 --dry-run tries everything on the CPU" >&2; exit 1; }
  compgen -G 'gpu-wheels/*.whl' >/dev/null || { echo "gpu.sh: gpu-wheels/ is empty: make gpu-wheels, where there is a network" >&2; exit 1; }
  site=$PWD/build/gpu-site
  "$PYTHON" -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target "$site" gpu-wheels/*.whl
  export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} PATH=$PATH:$site/bin
  # CUDA's libraries come with torch: OpenMM and vesin look for them, too
  libraries=$("$PYTHON" -c 'import glob, sys; print(":".join(d for p in sys.path for d in glob.glob(p + "/nvidia/*/lib")))')
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  command -v nvcc >/dev/null || for place in "${CUDA_HOME:-}/bin" /usr/local/cuda/bin "$site"/nvidia/*/bin; do
    if [[ -x $place/nvcc ]]; then export PATH=$place:$PATH; break; fi
  done
fi

exec "$PYTHON" benchmarks/gpu.py "$@"
