//! A server of moto's, which plays AWS, and what a test keeps in it.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use delegate_core::protocol::http::Http;
use serde_json::Value;

/// Until it listens. Only a failing test takes it.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) const REGION: &str = "eu-central-1";

/// Ended when dropped, and with the process that started it, whatever way that ends.
pub(crate) struct Moto {
    server: Child,
    pub(crate) url: url::Url,
}

/// Starts the server, and ends it and itself when the standard input ends: it is held by whoever waits for no more.
const GUARD: &str = r#"exec 3<&0; "$@" </dev/null 3<&- & cat <&3 >/dev/null; kill -s KILL 0"#;

static SHARED: OnceLock<Option<Moto>> = OnceLock::new();

impl Moto {
    /// One for all tests of this process. Its services of ECS have one running task from the beginning, and it never changes
    /// that by itself.
    pub(crate) fn shared() -> Option<&'static Self> {
        SHARED.get_or_init(Self::start).as_ref()
    }

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
        let mut command = Command::new("sh");
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut server = command
            .args(["-c", GUARD, "sh"])
            .arg(program)
            .args(["--host", "127.0.0.1", "--port", "0"])
            .env("MOTO_ECS_SERVICE_RUNNING", "1")
            .stdin(Stdio::piped())
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
        self.call_of("secretsmanager", "secretsmanager", action, body)
            .await
    }

    /// A call of a service that speaks JSON, in [`REGION`].
    pub(crate) async fn call_of(&self, service: &str, interface: &str, action: &str, body: Value) -> Value {
        let client = Http::default().for_url(&self.url).unwrap();
        let scope = format!(
            "Credential=AKIA/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        );
        let reply = client
            .post(self.url.clone())
            .header("x-amz-target", format!("{interface}.{action}"))
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

    /// A request on an object of S3, or on a bucket.
    pub(crate) async fn object(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> reqwest::Response {
        let client = Http::default().for_url(&self.url).unwrap();
        let scope =
            format!("Credential=AKIA/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0");
        let mut request = client
            .request(method.parse().unwrap(), self.url.join(path).unwrap())
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}"))
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.server.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
        let _ = self.server.wait();
    }
}
