#!/usr/bin/env bash
# Wheels for a machine with a GPU and without a network, in the versions of docker/constraints.txt.
#
#   bash benchmarks/gpu_wheels.sh 3.12 wheels deepspeed hjson pydantic pydantic-core omegaconf webdataset ...
set -euo pipefail
version=${1:?the version of Python there, as 3.12} folder=${2:?a folder for the wheels}
shift 2
cd "$(dirname "$0")/.."
mkdir -p "$folder"
platforms=()
for glibc in 2_34 2_31 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_x86_64"); done
for name in "$@"; do
    pinned=$(grep -i "^$name==" docker/constraints.txt || echo "$name")
    # What is offered as source only is pure Python here, and built as such; DeepSpeed builds no operators.
    python3 -m pip download -q --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
        "${platforms[@]}" --platform manylinux2014_x86_64 --platform manylinux1_x86_64 -d "$folder" "$pinned" 2> /dev/null ||
        DS_BUILD_OPS=0 python3 -m pip wheel -q --no-deps -w "$folder" "$pinned"
done
ls -l "$folder"
