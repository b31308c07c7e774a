#!/usr/bin/env bash
# Measures what ranks send, and what a slow network costs: runs of two ranks in a network namespace of their own, whose
# loopback passes RATE. Needs root, Linux, iproute2 and Open MPI; PROGRAM is a gpt2wgpu made by `make mpi`. Prints a line
# a run: what the namespace's loopback carried a step (TCP/IP's headers and both ranks included), and where the time went.
#
#   sudo PROGRAM=./gpt2wgpu RATE=100mbit STEPS=20 bash train/mpi/testdata/limited.sh
set -euo pipefail
export PROGRAM=$(realpath "${PROGRAM:-./gpt2wgpu}") RATE=${RATE:-100mbit} STEPS=${STEPS:-20}
if [ "${1:-}" != inside ]; then
  exec unshare -n bash "$0" inside
fi
ip link set lo up
tc qdisc add dev lo root tbf rate "$RATE" burst 256kb latency 2s
sent() { tc -s qdisc show dev lo | sed -n 's/ Sent \([0-9]*\) bytes.*/\1/p'; }
# Shared memory is left out, so that every byte crosses the loopback; Open MPI would not use that by itself.
mpirun=(mpirun --oversubscribe -np 2 --mca btl tcp,self --mca btl_tcp_if_include lo --mca pml ob1)
[ "$(id -u)" = 0 ] && mpirun+=(--allow-run-as-root)
for flags in "--grad-dtype f32" "--grad-dtype bf16" "--sync-every 10" "--sync-every 10 --grad-dtype bf16"; do
  before=$(sent)
  said=$("${mpirun[@]}" "$PROGRAM" train --batch-size 1 --steps "$STEPS" --sample-every 0 --check-every 0 --out '' $flags 2>&1)
  after=$(sent)
  echo "$flags: $(((after - before) / STEPS / 1024)) KiB a step on the wire; $(grep -o 'average step on.*' <<<"$said")"
  ms=$(grep -o '[0-9]* ms |' <<<"$said" | tail -1)
  echo "    the last step told: $ms"
done
