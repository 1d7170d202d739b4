//! Reads the config anew on `SIGHUP`, without dropping a request.

use std::sync::Arc;

use super::ServeArgs;
use super::broker::Broker;
use super::settings::{Settings, specs};
use crate::config::Config;
use crate::output::line;
use crate::tls::Tls;

/// Reads the config anew whenever this process is told to, until it is dropped.
/// From the call on, before the first poll, the signal does not end this process.
pub(crate) fn on_hangup(
    broker: Arc<Broker>,
    args: ServeArgs,
    tls: Option<Arc<Tls>>,
) -> impl Future<Output = ()> + Send {
    #[cfg(unix)]
    let hangups = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::hangup())
    };
    async move {
        #[cfg(unix)]
        {
            let Ok(mut hangups) = hangups else { return };
            while hangups.recv().await.is_some() {
                reload(&broker, &args, tls.as_deref());
            }
        }
    }
}

/// Puts the config into force, or leaves everything as it is where it is wrong.
fn reload(broker: &Broker, args: &ServeArgs, tls: Option<&Tls>) {
    let config = match Config::read(&args.config, &args.overrides) {
        Ok(config) => config,
        Err(error) => {
            line(&format!("the config is as it was, since the new one is wrong:\n{error}"));
            return;
        }
    };
    // The files may hold a new certificate, whether the config names others or not.
    if let (Some(tls), Some(files)) = (tls, &config.server.tls)
        && let Err(error) = tls.reload(files)
    {
        line(&format!("the config is as it was, since the new one is wrong:\n{error}"));
        return;
    }
    let before = broker.settings();
    let mut settings = Settings::new(&config);
    for (what, changed) in [
        ("server.listen", settings.server.listen != before.server.listen),
        ("server.tls", settings.server.tls.is_some() != before.server.tls.is_some()),
        ("server.state", settings.server.state != before.server.state),
        ("server.adopt_grace", settings.server.adopt_grace != before.server.adopt_grace),
        ("server.requests", settings.server.requests != before.server.requests),
        ("server.queue", settings.server.queue != before.server.queue),
        ("host", config.host != broker.host),
    ] {
        if changed {
            line(&format!("note: {what} takes effect at the next start"));
        }
    }
    settings.server.listen = before.server.listen;
    broker.world.company.set_groups(config.groups.groups.clone());
    broker.optimizer.set_groups(config.groups.groups.clone());
    broker.engines.set_models(specs(&config, &broker.budget));
    broker.set_settings(settings);
    line(&format!("the config was read anew: {} models", config.models.len()));
}
