#!/bin/sh
# Builds target/firmware/libPACKAGE.a for firmware: rv64imafc, lp64f, medany, one object.
#
#   scripts/firmware-lib.sh PACKAGE SYMBOLS CARGO OPTION...        the Makefile gives the chip's
#
# The archive holds our code alone: no compiler_builtins (the firmware has its own libgcc and C
# library), and no global symbol but those that the file SYMBOLS lists.
set -eu
cd "$(dirname "$0")/.."

package=$1
symbols=$2
shift 2
name=$(echo "$package" | tr - _)
built=${CARGO_TARGET_DIR:-target}/k210/chip/lib$name.a
out=target/firmware
tool=riscv64-unknown-elf

# Cargo.toml names no crate type for this: a list there would switch LTO off.
RUSTC_BOOTSTRAP=1 cargo rustc -p "$package" --lib --crate-type staticlib "$@"

mkdir -p "$out"
rm -f "$out/$name.o" "$out/lib$name.a"
ours=$($tool-ar t "$built" | grep "^$name-")
$tool-ar p "$built" "$ours" >"$out/$name.o"
# The attributes name extensions that older linkers do not know; the ABI is in the ELF's flags.
$tool-objcopy --wildcard --keep-global-symbols="$symbols" \
    --remove-section=.llvmbc --remove-section=.llvmcmd \
    --remove-section=.comment --remove-section=.riscv.attributes "$out/$name.o"
$tool-ar crsD "$out/lib$name.a" "$out/$name.o"
rm "$out/$name.o"
