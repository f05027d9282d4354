#!/usr/bin/env bash
# Runs on the GPU machine, from the root of the upload:  bash .gpu/kit/remote.sh SECONDS STEP...
#
# Each step has its own time limit and never stops the others. The results so far are in
# $OUT/results.tar.gz after every step, and a table is printed at the end. Steps: info cuda check peers
# small-peers probe gpu train. REMOTE_DRY=1 rehearses all of it on a CPU, in minutes.
set -uo pipefail
total=$1; shift
kit=$(cd "$(dirname "$0")" && pwd)
parts=$(dirname "$kit")
work=${REMOTE_WORK:-/tmp/edgecat-gpu}
out=${OUT:-$work/out}
python=${PYTHON:-python3}
dry=${REMOTE_DRY:-}
mkdir -p "$work/parts" "$work/logs" "$work/results" "$out"
logs=$work/logs summary=$work/logs/summary.txt
export PYTHONUNBUFFERED=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
exec 3>&1
trap 'kill $(jobs -rp) 2>/dev/null; exit 143' INT TERM

# --- the upload ---------------------------------------------------------------------------------

memory=/dev/shm
[ "$(df -Pm "$memory" 2>/dev/null | awk 'NR == 2 { print $4 }')" -gt 4000 ] 2>/dev/null || memory=$work
memory=${REMOTE_MEMORY:-$memory}
mkdir -p "$memory/photos"

unpack() {
  if [ ! -d "$work/edgecat/runtime" ] || [ "$kit/project.tar.gz" -nt "$work/edgecat" ]; then
    mkdir -p "$work/edgecat" && tar -xzf "$kit/project.tar.gz" -C "$work/edgecat"
    touch "$work/edgecat"
  fi
  tools=$work/edgecat/benchmarks/gpu_kit
  cp -u "$parts"/*/photos-*.tar.gz "$work/parts/" 2>/dev/null
  if ls "$work"/parts/photos-*.tar.gz >/dev/null 2>&1; then
    "$python" "$tools/assemble.py" "$memory/photos" "$work"/parts/photos-*.tar.gz ${dry:+--limit 600}
  fi
  cp -u "$parts"/[ro][0-9]*/* "$work/parts/" 2>/dev/null
  for name in r o; do wheels "$name"; done
}

wheels() { # NAME: install the wheels of this archive once all of its pieces have arrived
  local name=$1 pieces wanted
  [ -e "$work/parts/$name.tar.parts" ] && [ ! -d "$work/wheels-$name" ] || return 0
  pieces=("$work/parts/$name".tar.part[0-9]*); wanted=$(cat "$work/parts/$name.tar.parts")
  [ "${#pieces[@]}" = "$wanted" ] || { echo "$name: ${#pieces[@]} of $wanted pieces have arrived"; return; }
  (cd "$work/parts" && cat "$name".tar.part[0-9]* >"$name.tar" && sha256sum -c --quiet "$name.tar.sha256") ||
    { echo "$name: damaged"; return; }
  mkdir -p "$work/wheels-$name" && tar -xf "$work/parts/$name.tar" -C "$work/wheels-$name" &&
    rm "$work/parts/$name".tar*
  # onnxruntime-gpu has the same module name as the installed onnxruntime: a separate folder, first.
  "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$work/site-$name" "$work/wheels-$name"/*.whl || echo "$name: pip failed"
}

environment() {
  local path libraries
  path=$work/edgecat/runtime:$work/edgecat/export:$work/edgecat
  [ -d "$work/site-r" ] && path=$path:$work/site-r
  [ -d "$work/site-o" ] && path=$work/site-o:$path
  export PYTHONPATH=$path
  # onnxruntime looks for CUDA's libraries beside itself, where this image does not have them.
  libraries=$("$python" -c 'import nvidia, pathlib; print(":".join(str(p) for r in nvidia.__path__ for p in sorted(pathlib.Path(r).glob("*/lib"))))' 2>/dev/null)
  [ -n "$libraries" ] && export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  ls "$memory"/photos/train-*.tar >/dev/null 2>&1 && export EDGECAT_PHOTOS=$memory/photos
  cd "$work/edgecat" || exit 1
}

# --- running and keeping ------------------------------------------------------------------------

