//! Where this process's cgroups are: pure reading of `/proc/self/cgroup` and
//! `/proc/self/mountinfo`.
//!
//! Source: the kernel's `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/cgroups.rst`,
//! proc(5).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The deepest nesting that is followed; the kernel's own default has no limit, so one stands here.
const MOST_LEVELS: usize = 64;

/// Which interface a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupVersion {
    /// One hierarchy for each controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// The groups that this process is in, by one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) version: CgroupVersion,
    /// The outermost group that is visible first, the process's own last. Never empty.
    pub(crate) groups: Vec<PathBuf>,
    /// True when the outermost visible group is the true root, in which the whole host lives.
    pub(crate) sees_root: bool,
    /// True when the process's own group lies outside what is mounted, so that the mount's top
    /// stands in for it.
    pub(crate) own_unseen: bool,
}

/// One line of mountinfo.
#[derive(Debug)]
struct Mount {
    root: PathBuf,
    point: PathBuf,
    version: CgroupVersion,
    options: String,
}

/// The hierarchy that holds `controller` for the process whose `cgroup` and `mountinfo` these
/// are, its directories below `root`. `None` where no such hierarchy is mounted.
///
/// On a hybrid host a v1 hierarchy with the controller goes before the unified one, which then
/// does not have it.
pub(crate) fn find(
    controller: &str,
    cgroup: &str,
    mountinfo: &str,
    root: &Path,
) -> Option<Hierarchy> {
    let v1 = cgroup.lines().filter_map(membership).find(|(controllers, _)| {
        !controllers.is_empty() && controllers.split(',').any(|name| name == controller)
    });
    let v2 = cgroup.lines().filter_map(membership).find(|(controllers, _)| controllers.is_empty());
    let mounts: Vec<Mount> = mountinfo.lines().filter_map(mount).collect();
    let of_v1 = |mount: &&Mount| {
        mount.version == CgroupVersion::V1
            && mount.options.split(',').any(|option| option == controller)
    };
    if let Some((_, path)) = v1
        && let Some(mount) = mounts.iter().find(of_v1)
    {
        return Some(hierarchy(mount, path, root));
    }
    let (_, path) = v2?;
    let mount = mounts.iter().find(|mount| mount.version == CgroupVersion::V2)?;
    Some(hierarchy(mount, path, root))
}

/// The controllers and the path in `4:cpu,cpuacct:/docker/ab`.
fn membership(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.splitn(3, ':');
    fields.next()?;
    Some((fields.next()?, fields.next()?))
}

fn mount(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut kind = after.split(' ');
    let version = match kind.next()? {
        "cgroup" => CgroupVersion::V1,
        "cgroup2" => CgroupVersion::V2,
        _ => return None,
    };
    let options = kind.nth(1).unwrap_or_default().to_owned();
    let mut fields = before.split(' ').skip(3);
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    Some(Mount { root, point, version, options })
}

/// Undoes mountinfo's octal escapes of space, tab, newline and backslash.
fn unescape(field: &str) -> PathBuf {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(position) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(position);
        out.push_str(plain);
        let code = escaped.get(1..4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(code.map_or('\\', char::from));
        rest = &escaped[if code.is_some() { 4 } else { 1 }..];
    }
    out.push_str(rest);
    PathBuf::from(out)
}

fn hierarchy(mount: &Mount, path: &str, root: &Path) -> Hierarchy {
    // A group outside this namespace is written with "..": its own files can't be reached.
    let inside = !path.split('/').any(|part| part == "..");
    let below = Path::new(path).strip_prefix(&mount.root).ok().filter(|_| inside);
    let top = below_root(root, &mount.point);
    let mut groups = vec![top.clone()];
    let mut group = top;
    for part in below.into_iter().flat_map(Path::components).take(MOST_LEVELS - 1) {
        if let std::path::Component::Normal(name) = part {
            group.push(name);
            groups.push(group.clone());
        }
    }
    let sees_root = mount.root == Path::new("/");
    Hierarchy { version: mount.version, groups, sees_root, own_unseen: below.is_none() }
}

/// `path` as seen from `root`, which stands for `/`.
pub(crate) fn below_root(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn check(cgroup: &str, mountinfo: &str, expected: Option<(CgroupVersion, &[&str])>) {
        let found = find("cpu", cgroup, mountinfo, Path::new("/"));
        let found = found.map(|found| (found.version, found.groups));
        let expected = expected.map(|(version, groups)| {
            (version, groups.iter().map(PathBuf::from).collect::<Vec<_>>())
        });
        assert_eq!(found, expected, "{cgroup} {mountinfo}");
    }

    #[test]
    fn finds_every_level() {
        check(
            "0::/a.slice/b.scope\n",
            V2,
            Some((
                CgroupVersion::V2,
                &["/sys/fs/cgroup", "/sys/fs/cgroup/a.slice", "/sys/fs/cgroup/a.slice/b.scope"],
            )),
        );
        check("0::/\n", V2, Some((CgroupVersion::V2, &["/sys/fs/cgroup"])));
        check("", V2, None);
        check("0::/a", "", None);
    }

    #[test]
    fn on_a_hybrid_host_v1_has_the_controller() {
        let cgroup = "2:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n0::/docker/x\n";
        let expected = [
            "/sys/fs/cgroup/cpu,cpuacct",
            "/sys/fs/cgroup/cpu,cpuacct/docker",
            "/sys/fs/cgroup/cpu,cpuacct/docker/x",
        ];
        check(cgroup, V1, Some((CgroupVersion::V1, &expected)));
        // A controller of another name that begins alike is not it.
        check(
            "3:cpuset:/\n0::/u\n",
            V2,
            Some((CgroupVersion::V2, &["/sys/fs/cgroup", "/sys/fs/cgroup/u"])),
        );
    }

    #[test]
    fn a_container_without_a_namespace_of_its_own_sees_its_part() {
        let mounts = "9 8 0:26 /docker/x /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        check(
            "0::/docker/x/worker",
            mounts,
            Some((CgroupVersion::V2, &["/sys/fs/cgroup", "/sys/fs/cgroup/worker"])),
        );
        let outside = find("cpu", "0::/../other", mounts, Path::new("/")).unwrap();
        assert!(outside.own_unseen && !outside.sees_root);
        assert_eq!(outside.groups, [PathBuf::from("/sys/fs/cgroup")]);
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(r"/a\040b\134c"), PathBuf::from(r"/a b\c"));
        assert_eq!(unescape(r"/a\9"), PathBuf::from(r"/a\9"));
    }
}
