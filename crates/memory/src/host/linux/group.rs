//! One memory cgroup: its limit, and what is used of it without page cache.

use std::io;
use std::path::Path;

use plimsoll_core_types::{Bytes, ProbeNote};

use super::files::{KeptFile, leading_number, number_after};
use super::hierarchy::{Level, Version};
use crate::host::Bound;

/// The files of one group, kept open.
#[derive(Debug)]
pub(super) struct Group {
    version: Version,
    name: String,
    limits: Vec<KeptFile>,
    usage: KeptFile,
    stat: Option<KeptFile>,
    /// The least limit of ancestors that can't be seen from here, when it was opened.
    hidden: Option<Bytes>,
}

/// What bounds a group: the least of its limit files. `None` without a limit.
type Limit = Option<Bytes>;

impl Group {
    /// Opens the group at `level` under `root`. None where it has nothing to say: the root of a
    /// hierarchy has no limit.
    pub(super) fn open(root: &Path, level: &Level, notes: &mut Vec<ProbeNote>) -> Option<Self> {
        let dir = root.join(level.dir.strip_prefix("/").unwrap_or(&level.dir));
        let (limits, usage): (&[&str], _) = match level.version {
            Version::V1 => (&["memory.limit_in_bytes"], "memory.usage_in_bytes"),
            // Past `high` the kernel slows the group down until it has given back.
            Version::V2 => (&["memory.max", "memory.high"], "memory.current"),
        };
        let (main, more) = limits.split_first()?;
        let open = |name: &str| KeptFile::open(dir.join(name));
        let name = dir.display().to_string();
        match (open(main), open(usage)) {
            (Ok(limit), Ok(usage)) => {
                let mut limits = vec![limit];
                limits.extend(more.iter().filter_map(|name| open(name).ok()));
                let stat = open("memory.stat");
                if let Err(error) = &stat {
                    let problem = format!("{error}; its page cache counts as used");
                    notes.push(ProbeNote { source: format!("{name}/memory.stat"), problem });
                }
                Some(Self {
                    version: level.version,
                    name,
                    limits,
                    usage,
                    stat: stat.ok(),
                    hidden: None,
                })
            }
            (limit, usage) => {
                let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
                let silent = level.topmost
                    && limit.as_ref().err().is_none_or(missing)
                    && usage.as_ref().err().is_none_or(missing);
                if let Some(error) = limit.err().or(usage.err()).filter(|_| !silent) {
                    let problem = format!("{error}; this group's limit is not known");
                    notes.push(ProbeNote { source: name, problem });
                }
                None
            }
        }
    }

    /// What it may have at most; none where that is not less than `host`.
    pub(super) fn limit(
        &self,
        host: Bytes,
        buffer: &mut Vec<u8>,
        notes: &mut Vec<ProbeNote>,
    ) -> io::Result<Limit> {
        let mut least = self.hidden;
        for file in &self.limits {
            let text = file.read(buffer)?;
            let trimmed = text.trim_ascii();
            if trimmed == b"max" {
                continue;
            }
            match leading_number(trimmed).map(Bytes::new) {
                Some(limit) if limit < host => least = Some(least.map_or(limit, |l| limit.min(l))),
                Some(_) => {}
                None => notes.push(ProbeNote {
                    source: file.path().display().to_string(),
                    problem: "it holds neither a number nor \"max\"; taken as no limit".to_owned(),
                }),
            }
        }
        Ok(least)
    }

    /// What is charged to it, page cache and all.
    pub(super) fn charged(&self, buffer: &mut Vec<u8>) -> io::Result<Bytes> {
        let text = self.usage.read(buffer)?;
        leading_number(text.trim_ascii()).map(Bytes::new).ok_or_else(|| malformed(&self.usage))
    }

    /// What of its charge the kernel can drop: pages of files, and slabs that it counts as
    /// reclaimable. Shared memory is not among them, though some counters call it cache.
    pub(super) fn droppable(&self, buffer: &mut Vec<u8>) -> io::Result<Bytes> {
        let Some(stat) = &self.stat else { return Ok(Bytes::ZERO) };
        let text = stat.read(buffer)?;
        let (files, slab): ([&[u8]; 2], &[u8]) = match self.version {
            Version::V1 => ([b"total_inactive_file", b"total_active_file"], b""),
            Version::V2 => ([b"inactive_file", b"active_file"], b"slab_reclaimable"),
        };
        let mut sum = Bytes::ZERO;
        for key in files {
            let part = number_after(text, key).ok_or_else(|| malformed(stat))?;
            sum = sum.saturating_add(Bytes::new(part));
        }
        let slab = if slab.is_empty() { None } else { number_after(text, slab) };
        Ok(sum.saturating_add(Bytes::new(slab.unwrap_or(0))))
    }

    /// Takes the limits of ancestors that can't be seen from here into account, where the kernel
    /// tells them (v1) and they are less than `visible`, the least that can be seen.
    pub(super) fn look_behind(&mut self, visible: Bytes, buffer: &mut Vec<u8>) {
        if self.version == Version::V1
            && let Some(stat) = &self.stat
            && let Ok(text) = stat.read(buffer)
        {
            let told = number_after(text, b"hierarchical_memory_limit").map(Bytes::new);
            self.hidden = told.filter(|hidden| *hidden < visible);
        }
    }

    /// Everything about it.
    pub(super) fn bound(&self, limit: Bytes, buffer: &mut Vec<u8>) -> io::Result<Bound> {
        let charged = self.charged(buffer)?;
        let droppable = self.droppable(buffer)?.min(charged);
        Ok(Bound {
            source: self.name.clone(),
            limit,
            used: charged.saturating_sub(droppable),
            page_cache: droppable,
        })
    }

    /// Where it is.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

fn malformed(file: &KeptFile) -> io::Error {
    let text = format!("{} does not hold what it should", file.path().display());
    io::Error::new(io::ErrorKind::InvalidData, text)
}
