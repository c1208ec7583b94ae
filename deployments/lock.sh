#!/usr/bin/env bash
# Writes the hash-locked dependencies of deployments anew: requirements.lock (all but torch), torch-cpu.lock, torch-cuda.lock.
#   deployments/lock.sh FOLDER [further options of uv]
# FOLDER holds torch's builds for processors (pip download --no-deps --index-url … torch), one for each platform to be
# locked: the index that pip uses by default has only the CUDA build for Linux. Takes the newest versions allowed; needs uv.
set -euo pipefail
cd "$(dirname "$0")/.."
cpu_wheels=${1:?a folder with torch wheels for processors must be given}
shift

compile() {
    uv pip compile --quiet --no-cache --generate-hashes --upgrade --no-emit-index-url --no-emit-find-links \
        --custom-compile-command deployments/lock.sh "$@"
}
leaving_out() { printf -- '--no-emit-package\n%s\n' "$@"; }
names() { grep -oE '^[a-z0-9][a-z0-9._-]*(\[[a-z,]+\])?==' "$1" | sed -E 's/(\[.*)?==$//'; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What torch alone brings along is what the two locks of torch hold.
compile --universal --python-version 3.11 --extra kubernetes pyproject.toml -o "$work/all.lock" "$@"
version=$(grep -oE '^torch==[0-9.]+' "$work/all.lock")
mapfile -t of_cuda < <(names "$work/all.lock" | grep -E '^(torch|triton|cuda-.*|nvidia-.*)$')
mapfile -t others < <(names "$work/all.lock" | grep -vE '^(torch|triton|cuda-.*|nvidia-.*)$')
mapfile -t without_cuda < <(leaving_out "${of_cuda[@]}")
mapfile -t without_others < <(leaving_out "${others[@]}")
common=(--universal --python-version 3.11 --extra kubernetes pyproject.toml --constraints "$work/all.lock")

compile "${common[@]}" "${without_cuda[@]}" -o deployments/requirements.lock "$@"
compile "${common[@]}" "${without_others[@]}" -o deployments/torch-cuda.lock "$@"

{
    printf '# Written by deployments/lock.sh: builds for processors, which come from an index of their own.\n%s+cpu' "$version"
    for wheel in "$cpu_wheels"/torch-"${version#torch==}"+cpu-*.whl; do
        printf ' \\\n    --hash=sha256:%s' "$(sha256sum "$wheel" | cut -d' ' -f1)"
    done
    echo
} >deployments/torch-cpu.lock

# Where the constraints lay for a moment is nobody's business.
sed -i '/^ *#   -c .*all\.lock$/d' deployments/requirements.lock deployments/torch-cuda.lock
