//! Trees of kernel files, written as the kernel would.

use std::fs;

use plimsoll_memory::HostMemory;
use tempfile::TempDir;

/// A `/proc` and `/sys` below a folder that goes away with it.
pub(crate) struct Tree {
    dir: TempDir,
}

pub(crate) const MEMINFO: &str = "MemTotal:       16384000 kB\nMemFree:         2048000 kB\nMemAvailable:    8192000 kB\nBuffers:          204800 kB\nCached:          6144000 kB\nSwapCached:            0 kB\nShmem:            102400 kB\nSReclaimable:     307200 kB\n";
pub(crate) const PSI: &str = "some avg10=1.50 avg60=0.40 avg300=0.10 total=123456\nfull avg10=0.20 avg60=0.00 avg300=0.00 total=4567\n";
const OTHER_MOUNTS: &str = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n23 22 0:21 / /sys rw,nosuid - sysfs sysfs rw\n24 22 0:22 / /proc rw,nosuid - proc proc rw\n";
const V2_MOUNT: &str =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1_MOUNTS: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

impl Tree {
    /// A host without control groups: 16,000 MiB (of 1024 KiB), of which 8,000 are available.
    pub(crate) fn bare() -> Self {
        let tree = Self { dir: TempDir::new().unwrap() };
        tree.with("proc/meminfo", MEMINFO)
            .with("proc/pressure/memory", PSI)
            .with("proc/self/cgroup", "0::/\n")
            .with("proc/self/mountinfo", OTHER_MOUNTS)
    }

    /// A host with version 2 whose process is in `group`. The root has no limit files.
    pub(crate) fn v2(group: &str) -> Self {
        Self::bare()
            .with("proc/self/cgroup", &format!("0::{group}\n"))
            .with("proc/self/mountinfo", &format!("{OTHER_MOUNTS}{V2_MOUNT}"))
            .with("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    }

    /// A host with version 1, and version 2 beside it without memory (hybrid), whose process is
    /// in `group`.
    pub(crate) fn v1(group: &str) -> Self {
        Self::bare()
            .with(
                "proc/self/cgroup",
                &format!("9:cpu,cpuacct:/else\n4:memory:{group}\n0::/unified\n"),
            )
            .with("proc/self/mountinfo", &format!("{OTHER_MOUNTS}{V1_MOUNTS}"))
            .with("sys/fs/cgroup/unified/cgroup.controllers", "\n")
            .v1_group("", "9223372036854771712", 4000, 3000)
    }

    /// A group of version 2: what it may have as the kernel writes it, what is charged to it, and
    /// what of it is pages of files, in MiB.
    pub(crate) fn v2_group(self, group: &str, max: &str, charged: u64, files: u64) -> Self {
        let dir = format!("sys/fs/cgroup{group}");
        let (inactive, active) = ((files / 2) << 20, (files - files / 2) << 20);
        let anon = (charged - files) << 20;
        let stat = format!(
            "anon {anon}\nfile {}\nkernel 1048576\nshmem 0\ninactive_anon {anon}\nactive_anon 0\ninactive_file {inactive}\nactive_file {active}\nunevictable 0\nslab_reclaimable 0\nslab_unreclaimable 65536\n",
            files << 20
        );
        self.with(&format!("{dir}/memory.max"), &format!("{max}\n"))
            .with(&format!("{dir}/memory.high"), "max\n")
            .with(&format!("{dir}/memory.current"), &format!("{}\n", charged << 20))
            .with(&format!("{dir}/memory.stat"), &stat)
            .with(&format!("{dir}/memory.pressure"), PSI)
    }

    /// The same of version 1.
    pub(crate) fn v1_group(self, group: &str, limit: &str, charged: u64, files: u64) -> Self {
        let dir = format!("sys/fs/cgroup/memory{group}");
        let (inactive, active) = ((files / 2) << 20, (files - files / 2) << 20);
        let stat = format!(
            "cache {0}\nrss {1}\ninactive_file 0\nactive_file 0\nhierarchical_memory_limit {limit}\ntotal_cache {0}\ntotal_rss {1}\ntotal_inactive_file {inactive}\ntotal_active_file {active}\n",
            files << 20,
            (charged - files) << 20
        );
        self.with(&format!("{dir}/memory.limit_in_bytes"), &format!("{limit}\n"))
            .with(&format!("{dir}/memory.usage_in_bytes"), &format!("{}\n", charged << 20))
            .with(&format!("{dir}/memory.stat"), &stat)
    }

    /// The same with this file.
    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        self.write(path, text.as_bytes());
        self
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// The same without this file or folder.
    pub(crate) fn without(self, path: &str) -> Self {
        let path = self.dir.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    pub(crate) fn probe(&self) -> HostMemory {
        HostMemory::at(self.dir.path())
    }

    /// Every file, relative to the root.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(dir: &std::path::Path, out: &mut Vec<std::path::PathBuf>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { walk(&path, out) } else { out.push(path) }
            }
        }
        let mut files = Vec::new();
        walk(self.dir.path(), &mut files);
        let relative =
            files.iter().map(|path| path.strip_prefix(self.dir.path()).unwrap().to_str().unwrap());
        let mut relative: Vec<_> = relative.map(str::to_owned).collect();
        relative.sort();
        relative
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(path)).unwrap()
    }
}
