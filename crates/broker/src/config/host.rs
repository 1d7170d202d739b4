//! `[host]`: how much of the host there is to give.

use plimsoll_core_types::{AmountOrShare, Bytes, DeviceIndex, Millicores, QuantityError, Ratio};

use super::Overrides;
use super::reader::{Reader, Section};

/// How much of the host all models together may take.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostConfig {
    pub(crate) memory: AmountOrShare<Bytes>,
    pub(crate) cpu: AmountOrShare<Millicores>,
    /// Memory of each accelerator, by its number.
    pub(crate) accelerators: Vec<Bytes>,
    /// Memory left to everybody else.
    pub(crate) reserve: Bytes,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            memory: AmountOrShare::Share(Ratio::saturating(0.8)),
            cpu: AmountOrShare::Share(Ratio::ONE),
            accelerators: Vec::new(),
            reserve: Bytes::from_mib(64),
        }
    }
}

pub(super) fn host(
    root: &mut Section<'_>,
    overrides: &Overrides,
    reader: &mut Reader<'_>,
) -> HostConfig {
    let mut host = HostConfig::default();
    if let Some(mut section) = root.section("host", reader) {
        host.memory = section.parse("memory", reader).unwrap_or(host.memory);
        host.cpu = section.parse("cpu", reader).unwrap_or(host.cpu);
        host.reserve = section.parse("reserve", reader).unwrap_or(host.reserve);
        for text in section.texts("accelerators", reader).unwrap_or_default() {
            match text.parse() {
                Ok(memory) => host.accelerators.push(memory),
                Err(error) => section.object("accelerators", error_text(&error), reader),
            }
        }
        if host.accelerators.len() > DeviceIndex::all().count() {
            let what = format!("at most {} can be counted", DeviceIndex::all().count());
            section.object("accelerators", what, reader);
        }
        section.finish(reader);
    }
    host.memory = overrides.memory.unwrap_or(host.memory);
    host.cpu = overrides.cpu.unwrap_or(host.cpu);
    host
}

fn error_text(error: &QuantityError) -> String {
    error.to_string()
}
