#!/bin/sh
# Builds watchpost for a Raspberry Pi, on a Debian machine of another kind.
#
#   cross/build.sh aarch64           for 64-bit Raspberry Pi OS 12
#   cross/build.sh aarch64 --lean    without watchpost-video, so without OpenCV: neither films nor network cameras
#
# The programs are left in target/cross/watchpost-bookworm-arm64/, or -lean, and what they need on the Pi is printed. Safe to
# run twice: what is there already is used again.
set -eu
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set/{s/^# \{0,1\}//p}' cross/build.sh >&2; exit 2; }
lean= arch= suite=bookworm
while [ $# -gt 0 ]; do
    case "$1" in
        aarch64) arch=arm64 triplet=aarch64-linux-gnu target=aarch64-unknown-linux-gnu ;;
        --lean) lean=-lean ;;
        *) usage ;;
    esac
    shift
done
[ -n "$arch" ] || usage

script/setup cross
PATH="$HOME/.cargo/bin:$PATH"
rustup target add "$target"

# What the program is linked with, as it is on the Pi: packages are taken apart, nothing of them is run.
packages=libc6-dev,libstdc++-12-dev,libzmq3-dev
[ -n "$lean" ] || packages=$packages,libopencv-dev
sysroot=$PWD/target/cross/$suite-$arch$lean
if [ ! -e "$sysroot/complete" ]; then
    echo "== unpacking $suite's libraries for $arch into $sysroot" >&2
    rm -rf "$sysroot"
    mmdebstrap --quiet --variant=extract --arch="$arch" --include="$packages" "$suite" "$sysroot"
    touch "$sysroot/complete"
fi

variable=$(echo "$target" | tr a-z- A-Z_)
libraries=$sysroot/usr/lib/$triplet
export "CARGO_TARGET_${variable}_LINKER=$triplet-gcc"
# Libraries find each other below blas and lapack, too, where Debian's alternatives would lead.
export "CARGO_TARGET_${variable}_RUSTFLAGS=-C link-arg=--sysroot=$sysroot
    -C link-arg=-Wl,-rpath-link,$libraries:$sysroot/lib/$triplet:$libraries/blas:$libraries/lapack"
export "CFLAGS_$(echo "$target" | tr - _)=--sysroot=$sysroot" "CXXFLAGS_$(echo "$target" | tr - _)=--sysroot=$sysroot"
export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_SYSROOT_DIR="$sysroot"
export PKG_CONFIG_LIBDIR="$libraries/pkgconfig:$sysroot/usr/share/pkgconfig"
export CARGO_TARGET_DIR="$PWD/target/cross/build-$suite$lean"

features=; [ -z "$lean" ] || features=--no-default-features
# shellcheck disable=SC2086 # one option or none
cargo build --locked --release --bins --target "$target" $features --config 'profile.release.strip="symbols"'

out=target/cross/watchpost-$suite-$arch$lean
mkdir -p "$out"
programs=watchpost; [ -n "$lean" ] || programs="watchpost watchpost-video"
for program in $programs; do
    install "$CARGO_TARGET_DIR/$target/release/$program" "$out/$program"
    needed=$("$triplet-readelf" -d "$out/$program" | sed -n 's/.*Shared library: \[\(.*\)\]/\1/p' | tr '\n' ' ')
    echo "$out/$program: $(($(wc -c <"$out/$program") / 1024)) KiB; needs $needed"
done
