//! Kinds of the owner's own: programs with manifests, in a folder.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use delegate_core::process::{User, is_valid_name};
use delegate_core::task::{PlugInFault, Registry, Runner, TaskError};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::bench::{Log, Outcome, conforms};
use crate::delegate::Delegate;

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes.as_ref());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder of manifests, and a delegate that knows their kinds.
struct Site {
    delegate: Delegate,
    registry: Registry,
    faults: Vec<PlugInFault>,
}

impl Site {
    /// Of the manifests that `make` puts into the folder.
    fn new(make: impl FnOnce(&Path)) -> Self {
        let delegate = Delegate::new();
        let folder = delegate.path("kinds");
        fs::create_dir(&folder).unwrap();
        make(&folder);
        let (registry, faults) = Registry::standard().with_plug_ins(&folder);
        Self {
            delegate,
            registry,
            faults,
        }
    }

    /// Of one kind, `TESTED`, by a shell script.
    fn of(script: &str, adjust: impl FnOnce(&mut Value)) -> Self {
        let site = Self::new(|folder| drop(put(folder, "tested", script, adjust)));
        assert_eq!(site.faults, []);
        site
    }

    fn program(&self) -> PathBuf {
        self.delegate.path("kinds/tested.sh")
    }

    async fn run(&self, data: Value) -> Outcome {
        let (log, cancel) = (Arc::default(), CancellationToken::new());
        self.follow("TESTED", data, log, cancel).await
    }

    async fn follow(&self, kind: &str, data: Value, log: Arc<Log>, cancel: CancellationToken) -> Outcome {
        // Without a time: that of the manifest counts.
        let task = json!({"id": format!("t{:016x}", fastrand::u64(..)), "type": kind, "data": data});
        let runner = Runner::new(self.registry.clone(), self.delegate.settings.clone());
        let task = serde_json::from_value(task).unwrap();
        let response = runner.run(task, cancel, log.clone()).await;
        Outcome {
            response,
            log: log.text(),
        }
    }
}

/// A manifest and its program, which is a shell script.
fn put(folder: &Path, name: &str, script: &str, adjust: impl FnOnce(&mut Value)) -> PathBuf {
    let text = format!("#!/bin/sh\n{script}\n");
    let program = folder.join(format!("{name}.sh"));
    fs::write(&program, &text).unwrap();
    let mut manifest = json!({
        "kind": name.to_uppercase(),
        "description": "Does what a test needs.",
        "again": "Safe: it does nothing.",
        "program": format!("{name}.sh"),
        "sha256": sha256(&text),
        "data": {"type": "object", "additionalProperties": {"type": "string"}},
        "example": {},
    });
    adjust(&mut manifest);
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, manifest.to_string()).unwrap();
    file
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/plug-in-kind")
}

#[tokio::test]
async fn the_example_signs_files_with_a_key_that_nobody_sees() {
    let mut site = Site::new(|_| ());
    (site.registry, site.faults) = Registry::standard().with_plug_ins(&examples());
    assert_eq!(site.faults, []);
    if site
        .delegate
        .settings
        .environment
        .find_program("python3")
        .is_none()
    {
        eprintln!("SKIPPED: python3 is not there");
        return;
    }
    let folder = site.delegate.settings.workspace.clone().unwrap().join("dist");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("app"), "content").unwrap();
    let run = async |data| {
        site.follow("SIGN_FILES", data, Arc::default(), CancellationToken::new())
            .await
    };
    let data = json!({"folder": "dist", "list": "SUMS", "key": "a-key-that-is-long-enough"});
    let signed = run(data.clone()).await.well();
    assert_eq!(signed.field("files"), 1);
    assert_eq!(signed.var("signature"), signed.text("signature"));
    assert_eq!(signed.log, "reading app\n");
    signed.hides("a-key-that-is-long-enough");
    let list = fs::read_to_string(folder.join("SUMS")).unwrap();
    assert_eq!(list, format!("{}  app\n", sha256("content")));
    let about = site.registry.get("SIGN_FILES").unwrap().about();
    let mut fields = signed.response.data.as_object().unwrap().clone();
    fields.retain(|name, _| name == "files" || name == "signature");
    conforms(about.result.as_value(), &Value::Object(fields)).unwrap();

    let elsewhere = json!({"folder": "none", "list": "SUMS", "key": "a-key-that-is-long-enough"});
    run(elsewhere)
        .await
        .says("there is no folder none in the workspace");
    fs::create_dir(folder.with_file_name("empty")).unwrap();
    let mut empty = data;
    empty["folder"] = json!("empty");
    run(empty).await.ended("SKIPPED");
    let short = run(json!({"folder": "dist", "list": "SUMS", "key": "hunter2"})).await;
    assert_eq!(
        short.refusal(),
        "task data field `key`: must have at least 16 characters"
    );
}

