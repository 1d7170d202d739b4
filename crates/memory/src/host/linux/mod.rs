//! The host's memory by the kernel's own files.

pub(crate) mod files;
mod group;
mod hierarchy;
mod meminfo;
mod psi;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_core_types::{Bytes, ProbeError, ProbeNote, Ratio, Timestamp};

use super::{Figures, HostDetail};
use files::KeptFile;
use group::Group;
use meminfo::MemInfo;

/// How often this process's place among the groups is looked up anew: it may have been moved.
const LOOK_UP_EVERY: Duration = Duration::from_secs(10);
/// The same where a group can't be read any more.
const LOST_EVERY: Duration = Duration::from_secs(1);

/// Reads the files below `root`, keeping their descriptors.
#[derive(Debug)]
pub(super) struct Kernel {
    root: PathBuf,
    place: Option<Place>,
    buffer: Vec<u8>,
}

/// Everything that is kept open, and what was not found when it was opened.
#[derive(Debug)]
struct Place {
    since: Timestamp,
    meminfo: Option<KeptFile>,
    /// The host's, and that of the process's own group where it has one.
    stalls: Vec<KeptFile>,
    groups: Vec<Group>,
    notes: Vec<ProbeNote>,
}

impl Kernel {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), place: None, buffer: Vec::new() }
    }

    /// What bounds everybody, and what is free of it: as little is read as answers that.
    pub(super) fn figures(&mut self, now: Timestamp) -> Result<Figures, ProbeError> {
        let place = keep(&mut self.place, &self.root, now);
        let buffer = &mut self.buffer;
        let mut notes = place.notes.clone();
        let host = place.host(buffer, &mut notes)?;
        let (mut capacity, mut free) = (host.total, host.available);
        let mut lost = false;
        for group in &place.groups {
            match narrow(group, host.total, free, buffer, &mut notes) {
                Ok(None) => {}
                Ok(Some((limit, left))) => {
                    capacity = capacity.min(limit);
                    free = free.min(left);
                }
                Err(error) => {
                    lost = true;
                    notes.push(unread(group, &error));
                }
            }
        }
        let pressure = place.pressure(buffer, &mut notes);
        if lost && now.saturating_since(place.since) >= LOST_EVERY {
            // The group may be gone, or this process may be in another by now.
            self.place = None;
        }
        Ok(Figures { capacity, free: free.min(capacity), pressure, notes })
    }

    /// Everything that bounds it, whether it binds or not.
    pub(super) fn detail(&mut self, now: Timestamp) -> Result<HostDetail, ProbeError> {
        let place = keep(&mut self.place, &self.root, now);
        let buffer = &mut self.buffer;
        let mut notes = place.notes.clone();
        let host = place.host(buffer, &mut notes)?;
        let mut bounds = Vec::new();
        for group in &place.groups {
            let limit = group.limit(host.total, buffer, &mut notes);
            let bound =
                limit.and_then(|limit| limit.map(|limit| group.bound(limit, buffer)).transpose());
            match bound {
                Ok(bound) => bounds.extend(bound),
                Err(error) => notes.push(unread(group, &error)),
            }
        }
        let pressure = place.pressure(buffer, &mut notes);
        let (total, available) = (host.total, host.available);
        Ok(HostDetail { at: now, total, available, bounds, pressure, notes })
    }
}

/// The open files, looked up anew where that is due.
fn keep<'p>(slot: &'p mut Option<Place>, root: &Path, now: Timestamp) -> &'p Place {
    let fresh = |place: &Place| now.saturating_since(place.since) < LOOK_UP_EVERY;
    let kept = slot.take().filter(fresh);
    slot.insert(kept.unwrap_or_else(|| Place::look_up(root, now)))
}

