//! Signals of the operating system.

/// How somebody said that this process should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// `SIGINT`: Ctrl-C, which a terminal sends to every process of the command.
    Key,
    /// `SIGTERM`.
    Terminate,
}

/// Ends when somebody wants this process to end.
pub(crate) async fn interrupted() -> Interrupt {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                _ = tokio::signal::ctrl_c() => Interrupt::Key,
                _ = terminate.recv() => Interrupt::Terminate,
            };
        }
    }
    // Where signals can't be had, nobody can stop it this way.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
    Interrupt::Key
}
