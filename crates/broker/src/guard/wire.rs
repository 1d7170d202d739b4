//! What a broker and a guard say to each other: one line of JSON each.

use bytes::{Buf as _, BytesMut};
use plimsoll_core_types::ResourceVector;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A longer line is none that anybody has meant to say.
const LONGEST: usize = 64 << 10;

/// What a guard says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// First of all, to every broker: the engine's process, and what was noted of it.
    Holds { pid: u32, note: Option<Value> },
    /// The engine has printed a line. A new broker is told the latest ones.
    Printed(String),
    /// The engine has ended, and all that it has started; the status as the kernel gives it.
    Ended { status: i32 },
}

/// What a broker says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// Keep this for the next broker, in place of what was noted before.
    Note(Value),
    /// Tell the engine to end.
    Terminate,
    /// End the engine and all that it has started, now.
    End,
}

/// What a broker has noted of an engine, for the next one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) model: String,
    /// What the engine was started as; another broker wants the same, or none.
    pub(crate) engine: u64,
    /// What its lease holds.
    pub(crate) amount: ResourceVector,
    /// Where it listens; none where it says so itself.
    pub(crate) port: Option<u16>,
    pub(crate) threads: u32,
    /// Whether it has served.
    pub(crate) ready: bool,
}

/// What `message` is on the wire.
pub(crate) fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What has come in and was not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) bytes: BytesMut,
}

impl Inbox {
    /// The next whole message. What can't be understood is passed over: the other side may be of
    /// another version.
    pub(crate) fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
                if self.bytes.len() > LONGEST {
                    self.bytes.clear();
                }
                return None;
            };
            let line = self.bytes.split_to(end);
            self.bytes.advance(1);
            if let Ok(message) = serde_json::from_slice(&line) {
                return Some(message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let note = Note {
            model: "a\nb".to_owned(),
            engine: u64::MAX,
            amount: ResourceVector::new(),
            port: Some(1),
            threads: 2,
            ready: true,
        };
        let note = serde_json::to_value(&note).unwrap();
        let told = [Told::Note(note), Told::Terminate, Told::End];
        let mut bytes: Vec<u8> = told.iter().flat_map(line).collect();
        bytes.extend(b"{\"from_the_future\":1}\n\xff\xff\n");
        bytes.extend(line(&Told::End));
        for size in 1..bytes.len() {
            let mut inbox = Inbox::default();
            let mut heard: Vec<Told> = Vec::new();
            for part in bytes.chunks(size) {
                inbox.bytes.extend_from_slice(part);
                heard.extend(std::iter::from_fn(|| inbox.next()));
            }
            assert_eq!(heard[..3], told, "in parts of {size}");
            assert_eq!(heard[3..], [Told::End]);
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut inbox = Inbox::default();
        inbox.bytes.extend_from_slice(&vec![b'x'; LONGEST + 1]);
        assert_eq!(inbox.next::<Told>(), None);
        assert!(inbox.bytes.is_empty());
    }
}
