#!/bin/sh
# Builds watchpost and its Debian package for a Raspberry Pi on another Debian machine.
#
#   cross/build.sh aarch64           for 64-bit Raspberry Pi OS
#   cross/build.sh armv7             for 32-bit Raspberry Pi OS, on a Pi 2 or later
#     --lean                         without watchpost-video and OpenCV: no video files, no RTSP cameras
#     --suite trixie                 for Raspberry Pi OS 13 instead of 12 (bookworm)
#     --test                         runs the library's unit tests instead, in an emulator of the Pi's processor
#
# Writes the programs and the package into a directory such as target/cross/watchpost-bookworm-arm64/, and prints the libraries
# they need. A second run reuses what the first one built.
set -eu
cd "$(dirname "$0")/.."

usage() { sed -n '2,/^set/{s/^# \{0,1\}//p}' cross/build.sh >&2; exit 2; }
lean= arch= suite=bookworm test= scope=cross
while [ $# -gt 0 ]; do
    case "$1" in
        aarch64) arch=arm64 triplet=aarch64-linux-gnu target=aarch64-unknown-linux-gnu
            emulator=qemu-aarch64-static ;;
        armv7) arch=armhf triplet=arm-linux-gnueabihf target=armv7-unknown-linux-gnueabihf
            emulator=qemu-arm-static ;;
        --lean) lean=-lean ;;
        --test) test=yes scope=pi ;;
        --suite) suite=${2:-}; shift ;;
        *) usage ;;
    esac
    shift
done
[ -n "$arch" ] || usage
case "$suite" in
    bookworm) release=12 gcc=12 ;;
    trixie) release=13 gcc=14 ;;
    *) usage ;;
esac

script/setup "$scope"
PATH="$HOME/.cargo/bin:$PATH"
rustup target add "$target"

# The libraries to link with, as they are on the Pi.
packages=libc6-dev,libstdc++-$gcc-dev,libzmq3-dev
[ -n "$lean" ] || packages=$packages,libopencv-dev
sysroot=$PWD/target/cross/$suite-$arch$lean
cross/sysroot.sh "$suite" "$arch" "$packages" "$sysroot"

# Flags for native programs would override those below.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
variable=$(echo "$target" | tr a-z- A-Z_)
libraries=$sysroot/usr/lib/$triplet
export "CARGO_TARGET_${variable}_LINKER=$triplet-gcc"
# rpath-link includes blas and lapack, because Debian's alternatives do not exist in the sysroot.
flags="-C link-arg=--sysroot=$sysroot
    -C link-arg=-Wl,-rpath-link,$libraries:$sysroot/lib/$triplet:$libraries/blas:$libraries/lapack"
# OpenCV may need a newer libstdc++ than the one of this machine's compiler.
[ -n "$lean" ] || flags="$flags -C link-arg=-L$sysroot/usr/lib/gcc/$triplet/$gcc"
export "CARGO_TARGET_${variable}_RUSTFLAGS=$flags"
export "CFLAGS_$(echo "$target" | tr - _)=--sysroot=$sysroot" "CXXFLAGS_$(echo "$target" | tr - _)=--sysroot=$sysroot"
export PKG_CONFIG_ALLOW_CROSS=1 PKG_CONFIG_SYSROOT_DIR="$sysroot"
export PKG_CONFIG_LIBDIR="$libraries/pkgconfig:$sysroot/usr/share/pkgconfig"
export CARGO_TARGET_DIR="$PWD/target/cross/build-$suite$lean"

features= variant="--variant opencv"
[ -z "$lean" ] || features=--no-default-features variant=
if [ -n "$test" ]; then
    export "CARGO_TARGET_${variable}_RUNNER=$emulator -L $sysroot"
    # shellcheck disable=SC2086 # zero or one option
    exec cargo test --locked --lib --target "$target" $features
fi
# shellcheck disable=SC2086 # zero or more separate words
cargo build --locked --release --bins --target "$target" $features --config 'profile.release.strip="symbols"'
cargo run --locked --quiet --package manual -- target/cross/manual

out=target/cross/watchpost-$suite-$arch$lean
mkdir -p "$out"
rm -f "$out"/*.deb
# cargo-deb asks dpkg-shlibdeps for the dependencies, so the wrapper points it to the Pi's libraries. The Debian release in the
# revision makes the package older than the one for the next release, so that upgrading the Pi replaces it.
# shellcheck disable=SC2086 # as above
PATH="$PWD/cross/tools:$PATH" LD_LIBRARY_PATH="$libraries:$sysroot/lib/$triplet" DPKG_ADMINDIR="$sysroot/var/lib/dpkg" \
    cargo deb --quiet --no-build --no-strip --target "$target" --output "$out/" \
    --deb-revision "1~deb$release" $variant
programs=watchpost; [ -n "$lean" ] || programs="watchpost watchpost-video"
for program in $programs; do
    install "$CARGO_TARGET_DIR/$target/release/$program" "$out/$program"
    needed=$("$triplet-readelf" -d "$out/$program" | sed -n 's/.*Shared library: \[\(.*\)\]/\1/p' | tr '\n' ' ')
    echo "$out/$program: $(($(wc -c <"$out/$program") / 1024)) KiB; needs $needed"
done
for package in "$out"/*.deb; do
    echo "$package: $(($(wc -c <"$package") / 1024)) KiB, installed $(dpkg-deb -f "$package" Installed-Size) KiB;" \
        "depends on $(dpkg-deb -f "$package" Depends)"
    dpkg-deb -f "$package" Depends | grep -q libzmq || { echo "cross/build.sh: $package does not depend on libzmq; dpkg-shlibdeps did not find the Pi's libraries" >&2; exit 1; }
done
