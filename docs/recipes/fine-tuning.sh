#!/usr/bin/env bash
# Goes on from GPT-2's published weights with a text of one's own, and compares before and after.
#   docs/recipes/fine-tuning.sh [TEXT [WEIGHTS]]     WEIGHTS: gpt2, gpt2-medium, …, a Hugging Face directory or a run
# RUN names the run's directory (runs/fine). SMALL=1 tries the script in seconds, from weights that it makes.
set -euo pipefail
export PATH=$PWD:$PATH # where make leaves the program
text=${1:-sample} weights=${2:-gpt2} run=${RUN:-runs/fine} small="" few=""
if [ -n "${SMALL:-}" ]; then
  gpt2wgpu train --n-layer 1 --n-head 2 --n-embd 16 --vocab-size 50257 --tokenizer gpt2 --steps 1 --sample-every 0 \
    --out "$run-weights"
  gpt2wgpu export --model "$run-weights" --format hf --out "$run-weights/hf"
  weights=$run-weights/hf few="--val-steps 2"
  small="--seq-len 16 --batch-size 1 --steps 4 --val-every 2 --sample-every 0"
fi

gpt2wgpu eval --model "$weights" --data "$text" --val-steps 20 $few
gpt2wgpu train --init "$weights" --data "$text" --val-fraction 0.1 --seq-len 256 --steps 300 --out "$run" $small
gpt2wgpu eval --model "$run" --data "$text" --val-steps 20 $few
gpt2wgpu sample --model "$run" --n 3 --max-tokens 100 --temperature 0.8
