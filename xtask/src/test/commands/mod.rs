//! What the documents tell their readers to type, run as they would: `sh` and `python` blocks of
//! every Markdown file, excerpts against the file that they are from, and each example.

mod blocks;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::runner::{self, Ended};
use crate::cargo::{Metadata, cargo};
use blocks::{Block, Use, blocks};

const PRELUDE: &str = include_str!("prelude.sh");
/// The port that the documents name.
const PORT: &str = "127.0.0.1:7077";
/// The config that the samples' broker reads.
const CONFIG: &str = "plimsoll.toml";
/// How long one block may take, in seconds; all the time it wants where those that take long are
/// wanted.
const WITHIN: u32 = 180;

/// Where blocks run: a folder with the documents' samples, thrown away after each file.
struct Scratch<'a> {
    metadata: &'a Metadata,
    root: PathBuf,
    log: &'a Path,
    address: String,
    all: bool,
    took: Duration,
}

/// Runs all of them, with what they print in `log`.
pub(super) fn run(metadata: &Metadata, log: &Path, all: bool) -> Result<(Ended, Duration)> {
    let repository = metadata.workspace_root.as_path();
    let mut scratch = Scratch::new(metadata, log, all)?;
    // As libtest does, what skips is said, and counted as passed.
    let (mut passed, mut failed) = (0, 0);
    for file in documents(repository)? {
        let text = fs::read_to_string(repository.join(&file))?;
        scratch.prepare()?;
        for block in blocks(&text) {
            let name = format!("{}:{}", file.display(), block.line);
            match scratch.one(&name, &block)? {
                None => {}
                Some(Ended::Well) => passed += 1,
                Some(Ended::Badly) => failed += 1,
            }
        }
        if scratch.script("stop", "bash", "stop", false)? == Ended::Badly {
            failed += 1;
        }
    }
    for (text, needs_data) in examples(metadata) {
        scratch.prepare()?;
        let ended = if needs_data {
            scratch.skip(&text, "it needs data: its first lines say which")?
        } else {
            scratch.script(&text, "bash", &text, false)?
        };
        match ended {
            Ended::Well => passed += 1,
            Ended::Badly => failed += 1,
        }
    }
    fs::remove_dir_all(&scratch.root).context("removing the scratch folder")?;
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    scratch.say(&format!("test result: {verdict}. {passed} passed; {failed} failed;"))?;
    let ended = if failed == 0 { Ended::Well } else { Ended::Badly };
    Ok((ended, scratch.took))
}

impl<'a> Scratch<'a> {
    fn new(metadata: &'a Metadata, log: &'a Path, all: bool) -> Result<Self> {
        // Bound for a moment only: whoever takes it in between makes the broker say so.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.context("looking for a free port")?.to_string();
        let root = metadata.target_directory.join("documents");
        Ok(Self { metadata, root, log, address, all, took: Duration::ZERO })
    }

    /// A fresh folder with the samples, the documents, and the program as it was just built.
    fn prepare(&self) -> Result<()> {
        // There may be none yet.
        let _ = fs::remove_dir_all(&self.root);
        let repository = &self.metadata.workspace_root;
        copy(&repository.join("docs"), &self.root.join("docs"))?;
        copy(&repository.join("docs/samples"), &self.root)?;
        // There only for those who want it: others write their own.
        fs::remove_file(self.root.join(CONFIG))?;
        let bin = self.root.join("bin");
        fs::create_dir_all(&bin)?;
        let program = self.metadata.target_directory.join("debug/plimsoll");
        fs::copy(&program, bin.join("plimsoll"))
            .with_context(|| format!("copying {}", program.display()))?;
        Ok(())
    }

