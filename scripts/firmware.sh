#!/bin/sh
# Builds MicroPython for the K210, target/firmware/micropython-k210.elf and .bin, with the archives
# that are in target/firmware (`make firmware` makes them).
#
# MICROPYTHON_DIR=TREE: see micropython.sh.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/target/firmware
source=$("$root/scripts/micropython.sh")

make -s -C "$source/mpy-cross" >&2
make -s -C "$root/mpy_bindings/k210" \
    MICROPYTHON="$source" \
    MICROPY_MPYCROSS="$source/mpy-cross/build/mpy-cross" \
    USER_C_MODULES="$root/mpy_bindings" \
    ARCHIVES="$out/libmaix_kpu.a $out/libmaix_image.a" \
    BUILD="$root/target/micropython/k210" >&2
mkdir -p "$out"
cp "$root"/target/micropython/k210/micropython-k210.elf "$root"/target/micropython/k210/micropython-k210.bin "$out/"
ls -l "$out"/micropython-k210.*
