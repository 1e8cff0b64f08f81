#!/bin/sh
# Links target/firmware/libmaix_kpu.a as a firmware does, with GNU ld, and prints its size by room:
# with every name, and the totals of a firmware that takes the C API or MaixPy's old names alone.
#
# Fails when a listed symbol is missing, when another one is global, when the library takes
# anything that services.txt does not list (soft-double helpers, panic machinery, ...), or when
# formatting or panic code is in the image.
set -eu
cd "$(dirname "$0")/../.."

here=tests/firmware_link
lib=target/firmware/libmaix_kpu.a
image=target/firmware/link_test.elf
tool=riscv64-unknown-elf
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    printf 'link test: %s\n' "$@" >&2
    exit 1
}
words() {
    sed 's/#.*//' "$2" | awk -v who="$1" 'NF && (who == "" || $2 == who) { print $1 }' | sort -u
}

words '' $here/services.txt >"$work/services"
$tool-nm --defined-only --extern-only --format=posix $lib | awk 'NF > 1 { print $1 }' | sort -u >"$work/defined"
$tool-nm --undefined-only --format=posix $lib | awk 'NF > 1 { print $1 }' | sort -u >"$work/taken"

# Without the feature of that name there are none of CanMV's.
grep -q '^kpu_load_kmodel$' "$work/defined" && without='^$' || without='# canmv$'
grep -v "$without" targets/k210-symbols.txt | words '' - >"$work/listed"

missing=$(comm -23 "$work/listed" "$work/defined")
[ -z "$missing" ] || fail "targets/k210-symbols.txt lists what the library does not define:" "$missing"
foreign=$(comm -23 "$work/taken" "$work/services")
[ -z "$foreign" ] || fail "the library takes what no firmware gives (see $here/services.txt):" "$foreign"

# Links a firmware that takes the names in a file.
link() {
    # shellcheck disable=SC2046 # one word an option
    $tool-gcc -march=rv64imafc -mabi=lp64f -mcmodel=medany -Os --specs=picolibc.specs \
        -Wl,--gc-sections -Wl,--fatal-warnings -Wl,-Map="$work/map" \
        -Wl,--defsym=__flash_size=0x200000 \
        $(sed 's/^/-Wl,-u,/' "$1") \
        $(words firmware $here/services.txt | sed 's/.*/-Wl,--defsym=&=0/') \
        $here/main.c $lib -o $image
}

grep -v '^maix_kpu' "$work/listed" >"$work/original"
grep '^maix_kpu_classifier' "$work/listed" >>"$work/original"
grep '^maix_kpu' "$work/listed" | grep -v '^maix_kpu_classifier' >"$work/api"
for names in original api; do
    link "$work/$names"
    scripts/firmware-size.sh "$work/map" | awk -v names=$names '/^total/ { print names, $2, $3 }'
done >"$work/parts"
link "$work/listed"

$tool-readelf -h $image | grep -q 'single-float ABI' || fail "$image has another float ABI"
machinery=$($tool-nm -C $image | grep -E ' (core::(panicking|fmt)|.* as core::fmt|_*[a-z]+df[a-z]*3?$)' || true)
[ -z "$machinery" ] || fail "panic, formatting or double code is in the image:" "$machinery"

echo "taken from the firmware: $(tr "\n" " " <"$work/taken")"
scripts/firmware-size.sh "$work/map"
awk '{ printf "%-12s %8d %8d\n", ($1 == "api" ? "C API alone" : "MaixPy alone"), $2, $3 }' "$work/parts"
