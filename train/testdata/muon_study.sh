#!/usr/bin/env bash
# Compares AdamW and Muon at equal validation loss, on two cores in 65 to 80 minutes:
#   1. bytes of tiny shakespeare, 4 blocks of 128 channels, 2048 tokens a step: AdamW over 400 steps and Muon over 160,
#      each at three rates, and at up to two more where the best is the lowest or the highest; the best of each with two
#      more seeds, and the best of Muon over 200 steps
#   2. GPT-2's tokens of documentation from Debian's packages: the two winners, 300 and 120 steps
# Each run has its own complete schedule. Prints a table, and writes table.txt and curves as SVG to DIR. What is done
# is not done again: after an interrupt the same command goes on. A run's settings are in its config.json.
#
#   [PROGRAM=./gpt2wgpu] [STAGE=1|2] bash train/testdata/muon_study.sh [DIR]
#   [TEXT=file] is another text for stage 1, [DOCS=file] for stage 2, [SCALE=0.1] a part of all steps, to try the script
set -euo pipefail
PROGRAM=$(realpath "${PROGRAM:-./gpt2wgpu}") SCALE=${SCALE:-1} STAGE=${STAGE:-12} dir=${1:-runs/muon-study}
mkdir -p "$dir"
[ "$STAGE" = 2 ] || [ -n "${TEXT:-}" ] || "$PROGRAM" data fetch shakespeare -q
TEXT=${TEXT:-shakespeare}

# documentation FILE: 8 MB of /usr/share, in the order of the names, texts only.
documentation() {
  find /usr/share/doc /usr/share/perl /usr/share/vim /usr/lib/python3* -type f \
    \( -name '*.txt' -o -name '*.pod' -o -name '*.md' -o -name 'README*' -o -name 'changelog.gz' -o -name '*.py' \) \
    2>/dev/null | sort | while read -r f; do
      case $f in *.gz) gzip -dcf "$f" ;; *) cat "$f" ;; esac
    done 2>/dev/null | iconv -c -f utf-8 -t utf-8 | head -c 8000000 >"$1" || true
  [ "$(wc -c <"$1")" -ge 4000000 ] && return
  echo "muon_study: less than 4 MB of documentation here; hint: DOCS=FILE" >&2
  exit 1
}

scaled() { awk -v n="$1" -v s="$SCALE" 'BEGIN { n = int(n * s); print n < 2 ? 2 : n }'; }

# last NAME: the validation loss at the end of a run, nothing before.
last() {
  [ -f "$dir/$1/metrics.jsonl" ] || return 0
  awk -v steps="$(sed -n 's/^ *"steps": \([0-9]*\),.*/\1/p' "$dir/$1/config.json" | head -n 1)" -F '[:,}]' \
    '/"kind":"val"/ && $4 == steps { print $6 }' "$dir/$1/metrics.jsonl" | tail -n 1
}

# run NAME STEPS FLAGS…: a run, from where it was, unless it has ended.
run() {
  local name=$1 steps=$2
  shift 2
  if [ -z "$(last "$name")" ]; then
    if [ -f "$dir/$name/config.json" ]; then
      "$PROGRAM" train --out "$dir/$name" --resume -q
    else
      "$PROGRAM" train --out "$dir/$name" --steps "$steps" --warmup-steps $((steps / 20)) --schedule linear \
        --min-lr 0 --val-every $(((steps + 7) / 8)) --sample-every 0 --keep 1 "$@" -q
    fi
  fi
  echo "$name $(last "$name")"
}

shape=(--n-layer 4 --n-head 4 --n-embd 128 --block-size 128 --batch-size 16 --seq-len 128 --val-fraction 0.1
  --val-steps "$(scaled 16)")
small=("${shape[@]}" --data "$TEXT" --tokenizer bytes --vocab-size 256)
adamw=(--optimizer adamw --init-projections scaled)
muon=(--optimizer muon --init-projections scaled --lr 4e-3 --muon-weight-decay 0.05)

best() { # of the runs that stage 1 printed with a pattern of names: the name with the least loss
  grep -E "^$1 " "$dir/stage1.txt" | sort -k 2 -g | head -n 1 | cut -d ' ' -f 1
}

