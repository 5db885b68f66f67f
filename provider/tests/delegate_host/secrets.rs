//! The token is where it has to be and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fixture::{Case, TOKEN};
use crate::manager::encoded;

/// Every command line seen while it looks.
struct CommandLines {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<BTreeSet<String>>,
}

impl CommandLines {
    fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !asked.load(Ordering::Relaxed) {
                for entry in fs::read_dir("/proc").expect("readable").flatten() {
                    let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                    if !line.is_empty() {
                        seen.insert(String::from_utf8_lossy(&line).replace('\0', " "));
                    }
                }
                std::thread::yield_now();
            }
            seen
        });
        Self { stop, thread }
    }

    fn seen(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends")
    }
}

#[tokio::test]
async fn the_token_is_in_no_plan_state_log_record_or_command_line() {
    let Some(mut case) = Case::new("secret").await else {
        return;
    };
    case.terraform.set_env("TF_LOG", "TRACE");
    case.configure(&format!("{TOKEN}\n  proxy = {{ host = \"127.0.0.1\", port = 9, user = \"u\", password_wo = var.delegate_token, no_proxy = [\"127.0.0.1\"] }}"));
    let lines = CommandLines::watch();
    let mut texts = Vec::new();
    let plan = case
        .terraform
        .run(&["plan", "-no-color", "-out=test.tfplan"])
        .await
        .succeeds();
    texts.push(("the log of the plan", plan.stderr));
    texts.push(("the plan", plan.stdout));
    let show = case
        .terraform
        .run(&["show", "-json", "test.tfplan"])
        .await
        .succeeds();
    texts.push(("the plan's JSON", show.stdout));
    let apply = case.terraform.apply().await.succeeds();
    texts.push(("the log of the apply", apply.stderr));
    texts.push(("the apply", apply.stdout));
    let other = case.manager.another_token().await;
    let tokens = [
        case.manager.token.clone(),
        encoded(&case.manager.token),
        other.clone(),
    ];
    case.hand_over(&other);
    case.configure("token_wo = var.delegate_token\n  token_wo_version = 2");
    let update = case.terraform.apply().await.succeeds();
    texts.push(("the log of the update", update.stderr));
    let read = case.terraform.run(&["plan", "-no-color"]).await.succeeds();
    texts.push(("the log of a read", read.stderr));
    let show = case.terraform.run(&["show", "-json"]).await.succeeds();
    texts.push(("the state's JSON", show.stdout));
    texts.push(("the state file", case.terraform.state_file()));
    let earlier = fs::read_to_string(case.terraform.path("terraform.tfstate.backup"));
    texts.push(("the earlier state file", earlier.unwrap_or_default()));
    for name in ["installation.json", "delegate.log", "supervisor.lock"] {
        texts.push((name, fs::read_to_string(case.host.file(name)).unwrap_or_default()));
    }
    let installed = fs::read_to_string(case.host.env_file()).unwrap();
    let destroy = case.terraform.destroy().await.succeeds();
    texts.push(("the log of the destroy", destroy.stderr));
    let lines = lines.seen();
    let line = |part: &str| {
        lines
            .iter()
            .any(|line| line.contains(part) && line.contains(case.host.path()))
    };
    assert!(
        line("supervise") && line("run --env-file"),
        "the command lines were looked at"
    );
    texts.push(("a command line", lines.into_iter().collect::<Vec<_>>().join("\n")));

    assert!(
        texts.iter().any(|(_, text)| text.contains("ApplyResourceChange")),
        "the log is a trace"
    );
    assert!(
        tokens.iter().any(|token| installed.contains(token)),
        "it is where it has to be"
    );
    for (what, text) in &texts {
        for secret in tokens.iter().map(String::as_str) {
            if let Some(at) = text.find(secret) {
                let start = (0..=at.saturating_sub(200))
                    .rev()
                    .find(|at| text.is_char_boundary(*at));
                panic!("{what} holds a secret after: {}", &text[start.unwrap_or(0)..at]);
            }
        }
    }
    case.host.assert_gone();
}
