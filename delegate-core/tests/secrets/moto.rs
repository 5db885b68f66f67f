//! A server of moto's, and what a test keeps in it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use delegate_core::protocol::http::Http;
use serde_json::Value;

use crate::support::PATIENCE;

/// Ended when dropped.
pub(crate) struct Moto {
    server: Child,
    pub(crate) url: url::Url,
}

impl Moto {
    /// `None`, and said so, where it is not installed.
    pub(crate) fn start() -> Option<Self> {
        let found = delegate_core::process::Environment::of_this_process(&[]).find_program("moto_server");
        let cached = std::env::var_os("HOME")
            .map(|home| std::path::Path::new(&home).join(".cache/harness-delegate/bin/moto_server"));
        let Some(program) = found.or(cached.filter(|path| path.exists())) else {
            eprintln!("SKIPPED: moto_server is not there; scripts/setup aws installs it");
            return None;
        };
        // A group of its own: what is on the PATH may be a script that starts the server.
        let mut command = Command::new(program);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut server = command
            .args(["--host", "127.0.0.1", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stderr.take().unwrap()).lines();
        let (told, address) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to its end, or the server would be stuck one day.
            for line in lines.map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("Running on ") {
                    let _ = told.send(url.trim().to_owned());
                }
            }
        });
        let url = address
            .recv_timeout(PATIENCE)
            .expect("moto says where it listens");
        Some(Self {
            server,
            url: url.parse().unwrap(),
        })
    }

    /// A call of Secrets Manager's.
    pub(crate) async fn call(&self, action: &str, body: Value) -> Value {
        let client = Http::default().for_url(&self.url).unwrap();
        let scope = "Credential=AKIA/20260101/eu-central-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=0";
        let reply = client
            .post(self.url.clone())
            .header("x-amz-target", format!("secretsmanager.{action}"))
            .header("content-type", "application/x-amz-json-1.1")
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}"))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        let status = reply.status();
        let text = reply.text().await.unwrap();
        assert!(status.is_success(), "{action}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.server.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.server.wait();
    }
}
