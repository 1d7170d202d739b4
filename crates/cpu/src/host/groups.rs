//! Reading one hierarchy's quotas, weights and use, by kept descriptors.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_core_types::{Millicores, ProbeNote, Ratio};

use super::hierarchy::{CgroupVersion, Hierarchy};
use super::text::{self, Quota};
use crate::kept::KeptFile;

/// The groups that this process is in, their files open.
#[derive(Debug)]
pub(crate) struct Groups {
    hierarchy: Hierarchy,
    /// True when the outermost group is the whole host.
    has_root: bool,
    /// Of the outermost group first.
    quotas: Vec<QuotaFiles>,
    /// The CPU time that each group has used.
    usages: Vec<Option<UsageFile>>,
    /// The own group's pressure, which only v2 has.
    pressure: Option<KeptFile>,
    /// The throttling counters of every group.
    stats: Vec<KeptFile>,
}

#[derive(Debug)]
enum QuotaFiles {
    Absent,
    V1 { quota: KeptFile, period: KeptFile },
    V2(KeptFile),
}

#[derive(Debug)]
enum UsageFile {
    /// `cpu.stat`, which has `usage_usec`.
    V2(KeptFile),
    /// `cpuacct.usage`, in nanoseconds.
    V1(KeptFile),
}

impl Groups {
    /// Opens the files of `hierarchy`. `accounting` is the hierarchy that holds v1's `cpuacct`,
    /// where that is mounted.
    pub(crate) fn open(hierarchy: Hierarchy, accounting: Option<&Hierarchy>) -> Self {
        let quotas = hierarchy.groups.iter().map(|group| QuotaFiles::open(group)).collect();
        let depth = usize::from(is_true_root(&hierarchy));
        let usages = (0..hierarchy.groups.len()).map(|level| match hierarchy.version {
            CgroupVersion::V2 => {
                KeptFile::open(hierarchy.groups[level].join("cpu.stat")).ok().map(UsageFile::V2)
            }
            // Levels correspond only where both hierarchies have this process in like groups.
            CgroupVersion::V1 => {
                let same = accounting.filter(|other| other.groups.len() == hierarchy.groups.len());
                let group = same.and_then(|other| other.groups.get(level))?;
                KeptFile::open(group.join("cpuacct.usage")).ok().map(UsageFile::V1)
            }
        });
        let usages = usages.collect();
        let own = hierarchy.groups.last().map(|own| own.join("cpu.pressure"));
        let pressure = own
            .filter(|_| hierarchy.version == CgroupVersion::V2 && hierarchy.groups.len() > depth)
            .and_then(|path| KeptFile::open(path).ok());
        let stats = hierarchy.groups.iter().skip(depth);
        let stats = stats.filter_map(|group| KeptFile::open(group.join("cpu.stat")).ok()).collect();
        let has_root = depth > 0;
        Self { hierarchy, has_root, quotas, usages, pressure, stats }
    }

    /// The tightest quota, and how many levels above one's own group it is set.
    pub(crate) fn tightest_quota(
        &self,
        notes: &mut Vec<ProbeNote>,
    ) -> io::Result<Option<(Millicores, u32)>> {
        let mut tightest: Option<(Millicores, u32)> = None;
        let last = self.quotas.len().saturating_sub(1);
        for (level, files) in self.quotas.iter().enumerate() {
            let quota = match files.read()? {
                Some(Quota::Cores(cores)) => cores,
                Some(Quota::Unlimited) => continue,
                None => {
                    notes.push(ProbeNote {
                        source: self.hierarchy.groups[level].display().to_string(),
                        problem: "its CPU quota can't be read as one; counted as none".to_owned(),
                    });
                    continue;
                }
            };
            // Of equal quotas the nearest is named.
            if tightest.is_none_or(|(least, _)| quota <= least) {
                tightest = Some((quota, (last - level) as u32));
            }
        }
        Ok(tightest)
    }

    /// The part of the whole that this process's weight guarantees it, when every sibling that
    /// has processes wants all that it can get. `None` without siblings.
    ///
    /// Reads directories: called only under pressure.
    pub(crate) fn guaranteed_share(&self, most_siblings: usize) -> Option<Ratio> {
        let version = self.hierarchy.version;
        let mut share = 1.0;
        for pair in self.hierarchy.groups.windows(2) {
            let (parent, own) = (&pair[0], &pair[1]);
            let Some(weight) = weight(version, own) else { continue };
            let others: u64 = siblings(parent, own, most_siblings)
                .filter(|sibling| is_populated(version, sibling))
                .filter_map(|sibling| self::weight(version, &sibling))
                .sum();
            share *= weight as f64 / (weight + others).max(1) as f64;
        }
        (share < 1.0).then(|| Ratio::saturating(share))
    }