keep() { # everything small into one archive; current checkpoints beside it
  local run name
  for run in "$memory"/runs/*/; do
    name=$(basename "$run")
    { [ -d "$run" ] && [[ $name != pace-* ]]; } || continue
    mkdir -p "$work/results/$name"
    cp -u "$run"metrics.csv "$run"config.json "$run"curves.png "$run"confusion.png "$work/results/$name/" 2>/dev/null
    if [ -e "$run"vgg16.safetensors ] && [ "$(stat -c %s "$run"vgg16.safetensors)" -lt $((16 << 20)) ]; then
      cp -u "$run"vgg16.safetensors "$out/$name.safetensors.part" && mv "$out/$name.safetensors.part" "$out/$name.safetensors"
    fi
  done
  tar -C "$work" -czf "$out/results.part" logs results 2>/dev/null && mv "$out/results.part" "$out/results.tar.gz"
}

left() { echo $((total - SECONDS)); }

note() { printf '%-12s %4s %5s  %s\n' "$@" >>"$summary"; }

run() { # NAME CAP COMMAND...
  local name=$1 cap=$2 rc begin=$SECONDS room said; shift 2
  room=$(($(left) - 8))
  if [ $room -lt 5 ]; then note "$name" - - "no time left"; return; fi
  [ "$cap" -gt $room ] && cap=$room
  timeout -k 5 "$cap" "$@" >"$logs/$name.log" 2>&1; rc=$?
  said=$(grep -v '^ *$' "$logs/$name.log" | tail -1 | cut -c1-150)
  [ $rc = 124 ] && said="stopped after $cap s: $said"
  note "$name" $rc "$((SECONDS - begin))s" "$said"
  tail -1 "$summary" >&3
  keep
}

# --- steps --------------------------------------------------------------------------------------

step_info() {
  run info 40 bash -c '
    nvidia-smi 2>&1 | head -15; df -h /dev/shm /tmp | cat; nproc; free -g | head -2
    '"$python"' - <<PY
import importlib.metadata as m, json, sys
names = "torch torchvision onnx onnxruntime onnxruntime-gpu onnxscript numpy opencv-python-headless cuda-bindings tensorrt_rtx_cu13_libs safetensors typer pytest matplotlib".split()
def number(n):
    try: return m.version(n)
    except m.PackageNotFoundError: return None
print(sys.version); print(json.dumps({n: number(n) for n in names}))
import onnxruntime, torch, cv2
from edgecat_runtime.nvidia.driver import driver
print(onnxruntime.__file__, onnxruntime.get_available_providers()); print(cv2.__version__, torch.cuda.is_available())
found = driver()
print("CUDA", found.cuda or "none", found.error, *map(str, found.devices))
PY'
}

step_cuda() { # the CUDA layer, the backend on a real stream, and the rest of tests/gpu
  local limits=()
  "$python" -c 'import pytest_timeout' 2>/dev/null && limits=(--timeout 120)
  EDGECAT_CYCLES=${EDGECAT_CYCLES:-300} run cuda 150 "$python" -m pytest -q -p no:cacheprovider "${limits[@]}" tests/gpu
  grep -E '^(FAILED|ERROR)' "$logs/cuda.log" | head -20 >&3
  run doctor 60 "$python" -m edgecat doctor
}

step_check() {
  run check $((${CHECK_S:-70} + 40)) "$python" benchmarks/train_check.py --seconds "${CHECK_S:-70}" ${dry:+--device cpu}
  cat "$logs/check.log" >&3
}

measure() { # NAME SECONDS OPTIONS...: benchmarks/gpu.py, its report in results/NAME
  local name=$1 seconds=$2; shift 2
  run "$name" $((seconds + 45)) "$python" benchmarks/gpu.py --seconds "$seconds" --output "$work/results/$name" ${dry:+--rehearse} "$@"
}

step_peers() { measure peers "${PEERS_S:-75}" --parts ceilings,peers; }
step_small-peers() { # like the shipped network
  local model=(--model vgg16-half-160)
  [ -n "$dry" ] && model=()
  measure small-peers "${SMALL_PEERS_S:-40}" --parts ceilings,peers "${model[@]}"
}
step_gpu() { # everything, with the best checkpoint of a run here, or with random weights
  local best
  best=$(ls -t "$memory"/runs/*/vgg16.safetensors 2>/dev/null | grep -v pace- | head -1)
  measure gpu "${GPU_S:-300}" ${best:+"$best"}
}

step_probe() { # does TensorRT-RTX run on this GPU?
  local model=$work/parts/vgg16.fp16.onnx
  if [ ! -e "$model" ]; then note probe - - "TensorRT-RTX was not uploaded"; return; fi
  run probe 60 "$python" benchmarks/gpu_kit/rtx_probe.py "$model"
}

# Three recipes in parallel: one process's loader is limited by the GIL long before
# a large GPU is busy, so three take hardly longer than one. NAME|SIZES|FLAGS
recipes() {
  if [ -f "$kit/recipes" ]; then cat "$kit/recipes"; return; fi
  cat <<'R'
plain|96:0.3,128:0.7|--size 160
mixed|96:0.3,128:0.7|--size 160 --cutmix 1 --mixup 0.2
large|112:0.3,144:0.7|--size 192 --cutmix 1 --mixup 0.2
R
}
common=(--arch vgg16 --width 0.5 --head gap --batch-norm --batch-size 128 --lr 0.1 --ema 0.998 --val 0.05 --seed 1)
[ -n "$dry" ] && common=(--arch vgg16 --width 0.0625 --head gap --batch-norm --batch-size 32 --lr 0.05 --ema 0.9 --val 0.2 --seed 1 --device cpu)

