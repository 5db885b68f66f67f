//! The proxy: whether it is there, and whether `NO_PROXY` says what it means.

use super::Subject;
use super::network::{Unreachable, reach};
use super::report::Report;
use crate::config::DelegateConfig;

/// Whether there is a way: the proxy can be reached, or is not needed.
pub(super) async fn look(subject: &Subject, config: &DelegateConfig, report: &mut Report) -> bool {
    exceptions(config, report);
    let Some(proxy) = &config.proxy else { return true };
    let address = format!("{}:{}", proxy.host, proxy.port);
    if subject.http.is_direct(&config.manager_url) {
        report.ok(
            "proxy.exceptions",
            "the manager is reached without the proxy, as NO_PROXY says",
        );
    }
    match reach(&proxy.host, proxy.port).await {
        Ok(_) => {
            report.ok("proxy.connection", format_args!("{address} takes connections"));
            true
        }
        Err(Unreachable::Name(reason)) => {
            report.problem(
                "proxy.connection",
                format_args!("the proxy {} has no address: {reason}", proxy.host),
                "correct PROXY_HOST, or the name service of this machine",
            );
            subject.http.is_direct(&config.manager_url)
        }
        Err(Unreachable::Port(reason)) => {
            report.problem(
                "proxy.connection",
                format_args!("the proxy takes no connections: {reason}"),
                "correct PROXY_HOST and PROXY_PORT, or let this machine through to the proxy",
            );
            subject.http.is_direct(&config.manager_url)
        }
    }
}

/// Entries that look like something and match nothing.
fn exceptions(config: &DelegateConfig, report: &mut Report) {
    for entry in &config.no_proxy {
        let remedy = if entry.contains("://") {
            "write the host alone, without a scheme"
        } else if entry.contains('*') && entry != "*" {
            "write the domain alone: it stands for all its hosts"
        } else if entry.contains('/') && !is_network(entry) {
            "write a host, a domain, an address or a network"
        } else if entry.rsplit_once(':').is_some_and(|(host, port)| {
            !host.contains(':') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        }) {
            "write the host alone, without a port"
        } else {
            continue;
        };
        report.warn(
            "proxy.exceptions",
            format_args!("the entry {entry:?} of NO_PROXY matches nothing"),
            remedy,
        );
    }
}

fn is_network(entry: &str) -> bool {
    entry.split_once('/').is_some_and(|(address, length)| {
        address.parse::<std::net::IpAddr>().is_ok() && length.parse::<u8>().is_ok_and(|length| length <= 128)
    })
}
