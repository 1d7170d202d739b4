//! `plimsoll hold`: becomes another program, whose life is bound to this one's parent.

use std::ffi::OsString;
use std::process::Command;

use clap::Args;

/// Which program, and whose child it must be.
#[derive(Args, Clone, Debug)]
pub(crate) struct HoldArgs {
    /// The process that must be its parent, and ends it by ending
    #[arg(long)]
    pub(crate) parent: u32,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Becomes the program; comes back only where that fails, with the reason.
pub(crate) fn hold(args: &HoldArgs) -> String {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        // It stays in force when the process becomes another program.
        if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
            return format!("the kernel will not end it with its parent: {error}");
        }
        // A parent that ended just before that will not end it any more.
        let parent = getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
        if parent != Some(args.parent) {
            return format!("its parent {} has ended", args.parent);
        }
    }
    let Some((program, rest)) = args.command.split_first() else {
        return "there is no program to run".to_owned();
    };
    let name = program.to_string_lossy().into_owned();
    format!("{name}: {}", become_program(Command::new(program).args(rest)))
}

#[cfg(unix)]
fn become_program(command: &mut Command) -> std::io::Error {
    use std::os::unix::process::CommandExt as _;
    command.exec()
}
