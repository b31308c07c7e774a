#!/usr/bin/env bash
# The whole recipe: GPT-2 124M from nothing on 10 billion tokens of FineWeb-Edu, on one GPU. A second call goes on where
# the first one ended.
#   docs/recipes/gpt2-124m.sh [BATCH]     BATCH: sequences of 1024 tokens at once, as the GPU's memory allows (16)
# RUN names the run's directory (runs/gpt2-124m). SMALL=1 tries the script in seconds, on the embedded sample.
set -euo pipefail
export PATH=$PWD:$PATH # where make leaves the program
batch=${1:-16} run=${RUN:-runs/gpt2-124m} small=""
[ -z "${SMALL:-}" ] || small="--data sample --val-fraction 0.1 --n-layer 1 --n-head 2 --n-embd 16 --batch-size 1
  --seq-len 16 --total-batch-size 32 --steps 3 --val-every 2 --val-steps 2 --sample-every 0"

if [ -e "$run/config.json" ]; then
  gpt2wgpu train --out "$run" --resume
else
  gpt2wgpu train --preset gpt2-124m --batch-size "$batch" --dry-run $small
  if [ -z "${SMALL:-}" ]; then
    gpt2wgpu data fetch fineweb-edu
    gpt2wgpu data fetch hellaswag
    gpt2wgpu tune --preset gpt2-124m --batch-size "$batch"
    small="--hellaswag fetch"
  fi
  gpt2wgpu train --preset gpt2-124m --batch-size "$batch" --out "$run" $small
fi
gpt2wgpu runs plot "$run" --x tokens --out "$run/tokens.svg"
