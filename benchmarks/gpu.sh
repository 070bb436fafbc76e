#!/usr/bin/env bash
# Checks and measures everything that waits for a GPU, on this machine, without a network; benchmarks/gpu/ says what.
#
#   bash benchmarks/gpu.sh [--wheels FOLDER] [options of python -m benchmarks.gpu]
#
# Python with a CUDA build of torch is taken as it is found (PYTHON names another). What it lacks of cxrpt's packages comes from a
# folder of wheels, made on a machine with a network by: bash benchmarks/gpu_wheels.sh PYTHON_VERSION FOLDER NAME ...
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
if [ "${1:-}" = --wheels ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$2"/*.whl
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
    shift 2
fi
missing=$("$python" - << 'END'
from importlib.util import find_spec
needed = "torch deepspeed hjson pydantic einops omegaconf webdataset braceexpand sentencepiece cv2 numpy safetensors rich typer pandas msgpack psutil tqdm"
print(*(name for name in needed.split() if find_spec(name) is None))
END
)
if [ -n "$missing" ]; then
    echo "not installed here: $missing (--wheels FOLDER brings them)" >&2
    exit 2
fi
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
"$python" -m benchmarks.gpu "$@"
