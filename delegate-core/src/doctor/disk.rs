//! The working directory, the temporary one, and the port of health and metrics: what one delegate alone may use.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;

use super::Subject;
use super::report::Report;
use crate::agent::user_of;
use crate::config::DelegateConfig;
use crate::install::HTTP_ADDRESS_FILE;
use crate::protocol::http::{Http, HttpSettings};

/// Less than this, and the journal and a task's files have no room.
const LEAST_SPACE: u64 = 64 * MIB;

/// Less than this is soon used up by tasks that clone or build something.
const LITTLE_SPACE: u64 = 1024 * MIB;

/// Files that can still be made; a task makes a few.
const LEAST_FILES: u64 = 1000;

/// Time for a delegate on this machine to say that it is one.
const HEALTH: Duration = Duration::from_secs(2);

const MIB: u64 = 1024 * 1024;

pub(super) async fn look(subject: &Subject, config: &DelegateConfig, report: &mut Report) {
    let ours = port(config, report).await;
    working_dir(config, ours, report);
    let temporary = PathBuf::from(subject.env.get("TMPDIR").unwrap_or("/tmp"));
    if let Err(error) = prove_writable(&temporary) {
        report.problem(
            "disk.temporary",
            format_args!("{} cannot be written: {error}", temporary.display()),
            "set TMPDIR to a folder that the delegate's user can write, or mount one at /tmp",
        );
    } else {
        report.ok(
            "disk.temporary",
            format_args!("{} can be written", temporary.display()),
        );
    }
}

fn working_dir(config: &DelegateConfig, ours: Option<SocketAddr>, report: &mut Report) {
    let dir = &config.working_dir;
    let shown = dir.display();
    if let Some(process) = user_of(dir) {
        let announced = std::fs::read_to_string(dir.join(HTTP_ADDRESS_FILE))
            .ok()
            .and_then(|text| text.trim().parse::<SocketAddr>().ok());
        if ours.is_some_and(|ours| announced.is_some_and(|there| there.port() == ours.port())) {
            report.ok(
                "disk.working_dir",
                format_args!("the delegate works in {shown} (process {process})"),
            );
        } else {
            report.problem(
                "disk.working_dir",
                format_args!("another delegate works in {shown} (process {process})"),
                "give each delegate a WORKING_DIR and a DELEGATE_HTTP_PORT of its own, or stop the other",
            );
        }
    } else {
        // The agent makes the folder; so what counts is the nearest that exists.
        let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
        let written = if there.is_dir() {
            prove_writable(there)
        } else {
            Err(std::io::Error::from(ErrorKind::NotADirectory))
        };
        match written {
            Ok(()) => report.ok("disk.working_dir", format_args!("{shown} can be written")),
            Err(error) if error.kind() == ErrorKind::StorageFull => {
                return report.problem(
                    "disk.space",
                    format_args!("the disk of {shown} is full"),
                    "make room, or move WORKING_DIR",
                );
            }
            Err(error) => {
                let remedy = match error.kind() {
                    ErrorKind::ReadOnlyFilesystem => {
                        "mount a volume there (an emptyDir, a tmpfs), or set WORKING_DIR to one"
                    }
                    _ => "set WORKING_DIR to a folder that the delegate's user can write",
                };
                return report.problem(
                    "disk.working_dir",
                    format_args!("{shown} cannot be written: {error}"),
                    remedy,
                );
            }
        }
    }
    space(dir, report);
}

fn prove_writable(dir: &Path) -> std::io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".doctor-").tempfile_in(dir)?;
    std::io::Write::write_all(&mut file, b"doctor")
}

fn space(dir: &Path, report: &mut Report) {
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let Ok(found) = statvfs(there) else { return };
    let free = found.blocks_available() * found.fragment_size();
    let shown = dir.display();
    let remedy = "make room, or move WORKING_DIR to a larger disk";
    let text = format!("{} MiB are free in {shown}", free / MIB);
    if free < LEAST_SPACE {
        report.problem("disk.space", text, remedy);
    } else if found.files() > 0 && found.files_available() < LEAST_FILES {
        report.problem(
            "disk.space",
            format_args!(
                "only {} more files can be made in {shown}",
                found.files_available()
            ),
            "remove files there, or move WORKING_DIR to another disk",
        );
    } else if free < LITTLE_SPACE {
        report.warn("disk.space", text, remedy);
    } else {
        report.ok("disk.space", text);
    }
}

/// The address, when a delegate answers there.
async fn port(config: &DelegateConfig, report: &mut Report) -> Option<SocketAddr> {
    let address = SocketAddr::new(config.http_host, config.http_port);
    if address.port() == 0 {
        report.ok("port", "the system chooses a free one");
        return None;
    }
    let Err(error) = std::net::TcpListener::bind(address) else {
        report.ok("port", format_args!("{address} is free"));
        return None;
    };
    if error.kind() == ErrorKind::AddrInUse {
        if let Some(status) = health(address).await {
            report.ok(
                "port",
                format_args!("a delegate answers at {address}; it is {status}"),
            );
            return Some(address);
        }
        report.problem(
            "port",
            format_args!("{address} is in use by another program"),
            "set DELEGATE_HTTP_PORT to a free port, or stop the other program",
        );
    } else {
        report.problem(
            "port",
            format_args!("{address} cannot be bound: {error}"),
            "set DELEGATE_HTTP_HOST to an address of this machine, and DELEGATE_HTTP_PORT to a port above 1023",
        );
    }
    None
}

/// What the delegate at this address says of itself.
async fn health(address: SocketAddr) -> Option<String> {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let at = SocketAddr::new(host, address.port());
    let url = format!("http://{at}/api/health").parse().ok()?;
    let client = Http::new(HttpSettings::default()).for_url(&url).ok()?;
    let answer = client.get(url).timeout(HEALTH).send().await.ok()?;
    let body: serde_json::Value = answer.json().await.ok()?;
    body.get("delegate_id")?;
    Some(body.get("status")?.as_str()?.to_owned())
}
