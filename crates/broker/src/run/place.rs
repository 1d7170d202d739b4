//! Where state is kept that has no folder of its own.

use std::path::PathBuf;

/// The folder that the `run`s of one user share.
pub(super) fn state_folder() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = named("XDG_STATE_HOME") {
        return PathBuf::from(folder).join("plimsoll");
    }
    match named("HOME") {
        Some(home) => PathBuf::from(home).join(".local/state/plimsoll"),
        None => std::env::temp_dir().join("plimsoll"),
    }
}