start() { # INDEX OF NAME STAGES EPOCHS SECONDS FLAGS...: one run in the background, on its own cores
  local index=$1 of=$2 name=$3 stages=$4 epochs=$5 seconds=$6 cores each mine; shift 6
  read -ra cores < <("$python" -c 'import os; print(*sorted(os.sched_getaffinity(0)))')
  each=$((${#cores[@]} / of)); [ $each -lt 1 ] && each=1
  mine=("${cores[@]:$((index * each % ${#cores[@]})):$each}")
  OMP_NUM_THREADS=$each taskset -c "$(IFS=,; echo "${mine[*]}")" timeout -s TERM -k 20 "$seconds" \
    "$python" -m edgecat train "$memory"/photos/train-*.tar "${common[@]}" "$@" --progressive "$stages" \
    --epochs "$epochs" --output "$memory/runs" --name "$name" >"$logs/train-$name.log" 2>&1 &
}

step_train() {
  local begin=$SECONDS lines number=0 of pace room line name sizes flags stages epochs best
  if ! ls "$memory"/photos/train-*.tar >/dev/null 2>&1; then note train - - "no photos were uploaded"; return; fi
  pace=$(($(left) / 3))
  [ $pace -gt 90 ] && pace=90
  if [ $pace -lt 10 ]; then note train - - "no time left"; return; fi
  mapfile -t lines < <(recipes); of=${#lines[@]}
  rm -rf "$memory"/runs/pace-*
  for line in "${lines[@]}"; do # one epoch at each size, all in parallel, to measure the pace
    IFS='|' read -r name sizes flags <<<"$line"
    stages=$(sed 's/:[0-9.]*/:1/g' <<<"$sizes")
    start $number "$of" "pace-$name" "$stages" "$(tr ',' '\n' <<<"$stages" | wc -l)" $pace $flags
    number=$((number + 1))
  done
  wait
  room=$(($(left) - ${TRAIN_RESERVE:-35}))
  if [ $room -lt 15 ]; then note train - - "no time left after measuring the pace"; return; fi
  declare -A plans
  for line in "${lines[@]}"; do
    IFS='|' read -r name sizes flags <<<"$line"
    plans[$name]=$("$python" benchmarks/gpu_kit/plan_epochs.py $(((room - 15) * 9 / 10)) "$memory/runs/pace-$name/metrics.csv" --sizes "$sizes")
    echo "$name: pace $(tail -n +2 "$memory/runs/pace-$name/metrics.csv" 2>/dev/null | cut -d, -f7,8 | tr '\n' ' '), ${plans[$name]}" | tee -a "$logs/plan.log" >&3
  done
  number=0
  for line in "${lines[@]}"; do
    IFS='|' read -r name sizes flags <<<"$line"
    read -r stages epochs <<<"${plans[$name]}"
    rm -rf "${memory:?}/runs/$name"
    start $number "$of" "$name" "$stages" "$epochs" $room $flags
    number=$((number + 1))
  done
  while [ -n "$(jobs -r)" ] && [ "$(left)" -gt 12 ]; do sleep 5; keep; done
  [ -n "$(jobs -r)" ] && kill $(jobs -rp) 2>/dev/null && sleep 6
  keep
  for line in "${lines[@]}"; do
    IFS='|' read -r name sizes flags <<<"$line"
    best=$(tail -n +2 "$memory/runs/$name/metrics.csv" 2>/dev/null | sort -t, -k6,6g | tail -1)
    note "train $name" "$([ -n "$best" ] && echo 0 || echo 1)" "$((SECONDS - begin))s" \
      "${best:-$(tail -1 "$logs/train-$name.log" | cut -c1-150)}"
    tail -1 "$summary" >&3
  done
}

# --- all of it ----------------------------------------------------------------------------------

unpack >"$logs/unpack.log" 2>&1
environment
echo "$(date -u +%T) unpacked in $SECONDS s: $(ls "$memory/photos" | tr '\n' ' ')" | tee -a "$summary"
cat "$logs/unpack.log"
for step in "$@"; do
  if declare -F "step_$step" >/dev/null; then "step_$step"; else note "$step" - - "unknown step"; fi
done
keep
echo "=== $(date -u +%T), $SECONDS of $total s; exit codes, seconds, last lines ==="
cat "$work"/results/*/*.md 2>/dev/null
cat "$summary"
ls -la "$out"
