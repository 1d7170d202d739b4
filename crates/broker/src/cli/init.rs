//! `plimsoll init`: a config from what runs on this host.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use plimsoll_core_types::{Bytes, SystemClock};
use plimsoll_cpu::HostCpu;
use plimsoll_memory::HostMemory;

use crate::adopt::{Engine, Known, discover};
use crate::output::{complain, line};
use crate::{FAILED, USAGE};

/// What `init` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// Where to write it; - prints it
    #[arg(long, default_value = "plimsoll.toml", value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &InitArgs) -> ExitCode {
    let found = match crate::client::block_on(look()) {
        Ok(found) => found,
        Err(error) => return complain(&format!("starting the runtime failed: {error}"), FAILED),
    };
    let text = config(&found);
    if args.output.as_os_str() == "-" {
        line(text.trim_end());
        return ExitCode::SUCCESS;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(!args.force).create(args.force).truncate(args.force);
    let path = args.output.display();
    match options.open(&args.output).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            line(&format!("{path}: written, with {} of the engines that run here", found.len()));
            line("next: plimsoll check, then plimsoll serve");
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            complain(&format!("{path} is there already; --force writes over it"), USAGE)
        }
        Err(error) => complain(&format!("{path} can't be written: {error}"), FAILED),
    }
}

async fn look() -> Vec<(Engine, Vec<Known>)> {
    let mut found = Vec::new();
    for engine in discover().await {
        let models = engine.models().await.unwrap_or_default();
        found.push((engine, models));
    }
    found
}

fn config(found: &[(Engine, Vec<Known>)]) -> String {
    let mut text = String::from(
        "# What may be loaded, by what, and how much of this host it may take.\n\
         # `plimsoll check` says what is wrong with it, `plimsoll serve` serves it.\n\n\
         [host]\n",
    );
    let capacity =
        crate::serve::host_capacity(&HostMemory::system(), &HostCpu::system(), &SystemClock::new());
    if let Ok(capacity) = capacity {
        let (memory, cores) = (capacity.memory(), capacity.cpu());
        // Writing to a text can't fail.
        let _ = writeln!(text, "# This host has {memory} and {cores}.");
    }
    text.push_str(
        "memory = \"80%\"\n\n[server]\nlisten = \"127.0.0.1:7077\"\nstate = \"plimsoll-state\"\n",
    );
    let mut names = std::collections::BTreeSet::new();
    for (engine, models) in found {
        for model in models.iter().filter(|_| engine.kind.speaks_openai()) {
            if names.insert(model.name.clone()) {
                text.push_str(&entry(engine, model));
            }
        }
    }
    if names.is_empty() {
        text.push_str(EXAMPLES);
    }
    text
}

/// A model of an engine that runs. Where it tells what it holds, that is declared.
fn entry(engine: &Engine, model: &Known) -> String {
    // A JSON text is a TOML text too.
    let name = serde_json::Value::String(model.name.clone());
    let memory = model.memory.filter(|bytes| *bytes >= Bytes::from_kib(1));
    let memory = memory.map_or(String::new(), |bytes| format!("memory = {}\n", bytes.get()));
    format!(
        "\n[models.{name}]\nurl = \"http://{}\"\nkind = \"{}\"\n{memory}",
        engine.target, engine.kind
    )
}

const EXAMPLES: &str = r#"
# An engine of this program's own, to see how everything works: embeddings by hashed n-grams.
[models.embedded]
embedded = "64Mi"
keep_alive = "10m"

# A program that is started when somebody asks for it, and ended when its room is wanted.
# [models.chat]
# command = ["llama-server", "-m", "model.gguf", "--port", "{port}", "--threads", "{threads}"]
# memory = "auto"
# cpu = 2
# slots = 4

# A server that somebody else runs.
# [models.remote]
# url = "http://127.0.0.1:11434"
# kind = "ollama"
"#;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::adopt::Kind;
    use crate::config::{Config, EngineConfig, Overrides};
    use crate::http::Target;

    #[test]
    fn what_is_written_can_be_read() {
        let none = Config::parse(&config(&[]), &Overrides::default()).unwrap();
        assert_eq!(none.models.len(), 1);
        let engine = Engine { kind: Kind::Ollama, target: Arc::new(Target::loopback(11434)) };
        let model = Known {
            name: "qwen2.5:0.5b \"x\"".to_owned(),
            loaded: true,
            memory: Some(Bytes::from_mib(500)),
            accelerator: None,
        };
        let text = config(&[(engine, vec![model.clone(), model])]);
        let read =
            Config::parse(&text, &Overrides::default()).unwrap_or_else(|e| panic!("{e:?}: {text}"));
        assert_eq!(read.models[0].id.as_str(), "qwen2.5:0.5b \"x\"");
        let EngineConfig::Url { kind, .. } = &read.models[0].engine else { panic!("{read:?}") };
        assert_eq!(*kind, Some(Kind::Ollama));
    }
}
