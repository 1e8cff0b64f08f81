#!/bin/sh
# Builds target/firmware/libmaix_kpu.a for MaixPy and CanMV: rv64imafc, lp64f, medany, one object.
#
#   scripts/firmware-lib.sh CARGO OPTION...        `make firmware-lib` gives the chip's
#
# The archive holds our code alone: no compiler_builtins (the firmware has its own libgcc and C
# library), and no global symbol but those that targets/k210-symbols.txt lists.
set -eu
cd "$(dirname "$0")/.."

built=${CARGO_TARGET_DIR:-target}/k210/chip/libmaix_kpu.a
out=target/firmware
tool=riscv64-unknown-elf

# Cargo.toml names no crate type for this: a list there would switch LTO off.
RUSTC_BOOTSTRAP=1 cargo rustc -p maix-kpu --lib --crate-type staticlib "$@"

mkdir -p "$out"
rm -f "$out/maix_kpu.o" "$out/libmaix_kpu.a"
ours=$($tool-ar t "$built" | grep '^maix_kpu-')
$tool-ar p "$built" "$ours" >"$out/maix_kpu.o"
# The attributes name extensions that older linkers do not know; the ABI is in the ELF's flags.
$tool-objcopy --keep-global-symbols=targets/k210-symbols.txt \
    --remove-section=.llvmbc --remove-section=.llvmcmd \
    --remove-section=.comment --remove-section=.riscv.attributes "$out/maix_kpu.o"
$tool-ar crsD "$out/libmaix_kpu.a" "$out/maix_kpu.o"
rm "$out/maix_kpu.o"
