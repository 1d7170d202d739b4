//! How an engine is told at its start how many threads to run.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

use super::ApplyError;

/// What reads the number of threads: an engine, or the library that it computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EngineKind {
    /// llama.cpp's `llama-server`.
    LlamaServer,
    /// whisper.cpp's `whisper-server` and `whisper-cli`.
    Whisper,
    /// A Go program, such as Ollama, whose own runtime counts cores by itself.
    Go,
    /// Python with `PyTorch`, `NumPy` or the like: OpenMP and BLAS libraries.
    Python,
    /// A Rust program on rayon and tokio.
    Rust,
    /// Anything else: what most libraries read.
    Other,
}

/// One setting of a launch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaunchSetting {
    /// A variable of its environment.
    Environment {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// Words of its command line.
    Arguments(Vec<String>),
}

impl fmt::Display for LaunchSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment { name, value } => write!(f, "{name}={value}"),
            Self::Arguments(words) => f.write_str(&words.join(" ")),
        }
    }
}

/// What to start an engine with, so that it runs so many threads.
///
/// ```
/// use plimsoll_cpu::apply::{EngineKind, LaunchAdvice};
///
/// let kind = EngineKind::of("/usr/local/bin/llama-server");
/// let advice = LaunchAdvice::new(kind, 2);
/// let texts: Vec<_> = advice.settings.iter().map(ToString::to_string).collect();
/// assert_eq!(texts, ["--threads 2 --threads-batch 2", "OMP_NUM_THREADS=2"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchAdvice {
    /// How many threads.
    pub threads: u32,
    /// The settings, the most specific first.
    pub settings: Vec<LaunchSetting>,
}

impl EngineKind {
    /// What the program at this path is, by its name.
    pub fn of(program: &str) -> Self {
        let name = program.rsplit('/').next().unwrap_or(program);
        let starts = |prefix: &str| name.starts_with(prefix);
        if starts("llama-server") || starts("llama-cli") || starts("llama-box") {
            Self::LlamaServer
        } else if starts("whisper-") {
            Self::Whisper
        } else if name == "ollama" {
            Self::Go
        } else if starts("python") || name == "vllm" || name == "uvicorn" {
            Self::Python
        } else {
            Self::Other
        }
    }

    fn variables(self) -> &'static [&'static str] {
        match self {
            Self::LlamaServer | Self::Whisper => &["OMP_NUM_THREADS"],
            Self::Go => &["GOMAXPROCS"],
            Self::Python => &[
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "NUMEXPR_NUM_THREADS",
                "RAYON_NUM_THREADS",
            ],
            Self::Rust => &["RAYON_NUM_THREADS", "TOKIO_WORKER_THREADS"],
            Self::Other => &[
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "MKL_NUM_THREADS",
                "RAYON_NUM_THREADS",
                "GOMAXPROCS",
            ],
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::LlamaServer => &["--threads", "--threads-batch"],
            Self::Whisper => &["--threads"],
            Self::Go | Self::Python | Self::Rust | Self::Other => &[],
        }
    }
}

impl LaunchAdvice {
    /// Advice for `kind` to run `threads` threads, at least one.
    pub fn new(kind: EngineKind, threads: u32) -> Self {
        let threads = threads.max(1);
        let value = threads.to_string();
        let words: Vec<String> =
            kind.flags().iter().flat_map(|flag| [(*flag).to_owned(), value.clone()]).collect();
        let flags = Some(LaunchSetting::Arguments(words)).filter(|_| !kind.flags().is_empty());
        let variables = kind.variables().iter().map(|name| LaunchSetting::Environment {
            name: (*name).to_owned(),
            value: value.clone(),
        });
        Self { threads, settings: flags.into_iter().chain(variables).collect() }
    }

    /// Which of the settings process `pid` was really started with, by its own environment and
    /// command line. That it has them does not say that it heeds them: how many threads it runs
    /// tells [`ProcessCpuUsage::threads`](crate::process::ProcessCpuUsage::threads).
    ///
    /// # Errors
    ///
    /// When the process is gone or somebody else's.
    pub fn seen_by(&self, pid: u32) -> Result<Vec<LaunchSetting>, ApplyError> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read(&path).map_err(|cause| match cause.kind() {
                std::io::ErrorKind::NotFound => ApplyError::Gone { pid },
                _ => ApplyError::Refused { step: format!("reading {path}"), cause },
            })
        };
        let (environment, command) = (read("environ")?, read("cmdline")?);
        let has = |setting: &&LaunchSetting| match setting {
            LaunchSetting::Environment { .. } => {
                let text = setting.to_string();
                environment.split(|byte| *byte == 0).any(|entry| entry == text.as_bytes())
            }
            LaunchSetting::Arguments(words) => {
                let given: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
                words.chunks(2).all(|pair| {
                    given
                        .windows(pair.len())
                        .any(|window| window.iter().zip(pair).all(|(a, b)| *a == b.as_bytes()))
                })
            }
        };
        Ok(self.settings.iter().filter(has).cloned().collect())
    }
}
