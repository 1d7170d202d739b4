//! Where this process's memory cgroup and its ancestors are.
//!
//! Sources: `cgroups(7)` for `/proc/self/cgroup`, `proc_pid_mountinfo(5)` for the mounts, and the
//! kernel's `admin-guide/cgroup-v1/memory.rst` and `admin-guide/cgroup-v2.rst`. A controller is
//! attached to one hierarchy at a time, so a host of both kinds (hybrid) has memory in one of
//! them: in v1 where a mount with that controller exists, else in v2.

use std::path::{Component, Path, PathBuf};

/// The deepest nesting that is looked at, from the process's own group upwards.
const DEEPEST: usize = 32;

/// Which of the two interfaces a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// One group, as an absolute path on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) version: Version,
    pub(super) dir: PathBuf,
    /// True of the topmost group that can be seen: the root of the hierarchy, which has no
    /// limit, or that of a namespace.
    pub(super) topmost: bool,
}

/// A mounted hierarchy that may hold the memory controller.
#[derive(Debug)]
struct Mount {
    version: Version,
    /// Which group of the hierarchy is mounted.
    root: String,
    point: PathBuf,
}

/// This process's group first, then its ancestors; empty where no hierarchy is mounted.
///
/// `cgroup` and `mountinfo` are the content of `/proc/self/cgroup` and `/proc/self/mountinfo`.
pub(super) fn levels(cgroup: &str, mountinfo: &str) -> Vec<Level> {
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    let found = [Version::V1, Version::V2].into_iter().find_map(|version| {
        let mount = mounts.iter().find(|mount| mount.version == version)?;
        Some((mount, own_group(cgroup, version)?))
    });
    let Some((mount, group)) = found else { return Vec::new() };
    let mut own = mount.point.clone();
    let below = below_mount(group, &mount.root);
    own.extend(Path::new(below).components().filter(|part| matches!(part, Component::Normal(_))));
    let seen = own.ancestors().take_while(|dir| dir.starts_with(&mount.point));
    let level = |dir: &Path| Level {
        version: mount.version,
        dir: dir.to_owned(),
        topmost: dir == mount.point,
    };
    seen.take(DEEPEST).map(level).collect()
}

/// The mount of a line such as `35 31 0:32 /a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`.
fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let version = match after.next()? {
        "cgroup2" => Version::V2,
        "cgroup" if after.nth(1)?.split(',').any(|option| option == "memory") => Version::V1,
        _ => return None,
    };
    let mut before = before.split(' ').skip(3);
    let (root, point) = (unescaped(before.next()?), unescaped(before.next()?));
    Some(Mount { version, root, point: PathBuf::from(point) })
}

/// The path of the process's group in its hierarchy.
fn own_group(cgroup: &str, version: Version) -> Option<&str> {
    cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let own = match version {
            Version::V1 => controllers.split(',').any(|name| name == "memory"),
            Version::V2 => number == "0" && controllers.is_empty(),
        };
        own.then_some(path)
    })
}

/// The part of `group` below the group that is mounted. A group outside of the mount, as a
/// process in another namespace's group has, is taken as the mounted one.
fn below_mount<'a>(group: &'a str, root: &str) -> &'a str {
    if group.split('/').any(|part| part == "..") {
        return "";
    }
    let root = root.trim_end_matches('/');
    match group.strip_prefix(root) {
        Some(below) if below.is_empty() || below.starts_with('/') => below,
        _ => "",
    }
}

/// Undoes the octal escapes of blanks, tabs, line ends and backslashes.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let octal = rest.get(at + 1..at + 4).and_then(|code| u8::from_str_radix(code, 8).ok());
        let Some(byte) = octal.filter(u8::is_ascii) else {
            out.push('\\');
            rest = &rest[at + 1..];
            continue;
        };
        out.push(char::from(byte));
        rest = &rest[at + 4..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V1: &str = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";
    const V1_CPU: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    fn check(cgroup: &str, mountinfo: &str, expected: &[&str]) {
        let found = levels(cgroup, mountinfo);
        let dirs: Vec<_> = found.iter().map(|level| level.dir.to_str().unwrap()).collect();
        assert_eq!(dirs, expected, "{cgroup:?} {mountinfo:?}");
        let topmost = found.iter().filter(|level| level.topmost).count();
        assert_eq!(topmost, usize::from(!found.is_empty()));
    }

    #[test]
    fn every_ancestor_is_found() {
        check(
            "0::/user.slice/app.scope\n",
            V2,
            &["/sys/fs/cgroup/user.slice/app.scope", "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup"],
        );
        check("0::/\n", V2, &["/sys/fs/cgroup"]);
        check(
            "4:memory:/job/a\n3:cpuset:/\n0::/\n",
            &format!("{V1_CPU}{V1}"),
            &["/sys/fs/cgroup/memory/job/a", "/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory"],
        );
    }

    #[test]
    fn a_hybrid_host_has_memory_in_v1() {
        let mounts = format!("{UNIFIED}{V1}");
        check(
            "4:memory:/job\n0::/else\n",
            &mounts,
            &["/sys/fs/cgroup/memory/job", "/sys/fs/cgroup/memory"],
        );
        check(
            "1:cpu:/x\n0::/job\n",
            UNIFIED,
            &["/sys/fs/cgroup/unified/job", "/sys/fs/cgroup/unified"],
        );
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_mount() {
        let mounted = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        check("4:memory:/docker/abc\n", mounted, &["/sys/fs/cgroup/memory"]);
        check(
            "4:memory:/docker/abc/in\n",
            mounted,
            &["/sys/fs/cgroup/memory/in", "/sys/fs/cgroup/memory"],
        );
        check("4:memory:/docker/abcd\n", mounted, &["/sys/fs/cgroup/memory"]);
        check("0::/../../outside\n", V2, &["/sys/fs/cgroup"]);
    }

    #[test]
    fn odd_lines_are_passed_over() {
        check("", V2, &[]);
        check("0::/a\n", "", &[]);
        check(
            "nonsense\n0::/a\n",
            &format!("x y z\n - \n{V2}"),
            &["/sys/fs/cgroup/a", "/sys/fs/cgroup"],
        );
        let blank = "30 23 0:26 / /my\\040groups rw - cgroup2 none rw\n";
        check("0::/a\n", blank, &["/my groups/a", "/my groups"]);
        assert_eq!(unescaped("a\\b\\134\\999\\é"), "a\\b\\\\999\\é");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(cgroup in "\\PC{0,80}", mountinfo in "\\PC{0,120}") {
            prop_assert!(levels(&cgroup, &mountinfo).len() <= DEEPEST);
        }

        #[test]
        fn any_group_is_answered(path in "(/[a-z.\\\\0-9]{0,4}){0,40}", root in "(/[a-z]{0,3}){0,3}") {
            let mounts = format!("30 23 0:26 {root} /m rw - cgroup2 none rw\n");
            let found = levels(&format!("0::{path}\n"), &mounts);
            prop_assert!(!found.is_empty() && found.len() <= DEEPEST);
            prop_assert!(found.iter().all(|level| level.dir.starts_with("/m")));
        }
    }
}
