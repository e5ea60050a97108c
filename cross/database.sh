#!/bin/sh
# Records the packages that mmdebstrap has extracted as installed, in a dpkg database of their own. mmdebstrap calls it as
# cross/database.sh ROOT PREFIX, while the package files still exist. The database lists each file with PREFIX before its path.
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
