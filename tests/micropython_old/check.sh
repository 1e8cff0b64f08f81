#!/bin/sh
# Compiles the KPU module against an old MicroPython (1.11, MaixPy's).
#
#   tests/micropython_old/check.sh TREE      the folder that holds py/
set -eu

tree=$1
here=$(cd "$(dirname "$0")" && pwd)
kpu=$here/../../mpy_bindings/kpu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/genhdr" "$work/split"

compile() {
    cc -std=gnu99 -Wall -Wno-unused-value "$@" -I"$here" -I"$kpu" -I"$kpu/.." -I"$kpu/../include" -I"$tree" -I"$work"
}

# The names that the sources use, as MicroPython's own makefile collects them.
: >"$work/genhdr/qstrdefs.generated.h"
: >"$work/genhdr/mpversion.h"
for source in "$kpu"/*.c; do
    compile -DNO_QSTR -E "$source"
done >"$work/all.i"
cat "$tree/py/qstrdefs.h" >"$work/qstrs"
grep -oh 'MP_QSTR_[_a-zA-Z0-9]*' "$work/all.i" | sort -u | sed 's/MP_QSTR_\(.*\)/Q(\1)/' >>"$work/qstrs"
grep -ohr 'MP_QSTR_[_a-zA-Z0-9]*' "$tree/py" --include=*.h | sort -u | sed 's/MP_QSTR_\(.*\)/Q(\1)/' >>"$work/qstrs"
grep -v '^Q($\|^#\|^//' "$work/qstrs" | grep '^Q(\|^QCFG' | awk '!seen[$0]++' |
    { echo 'QCFG(BYTES_IN_LEN, 1)'; echo 'QCFG(BYTES_IN_HASH, 2)'; grep -v QCFG; } >"$work/names"
python3 "$tree/py/makeqstrdata.py" "$work/names" >"$work/genhdr/qstrdefs.generated.h"

for source in "$kpu"/*.c; do
    compile -c "$source" -o "$work/object.o" -Werror
    echo "compiled: mpy_bindings/kpu/$(basename "$source")"
done