    /// What became of a block; none where there was nothing to do.
    fn one(&mut self, name: &str, block: &Block) -> Result<Option<Ended>> {
        match block.wanted(self.all) {
            Use::Shown => Ok(None),
            Use::Skip(why) => self.skip(name, why).map(Some),
            Use::Run { needs: Some(tool), .. } if !installed(&tool) => {
                self.skip(name, &format!("{tool} is not installed")).map(Some)
            }
            Use::Run { with, .. } if !installed(with) => {
                self.skip(name, &format!("{with} is not installed")).map(Some)
            }
            Use::Run { with, serve, .. } => self.script(name, with, &block.text, serve).map(Some),
            Use::Excerpt(file) => self.excerpt(name, &file, &block.text).map(Some),
        }
    }

    fn script(&mut self, name: &str, with: &str, text: &str, serve: bool) -> Result<Ended> {
        let text = text.replace(PORT, &self.address);
        let mut script = PRELUDE.to_owned();
        if serve {
            let config = self.root.join(CONFIG);
            if !config.exists() {
                fs::copy(self.root.join("docs/samples").join(CONFIG), config)?;
            }
            script += "\n[[ -e $SCRATCH/broker.pid ]] || serve serve\n";
        }
        if with == "bash" {
            script += &text;
        } else {
            script += &[with, " - <<'BLOCK'\n", &text, "BLOCK\n"].concat();
        }
        let file = self.root.join("block.sh");
        fs::write(&file, &script)?;
        self.say(&format!("\n## {name}\n{text}"))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut path = std::env::split_paths(&path).collect::<Vec<_>>();
        path.insert(0, self.root.join("bin"));
        let within = if self.all { 0 } else { WITHIN };
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=10", &within.to_string(), "bash"])
            .arg(&file)
            .current_dir(&self.root)
            .env("PATH", std::env::join_paths(path)?)
            .env("SCRATCH", &self.root)
            .env("REPOSITORY", &self.metadata.workspace_root)
            .env("TARGET", &self.metadata.target_directory)
            .env("XTASK", std::env::current_exe()?)
            .env("CARGO", cargo().get_program())
            .env("PLIMSOLL_LISTEN", &self.address)
            .env("PLIMSOLL_URL", format!("http://{}", self.address));
        let (ended, took) = runner::run(command, self.log, "commands")?;
        self.took += took;
        if ended == Ended::Badly {
            self.say(&format!("FAILED: {name}"))?;
        }
        Ok(ended)
    }

    /// Holds an excerpt against the file that it is from; indentation is the file's own.
    fn excerpt(&self, name: &str, file: &str, text: &str) -> Result<Ended> {
        let path = self.metadata.workspace_root.join(file);
        let whole = fs::read_to_string(&path).with_context(|| format!("{name}: {file}"))?;
        let lines = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        if lines(&whole).contains(&lines(text)) {
            return Ok(Ended::Well);
        }
        self.say(&format!("FAILED: {name}: this does not stand in {file}:\n{text}"))?;
        Ok(Ended::Badly)
    }

    fn skip(&self, name: &str, why: &str) -> Result<Ended> {
        self.say(&format!("skipped: {name}: {why}"))?;
        Ok(Ended::Well)
    }

    fn say(&self, text: &str) -> Result<()> {
        let mut log = OpenOptions::new().append(true).open(self.log)?;
        writeln!(log, "{text}").context("writing the log")
    }
}

/// The Markdown files that readers are told of, below `repository`.
fn documents(repository: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new(), PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(repository.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let below = folder != Path::new("");
            if below && entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The commands that run the crates' examples, each with whether it does nothing without data, as
/// `[package.metadata.plimsoll] needs-data` of its package says.
fn examples(metadata: &Metadata) -> Vec<(String, bool)> {
    let mut commands = Vec::new();
    for package in metadata.default_members() {
        let needy = &package.metadata["plimsoll"]["needs-data"];
        for target in package.targets.iter().filter(|target| target.is("example")) {
            let mut text = format!("cargo run -q -p {} --example {}", package.name, target.name);
            for feature in &target.required_features {
                text.extend([" --features ", feature]);
            }
            let needs = needy.as_array().is_some_and(|all| all.iter().any(|n| *n == *target.name));
            commands.push((text, needs));
        }
    }
    commands
}

fn installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// Copies what is in a folder, folders and all.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        bail!("{} is no folder", from.display());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
