#!/usr/bin/env bash
# Compares --sync-every with the exact run on the shape of recipe_small (4 layers, 128 channels, bytes, T=128): four ranks
# of 4x128 tokens, 10 local steps between outer ones, against the same 2048 tokens a step with every gradient summed, which
# one process computes as four micro-steps. Prints the last validation losses and what a rank sent. TEXT is tiny shakespeare
# (1,115,394 bytes); its last tenth is for validation. About ten minutes on two cores.
#
#   PROGRAM=./gpt2wgpu TEXT=input.txt bash train/mpi/testdata/sync_every.sh [train flags, such as --outer-lr 1 --outer-momentum 0]
set -euo pipefail
PROGRAM=${PROGRAM:-./gpt2wgpu} STEPS=${STEPS:-200}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
head -c 1003854 "$TEXT" >"$tmp/train.txt"
tail -c +1003855 "$TEXT" >"$tmp/val.txt"
shape=(--n-layer 4 --n-head 4 --n-embd 128 --block-size 128 --batch-size 4 --seq-len 128 --steps "$STEPS" --lr 1e-3 --min-lr 1e-4
  --init-projections scaled --warmup-steps 10 --grad-clip 1 --sample-every 0 --val-every 20
  --data "$tmp/train.txt" --val-data "$tmp/val.txt")
mpirun=(mpirun --oversubscribe -np 4)
[ "$(id -u)" = 0 ] && mpirun+=(--allow-run-as-root)
"$PROGRAM" train "${shape[@]}" --total-batch-size 2048 --val-steps 20 --out "$tmp/exact" 2>"$tmp/exact.log"
"${mpirun[@]}" "$PROGRAM" train "${shape[@]}" --val-steps 5 --sync-every 10 "$@" --out "$tmp/sync" 2>"$tmp/sync.log" >&2
for run in exact sync; do echo "$run: $(grep -o ': validation loss .*' "$tmp/$run.log" | tail -1)"; done
grep -o 'sent .* a rank' "$tmp/sync.log"
