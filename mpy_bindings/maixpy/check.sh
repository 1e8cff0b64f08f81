#!/bin/sh
# Compiles the glue for MaixPy and CanMV against a checkout of one of them.
#
#   mpy_bindings/maixpy/check.sh TREE
#
# TREE is the folder with components/. Its submodules may lie elsewhere: CORE names MicroPython's
# folder (with py/), SDK that of kendryte-standalone-sdk.
set -eu

tree=$1
core=${CORE:-$tree/components/micropython/core}
sdk=${SDK:-$tree/components/kendryte_sdk/kendryte-standalone-sdk}
port=$tree/components/micropython/port
bindings=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# These are made while MicroPython is built.
mkdir "$work/genhdr"
: >"$work/genhdr/mpversion.h"
: >"$work/genhdr/moduledefs.h"
: >"$work/global_config.h"
: >"$work/global_build_info_version.h"

riscv64-unknown-elf-gcc -march=rv64imafc -mabi=lp64f -mcmodel=medany --specs=picolibc.specs -std=gnu11 \
    -fsyntax-only -DNO_QSTR -D__riscv64 "-DFFCONF_H=\"lib/oofatfs/ffconf.h\"" -w -Werror=implicit-function-declaration \
    -Werror=incompatible-pointer-types -Werror=int-conversion \
    -I"$bindings/kpu" -I"$bindings" -I"$bindings/include" -I"$work" -I"$core" -I"$core/py" -I"$core/lib/oofatfs" \
    -I"$port/include" -I"$port/src/omv/include" -I"$port/src/omv/boards/MAIX" \
    -I"$port/src/omv/img/include" -I"$port/src/omv/py/include" -I"$port/src/standard_lib/include" \
    -I"$port/src/Maix/include" \
    -I"$tree/components/drivers/flash/include" -I"$tree/components/kendryte_sdk/include" \
    -I"$tree/components/drivers/include" -I"$tree/components/boards/include" \
    -I"$sdk/lib/bsp/include" -I"$sdk/lib/drivers/include" -I"$sdk/lib/utils/include" \
    "$bindings/maixpy/kpu_port.c"
echo "compiled against $tree: mpy_bindings/maixpy/kpu_port.c"
