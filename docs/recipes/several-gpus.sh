#!/usr/bin/env bash
# Trains on several GPUs, a process each. The program must be built by `make mpi`.
#   docs/recipes/several-gpus.sh [N [BATCH]]     N processes (2) with BATCH sequences of 1024 tokens each (16)
# RUN names the run's directory (runs/several). SMALL=1 tries the script in seconds, all processes on one device.
set -euo pipefail
export PATH=$PWD:$PATH # where make leaves the program
n=${1:-2} batch=${2:-16} run=${RUN:-runs/several} small=""
[ -z "${SMALL:-}" ] || small="--preset tiny --data sample --n-layer 1 --n-head 2 --n-embd 16 --batch-size 1 --seq-len 16
  --total-batch-size $((16 * n)) --steps 4 --sample-every 0"

mpirun -np "$n" gpt2wgpu train --preset gpt2-124m --batch-size "$batch" --grad-dtype bf16 --out "$run" $small
gpt2wgpu runs "$run"
