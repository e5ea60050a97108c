#!/bin/sh
# Lays out a foreign Debian's libraries in a directory, for cross/build.sh: cross/sysroot.sh SUITE ARCH PACKAGES DIR
#
# Packages are taken apart, nothing of them is run. Who brought which file is written down, because dpkg-shlibdeps asks what a
# program has to depend on, by the paths that the files have here.
set -eu
suite=$1 arch=$2 packages=$3 dir=$4
if [ ! -e "$dir/complete" ]; then
    echo "== unpacking $suite's libraries for $arch into $dir" >&2
    rm -rf "$dir"
    mkdir -p "$(dirname "$dir")"
    # The release alone, without its updates: what is linked with its first libraries runs with all later ones.
    mmdebstrap --quiet --variant=extract --arch="$arch" --include="$packages" \
        --setup-hook='sed -i "/-updates\|-security/d" "$1/etc/apt/sources.list"' \
        --extract-hook="\"$PWD/cross/database.sh\" \"\$1\" \"$dir\"" \
        "$suite" "$dir"
    # Since Debian 13 packages leave /lib to base-files, which is not among them.
    [ -e "$dir/lib" ] || ln -s usr/lib "$dir/lib"
    # A link to /lib would lead to this machine's, and where that has none, the linker would take what is for static programs.
    find "$dir" -lname '/*' | while read -r link; do ln -sfn "$dir$(readlink "$link")" "$link"; done
    touch "$dir/complete"
fi
