#!/bin/sh
# Runs layers on the emulated K210, driven through its registers, and on the plain simulator, and CPU
# kernels on both machines; fails where the two differ.
#
#   tests/on_chip/run.sh CARGO OPTION...        `make chip-test` gives the chip's
set -eu
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
RUSTC_BOOTSTRAP=1 cargo rustc -p on-chip -Zbuild-std-features=compiler-builtins-mem "$@" -- \
    -C link-arg=-Ttests/on_chip/link.ld
cargo build --release -p k210-emu -p on-chip

"$target/release/on-chip" >"$target/on_chip.expected"
"$target/release/k210-emu" --timeout 300 "$target/k210/chip/on-chip" >"$target/on_chip.output"
tail -n 1 "$target/on_chip.expected" | grep -qx end
diff "$target/on_chip.expected" "$target/on_chip.output"
echo "on chip: $(grep -c . "$target/on_chip.output") lines, the same from the chip and the PC"

# A KPU and a DMA transfer that never end are errors in time.
for fault in kpu=1 dma=0; do
    "$target/release/k210-emu" --timeout 300 --fault $fault "$target/k210/chip/on-chip" >"$target/on_chip.fault"
    tail -n 1 "$target/on_chip.fault" | grep -q 'did not finish within 1000 ms'
    echo "on chip: with --fault $fault: $(tail -n 1 "$target/on_chip.fault")"
done
