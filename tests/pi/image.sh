#!/bin/sh
# Makes a Raspberry Pi's disk for script/test-pi: tests/pi/image.sh DIR
#
# The disk has Debian 12 for arm64 with its kernel, a user pi with sudo, sshd, and two virtual cameras (vivid). A local
# repository holds the packages that watchpost needs, because the machine has no network access. DIR then contains
# disk.ext4, kernel, initrd, and the key to log in with. Nothing is emulated here: packages are extracted and registered
# as installed.
set -eu
dir=$1
base=systemd,systemd-sysv,udev,dbus,apt,sudo,passwd,login,openssh-server,iproute2,procps,kmod,v4l-utils,adjtimex,strace
here=$(dirname "$(realpath "$0")")

mkdir -p "$dir"
# One at a time, because that of an interrupted run may still be working.
exec 9>"$dir/lock"
flock 9
rm -f "$dir/disk.ext4" "$dir/key" "$dir/key.pub"
ssh-keygen -q -t ed25519 -N '' -f "$dir/key"
mmdebstrap --quiet --variant=extract --arch=arm64 --include='?essential' --include="$base,linux-image-arm64,busybox-static" \
    --extract-hook="\"$here/../../cross/database.sh\" \"\$1\" ''" \
    --extract-hook="\"$here/furnish.sh\" \"\$1\" \"$dir/key.pub\"" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --setup-hook='sed -i "/-updates\|-security/d" "$1/etc/apt/sources.list"' \
    bookworm "$dir/root.tar"
# fakeroot keeps the files' owners without root.
fakeroot "$here/disk.sh" "$dir"
