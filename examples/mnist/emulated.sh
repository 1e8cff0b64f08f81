#!/bin/sh
# Runs digits_flash.py on the emulated K210 (`make emu-demo` builds what that takes).
set -eu
cd "$(dirname "$0")/../.."

work=target/emu-demo
mkdir -p "$work"
target/release/maixpy --sd examples/mnist/pictures --spiffs "$work" examples/mnist/to_bmp.py

set -- --flash 0x300000=examples/mnist/mnist_uint8.kmodel --flash 0x400000=examples/mnist/mnist_float.kmodel
for digit in 0 1 2 3 4 5 6 7 8 9; do
    set -- "$@" --flash "0x50${digit}000=$work/$digit.bmp"
done
target/release/k210-emu target/firmware/micropython-k210.elf "$@" \
    --script examples/mnist/digits_flash.py --trace-kpu 2>"$work/log"
echo "The KPU computed $(grep -c '^kpu layer' "$work/log") layers: $work/log"
