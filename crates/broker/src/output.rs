//! What people and programs read: standard output for results, standard error for complaints.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;

/// Prints a line. A reader that has gone away is nobody's error.
pub(crate) fn line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Says something that is not the command's own output.
pub(crate) fn aside(text: &str) {
    let _ = writeln!(io::stderr().lock(), "plimsoll: {text}");
}

/// Prints what goes wrong inside on standard error, from now on.
pub(crate) fn log_to_stderr() {
    let level = tracing::level_filters::LevelFilter::WARN;
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_max_level(level);
    // Where somebody else logs already, that stays.
    let _ = log.with_ansi(false).with_target(false).try_init();
}

/// Ends this process at once. The kernel ends its engines with it.
#[expect(clippy::exit, reason = "whoever asks twice does not want to wait for anything")]
pub(crate) fn leave(code: i32) -> ! {
    std::process::exit(code)
}

/// True where somebody watches a terminal.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Says in one line what is wrong, and gives the exit code for it.
pub(crate) fn complain(text: &str, code: u8) -> ExitCode {
    let _ = writeln!(io::stderr().lock(), "plimsoll: {text}");
    ExitCode::from(code)
}

/// What a wrong command line deserves: help where it was asked for, else one line.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = write!(io::stdout().lock(), "{error}");
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = write!(io::stderr().lock(), "{error}");
            ExitCode::from(super::USAGE)
        }
        _ => complain(&one_line(&error.to_string()), super::USAGE),
    }
}

/// The error and its hints, without the usage text, on one line.
fn one_line(text: &str) -> String {
    let body = text.split("\n\nUsage:").next().unwrap_or(text);
    let body = body.split("\n\nFor more information").next().unwrap_or(body);
    let words: Vec<_> = body.split_whitespace().collect();
    let joined = words.join(" ");
    let bare = joined.strip_prefix("error: ").unwrap_or(&joined);
    format!("{bare} (see plimsoll --help)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_one_line() {
        let text = "error: unexpected argument '--x' found\n\n  tip: to pass '--x' as a value, use \
                    '-- --x'\n\nUsage: plimsoll demo [OPTIONS]\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_line(text),
            "unexpected argument '--x' found tip: to pass '--x' as a value, use '-- --x' \
             (see plimsoll --help)"
        );
    }
}
