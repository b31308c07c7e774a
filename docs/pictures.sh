#!/usr/bin/env bash
# Makes docs/loss.svg, the README's picture: two short runs of the preset tiny. About two minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -o build/ ./cmd/gpt2wgpu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for lr in 2e-3 5e-4; do
  build/gpt2wgpu train --steps 600 --lr $lr --val-fraction 0.1 --val-every 100 --sample-every 0 --out "$dir/lr-$lr" -q
done
build/gpt2wgpu runs plot "$dir"/lr-* --x tokens --out docs/loss.svg
