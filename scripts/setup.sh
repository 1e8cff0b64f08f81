#!/bin/sh
# Installs what a group of make targets needs, and does nothing where all is there.
#
#   scripts/setup.sh GROUP...
#
#   rust      the toolchain that rust-toolchain.toml pins, with rustfmt and clippy
#   chip      the sources of `core`, a C compiler and a C library for the K210
#   desktop   what MicroPython's source package and its build need
#   fuzz      cargo-fuzz
#   torch     PyTorch, for graphs that it exports
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# need PACKAGE TEST...: notes the Debian package, unless the command TEST succeeds.
missing=
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

install_missing() {
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null ||
        fail "missing:$missing" "these are Debian's names; install what your system calls them"
    as_root=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || fail "missing:$missing" "install them as root with apt-get"
        as_root=sudo
    fi
    echo "setup: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get -q update
    # shellcheck disable=SC2086 # one word a package
    $as_root apt-get -qy install --no-install-recommends $missing
    missing=
}

pinned() {
    sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml
}

has_rust() {
    rustc --version 2>/dev/null | grep -q "^rustc $(pinned) "
}

# The pinned toolchain; one of that version under another name gets the pinned name as well.
setup_rust() {
    need gcc command -v cc
    need make command -v make
    # For the emulator's CPU, which is written in C.
    need cmake command -v cmake
    need libclang-dev sh -c 'ls "${LIBCLANG_PATH:-/usr/lib}"/libclang[.-]* /usr/lib/llvm-*/lib/libclang[.-]* |
        grep -v -e libclang-cpp | grep "[.]so"'
    install_missing
    if ! has_rust; then
        command -v rustup >/dev/null || fail "Rust $(pinned) is missing: install rustup, or that version"
        for toolchain in $(rustup toolchain list | cut -d' ' -f1); do
            if rustup run "$toolchain" rustc --version 2>/dev/null | grep -q "^rustc $(pinned) "; then
                rustup toolchain link "$(pinned)" "$(rustup run "$toolchain" rustc --print sysroot)"
                break
            fi
        done
    fi
    has_rust || rustup toolchain install "$(pinned)" --profile minimal -c rustfmt -c clippy || true
    has_rust || fail "Rust $(pinned) cannot be installed: rustup toolchain install $(pinned)"
}

# The library's sources, for `core` on the chip's target.
setup_rust_src() {
    sources=$(rustc --print sysroot)/lib/rustlib/src/rust
    has_sources() { [ -f "$sources/library/core/src/lib.rs" ]; }
    has_sources || rustup component add rust-src || true
    has_sources || rust_src_from_debian "$sources" || true
    has_sources || fail "the sources of Rust's core are missing in $sources" \
        "get them with: rustup component add rust-src" \
        "or copy library/ of the rust-src package of version $(pinned) there"
}

# Debian's rust-src of the pinned version, unpacked into $1; Debian's own release does not matter.
rust_src_from_debian() {
    version="$(pinned)+dfsg1-2~bpo13+1"
    mirror=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(SUITE)' 2>/dev/null |
        awk '$1 ~ /\/debian\/$/ { print $1; exit }')
    [ -n "$mirror" ] || return 1
    echo "setup: taking rust-src $version from Debian's backports"
    work=$(mktemp -d)
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie-backports main" \
        >"$work/sources.list"
    (
        cd "$work"
        private="-o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=-
            -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User="
        # shellcheck disable=SC2086 # one word an option
        apt-get -q $private update && apt-get -q $private download "rust-src=$version" &&
            dpkg-deb -x rust-src_*.deb unpacked
    ) && mkdir -p "$1" && cp -rL "$work"/unpacked/usr/src/rustc-*/library "$1/"
    rm -rf "$work"
}

setup_chip() {
    need gcc-riscv64-unknown-elf command -v riscv64-unknown-elf-gcc
    need picolibc-riscv64-unknown-elf riscv64-unknown-elf-gcc --specs=picolibc.specs -E -x c /dev/null
    install_missing
    setup_rust
    setup_rust_src
}

setup_desktop() {
    need dpkg-dev command -v dpkg-source
    need python3 command -v python3
    need gcc command -v gcc
    need make command -v make
    need pkg-config command -v pkg-config
    install_missing
}

setup_fuzz() {
    need g++ command -v c++
    install_missing
    setup_rust
    cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
}

setup_torch() {
    need python3-torch /usr/bin/python3 -c 'import torch'
    need python3-torchvision /usr/bin/python3 -c 'import torchvision'
    install_missing
}

for group in "$@"; do
    case $group in
    rust | chip | desktop | fuzz | torch) "setup_$group" ;;
    *) fail "no group is called $group" ;;
    esac
done