# search NAME STEPS FLAG RATES… -- FLAGS…: runs at the three middle rates of five, and at the next one where the best
# so far is at an end.
search() {
  local name=$1 steps=$2 flag=$3 rates=("${@:4:5}") from=1 to=3 i least
  shift 9
  for i in 1 2 3; do
    run "$name-${rates[i]}" "$steps" "$@" "$flag" "${rates[i]}" | tee -a "$dir/stage1.txt"
  done
  while least=$(best "$name-.*"); do
    if [ "$least" = "$name-${rates[from]}" ] && [ $from -gt 0 ]; then
      i=$((from -= 1))
    elif [ "$least" = "$name-${rates[to]}" ] && [ $to -lt 4 ]; then
      i=$((to += 1))
    else
      return 0
    fi
    run "$name-${rates[i]}" "$steps" "$@" "$flag" "${rates[i]}" | tee -a "$dir/stage1.txt"
  done
}

if [[ $STAGE == *1* ]]; then
  : >"$dir/stage1.txt"
  search adamw "$(scaled 400)" --lr 1e-3 2e-3 4e-3 8e-3 16e-3 -- "${small[@]}" "${adamw[@]}"
  search muon "$(scaled 160)" --muon-lr 0.01 0.02 0.04 0.08 0.16 -- "${small[@]}" "${muon[@]}"
  a=$(best 'adamw-[^-]*(-3)?') m=$(best 'muon-[^-]*')
  adamw+=(--lr "${a#adamw-}") muon+=(--muon-lr "${m#muon-}")
  for seed in 1 2; do
    run "$a-seed$seed" "$(scaled 400)" "${small[@]}" "${adamw[@]}" --seed $seed | tee -a "$dir/stage1.txt"
    run "$m-seed$seed" "$(scaled 160)" "${small[@]}" "${muon[@]}" --seed $seed | tee -a "$dir/stage1.txt"
  done
  run "$m-200" "$(scaled 200)" "${small[@]}" "${muon[@]}" | tee -a "$dir/stage1.txt"
  "$PROGRAM" runs plot "$dir/$a" "$dir/$a"-seed? "$dir/$m" "$dir/$m"-seed? "$dir/$m-200" --y val \
    --out "$dir/stage1.svg"
  "$PROGRAM" runs plot "$dir"/adamw-*e-3 "$dir"/muon-0.?? --y val --out "$dir/rates.svg"
fi

if [[ $STAGE == *2* ]]; then
  a=$(best 'adamw-[^-]*(-3)?') m=$(best 'muon-[^-]*')
  if [ -z "${DOCS:-}" ]; then
    DOCS=$dir/docs.txt
    [ -s "$DOCS" ] || documentation "$DOCS"
  fi
  large=("${shape[@]}" --data "$DOCS" --tokenizer gpt2 --vocab-size 50304)
  : >"$dir/stage2.txt"
  run docs-adamw "$(scaled 300)" "${large[@]}" "${adamw[@]}" --lr "${a#adamw-}" | tee -a "$dir/stage2.txt"
  run docs-muon "$(scaled 120)" "${large[@]}" "${muon[@]}" --muon-lr "${m#muon-}" | tee -a "$dir/stage2.txt"
  "$PROGRAM" runs plot "$dir/docs-adamw" "$dir/docs-muon" --y val --out "$dir/stage2.svg"
fi

# Steps, operations and the loss at the end of each run. A token takes 6 N + 6 L C T operations. Muon's update has five
# rounds of three products for 6 L matrices: 4 L of C C C each, and for 2 L two of C C 4C and one of C C C.
{
  printf '%-24s %6s %12s %10s\n' run steps 'TFLOP' 'val loss'
  for name in $(cat "$dir"/stage[12].txt 2>/dev/null | cut -d ' ' -f 1); do
    steps=$(sed -n 's/^ *"steps": \([0-9]*\),.*/\1/p' "$dir/$name/config.json" | head -n 1)
    awk -v name="$name" -v steps="$steps" -v loss="$(last "$name")" 'BEGIN {
      L = 4; C = 128; T = 128; V = (name ~ /^docs/) ? 50304 : 256
      token = 6 * (12 * L * C * C + (V + T) * C + 13 * L * C + 2 * C) + 6 * L * C * T
      update = (name ~ /muon/) ? 5 * L * (4 * 3 * 2 * C^3 + 2 * (2 * 8 * C^3 + 2 * C^3)) : 0
      printf "%-24s %6d %12.2f %10.4f\n", name, steps, steps * (2048 * token + update) / 1e12, loss
    }'
  done
} | tee "$dir/table.txt"
