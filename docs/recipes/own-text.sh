#!/usr/bin/env bash
# Trains a small model on a text of one's own, draws its loss, and lets it write.
#   docs/recipes/own-text.sh [TEXT]     TEXT: a .txt or .md file, or a folder of them; without one the embedded sample
# RUN names the run's directory (runs/own-text). SMALL=1 tries the script in seconds.
set -euo pipefail
export PATH=$PWD:$PATH # where make leaves the program
text=${1:-sample} run=${RUN:-runs/own-text} small=""
[ -z "${SMALL:-}" ] || small="--n-layer 1 --n-head 2 --n-embd 16 --steps 12 --val-every 6 --sample-every 0"

gpt2wgpu train --data "$text" --val-fraction 0.1 --out "$run" $small
gpt2wgpu runs "$run"
gpt2wgpu runs plot "$run"
gpt2wgpu sample --model "$run" --n 3 --max-tokens 300
