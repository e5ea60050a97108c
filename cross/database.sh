#!/bin/sh
# Enters the packages that mmdebstrap has just taken apart into their own dpkg database, as installed: it is called by
# mmdebstrap as cross/database.sh ROOT PREFIX, while they are still there. Their files are known by their path with PREFIX
# before it.
set -eu
root=$1 prefix=$2
info=$root/var/lib/dpkg/info
mkdir -p "$info"
echo 1 >"$info/format"
for package in "$root"/var/cache/apt/archives/*.deb; do
    name=$(dpkg-deb -f "$package" Package)
    [ "$(dpkg-deb -f "$package" Multi-Arch)" != same ] || name=$name:$(dpkg-deb -f "$package" Architecture)
    dpkg-deb --ctrl-tarfile "$package" | tar -x -C "$info" --exclude=./control --transform "s,^\./,$name.,"
    { echo "$prefix/."; dpkg-deb --fsys-tarfile "$package" | tar -t | sed "/^\.\/$/d; s,^\.,$prefix,; s,/$,,"; } \
        >"$info/$name.list"
    { dpkg-deb -f "$package"; printf 'Status: install ok installed\n\n'; } >>"$root/var/lib/dpkg/status"
done
