#!/bin/sh
# Does the necessary work of the install scripts of the packages in ROOT: tests/pi/furnish.sh ROOT KEY
set -eu
root=$1 key=$2

cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
{
    echo 'sshd:x:109:65534::/run/sshd:/usr/sbin/nologin'
    echo 'pi:x:1000:1000::/home/pi:/bin/bash'
} >>"$root/etc/passwd"
echo 'pi:x:1000:' >>"$root/etc/group"
sed 's/:.*/:*:20000:0:99999:7:::/' "$root/etc/passwd" >"$root/etc/shadow"
chmod 640 "$root/etc/shadow"
systemd-sysusers --root="$root"
echo 'pi ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/pi"
for kind in account auth password session session-noninteractive; do
    echo "${kind%-*} required pam_unix.so" >"$root/etc/pam.d/common-$kind"
done
ln -sf bash "$root/bin/sh"
echo raspberrypi >"$root/etc/hostname"
echo '127.0.0.1 localhost raspberrypi' >"$root/etc/hosts"
: >"$root/etc/machine-id"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"

install -d -m 700 -o 1000 -g 1000 "$root/home/pi" "$root/home/pi/.ssh"
install -m 600 -o 1000 -g 1000 "$key" "$root/home/pi/.ssh/authorized_keys"
cp "$root/usr/share/openssh/sshd_config" "$root/etc/ssh/sshd_config"
ssh-keygen -q -t ed25519 -N '' -f "$root/etc/ssh/ssh_host_ed25519_key"

printf '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/wired.network"
echo vivid >"$root/etc/modules-load.d/vivid.conf"
# Only the capture node of each device, with the webcam as its only input.
echo 'options vivid n_devs=2 node_types=0x1,0x1 num_inputs=1,1' >"$root/etc/modprobe.d/vivid.conf"
SYSTEMCTL_SKIP_SYSV=1 systemctl --root="$root" --quiet enable ssh.socket systemd-networkd.service
systemctl --root="$root" --quiet mask systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_reap.service getty@.service serial-getty@.service systemd-hwdb-update.service
# The rest only saves boot time: an emulated machine takes seconds to start units that nothing here needs. USB devices
# appear without help when their controller does.
SYSTEMCTL_SKIP_SYSV=1 systemctl --root="$root" --quiet mask dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount modprobe@.service systemd-logind.service systemd-network-generator.service \
    systemd-pstore.service systemd-random-seed.service systemd-update-utmp.service systemd-update-utmp-runlevel.service
mkdir -p "$root/etc/systemd/system-generators"
for generator in "$root"/lib/systemd/system-generators/*; do
    ln -s /dev/null "$root/etc/systemd/system-generators/$(basename "$generator")"
done
mkdir -p "$root/etc/systemd/system/systemd-udev-trigger.service.d"
{
    printf '[Service]\nExecStart=\nExecStart=udevadm trigger --action=add'
    printf ' --subsystem-match=%s' pci virtio net tty video4linux
} >"$root/etc/systemd/system/systemd-udev-trigger.service.d/few.conf"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/soon"

# Puts watchpost's missing dependencies into a local repository.
rm "$root"/var/cache/apt/archives/*.deb
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -qq -y install --download-only --no-install-recommends libzmq5 >&2
mkdir -p "$root/srv/repository"
mv "$root"/var/cache/apt/archives/*.deb "$root/srv/repository/"
(cd "$root/srv/repository" && dpkg-scanpackages --multiversion . >Packages 2>/dev/null)
rm -f "$root"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repository ./' >"$root/etc/apt/sources.list"
