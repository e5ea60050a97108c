#!/bin/sh
# Makes the disk, the kernel and the initial ramdisk from root.tar: tests/pi/disk.sh DIR
set -eu
dir=$1 root=$1/root
rm -rf "$root"
mkdir "$root"
tar -x -f "$dir/root.tar" -C "$root" --exclude='./dev/*'
version=$(basename "$root"/lib/modules/*)
depmod -b "$root" "$version"
cp "$root/boot/vmlinuz-$version" "$dir/kernel"

early=$dir/early
rm -rf "$early"
mkdir -p "$early/bin" "$early/modules" "$early/root" "$early/dev"
cp "$root/bin/busybox" "$early/bin/"
modprobe --dirname "$root" --set-version "$version" --show-depends --all virtio_pci virtio_blk ext4 crc32c_generic |
    sed -n 's,^insmod \([^ ]*\).*,\1,p' | awk '!seen[$0]++' >"$early/order"
while read -r module; do cp "$module" "$early/modules/"; done <"$early/order"
{
    echo '#!/bin/busybox sh'
    sed 's,.*/,/bin/busybox insmod /modules/,' "$early/order"
    echo '/bin/busybox mount -t devtmpfs none /dev'
    echo 'while [ ! -e /dev/vda ]; do /bin/busybox sleep 0.1; done'
    echo '/bin/busybox mount -t ext4 /dev/vda /root'
    echo '/bin/busybox mount --move /dev /root/dev'
    echo 'exec /bin/busybox switch_root /root /lib/systemd/systemd'
} >"$early/init"
chmod +x "$early/init"
(cd "$early" && find . | cpio --quiet -o -H newc | gzip -1) >"$dir/initrd"

rm -rf "$early" "$root/boot" "$root/usr/share/locale" "$root/usr/share/doc" "$root/usr/share/man"
rm -f "$dir/disk.new"
mke2fs -q -t ext4 -d "$root" "$dir/disk.new" 2G
rm -rf "$root" "$dir/root.tar"
# Renamed last, so that the disk exists only when it is complete.
mv "$dir/disk.new" "$dir/disk.ext4"
