#!/usr/bin/env bash
# Regenerates the reference runs of this folder with the PyTorch reference (float32 on the CPU):
#   TORCH_GPT2=path/to/torch_gpt2.py bash train/testdata/generate.sh
# It needs python3-torch and numpy. Each NAME.args holds the flags that both programs understand; NAME.jsonl holds what
# PyTorch printed for them: one line a step, and a line with greedy tokens where --greedy asks for them.
set -euo pipefail
cd "$(dirname "$0")/../.."
for args in train/testdata/*.args; do
  name=${args%.args}
  grads=()
  case $name in *_grads) grads=(--dump-grads "$name.safetensors") ;; esac
  script=${TORCH_GPT2:?path of torch_gpt2.py}
  case $name in */muon*) script=train/testdata/torch_muon.py ;; esac
  # shellcheck disable=SC2046
  /usr/bin/python3 "$script" --text data/sample.txt $(cat "$args") "${grads[@]}" > "$name.jsonl"
  echo "$name: $(wc -l < "$name.jsonl") lines"
done
