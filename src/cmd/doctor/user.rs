//! Whose rights count: those of the user who asks, and of the one that the service runs as.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{AccessFlags, Gid, Group, Uid, User, access, geteuid, getgrouplist};

/// As the packages call it, and where they say which groups it has besides its own.
const SERVICE: &str = "watchpost";
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// A user, for whom things have to be within reach.
pub(super) struct Who {
    pub(super) name: String,
    /// None: the one who asks, of whom the system knows best.
    service: Option<(Uid, Vec<Gid>)>,
}

/// What is to be done with a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Read it.
    Read,
    /// Read and write it.
    ReadAndWrite,
    /// Make files in it.
    MakeFiles,
}

impl Who {
    /// The user who asks, and the service's if there is one.
    pub(super) fn all() -> Vec<Who> {
        let me = User::from_uid(geteuid()).ok().flatten().map_or_else(|| geteuid().to_string(), |user| user.name);
        let service = User::from_name(SERVICE).ok().flatten().filter(|user| user.uid != geteuid()).map(|user| {
            let name = CString::new(user.name.as_bytes()).unwrap_or_default();
            let mut groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
            groups.extend(groups_of_unit());
            Who { name: user.name, service: Some((user.uid, groups)) }
        });
        [Some(Who { name: me, service: None }), service].into_iter().flatten().collect()
    }

    /// Whether the user may do this; of the service's user as far as owner, group and mode tell.
    pub(super) fn may(&self, how: Use, path: &Path) -> bool {
        let Some((uid, groups)) = &self.service else {
            let flags = match how {
                Use::Read => AccessFlags::R_OK,
                Use::ReadAndWrite => AccessFlags::R_OK | AccessFlags::W_OK,
                Use::MakeFiles => AccessFlags::W_OK | AccessFlags::X_OK,
            };
            return access(path, flags).is_ok();
        };
        let bits = match how {
            Use::Read => 0o4,
            Use::ReadAndWrite => 0o6,
            Use::MakeFiles => 0o3,
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

    /// What lets the user use a device: the group that the device belongs to, as a rule.
    pub(super) fn remedy(&self, device: &Path) -> String {
        let group = device.metadata().ok().filter(|file| file.mode() & 0o060 == 0o060 && file.gid() != 0);
        let group = group.and_then(|file| Group::from_gid(Gid::from_raw(file.gid())).ok().flatten());
        let then = if self.service.is_some() { "sudo systemctl restart watchpost" } else { "log in again" };
        match group {
            Some(group) => format!("sudo usermod -aG {} {}, and {then}", group.name, self.name),
            None => String::from(
                "it belongs to no group that may use it: a udev rule with GROUP= and MODE=\"0660\" gives it one",
            ),
        }
    }
}

/// Groups that the service has by its unit alone.
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
    fn of_the_services_user_owner_group_and_mode_tell_what_it_may_do() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = file.path();
        let gid = path.metadata().expect("a file").gid();
        let of = |uid: u32, gids: &[u32]| Who {
            name: SERVICE.to_owned(),
            service: Some((Uid::from_raw(uid), gids.iter().map(|gid| Gid::from_raw(*gid)).collect())),
        };
        let (owner, stranger) = (path.metadata().expect("a file").uid(), 4_000_000);
        let may = |mode: u32, who: &Who, how: Use| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a temporary file");
            who.may(how, path)
        };
        let member = of(stranger, &[gid]);
        assert!(may(0o660, &member, Use::ReadAndWrite));
        assert!(!may(0o640, &member, Use::ReadAndWrite) && may(0o640, &member, Use::Read));
        let other = of(stranger, &[gid + 1]);
        assert!(!may(0o660, &other, Use::Read) && may(0o666, &other, Use::ReadAndWrite));
        // Its own rights are all that an owner has, unless it is root.
        assert_eq!(may(0o066, &of(owner, &[gid]), Use::Read), owner == 0);
        assert!(!may(0o600, &of(stranger, &[]), Use::MakeFiles));
        if chown(path, None, Some(20)).is_ok() && Group::from_gid(Gid::from_raw(20)).is_ok_and(|group| group.is_some())
        {
            assert!(may(0o660, &of(stranger, &[20]), Use::ReadAndWrite));
            let group = Group::from_gid(Gid::from_raw(20)).expect("groups").expect("a group").name;
            let remedy = other.remedy(path);
            assert_eq!(remedy, format!("sudo usermod -aG {group} watchpost, and sudo systemctl restart watchpost"));
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a temporary file");
        assert!(other.remedy(path).contains("no group"));
    }
}
