#!/bin/sh
# Extracts the Pi's libraries into a directory for cross/build.sh: cross/sysroot.sh SUITE ARCH PACKAGES DIR
#
# It extracts packages but runs nothing from them. It also records which package each file belongs to, by its path below DIR,
# because dpkg-shlibdeps looks up dependencies by these paths.
set -eu
suite=$1 arch=$2 packages=$3 dir=$4
if [ ! -e "$dir/complete" ]; then
    echo "== extracting the libraries of $suite for $arch into $dir" >&2
    rm -rf "$dir"
    mkdir -p "$(dirname "$dir")"
    # The release without updates: programs linked with its first libraries also run with later ones.
    mmdebstrap --quiet --variant=extract --arch="$arch" --include="$packages" \
        --setup-hook='sed -i "/-updates\|-security/d" "$1/etc/apt/sources.list"' \
        --extract-hook="\"$PWD/cross/database.sh\" \"\$1\" \"$dir\"" \
        "$suite" "$dir"
    # Since Debian 13, /lib belongs to base-files, which is not extracted.
    [ -e "$dir/lib" ] || ln -s usr/lib "$dir/lib"
    # Absolute links would lead to this machine's /lib. If a file is missing there, the linker would use the static library.
    find "$dir" -lname '/*' | while read -r link; do ln -sfn "$dir$(readlink "$link")" "$link"; done
    touch "$dir/complete"
fi