impl Place {
    fn look_up(root: &Path, now: Timestamp) -> Self {
        let mut notes = Vec::new();
        let mut text = |path: &str, lost: &str| {
            read_text(root, path).unwrap_or_else(|error| {
                let source = format!("/{path}");
                notes.push(ProbeNote { source, problem: format!("{error}; {lost}") });
                String::new()
            })
        };
        let lost = "limits of control groups are not known";
        let cgroup = text("proc/self/cgroup", lost);
        let mounts = text("proc/self/mountinfo", lost);
        let levels = hierarchy::levels(&cgroup, &mounts);
        let groups = levels.iter().filter_map(|level| Group::open(root, level, &mut notes));
        let mut groups: Vec<Group> = groups.collect();
        look_behind(&mut groups);
        let mut stalls = Vec::new();
        match KeptFile::open(root.join("proc/pressure/memory")) {
            Ok(file) => stalls.push(file),
            Err(error) => notes.push(ProbeNote {
                source: "/proc/pressure/memory".to_owned(),
                problem: format!("{error}; waiting for memory is not seen"),
            }),
        }
        if let Some(own) = levels.first().filter(|level| !level.topmost) {
            let dir = root.join(own.dir.strip_prefix("/").unwrap_or(&own.dir));
            // Groups of v1 have none, and the host's own figure covers it.
            stalls.extend(KeptFile::open(dir.join("memory.pressure")));
        }
        let meminfo = KeptFile::open(root.join("proc/meminfo")).ok();
        Self { since: now, meminfo, stalls, groups, notes }
    }

    fn host(
        &self,
        buffer: &mut Vec<u8>,
        notes: &mut Vec<ProbeNote>,
    ) -> Result<MemInfo, ProbeError> {
        const SOURCE: &str = "/proc/meminfo";
        let failed =
            |problem: String| ProbeError { probe: "memory", from: SOURCE.to_owned(), problem };
        let file = self.meminfo.as_ref().ok_or_else(|| failed("it can't be opened".to_owned()))?;
        let text = file.read(buffer).map_err(|error| failed(error.to_string()))?;
        let host = meminfo::parse(text)
            .ok_or_else(|| failed("it tells no total and no free memory".to_owned()))?;
        if !host.told {
            let problem = "no MemAvailable; free memory and page cache stand in".to_owned();
            notes.push(ProbeNote { source: SOURCE.to_owned(), problem });
        }
        Ok(host)
    }

    fn pressure(&self, buffer: &mut Vec<u8>, notes: &mut Vec<ProbeNote>) -> Option<Ratio> {
        let mut worst: Option<Ratio> = None;
        for file in &self.stalls {
            let told = file.read(buffer).ok().and_then(psi::some_avg10);
            match told {
                Some(share) => {
                    worst = Some(worst.map_or(share, |w| if share > w { share } else { w }));
                }
                None => notes.push(ProbeNote {
                    source: file.path().display().to_string(),
                    problem: "it does not tell avg10 of \"some\"".to_owned(),
                }),
            }
        }
        worst
    }
}

/// Has the process's own group look for limits of ancestors that can't be seen.
fn look_behind(groups: &mut [Group]) {
    let (mut buffer, mut unnoted) = (Vec::new(), Vec::new());
    let limits = groups
        .iter()
        .filter_map(|group| group.limit(Bytes::MAX, &mut buffer, &mut unnoted).ok().flatten());
    let visible = limits.min().unwrap_or(Bytes::MAX);
    if let Some(own) = groups.first_mut() {
        own.look_behind(visible, &mut buffer);
    }
}

/// The group's limit, and what is left of it; none where it has no limit below the host's total.
///
/// The group's statistics cost more than all the rest. They are read only where the group could
/// be what binds: where it has less left than `free` even if all its page cache counts as used.
fn narrow(
    group: &Group,
    host: Bytes,
    free: Bytes,
    buffer: &mut Vec<u8>,
    notes: &mut Vec<ProbeNote>,
) -> io::Result<Option<(Bytes, Bytes)>> {
    let Some(limit) = group.limit(host, buffer, notes)? else { return Ok(None) };
    let charged = group.charged(buffer)?;
    let least_left = limit.saturating_sub(charged);
    if least_left >= free {
        return Ok(Some((limit, least_left)));
    }
    let used = charged.saturating_sub(group.droppable(buffer)?);
    Ok(Some((limit, limit.saturating_sub(used))))
}

fn unread(group: &Group, error: &io::Error) -> ProbeNote {
    let problem = format!("{error}; this group is left out of the reading");
    ProbeNote { source: group.name().to_owned(), problem }
}

fn read_text(root: &Path, path: &str) -> io::Result<String> {
    let mut buffer = Vec::new();
    let bytes = KeptFile::open(root.join(path))?.read(&mut buffer)?.to_vec();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
