#!/bin/sh
# Counts instructions on the emulated K210, as tables in Markdown: of the kernels in the program that
# run.sh builds, and of one kpu.forward of whole models in the firmware of `make firmware`.
set -eu
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
data=${MAIX_KPU_TESTDATA:-../shared}
emulator=$target/release/k210-emu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$emulator" --timeout 300 --count-in counted "$target/k210/chip/on-chip" >"$work/lines" 2>"$work/calls"
awk '$2 == "call" { print $1 }' "$work/calls" >"$work/counts"
hex='[0-9a-f]\{8\}'
grep "^$hex $hex " "$work/lines" | while read -r _ macs kind name; do
    echo "$((0x$macs))|$kind|$name"
done | paste -d '|' "$work/counts" - | awk -F '|' '
    !($4 in floats) { order[++n] = $4; floats[$4] = bytes[$4] = "" }
    $3 == "floats" { floats[$4] = sprintf("%.2f", $1 / $2) }
    $3 == "bytes" { bytes[$4] = sprintf("%.2f", $1 / $2) }
    END {
        print "| kernel, instructions per multiply-accumulate | floats | bytes |\n|---|---|---|"
        for (i = 1; i <= n; i++) printf "| %s | %s | %s |\n", order[i], floats[order[i]], bytes[order[i]]
    }'

# A row of the table of models: name, file, and the input as a script makes it.
count() {
    if [ ! -f "$2" ]; then
        echo "skipped: $1, for there is no $2"
        return
    fi
    cat >"$work/script.py" <<EOF
import array, KPU as kpu
from Maix import utils
task = kpu.load(0x100000)
kpu.forward(task, $4)
EOF
    "$emulator" target/firmware/micropython-k210.elf --flash "0x100000=$2" --script "$work/script.py" \
        --count-in maix_kpu_forward >"$work/output" 2>"$work/report"
    awk -v name="$1" -v input="$3" '
        $2 == "instructions" { total = $1 }
        $3 ~ /7kernels|4libm/ { kernels += $1 }
        $3 ~ /8maix_kpu5input/ { inputs += $1 }
        function share(part) { return sprintf("%.1f %%", 100 * part / total) }
        END {
            printf "| %s | %s | %.2f | %s | %s | %s |\n", name, input, total / 1e6,
                share(kernels), share(inputs), share(total - kernels - inputs)
        }' "$work/report"
}

echo
echo "| model | input | millions of instructions | CPU kernels | bringing the input in | the rest |"
echo "|---|---|---|---|---|---|"
count '`mnist_float`' examples/mnist/mnist_float.kmodel '784 floats' \
    "array.array('f', [i % 255 / 255 for i in range(784)])"
count '`mnist_uint8`' examples/mnist/mnist_uint8.kmodel '784 bytes' 'utils.flash_read(0x100000, 784)'
count dronet "$data/pairs/dronet/model.kmodel" '40,000 bytes' 'utils.flash_read(0x100000, 40000)'
count v3_mbnet75 "$data/golden/v3_mbnet75/model.kmodel" '150,528 bytes' 'utils.flash_read(0x100000, 150528)'
count v3_yolo_face "$data/golden/v3_yolo_face/model.kmodel" '245,760 bytes' 'utils.flash_read(0x100000, 245760)'
