#!/bin/sh
# Makes a Raspberry Pi's disk for script/test-pi: tests/pi/image.sh DIR
#
# Debian 12 for arm64 with its kernel, a user pi who may become root, sshd, two cameras that the kernel pretends (vivid), and
# the packages that watchpost needs in a repository of its own, because the machine has no way out. In DIR: disk.ext4, kernel,
# initrd, and key, to log in with. Nothing is emulated: packages are taken apart and entered as installed.
set -eu
dir=$1
base=systemd,systemd-sysv,udev,dbus,apt,sudo,passwd,login,openssh-server,iproute2,procps,kmod,v4l-utils,adjtimex,strace
here=$(dirname "$(realpath "$0")")

mkdir -p "$dir"
# One at a time: another one may go on of a run that was given up.
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
# Files belong to whom they belong to, and nobody has to be root for it.
fakeroot "$here/disk.sh" "$dir"
