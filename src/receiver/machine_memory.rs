//! How much memory this process may use.

use std::fs;
use std::path::Path;

use nix::sys::sysinfo::sysinfo;

use crate::host::Roots;

/// Bytes of the machine's memory, or a smaller limit of the process's control groups. `None` if the system reports
/// neither.
pub(super) fn available(roots: &Roots) -> Option<u64> {
    let machine = sysinfo().ok().map(|info| info.ram_total());
    machine.into_iter().chain(group_limit(roots)).min()
}

/// The smallest limit of the process's control groups, of version 1 or 2. A limit of any parent applies, too.
fn group_limit(roots: &Roots) -> Option<u64> {
    let groups = fs::read_to_string(roots.proc.join("self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let is_memory = controllers.split(',').any(|controller| controller == "memory");
        let (mount, file) = match controllers {
            "" => ("fs/cgroup", "memory.max"),
            _ if is_memory => ("fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        smallest(&roots.sys.join(mount), Path::new(group.trim_start_matches('/')), file)
    });
    limits.min()
}

/// The smallest number in this file of a group and its parents. A group without a limit has a word instead.
fn smallest(mount: &Path, group: &Path, file: &str) -> Option<u64> {
    let limits = group.ancestors().filter_map(|group| fs::read_to_string(mount.join(group).join(file)).ok());
    limits.filter_map(|text| text.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Roots with these files.
    fn roots(dir: &Path, files: &[(&str, &str)]) -> Roots {
        for (path, text) in files {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a temporary directory");
            fs::write(path, text).expect("a temporary file");
        }
        Roots { proc: dir.join("proc"), sys: dir.join("sys"), dev: dir.join("dev") }
    }

    #[test]
    fn smallest_limit_of_all_parents_counts() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let group = ("proc/self/cgroup", "0::/system.slice/hub.service\n");
        let unlimited = ("sys/fs/cgroup/system.slice/hub.service/memory.max", "max\n");
        let roots = roots(dir.path(), &[group, unlimited]);
        assert_eq!(group_limit(&roots), None);
        fs::write(dir.path().join("sys/fs/cgroup/system.slice/memory.max"), "300000000\n").expect("a temporary file");
        assert_eq!(group_limit(&roots), Some(300_000_000));
        fs::write(dir.path().join(unlimited.0), "200000000\n").expect("a temporary file");
        assert_eq!(group_limit(&roots), Some(200_000_000));
        assert!(available(&roots).is_some_and(|bytes| bytes <= 200_000_000));
    }

    #[test]
    fn limits_of_version_1_and_of_a_container_count() {
        let version_1 = "12:cpu,cpuacct:/docker/x\n5:memory:/docker/x\n0::/\n";
        let dir = tempfile::tempdir().expect("a temporary directory");
        let roots = roots(
            dir.path(),
            &[
                ("proc/self/cgroup", version_1),
                // Inside the container the path is unknown and the limit is at the root.
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "100000000\n"),
            ],
        );
        assert_eq!(group_limit(&roots), Some(100_000_000));
    }
}
