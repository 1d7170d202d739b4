//! The broker as a process, and what it answers: how every test of the binary starts one and asks
//! it something.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with `args`, and nothing of this process's environment that it would heed.
pub(crate) fn plimsoll(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(args).stdin(Stdio::null());
    for name in ["URL", "CA", "TOKEN", "STATE", "MEMORY", "CONFIG", "LISTEN", "CPU"] {
        command.env_remove(format!("PLIMSOLL_{name}"));
    }
    command
}

/// `plimsoll serve` on a free port.
pub(crate) fn serve(args: &[&str]) -> Command {
    let mut command = plimsoll(&["serve", "--listen", "127.0.0.1:0"]);
    command.args(args);
    command
}

/// A running broker. Killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Mutex<Receiver<String>>,
}

impl Served {
    /// Starts `command`, and waits until it says where it listens. None where there is no such
    /// program.
    pub(crate) fn start(command: &mut Command) -> Option<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().ok()?;
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut address = None;
        while address.is_none() {
            let line: String = lines.recv_timeout(PATIENCE).expect("the broker says where it is");
            let rest = line.split_once("://").map(|(_, rest)| rest);
            address = rest.and_then(|rest| rest.split('/').next()?.parse().ok());
        }
        Some(Self { child, address: address.unwrap(), lines: Mutex::new(lines) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a printed line that holds every one of `parts`.
    pub(crate) fn until(&self, parts: &[&str]) -> String {
        let (lines, mut seen) = (self.lines.lock().unwrap(), Vec::new());
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if parts.iter().all(|part| line.contains(part)) => return line,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {parts:?} in {seen:#?}")
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_to(self.pid(), signal);
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Ends it as the kernel would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells a process something. One that is gone does not need to know.
pub(crate) fn signal_to(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

/// A whole answer, with its headers in small letters.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

/// Sends a request, and reads none of the answer.
pub(crate) fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n"
    );
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.extend(["\r\n", body]);
    stream.write_all(text.as_bytes())?;
    Ok(stream)
}

/// The answer on a connection that ends with it; none where it broke off before it was whole.
pub(crate) fn receive(mut stream: impl Read) -> Option<Answer> {
    let mut bytes = Vec::new();
    // A connection that is reset has given what it has given.
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if length.is_some_and(|length| length.trim().parse().is_ok_and(|most| body.len() < most)) {
        return None;
    }
    let text = if head.contains("transfer-encoding: chunked") {
        body.ends_with("0\r\n\r\n").then(|| body.split("\r\n").skip(1).step_by(2).collect())?
    } else {
        body.to_owned()
    };
    let status = head.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    Some(Answer { status, head, text })
}

/// Waits for `time`, and for nothing else.
pub(crate) fn pause(time: Duration) {
    let (_kept, never) = channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Looks every so often until `holds`, for `within`; what was seen last, and whether it held.
pub(crate) fn wait_for<T>(
    every: Duration,
    within: Duration,
    look: impl Fn() -> T,
    holds: impl Fn(&T) -> bool,
) -> (T, bool) {
    let mut left = within.as_millis() / every.as_millis();
    loop {
        let seen = look();
        let held = holds(&seen);
        if held || left == 0 {
            return (seen, held);
        }
        left -= 1;
        pause(every);
    }
}
