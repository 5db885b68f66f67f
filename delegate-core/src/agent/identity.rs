//! What the agent says about itself at registration and with every heartbeat.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::{DelegateConfig, Tag};
use crate::protocol::wire::DelegateParams;

/// An address outside, for asking the system which of ours would be used; a UDP "connect" sends nothing.
const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(8, 8, 8, 8), 80);

/// The body of a registration.
pub(super) fn params(config: &DelegateConfig, task_types: Vec<String>) -> DelegateParams {
    DelegateParams {
        account_id: config.account_id.to_string(),
        delegate_id: String::new(),
        delegate_name: config.name.to_string(),
        delegate_type: config.delegate_type.to_string(),
        description: config.description.clone(),
        host_name: host_name(),
        ip: address(),
        last_heart_beat: 0,
        ng: true,
        polling_mode_enabled: true,
        heartbeat_as_object: true,
        sequence_num: 1,
        supported_task_types: task_types,
        tags: config.tags.iter().map(Tag::to_string).collect(),
        version: crate::VERSION.to_owned(),
        task_capacity: config.task_capacity,
    }
}

/// The same as of now, for a delegate of this id.
pub(super) fn as_of_now(params: &DelegateParams, delegate_id: &str) -> DelegateParams {
    DelegateParams {
        delegate_id: delegate_id.to_owned(),
        last_heart_beat: now_millis(),
        ..params.clone()
    }
}

fn now_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Name of the host or pod. Managers show it and take it as a selector, so it has no white space.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.split_whitespace().collect::<Vec<_>>().join("-")
}

/// The address that leads outside; empty when nothing does.
fn address() -> String {
    UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .and_then(|socket| {
            socket.connect(OUTSIDE)?;
            socket.local_addr()
        })
        .map(|address| address.ip().to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenSource;

    #[test]
    fn the_body_holds_what_managers_ask_for_and_no_token() {
        let config = DelegateConfig::new(
            "acc".parse().unwrap(),
            "team-a".parse().unwrap(),
            TokenSource::Inline("000102030405060708090a0b0c0d0e0f".parse().unwrap()),
            "http://m".parse().unwrap(),
        );
        let params = params(&config, vec!["SHELL_SCRIPT".to_owned()]);
        let body = serde_json::to_value(as_of_now(&params, "d1")).unwrap();
        for key in [
            "accountId",
            "delegateName",
            "delegateType",
            "hostName",
            "delegateId",
        ] {
            assert!(
                body[key].as_str().is_some_and(|text| !text.is_empty()),
                "{key}: {body}"
            );
        }
        for key in ["ng", "pollingModeEnabled", "heartbeatAsObject"] {
            assert_eq!(body[key], true, "{key}");
        }
        assert_eq!(body["sequenceNum"], 1);
        assert!(body["lastHeartBeat"].as_i64().unwrap() > 1_700_000_000_000);
        assert!(!body.to_string().contains("0001020304"), "{body}");
    }
}
