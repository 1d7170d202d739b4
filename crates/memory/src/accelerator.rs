//! Memory of accelerators, beside the host's.
//!
//! [`AcceleratorProbe`] is what a vendor's library has to tell; the feature `nvml` has one for
//! NVIDIA's. [`Accelerated`] puts it on top of any probe of the host, so that one reading has both.

use std::sync::Arc;

use plimsoll_core_types::{
    Bytes, CapacityProbe, DeviceIndex, ProbeError, ProbeNote, ProbeReading, Timestamp,
};
use serde::{Deserialize, Serialize};

/// The memory of one accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMemory {
    /// Which.
    pub device: DeviceIndex,
    /// What it has, less what its driver keeps for itself.
    pub total: Bytes,
    /// What is used of it by everybody.
    pub used: Bytes,
}

/// What one process holds of one accelerator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceUse {
    /// Which accelerator.
    pub device: DeviceIndex,
    /// Which process.
    pub pid: u32,
    /// How much; none where the driver does not tell, as it does not in some containers.
    pub bytes: Option<Bytes>,
}

/// Measures accelerators.
pub trait AcceleratorProbe: Send + Sync + std::fmt::Debug {
    /// The memory of each accelerator, and what could not be read.
    ///
    /// # Errors
    ///
    /// When none could be asked.
    fn devices(&self) -> Result<(Vec<DeviceMemory>, Vec<ProbeNote>), ProbeError>;

    /// What each process holds of them; empty where that is not told.
    fn processes(&self) -> Vec<DeviceUse>;
}

/// A probe of the host with accelerators on top.
///
/// Where accelerators can't be read the host's reading goes on, with a note; their capacity is
/// then told as none, so that nothing is promised of what can't be seen.
#[derive(Debug)]
pub struct Accelerated<P> {
    host: P,
    accelerators: Arc<dyn AcceleratorProbe>,
}

impl<P: CapacityProbe> Accelerated<P> {
    /// `host` with `accelerators`.
    pub fn new(host: P, accelerators: Arc<dyn AcceleratorProbe>) -> Self {
        Self { host, accelerators }
    }
}

impl<P: CapacityProbe> CapacityProbe for Accelerated<P> {
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        let mut reading = self.host.sample(now)?;
        match self.accelerators.devices() {
            Ok((devices, notes)) => {
                for memory in devices {
                    let (device, used) = (memory.device, memory.used.min(memory.total));
                    reading.capacity = reading.capacity.with_accelerator(device, memory.total);
                    reading.used = reading.used.with_accelerator(device, used);
                }
                reading.notes.extend(notes);
            }
            Err(error) => reading.notes.push(ProbeNote {
                source: error.from,
                problem: format!("{}; accelerators are not seen", error.problem),
            }),
        }
        Ok(reading)
    }
}

#[cfg(feature = "nvml")]
pub use nvml::NvmlAccelerators;

#[cfg(feature = "nvml")]
mod nvml {
    use nvml_wrapper::Nvml;
    use nvml_wrapper::enums::device::UsedGpuMemory;
    use nvml_wrapper::error::NvmlError;

    use super::{
        AcceleratorProbe, Bytes, DeviceIndex, DeviceMemory, DeviceUse, ProbeError, ProbeNote,
    };

    /// NVIDIA's accelerators, by the management library of their driver, which is loaded when this
    /// is made.
    #[derive(Debug)]
    pub struct NvmlAccelerators {
        library: Nvml,
    }

    impl NvmlAccelerators {
        /// The accelerators of this host.
        ///
        /// # Errors
        ///
        /// When the driver's library is not there, or does not start.
        pub fn new() -> Result<Self, ProbeError> {
            Ok(Self { library: Nvml::init().map_err(failed)? })
        }

        /// The devices that can be named, of those that the driver has.
        fn indices(&self) -> Result<impl Iterator<Item = (u32, DeviceIndex)>, ProbeError> {
            let count = self.library.device_count().map_err(failed)?;
            Ok(DeviceIndex::all()
                .map(|device| (u32::from(device.get()), device))
                .take(count as usize))
        }
    }

