#!/bin/sh
# Builds the desktop program: MicroPython's unix port with our modules, target/PROFILE/maixpy.
#
# PROFILE is release or debug. MICROPYTHON_DIR=TREE: see micropython.sh.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
profile=${PROFILE:-release}
cd "$root"

case $profile in
release) flag=--release ;;
debug) flag= ;;
*) echo "maixpy.sh: PROFILE is release or debug, not $profile" >&2 && exit 2 ;;
esac

# shellcheck disable=SC2086
cargo rustc -q -p maixpy --lib $flag --crate-type staticlib
source=$("$root/scripts/micropython.sh")
build=$root/target/micropython/$profile

make -s -C "$source/mpy-cross" >&2
rm -f "$build/maixpy" # the archive is no prerequisite of the program in MicroPython's makefile
make -s -C "$source/ports/unix" \
    VARIANT_DIR="$root/mpy_bindings/desktop/variant" \
    USER_C_MODULES="$root/mpy_bindings" \
    MAIXPY_ARCHIVE="$root/target/$profile/libmaixpy.a" \
    BUILD="$build" >&2
cp "$build/maixpy" "$root/target/$profile/maixpy"
echo "target/$profile/maixpy"
