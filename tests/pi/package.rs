//! Upgrades, removes and purges the package.

use crate::{Scene, readme};

const INSTALLED: &str = "./watchpost-lean_*.deb";

pub fn upgraded(scene: &mut Scene) {
    let Scene { pi, hub, .. } = scene;
    let boot = hub.wait_for_frame("door")["boot"].clone();
    pi.copy_to(&readme::package());
    pi.sh(&format!("sudo apt-get install --yes --reinstall {INSTALLED}"));
    hub.wait_for("a frame of the next start", |m| m["type"] == "frame" && m["boot"] != boot);
    assert!(pi.sh("sudo cat /etc/watchpost/watchpost.toml").starts_with("name = \"shed\""));
}

pub fn removed(scene: &mut Scene) {
    let Scene { pi, .. } = scene;
    pi.sh("sudo dpkg --remove watchpost-lean");
    pi.sh("! systemctl --quiet is-active watchpost && ! pgrep -x watchpost");
    pi.sh("sudo test -s /etc/watchpost/watchpost.toml -a -s /var/lib/watchpost/spool.sqlite");
    pi.sh("sudo apt purge --yes watchpost-lean");
    pi.sh("! sudo test -e /etc/watchpost && ! sudo test -e /var/lib/watchpost");
}