#[test]
fn the_program_lists_kinds_of_ones_own_and_tells_of_those_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["sign-files.json", "sign_files.py"] {
        fs::copy(examples().join(name), dir.path().join(name)).unwrap();
    }
    let broken = put(dir.path(), "broken", "exit 0", |manifest| {
        manifest["sha256"] = json!("0".repeat(64));
    });
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_harness-delegate"))
        .args(["task", "kinds", "--json"])
        .env("DELEGATE_TASK_KINDS_DIR", dir.path())
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains(broken.to_str().unwrap()) && errors.contains("its manifest pins 000"),
        "{errors}"
    );
    let kinds: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let of = |name: &str| kinds.iter().find(|kind| kind["type"] == name);
    let kind = of("SIGN_FILES").unwrap();
    assert_eq!(kind["offered"], true);
    conforms(&kind["data"], &kind["example"]).unwrap();
    assert!(of("BROKEN").is_none() && of("SHELL_SCRIPT").is_some());
}

#[test]
fn a_manifest_that_makes_no_kind_says_why_and_the_others_are_there() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change, &str); 17] = [
        ("a", |m| m["kind"] = json!("lower"), "is no name of a kind"),
        (
            "b",
            |m| m["kind"] = json!("SHELL_SCRIPT"),
            "which is a kind of the delegate's own; choose",
        ),
        ("c", |m| m["sha256"] = json!("0".repeat(64)), "has the SHA-256 "),
        ("d", |m| m["sha256"] = json!("abc"), "64 hexadecimal digits"),
        (
            "e",
            |m| m["program"] = json!("nothing.sh"),
            "nothing.sh cannot be read: No such file",
        ),
        ("f", |m| m["program"] = json!("."), "it is no regular file"),
        ("g", |m| m["again"] = json!(""), "`again` is no sentence"),
        (
            "h",
            |m| m["timeout"] = json!("soon"),
            "field `timeout`: give a number and a unit",
        ),
        (
            "i",
            |m| {
                m["timeout"] = json!("2m");
                m["max_timeout"] = json!("1m");
            },
            "at most `max_timeout`",
        ),
        (
            "j",
            |m| m["environment"] = json!(["DELEGATE_TOKEN"]),
            "a setting of the delegate's own",
        ),
        (
            "k",
            |m| m["environment"] = json!(["A=hunter2"]),
            "no name of a variable",
        ),
        (
            "l",
            |m| m["data"] = json!({"type": "string"}),
            "`data` is not the schema of an object",
        ),
        ("m", |m| m["data"]["oneOf"] = json!([]), "data.oneOf is a keyword"),
        (
            "n",
            |m| {
                m["result"] = json!({"type": "object", "additionalProperties": false, "properties": {"output_vars": {}}});
            },
            "which every result has; give it another name",
        ),
        (
            "o",
            |m| m["example"] = json!({"a": 1}),
            "`example` is not what `data` describes: `a` must be a text",
        ),
        ("p", |m| m["shema"] = json!({}), "unknown field `shema`"),
        (
            "q",
            |m| drop(m.as_object_mut().unwrap().shift_remove("again")),
            "missing field `again`",
        ),
    ];
    let site = Site::new(|folder| {
        for (name, change, _) in &cases {
            put(folder, name, "exit 0", change);
        }
        put(folder, "usable", "exit 0", |_| ());
        put(folder, "zz", "exit 0", |manifest| {
            manifest["kind"] = json!("USABLE");
        });
        let open = put(folder, "y", "exit 0", |_| ());
        fs::set_permissions(open, fs::Permissions::from_mode(0o666)).unwrap();
        fs::write(folder.join("w.json"), "[]").unwrap();
        fs::write(folder.join("x.json"), "{").unwrap();
        fs::write(folder.join(".hidden.json"), "{").unwrap();
        fs::write(folder.join("notes.txt"), "{").unwrap();
    });
    let mut wanted: Vec<(&str, &str)> = cases.iter().map(|(name, _, words)| (*name, *words)).collect();
    wanted.extend([
        ("w", "it is no JSON object; write"),
        ("x", "it is no JSON: "),
        ("y", "everybody may change it"),
        ("zz", "usable.json makes the kind USABLE too; remove one"),
    ]);
    let found: Vec<_> = site
        .faults
        .iter()
        .map(|fault| fault.path.file_stem().unwrap())
        .collect();
    assert_eq!(found, wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (fault, (_, words)) in site.faults.iter().zip(wanted) {
        assert!(fault.problem.contains(words), "{fault}");
        assert!(!fault.to_string().contains("hunter2"), "{fault}");
        assert!(
            fault.problem.contains("; ") || fault.problem.contains('?'),
            "no remedy: {fault}"
        );
    }
    let (standard, known) = (Registry::standard(), site.registry.type_names());
    assert_eq!(known.len(), standard.type_names().len() + 1);
    assert!(known.contains(&"USABLE"));
    let (_, faults) = Registry::empty().with_plug_ins(Path::new("/nowhere"));
    assert!(
        faults[0].problem.contains("correct DELEGATE_TASK_KINDS_DIR"),
        "{faults:?}"
    );
}

