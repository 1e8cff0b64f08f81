#!/bin/sh
# Brings the MicroPython source into target/micropython/src and prints its path.
#
# MICROPYTHON_DIR=TREE takes a tree that is already there. Otherwise Debian's source package is
# taken through a private apt configuration: same mirror and keys as the machine's own, other suite
# (MICROPYTHON_SUITE, default trixie: version 1.25; forky or sid for newer). Where that cannot be had,
# micropython.org's archive is.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
suite=${MICROPYTHON_SUITE:-trixie}
place=$root/target/micropython/$suite
upstream=1.25.0

fail() {
    echo "micropython.sh: $1" >&2
    echo "  hint: set MICROPYTHON_DIR to an unpacked MicroPython 1.25 or 1.26 source tree" >&2
    exit 1
}

if [ -n "${MICROPYTHON_DIR:-}" ]; then
    [ -f "$MICROPYTHON_DIR/py/mpconfig.h" ] || fail "no MicroPython source in $MICROPYTHON_DIR"
    cd "$MICROPYTHON_DIR" && pwd
    exit 0
fi

# Debian's source package of the suite, into $place/src.
from_debian() {
    command -v apt-get >/dev/null && command -v dpkg-source >/dev/null || return 1
    mkdir -p "$place/lists/partial" "$place/cache/archives/partial" "$place/empty" "$place/unpack"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep '/debian/*$' | sort -u | head -n 1)
    [ -n "$mirror" ] || return 1
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb-src [signed-by=$keys] $mirror $suite main" >"$place/sources.list"
    private() {
        apt-get -q \
            -o Dir::Etc::SourceList="$place/sources.list" -o Dir::Etc::SourceParts="$place/empty" \
            -o Dir::State::Lists="$place/lists" -o Dir::Cache="$place/cache" \
            -o APT::Sandbox::User=root "$@"
    }
    private update >&2 || return 1
    (cd "$place/unpack" && private source micropython >&2) || return 1
    mv "$place"/unpack/micropython-*/ "$place/src"
}

# The makers' own archive, into $place/src.
from_upstream() {
    command -v curl >/dev/null || return 1
    mkdir -p "$place/unpack"
    curl -fsSL "https://micropython.org/resources/source/micropython-$upstream.tar.xz" |
        tar -xJ -C "$place/unpack" || return 1
    mv "$place"/unpack/micropython-*/ "$place/src"
}

if [ ! -f "$place/src/py/mpconfig.h" ]; then
    rm -rf "$place"
    from_debian || from_upstream ||
        fail "neither Debian's source package of $suite nor micropython.org's archive can be had"
    rm -rf "$place/lists" "$place/cache" "$place/empty" "$place/unpack"
fi
echo "$place/src"
