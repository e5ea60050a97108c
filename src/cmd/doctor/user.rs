//! Permissions of the current user, and of the user that the service runs as.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{self, AccessFlags, Gid, Group, Uid, access, geteuid, getgrouplist};

/// The service's user in our packages, and the directories that may hold its unit, which can give it more groups.
const SERVICE: &str = "watchpost";
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// A user who needs access to files and devices.
pub(super) struct User {
    pub(super) name: String,
    /// IDs of the service's user and its groups; `None` for the current user, whose permissions the kernel checks.
    service: Option<(Uid, Vec<Gid>)>,
}

/// A kind of access to a file or directory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read it.
    Read,
    /// Read and write it.
    ReadAndWrite,
    /// Create files in a directory.
    CreateFiles,
}

impl User {
    /// Returns the current user, and the service's user if it exists.
    pub(super) fn all() -> Vec<User> {
        let me =
            unistd::User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
        let service =
            unistd::User::from_name(SERVICE).ok().flatten().filter(|user| user.uid != geteuid()).map(|user| {
                let name = CString::new(user.name.as_bytes()).unwrap_or_default();
                let mut groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
                groups.extend(groups_of_unit());
                User { name: user.name, service: Some((user.uid, groups)) }
            });
        [Some(User { name: me, service: None }), service].into_iter().flatten().collect()
    }

    /// Whether the user has this access. For the service's user it depends on owner, group and mode only.
    pub(super) fn may(&self, how: Access, path: &Path) -> bool {
        let Some((uid, groups)) = &self.service else {
            let flags = match how {
                Access::Read => AccessFlags::R_OK,
                Access::ReadAndWrite => AccessFlags::R_OK | AccessFlags::W_OK,
                Access::CreateFiles => AccessFlags::W_OK | AccessFlags::X_OK,
            };
            return access(path, flags).is_ok();
        };
        let bits = match how {
            Access::Read => 0o4,
            Access::ReadAndWrite => 0o6,
            Access::CreateFiles => 0o3,
        };
        path.metadata().is_ok_and(|file| {
            let shift = if file.uid() == uid.as_raw() {
                6
            } else if groups.contains(&Gid::from_raw(file.gid())) {
                3
            } else {
                0
            };
            uid.is_root() || file.mode() >> shift & bits == bits
        })
    }

    /// Returns the command that lets the user use a device, usually by adding the user to the device's group.
    pub(super) fn remedy(&self, device: &Path) -> String {
        let group = device.metadata().ok().filter(|file| file.mode() & 0o060 == 0o060 && file.gid() != 0);
        let group = group.and_then(|file| Group::from_gid(Gid::from_raw(file.gid())).ok().flatten());
        let then = if self.service.is_some() { "sudo systemctl restart watchpost" } else { "log in again" };
        match group {
            Some(group) => format!("sudo usermod -aG {} {}, then {then}", group.name, self.name),
            None => String::from("no group may use it; add a udev rule with GROUP= and MODE=\"0660\""),
        }
    }
}

/// Returns the groups that the service has from its unit alone.
fn groups_of_unit() -> Vec<Gid> {
    let unit = UNITS.iter().find_map(|dir| fs::read_to_string(Path::new(dir).join("watchpost.service")).ok());
    let unit = unit.unwrap_or_default();
    let names = unit.lines().filter_map(|line| line.trim().strip_prefix("SupplementaryGroups="));
    let groups = names.flat_map(str::split_whitespace).filter_map(|name| Group::from_name(name).ok().flatten());
    groups.map(|group| group.gid).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    use super::*;

    #[test]
    fn service_access_follows_owner_group_and_mode() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = file.path();
        let gid = path.metadata().expect("a file").gid();
        let of = |uid: u32, gids: &[u32]| User {
            name: SERVICE.to_owned(),
            service: Some((Uid::from_raw(uid), gids.iter().map(|gid| Gid::from_raw(*gid)).collect())),
        };
        let (owner, stranger) = (path.metadata().expect("a file").uid(), 4_000_000);
        let may = |mode: u32, who: &User, how: Access| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a temporary file");
            who.may(how, path)
        };
        let member = of(stranger, &[gid]);
        assert!(may(0o660, &member, Access::ReadAndWrite));
        assert!(!may(0o640, &member, Access::ReadAndWrite) && may(0o640, &member, Access::Read));
        let other = of(stranger, &[gid + 1]);
        assert!(!may(0o660, &other, Access::Read) && may(0o666, &other, Access::ReadAndWrite));
        // Only the owner's bits count for an owner who is not root.
        assert_eq!(may(0o066, &of(owner, &[gid]), Access::Read), owner == 0);
        assert!(!may(0o600, &of(stranger, &[]), Access::CreateFiles));
        if chown(path, None, Some(20)).is_ok() && Group::from_gid(Gid::from_raw(20)).is_ok_and(|group| group.is_some())
        {
            assert!(may(0o660, &of(stranger, &[20]), Access::ReadAndWrite));
            let group = Group::from_gid(Gid::from_raw(20)).expect("groups").expect("a group").name;
            let remedy = other.remedy(path);
            assert_eq!(remedy, format!("sudo usermod -aG {group} watchpost, then sudo systemctl restart watchpost"));
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a temporary file");
        assert!(other.remedy(path).contains("no group"));
    }
}