#[tokio::test]
async fn a_program_runs_as_it_was_pinned_and_one_that_was_changed_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Open in both ways, it waits for nobody.
    let mut opener = fs::File::options().read(true).write(true).open(&gate).unwrap();
    // Shells read a script while they run it. What follows the wait is further away than any of them reads at a time.
    let far = "# far away\n".repeat(20_000);
    let script = format!(
        "echo ready >&2\nread -r go <'{}'\n{far}echo '{{\"status\": \"SUCCESS\", \"output_vars\": {{\"which\": \"first\"}}}}'",
        gate.display()
    );
    let site = Site::of(&script, |_| ());
    let original = fs::read_to_string(site.program()).unwrap();
    let changed = original.replace("first", "other");
    let log = Arc::<Log>::default();
    let change = async {
        log.until("ready").await;
        // In its place: whoever has it open sees it, too.
        fs::write(site.program(), &changed).unwrap();
        opener.write_all(b"go\n").unwrap();
    };
    let running = site.follow("TESTED", json!({}), log.clone(), CancellationToken::new());
    let (outcome, ()) = tokio::join!(running, change);
    assert_eq!(outcome.well().var("which"), "first");

    let refused = site.run(json!({})).await;
    let reason = refused.refusal();
    for words in [
        sha256(&changed).as_str(),
        &sha256(&original),
        "write the new digest into the manifest and start the delegate again",
    ] {
        assert!(reason.contains(words), "{reason}");
    }
    fs::remove_file(site.program()).unwrap();
    let gone = site.run(json!({})).await;
    assert!(
        gone.refusal().contains("cannot be read: No such file"),
        "{}",
        gone.error()
    );
    // As it was pinned, and executable by nobody: that is not what counts.
    fs::write(site.program(), &original).unwrap();
    opener.write_all(b"go\n").unwrap();
    assert_eq!(site.run(json!({})).await.well().var("which"), "first");
}

