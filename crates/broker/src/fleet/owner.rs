//! Whose process listens at an address of this host.

use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::net::{IpAddr, UdpSocket};

/// The process that listens at `address`; none where that is another host's, or where the
/// operating system does not tell, as of a process of another user.
#[cfg(target_os = "linux")]
pub(crate) fn owner_of(address: SocketAddr) -> Option<u32> {
    if !is_ours(address.ip()) {
        return None;
    }
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let sockets: Vec<_> = tables.flat_map(|table| listening(&table, address.port())).collect();
    let links: Vec<_> = sockets.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if links.is_empty() {
        return None;
    }
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // A server that has started others shares its socket with them: the lowest number is the one
    // that came first.
    let holds = |pid: &u32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
    };
    pids.filter(holds).min()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn owner_of(_: SocketAddr) -> Option<u32> {
    None
}

/// Whether this host has the address: only then can something be bound to it.
#[cfg(target_os = "linux")]
fn is_ours(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

/// The sockets of `/proc/net/tcp` that listen on `port`, by their inodes.
#[cfg(target_os = "linux")]
fn listening(table: &str, port: u16) -> Vec<String> {
    /// `TCP_LISTEN`, as the kernel writes it.
    const LISTEN: &str = "0A";
    let row = |line: &str| -> Option<(u16, bool)> {
        let mut fields = line.split_whitespace().skip(1);
        let (_, local) = fields.next()?.rsplit_once(':')?;
        let state = fields.nth(1)?;
        Some((u16::from_str_radix(local, 16).ok()?, state == LISTEN))
    };
    let lines = table.lines().filter(|line| row(line) == Some((port, true)));
    lines.filter_map(|line| line.split_whitespace().nth(9).map(str::to_owned)).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_listener_is_found_by_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(owner_of(address), Some(std::process::id()));
        drop(listener);
        assert_eq!(owner_of(address), None);
        // An address of documentation, which no host has.
        assert_eq!(owner_of("192.0.2.1:80".parse().unwrap()), None);
    }

    #[test]
    fn only_those_that_listen_on_the_port_count() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1
   1: 0100007F:1F90 0100007F:C001 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1
   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4244 1
";
        assert_eq!(listening(table, 8080), ["4242"]);
        assert!(listening(table, 9).is_empty());
    }
}
