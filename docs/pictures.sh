#!/usr/bin/env bash
# Makes the pictures of README and docs from real runs of the preset tiny: panel.svg, a terminal in the middle of one,
# and loss.svg, the curves of two. Needs tmux and python3. About three minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -o build/ ./cmd/gpt2wgpu
dir=$(mktemp -d)
trap 'tmux -L pictures kill-server 2>/dev/null || true; rm -rf "$dir"' EXIT

shown() { tmux -L pictures capture-pane -p | grep -q "$1"; }
tmux -L pictures -f /dev/null new-session -d -x 100 -y 24 \
  "cd $dir && env TERM=tmux-256color COLORTERM=truecolor $PWD/build/gpt2wgpu train --val-fraction 0.1"
until shown 'step 6[0-9][0-9]/900'; do
  tmux -L pictures has-session # fails where the training has ended
  sleep 0.2
done
tmux -L pictures capture-pane -p -e | sed -n '/runs\/tiny-1/,$p' | python3 docs/ansi_to_svg.py 100 >docs/panel.svg

for lr in 2e-3 5e-4; do
  build/gpt2wgpu train --steps 600 --lr $lr --val-fraction 0.1 --val-every 100 --sample-every 0 --out "$dir/lr-$lr" -q
done
build/gpt2wgpu runs plot "$dir"/lr-* --x tokens --out docs/loss.svg