/// Answers as `case` of its data asks for.
const CASES: &str = r#"
case $(cat) in
  *'"case":"nothing"'*) ;;
  *'"case":"text"'*) echo hello ;;
  *'"case":"two"'*) echo '{"status": "SUCCESS"} {"status": "SUCCESS"}' ;;
  *'"case":"list"'*) echo '[]' ;;
  *'"case":"code"'*) echo 'no room' >&2; exit 3 ;;
  *'"case":"silent"'*) exit 3 ;;
  *'"case":"signal"'*) kill -9 $$ ;;
  *'"case":"large"'*) head -c 5000000 /dev/zero | tr '\0' ' ' ;;
  *'"case":"status"'*) echo '{"status": "DONE"}' ;;
  *'"case":"field"'*) echo '{"status": "SUCCESS", "outputs": {}}' ;;
  *'"case":"vars"'*) echo '{"status": "SUCCESS", "output_vars": {"a": 1}}' ;;
  *'"case":"both"'*) echo '{"status": "SUCCESS", "error": "no", "result": {"size": 1}}' ;;
  *'"case":"promise"'*) echo '{"status": "SUCCESS", "result": {}}' ;;
  *'"case":"name"'*) echo '{"status": "SUCCESS", "result": {"size": 1, "error_message": "x"}}' ;;
  *'"case":"failure"'*) echo '{"status": "FAILURE", "error": "no such order hunter2hunter2", "output_vars": {"a": "1"}}' ;;
  *'"case":"mute"'*) echo '{"status": "FAILURE"}' ;;
  *'"case":"early"'*) exec <&-; echo '{"status": "SUCCESS", "result": {"size": 1, "more": "it is \"hunter2hunter2\""}}' ;;
esac
"#;

#[tokio::test]
async fn an_answer_that_is_none_is_told_by_what_is_wrong_with_it() {
    let site = Site::of(CASES, |manifest| {
        manifest["data"]["additionalProperties"] = json!(false);
        manifest["data"]["properties"] = json!({
            "case": {"type": "string"},
            "key": {"type": "string", "writeOnly": true},
        });
        manifest["result"] = json!({
            "type": "object", "required": ["size"], "additionalProperties": true, "properties": {"size": {"type": "integer"}},
        });
    });
    let run = async |case: &str| site.run(json!({"case": case, "key": "hunter2hunter2"})).await;
    for (case, words) in [
        ("nothing", "is missing: it wrote nothing to its standard output"),
        ("text", "is not one JSON object: expected value at line 1"),
        ("two", "is not one JSON object: trailing characters"),
        ("list", "is not one JSON object; see"),
        (
            "code",
            "ended with 3, and a program that has an answer ends with 0; it said last: no room",
        ),
        (
            "silent",
            "ended with 3, and a program that has an answer ends with 0; it said nothing",
        ),
        ("signal", "ended with 137"),
        ("large", "is larger than 4 MiB"),
        (
            "status",
            "field `status`: unknown variant, expected one of `SUCCESS`, `FAILURE`, `SKIPPED`",
        ),
        ("field", "unknown field `outputs`"),
        (
            "vars",
            "field `output_vars.a`: invalid type: integer, expected a string",
        ),
        ("both", "has the status SUCCESS and an `error`"),
        (
            "promise",
            "not what its manifest promises: `result`: `data` missing field `size`",
        ),
        ("name", "has `result.error_message`, which every result has"),
        ("mute", "the program says that it failed, and not why"),
    ] {
        run(case).await.says(words);
    }
    let failed = run("failure").await;
    failed
        .says("no such order **************")
        .hides("hunter2hunter2");
    assert_eq!(failed.var("a"), "1");
    let early = run("early").await.well();
    assert_eq!(early.field("size"), 1);
    assert_eq!(early.text("more"), "it is \"**************\"");
}