    /// The CPU time used within one's own group, then within each above it.
    pub(crate) fn usages(&self) -> Vec<Option<Duration>> {
        self.usages.iter().rev().map(|file| file.as_ref()?.read()).collect()
    }

    /// How far above one's own the outermost group is that is not the whole host; `None` where
    /// this process is in no such group.
    pub(crate) fn outermost(&self) -> Option<u32> {
        let below_root = self.usages.len() - usize::from(self.has_root);
        below_root.checked_sub(1).map(|levels_up| levels_up as u32)
    }

    /// The own group's pressure file, where it has one.
    pub(crate) fn pressure(&self) -> Option<&KeptFile> {
        self.pressure.as_ref()
    }

    /// For how long quotas have stopped anybody in these groups.
    pub(crate) fn throttled(&self) -> Option<Duration> {
        let mut buffer = [0; 4096];
        let mut most = None;
        for file in &self.stats {
            let Ok(text) = file.read_short(&mut buffer) else { continue };
            let time = match self.hierarchy.version {
                CgroupVersion::V2 => {
                    text::value_of(text, "throttled_usec").map(Duration::from_micros)
                }
                CgroupVersion::V1 => {
                    text::value_of(text, "throttled_time").map(Duration::from_nanos)
                }
            };
            most = most.max(time);
        }
        most
    }

    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }
}

impl UsageFile {
    fn read(&self) -> Option<Duration> {
        let mut buffer = [0; 4096];
        match self {
            Self::V2(file) => {
                let text = file.read_short(&mut buffer).ok()?;
                text::value_of(text, "usage_usec").map(Duration::from_micros)
            }
            Self::V1(file) => {
                let text = file.read_short(&mut buffer).ok()?;
                text.trim().parse().ok().map(Duration::from_nanos)
            }
        }
    }
}

impl QuotaFiles {
    fn open(group: &Path) -> Self {
        if let Ok(file) = KeptFile::open(group.join("cpu.max")) {
            return Self::V2(file);
        }
        let quota = KeptFile::open(group.join("cpu.cfs_quota_us"));
        match (quota, KeptFile::open(group.join("cpu.cfs_period_us"))) {
            (Ok(quota), Ok(period)) => Self::V1 { quota, period },
            // A root group, or one without the controller, has no quota.
            _ => Self::Absent,
        }
    }

    /// `None` where the text is no quota; an error where the group is gone.
    fn read(&self) -> io::Result<Option<Quota>> {
        let (mut first, mut second) = ([0; 128], [0; 128]);
        Ok(match self {
            Self::Absent => Some(Quota::Unlimited),
            Self::V2(file) => text::quota_v2(file.read_short(&mut first)?),
            Self::V1 { quota, period } => {
                text::quota_v1(quota.read_short(&mut first)?, period.read_short(&mut second)?)
            }
        })
    }
}

/// True when the outermost group is the whole host's. In a cgroup namespace, a container's own group
/// looks like the root, but has what the true one lacks: in v2 limits, in v1 no release agent.
fn is_true_root(hierarchy: &Hierarchy) -> bool {
    let top = &hierarchy.groups[0];
    hierarchy.sees_root
        && match hierarchy.version {
            CgroupVersion::V2 => !top.join("cpu.max").exists(),
            CgroupVersion::V1 => top.join("release_agent").exists(),
        }
}

fn siblings<'a>(
    parent: &Path,
    own: &'a Path,
    most: usize,
) -> impl Iterator<Item = PathBuf> + use<'a> {
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.map(|entry| entry.path()).filter(move |path| path != own).take(most)
}

fn weight(version: CgroupVersion, group: &Path) -> Option<u64> {
    let name = match version {
        CgroupVersion::V1 => "cpu.shares",
        CgroupVersion::V2 => "cpu.weight",
    };
    fs::read_to_string(group.join(name)).ok()?.trim().parse().ok()
}

fn is_populated(version: CgroupVersion, group: &Path) -> bool {
    match version {
        CgroupVersion::V2 => fs::read_to_string(group.join("cgroup.events"))
            .is_ok_and(|events| text::value_of(&events, "populated") == Some(1)),
        // v1 tells only of a group's own processes; one with children is taken to have some.
        CgroupVersion::V1 => {
            let own = fs::read_to_string(group.join("cgroup.procs"));
            own.is_ok_and(|processes| !processes.trim().is_empty())
                || siblings(group, Path::new(""), 1).next().is_some()
        }
    }
}
