#!/bin/sh
# Prints the flash and RAM bytes of libmaix_kpu.a by room of src/, from a linker map of GNU ld.
#
#   scripts/firmware-size.sh MAP
set -eu

# One line a kept section of the library: section, size, and the symbol that it is named after.
sections() {
    awk '
        /^Linker script and memory map/ { kept = 1 }
        !kept { next }
        NF == 1 { name = $1; next }
        /libmaix_kpu\.a\(/ { print (NF == 4 ? $1 : name), $(NF - 1) }
        { name = "" }
    ' "$1" |
        sed -E 's/^(\.[a-z]+)\.*(\.Lswitch\.table\.|Lanon\..*|cst[0-9]+)?([^ ]*) (.*)$/\1 \4 \3/' |
        riscv64-unknown-elf-c++filt | sed 's/\[[0-9a-f]*\]//g'
}

sections "$1" | while read -r section size symbol; do
    case $symbol in
    '') room=constants ;;
    OUTLINED_*) room=outlined ;;
    *maix_kpu::*) room=${symbol#*maix_kpu::} room=${room%%[!a-z_]*} ;;
    *libm::*) room=libm ;;
    *::*) room=core ;;
    *) room=ffi ;;
    esac
    echo "$room $section $((size))"
done | awk '
    { flash[$1] += 0 }
    $2 !~ /bss/ { flash[$1] += $3; all += $3 }
    $2 ~ /bss|^\.s?data/ { ram[$1] += $3; all_ram += $3 }
    END {
        printf "%-12s %8s %8s\n", "room", "flash", "RAM"
        for (room in flash) printf "%-12s %8d %8d\n", room, flash[room], ram[room] | "sort -k2,2nr"
        close("sort -k2,2nr")
        printf "%-12s %8d %8d\n", "total", all, all_ram
    }'
