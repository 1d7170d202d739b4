//! The broker and nginx as processes that end with their handles.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plimsoll_core_types::{Clock as _, SystemClock, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port on loopback that nobody listens at.
///
/// # Panics
///
/// When the host has none.
pub fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("it is bound")
}

/// `plimsoll serve`, of this checkout, built for release.
#[derive(Debug)]
pub struct Broker {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Broker {
    /// Serves `models`, the config without its `[server]`.
    ///
    /// # Panics
    ///
    /// When it does not build, or does not come up.
    pub fn start(models: &str) -> Self {
        let (address, folder) = (free_port(), TempDir::new().expect("a temporary folder"));
        let config = folder.path().join("plimsoll.toml");
        let text = format!("{models}\n[server]\nlisten = \"{address}\"\n");
        fs::write(&config, text).expect("writing the config");
        let child = Command::new(binary())
            .args(["serve", "--quiet", "--config"])
            .arg(&config)
            .arg("--state")
            .arg(folder.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let broker = Self { child, address, _folder: folder };
        wait_for(address);
        broker
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Builds the binary where it is not fresh, and says where it is.
fn binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--quiet", "-p", "plimsoll-broker"])
        .current_dir(&root)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the broker builds");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("release/plimsoll")
}

/// nginx as a reverse proxy with one worker and connections that stay open.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    folder: TempDir,
}

impl Nginx {
    /// Passes everything on to `upstream`; none where nginx is not installed.
    pub fn start(upstream: SocketAddr) -> Option<Self> {
        let (address, folder) = (free_port(), TempDir::new().ok()?);
        let home = folder.path().display();
        let config = format!(
            "daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;
             events {{ worker_connections 1024; }}
             http {{
               access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy;
               fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
               upstream engine {{ server {upstream}; keepalive 64; }}
               server {{ listen {address}; location / {{
                 proxy_pass http://engine; proxy_http_version 1.1;
                 proxy_set_header Connection \"\"; proxy_buffering off; }} }} }}"
        );
        let path = folder.path().join("nginx.conf");
        fs::write(&path, config).ok()?;
        let child = Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .arg("-e")
            .arg(folder.path().join("error.log"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let nginx = Self { child, address, folder };
        wait_for(address);
        Some(nginx)
    }

    /// Its worker's process.
    pub fn worker(&self) -> Option<u32> {
        let master = fs::read_to_string(self.folder.path().join("pid")).ok()?;
        let children = format!("/proc/{0}/task/{0}/children", master.trim());
        fs::read_to_string(children).ok()?.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Asks a program to end, and waits until it has.
fn end(child: &mut Child) {
    // One that is gone already needs no signal.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let _ = child.wait();
}

fn wait_for(address: SocketAddr) {
    let clock = SystemClock::new();
    while TcpStream::connect(address).is_err() {
        assert!(clock.now() < Timestamp::ZERO + PATIENCE, "nobody listens at {address}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
