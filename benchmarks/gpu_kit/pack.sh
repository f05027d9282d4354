#!/usr/bin/env bash
# Packs what a GPU machine without network access needs into .gpu/ of this checkout, in parts that each
# fit into one call: 64 MiB including the work tree.
#
#   EDGECAT_PHOTOS=cats-dogs bash benchmarks/gpu_kit/pack.sh   # the kit and the photos
#   bash benchmarks/gpu_kit/pack.sh kit       # only the kit
#   bash benchmarks/gpu_kit/pack.sh rtx       # TensorRT-RTX's wheels, in parts .gpu/r1, .gpu/r2, ...
#   bash benchmarks/gpu_kit/pack.sh ort       # onnxruntime-gpu's (235 MiB): .gpu/o1, ...
#   bash benchmarks/gpu_kit/pack.sh small     # all photos in one part .gpu/s, 176 pixels, WebP
#   bash benchmarks/gpu_kit/pack.sh hide      # move big tracked files out of the work tree, BEFORE
#   bash benchmarks/gpu_kit/pack.sh restore   # move them back, AFTER the last call
#   bash benchmarks/gpu_kit/pack.sh sizes     # what each call uploads
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(git rev-parse --show-toplevel)
cd "$root"
gpu=$root/.gpu
python=${PYTHON:-python3}
limit=$((64 << 20)) margin=$((1 << 20)) big=$((1 << 20))
mkdir -p "$gpu"

# Every file of the work tree that a call uploads: tracked, and untracked but not ignored.
carried() {
  git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do
    if [ -f "$file" ] && [ ! -L "$file" ]; then printf '%s\t%s\n' "$(stat -c %s "$file")" "$file"; fi
  done
}
tree_bytes() { carried | awk '{ total += $1 } END { printf "%d", total }'; }
mib() { awk -v b="$1" 'BEGIN { printf "%.1f MiB", b / 1048576 }'; }

hide() {
  carried | awk -v big=$big '$1 > big' | cut -f2- | while IFS= read -r file; do
    mkdir -p "$gpu/held/$(dirname "$file")"
    mv "$file" "$gpu/held/$file"
    echo "hidden: $file"
  done
  echo "a call now uploads $(mib "$(tree_bytes)") of the work tree. After the last call: $0 restore"
}

restore() {
  [ -d "$gpu/held" ] || { echo "nothing is hidden"; return; }
  (cd "$gpu/held" && find . -type f -print0) | while IFS= read -r -d '' file; do
    mkdir -p "$(dirname "$file")"
    mv "$gpu/held/$file" "$file"
  done
  rm -rf "$gpu/held"
  if git status --short | grep -E '^ ?D'; then
    echo "still missing; restore tracked files with git checkout -- ." >&2
    return 1
  fi
  echo "restored"
}

# The project as in the work tree, without the shipped models and the images of docs/.
kit() {
  rm -rf "$gpu/kit"; mkdir -p "$gpu/kit"
  cp "$here/remote.sh" "$gpu/kit/"
  git ls-files -co --exclude-standard -z |
    grep -zv -e '^edgecat/pretrained/.*\.\(onnx\|safetensors\)$' -e '^docs/.*\.\(svg\|png\|jpg\)$' |
    while IFS= read -r -d '' file; do [ -f "$file" ] && printf '%s\0' "$file"; done |
    tar --null -T - -czf "$gpu/kit/project.tar.gz"
  git rev-parse HEAD >"$gpu/kit/commit"
}

photos() { # parts | small, and the folders of the parts
  local what=$1 targets=() part; shift
  [ -n "${EDGECAT_PHOTOS:-}" ] || { echo "set EDGECAT_PHOTOS to the folder with train-0.tar" >&2; exit 1; }
  for part in "$@"; do
    rm -rf "${gpu:?}/$part"; mkdir -p "$gpu/$part"
    targets+=("$gpu/$part/photos-$part.tar.gz")
  done
  "$python" "$here/photos.py" "$what" "$EDGECAT_PHOTOS" "${targets[@]}"
}

# Wheels for Python 3.12 on x86-64, as one archive in pieces.
wheels() { # NAME PACKAGE==VERSION...
  local name=$1 folder; shift
  folder=$(mktemp -d)
  "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp --platform manylinux_2_34_x86_64 --platform manylinux_2_28_x86_64 \
    --platform manylinux_2_27_x86_64 --platform manylinux_2_17_x86_64 \
    --platform manylinux2014_x86_64 -d "$folder" "$@"
  tar -C "$folder" -cf "$gpu/$name.tar" .
  rm -r "$folder"
  pieces "$name" "$gpu/$name.tar"
}

pieces() { # NAME FILE: .gpu/NAME1, NAME2, ... each with a piece that fits in addition to the work tree
  local name=$1 file=$2 room piece number=0
  room=$((limit - 2 * margin - $(tree_bytes) - $(du -sb "$gpu/kit" | cut -f1)))
  [ $room -gt $((8 << 20)) ] || { echo "the work tree leaves only $(mib $room): run $0 hide first" >&2; exit 1; }
  rm -rf "$gpu/$name"[0-9]*
  split -b $room -d -a 2 "$file" "$file.part"
  for piece in "$file".part*; do
    number=$((number + 1)); mkdir -p "$gpu/$name$number"; mv "$piece" "$gpu/$name$number/"
  done
  sha256sum "$file" | sed "s|  .*|  $(basename "$file")|" >"$gpu/${name}1/$(basename "$file").sha256"
  echo "$number" >"$gpu/${name}1/$(basename "$file").parts"
  rm "$file"
}

rtx() {
  local models=edgecat/pretrained last
  wheels r tensorrt-rtx-cu13-libs==1.7.1.116 tensorrt-rtx-cu13-bindings==1.7.1.116
  [ -f "$models/vgg16.fp16.onnx" ] || models=$gpu/held/edgecat/pretrained
  last=$(find "$gpu" -maxdepth 1 -name 'r[0-9]*' | sort -V | tail -1)
  cp "$models/vgg16.fp16.onnx" "$last/"
}

sizes() {
  local tree size total part
  tree=$(tree_bytes)
  echo "the work tree, uploaded by every call: $(mib "$tree")"
  [ "$tree" -gt $((8 << 20)) ] && echo "  large: run '$0 hide' before the first call"
  for part in "$gpu"/*/; do
    part=$(basename "$part"); [ "$part" = held ] && continue
    size=$(du -sb "$gpu/$part" | cut -f1); total=$((tree + size))
    [ "$part" = kit ] || total=$((total + $(du -sb "$gpu/kit" | cut -f1)))
    printf '.gpu/%-4s %10s   a call with it (and .gpu/kit): %10s of 64.0 MiB%s\n' "$part" \
      "$(mib "$size")" "$(mib $total)" "$([ $total -gt $((limit - margin)) ] && echo '   TOO LARGE')"
  done
}

case ${1:-all} in
  all) kit; photos parts a b; sizes ;;
  kit) kit; sizes ;;
  rtx) rtx; sizes ;;
  ort) wheels o onnxruntime-gpu==1.30.0; sizes ;;
  small) photos small s; sizes ;;
  hide) hide ;;
  restore) restore ;;
  sizes) sizes ;;
  *) sed -n '2,13p' "$0"; exit 2 ;;
esac