#[tokio::test]
async fn a_program_is_told_its_task_and_has_its_own_time() {
    let site = Site::of(
        "printf '{\"status\": \"SUCCESS\", \"result\": {\"request\": %s}}' \"$(cat)\"",
        |manifest| manifest["max_timeout"] = json!("90s"),
    );
    let said = site.run(json!({"name": "a \"b\" ü"})).await.well();
    let request = said.field("request");
    assert_eq!(request["task_id"], said.response.id);
    let workspace = site.delegate.settings.workspace.clone().unwrap();
    assert!(workspace.is_dir(), "the workspace is made");
    let mut rest = request.clone();
    rest.as_object_mut().unwrap().shift_remove("task_id");
    assert_eq!(
        rest,
        json!({"version": 1, "kind": "TESTED", "data": {"name": "a \"b\" ü"}, "workspace": workspace, "timeout_ms": 90_000})
    );
    let kind = site.registry.get("TESTED").unwrap();
    let seconds = |asked: u64| kind.timeout(Some(Duration::from_secs(asked))).unwrap().as_secs();
    assert_eq!((seconds(5), seconds(500)), (5, 90));

    let response = site.run(json!({"name": 1})).await;
    assert_eq!(response.refusal(), "task data field `name`: must be a text");
    let secrets = delegate_core::task::Secrets::new(Arc::new(delegate_core::task::NoProvider), Vec::new());
    assert!(matches!(
        kind.validate(&json!([]), &secrets),
        Err(TaskError::Data { path, .. }) if path == "data"
    ));
}

#[tokio::test]
async fn a_program_ends_with_its_time_and_with_an_abort() {
    let script = "echo running >&2; sleep 1000 & wait";
    let timed = Site::of(script, |manifest| manifest["timeout"] = json!("300ms"));
    let outcome = timed.run(json!({})).await.ended("TIMEOUT");
    assert!(
        outcome
            .error()
            .contains("300ms was over while the program of TESTED ran"),
        "{}",
        outcome.error()
    );
    let site = Site::of(script, |_| ());
    let (log, cancel) = (Arc::<Log>::default(), CancellationToken::new());
    let abort = async {
        log.until("running").await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(
        site.follow("TESTED", json!({}), log.clone(), cancel.clone()),
        abort
    );
    outcome.ended("ABORTED");
}

#[tokio::test]
async fn a_program_sees_the_variables_that_its_manifest_names() {
    let mut site = Site::of("exit 0", |_| ());
    let known = &site.delegate.settings.environment;
    let other = std::env::vars().map(|(name, _)| name).find(|name| {
        is_valid_name(name)
            && known.get(name).is_none()
            && name.starts_with("CARGO_PKG_")
            && std::env::var(name).is_ok_and(|value| !value.is_empty())
    });
    let Some(name) = other else {
        eprintln!("SKIPPED: the tests are not run by cargo, which sets variables for them");
        return;
    };
    let script = format!(
        "[ -z \"${{{name}+x}}\" ] && seen=no || seen=yes; echo '{{\"status\": \"SUCCESS\", \"output_vars\": {{\"seen\": \"'$seen'\"}}}}'"
    );
    for (names, seen) in [(json!([]), "no"), (json!([name]), "yes")] {
        site = Site::of(&script, |manifest| manifest["environment"] = names);
        assert_eq!(site.run(json!({})).await.well().var("seen"), seen);
    }
}

#[tokio::test]
async fn a_program_runs_as_the_user_of_tasks_who_cannot_read_its_file() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can run tasks as somebody else");
        return;
    }
    let script = "echo '{\"status\": \"SUCCESS\", \"output_vars\": {\"user\": \"'$(id -u)'\", \"home\": \"'$(cd && pwd)'\"}}'";
    let mut site = Site::of(script, |_| ());
    fs::set_permissions(site.program(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(site.delegate.dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    site.delegate.settings.confinement.user = Some(User::find("54323:54323").unwrap());
    let outcome = site.run(json!({})).await.well();
    assert_eq!(outcome.var("user"), "54323");
    assert!(
        outcome.var("home").contains("/tasks/task-"),
        "{}",
        outcome.var("home")
    );
}

#[tokio::test]
async fn a_script_whose_interpreter_is_missing_says_so() {
    let site = Site::new(|folder| {
        let text = "#!/nowhere/sh\n";
        put(folder, "tested", "", |manifest| {
            manifest["sha256"] = json!(sha256(text));
        });
        fs::write(folder.join("tested.sh"), text).unwrap();
    });
    assert_eq!(site.faults, []);
    let outcome = site.run(json!({})).await;
    let words = "the interpreter that its first line names is not on this machine";
    assert!(outcome.refusal().contains(words), "{}", outcome.error());
}
