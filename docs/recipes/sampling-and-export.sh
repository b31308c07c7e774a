#!/usr/bin/env bash
# Writes text with a model in several ways, and converts it for other programs.
#   docs/recipes/sampling-and-export.sh [MODEL [PROMPT]]     MODEL: a run, gpt2, a Hugging Face directory, an llm.c .bin
# OUT names the folder for what is written (exports). SMALL=1 tries the script in seconds, with a model that it makes.
set -euo pipefail
export PATH=$PWD:$PATH # where make leaves the program
model=${1:-gpt2} prompt=${2:-"Hello, I'm a language model,"} out=${OUT:-exports} tokens=100
if [ -n "${SMALL:-}" ]; then
  model=$out/model tokens=5
  gpt2wgpu train --n-layer 1 --n-head 2 --n-embd 16 --vocab-size 50257 --tokenizer gpt2 --steps 1 --sample-every 0 \
    --out "$model"
fi
mkdir -p "$out"

gpt2wgpu sample --model "$model" --prompt "$prompt" --n 3 --max-tokens $tokens
gpt2wgpu sample --model "$model" --prompt "$prompt" --n 3 --max-tokens $tokens --temperature 0.8 --top-p 0.95
gpt2wgpu sample --model "$model" --prompt "$prompt" --n 1 --greedy --max-tokens $tokens
gpt2wgpu sample --model "$model" --prompt "$prompt" --n 3 --max-tokens $tokens --json >"$out/samples.jsonl"
gpt2wgpu export --model "$model" --format hf --out "$out/hf"
gpt2wgpu export --model "$model" --format llmc --out "$out/model.bin"