    impl AcceleratorProbe for NvmlAccelerators {
        fn devices(&self) -> Result<(Vec<DeviceMemory>, Vec<ProbeNote>), ProbeError> {
            let (mut devices, mut notes) = (Vec::new(), Vec::new());
            for (index, device) in self.indices()? {
                let memory =
                    self.library.device_by_index(index).and_then(|found| found.memory_info());
                match memory {
                    // What the driver keeps is neither free nor anybody's: it is no capacity.
                    Ok(memory) => devices.push(DeviceMemory {
                        device,
                        total: Bytes::new(memory.used.saturating_add(memory.free)),
                        used: Bytes::new(memory.used),
                    }),
                    Err(error) => notes.push(ProbeNote {
                        source: format!("NVML device {index}"),
                        problem: format!("{error}; this accelerator is left out"),
                    }),
                }
            }
            Ok((devices, notes))
        }

        fn processes(&self) -> Vec<DeviceUse> {
            let Ok(indices) = self.indices() else { return Vec::new() };
            let of_device = |(index, device): (u32, DeviceIndex)| {
                let found = self.library.device_by_index(index);
                let running = found.and_then(|found| found.running_compute_processes());
                running.unwrap_or_default().into_iter().map(move |process| DeviceUse {
                    device,
                    pid: process.pid,
                    bytes: match process.used_gpu_memory {
                        UsedGpuMemory::Used(bytes) => Some(Bytes::new(bytes)),
                        UsedGpuMemory::Unavailable => None,
                    },
                })
            };
            indices.flat_map(of_device).collect()
        }
    }

    // By value, as `map_err` hands it over.
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
    fn failed(error: NvmlError) -> ProbeError {
        ProbeError { probe: "accelerator", from: "NVML".to_owned(), problem: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::ResourceVector;

    /// A fake: what its devices tell, or that they can't be asked.
    #[derive(Debug)]
    struct Fake(Option<Vec<DeviceMemory>>);

    impl AcceleratorProbe for Fake {
        fn devices(&self) -> Result<(Vec<DeviceMemory>, Vec<ProbeNote>), ProbeError> {
            let told = self.0.clone().ok_or_else(|| ProbeError {
                probe: "accelerator",
                from: "fake".to_owned(),
                problem: "the driver is gone".to_owned(),
            });
            told.map(|devices| (devices, Vec::new()))
        }

        fn processes(&self) -> Vec<DeviceUse> {
            Vec::new()
        }
    }

    #[derive(Debug)]
    struct Host;

    impl CapacityProbe for Host {
        fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
            let capacity = ResourceVector::new().with_memory(Bytes::from_gib(8));
            let used = ResourceVector::new().with_memory(Bytes::from_gib(1));
            Ok(ProbeReading { at: now, capacity, used, pressure: None, notes: Vec::new() })
        }
    }

    #[test]
    fn one_reading_has_the_host_and_its_accelerators() {
        let device = DeviceIndex::new(1).unwrap();
        let memory = DeviceMemory { device, total: Bytes::from_gib(24), used: Bytes::from_gib(30) };
        let probe = Accelerated::new(Host, Arc::new(Fake(Some(vec![memory]))));
        let reading = probe.sample(Timestamp::ZERO).unwrap();
        assert_eq!(reading.capacity.memory(), Bytes::from_gib(8));
        assert_eq!(reading.capacity.accelerator(device), Bytes::from_gib(24));
        assert_eq!(reading.used.accelerator(device), Bytes::from_gib(24), "never beyond what is");
    }

    #[test]
    fn accelerators_that_can_not_be_read_are_noted_and_have_no_capacity() {
        let probe = Accelerated::new(Host, Arc::new(Fake(None)));
        let reading = probe.sample(Timestamp::ZERO).unwrap();
        assert_eq!(reading.capacity.memory(), Bytes::from_gib(8));
        assert!(DeviceIndex::all().all(|device| reading.capacity.accelerator(device).is_zero()));
        assert!(reading.notes[0].problem.contains("accelerators are not seen"));
    }
}
