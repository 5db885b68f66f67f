//! The framework under the real Terraform, with a fixture provider of every schema shape.
//!
//! Needs `terraform` on the PATH; without it the tests say so and do nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is the test's failure"
)]
#![allow(clippy::print_stderr, reason = "a skipped test says that it was skipped")]

mod fixture;
#[path = "support/terraform.rs"]
mod terraform;

use std::sync::Arc;

use fixture::World;
use harness_provider::plugin::Attachable;
use serde_json::json;
use terraform::Terraform;

const A: &str = "fixture_thing.a";
const B: &str = "fixture_thing.b";

struct Bench {
    terraform: Terraform,
    world: Arc<World>,
    _server: Attachable,
}

impl Bench {
    /// A Terraform that is attached to a fixture of its own.
    async fn here() -> Option<Self> {
        let terraform = Terraform::here().await?;
        let (server, world) = fixture::attachable();
        let terraform = terraform.attached(fixture::SOURCE, server.reattach());
        Some(Self {
            terraform,
            world,
            _server: server,
        })
    }

    /// Writes the configuration.
    fn configure(&self, text: &str) {
        self.terraform.write("main.tf", text);
    }

    /// A thing `a` with these arguments besides its name.
    fn thing(&self, arguments: &str) {
        self.configure(&format!(
            "resource \"fixture_thing\" \"a\" {{\n  name = \"a\"\n{arguments}\n}}\n\
             variable \"secret\" {{\n  default   = \"unset\"\n  ephemeral = true\n}}\n"
        ));
    }

    fn calls(&self) -> Vec<String> {
        self.world.lock().calls.clone()
    }
}

const EVERYTHING: &str = r#"
  text     = "é"
  size     = 3
  ratio    = 0.1
  big      = 18446744073709551616
  enabled  = false
  tags     = ["b", "a", "b"]
  labels   = { k = "v", l = "w" }
  list     = ["z", "a"]
  any      = { n = 1.5, l = [true, "x", null] }
  secret_wo         = var.secret
  secret_wo_version = 1
  disk  = { path = "/x", key_wo = "${var.secret}-key" }
  ports = [{ number = 80 }, { number = 53, protocol = "udp" }]
  open  = [{ number = 443 }, { number = 53, protocol = "udp" }, { number = 443 }]
  zones = { east = { number = 1 }, west = { number = 2 } }
  mount { number = 10 }
  mount { number = 11 }
  rule { number = 20 }
  rule {
    number   = 21
    protocol = "udp"
  }
  extra { path = "/y" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_is_created_settles_and_is_destroyed() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing(EVERYTHING);
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
    let state = bench.terraform.state().await;
    let value = |name| state.attribute(A, name).clone();
    assert_eq!(value("text"), "\u{e9}");
    assert_eq!(value("tags"), json!(["a", "b"]));
    assert_eq!(value("any"), json!({ "n": 1.5, "l": [true, "x", null] }));
    assert_eq!(
        value("ports")[0],
        json!({ "number": 80, "protocol": "tcp", "node": 80 })
    );
    assert_eq!(value("open").as_array().unwrap().len(), 2);
    assert_eq!(value("zones")["west"]["node"], 2);
    assert_eq!(value("mount")[1]["node"], 11);
    assert_eq!(value("extra")["id"], "disk-/y");
    assert_eq!(value("id"), "id-a");
    // Exact in the file; the JSON reader of this test would round.
    let file = bench.terraform.state_file();
    assert!(
        file.contains("\"ratio\": 0.1") && file.contains("\"big\": 18446744073709551616"),
        "{file}"
    );
    bench.terraform.destroy().await.succeeds();
    assert_eq!(bench.calls(), ["create a", "delete a"]);
    assert!(bench.world.lock().things.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn write_only_values_arrive_and_are_nowhere_else() {
    let Some(mut bench) = Bench::here().await else {
        return;
    };
    bench.terraform.set_env("TF_VAR_secret", "hunter2");
    bench.thing(EVERYTHING);
    let plan = bench.terraform.plan(&[]).await;
    let run = bench.terraform.apply().await.succeeds();
    assert_eq!(bench.world.lock().secrets, ["hunter2", "hunter2-key"]);
    for text in [
        plan.json.to_string(),
        plan.text,
        run.stdout,
        run.stderr,
        bench.terraform.state_file(),
    ] {
        for secret in ["hunter", "leaked"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    // Another value alone is no change; a new version is.
    bench.terraform.set_env("TF_VAR_secret", "hunter3");
    bench.terraform.assert_settled().await;
    bench.thing(&EVERYTHING.replace("secret_wo_version = 1", "secret_wo_version = 2"));
    assert_eq!(bench.terraform.plan(&[]).await.actions(A), ["update"]);
    bench.terraform.apply().await.succeeds();
    assert_eq!(bench.world.lock().secrets.last().unwrap(), "hunter3");
    bench.terraform.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_updates_in_place_and_keeps_what_stays() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing(EVERYTHING);
    bench.terraform.apply().await.succeeds();
    bench.thing(
        &EVERYTHING
            .replace("\"é\"", "\"other\"")
            .replace("[{ number = 80 },", "[{ number = 81 },"),
    );
    let plan = bench.terraform.plan(&[]).await;
    assert_eq!(plan.actions(A), ["update"]);
    // Not the id, and nothing nested that keeps its value: only what has no rule.
    assert_eq!(plan.unknown(A), ["stamp"]);
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
    // Arguments taken away: defaults come back, the rest is null.
    bench.thing("");
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
    let state = bench.terraform.state().await;
    assert_eq!(state.attribute(A, "size"), 1);
    assert_eq!(state.attribute(A, "ports"), &json!(null));
    assert_eq!(state.attribute(A, "mount"), &json!([]));
    // With the mounts goes what asks for a replacement.
    assert_eq!(bench.calls(), ["create a", "update a", "delete a", "create a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_made_replaces() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing(EVERYTHING);
    bench.terraform.apply().await.succeeds();
    bench.thing(&EVERYTHING.replace("path = \"/x\"", "path = \"/z\""));
    let plan = bench.terraform.plan(&[]).await;
    assert_eq!(plan.actions(A), ["delete", "create"]);
    assert_eq!(plan.change(A)["replace_paths"], json!([["disk", "path"]]));
    bench.terraform.apply().await.succeeds();
    assert_eq!(bench.calls(), ["create a", "delete a", "create a"]);
    bench.terraform.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_only_after_apply_passes_between_resources() {
    let Some(bench) = Bench::here().await else { return };
    bench.configure(
        r#"
        resource "fixture_thing" "a" { name = "a" }
        resource "fixture_thing" "b" {
          name   = "b"
          parent = fixture_thing.a.id
          size   = fixture_thing.a.stamp
          tags   = [fixture_thing.a.id, "fixed"]
          any    = { inner = fixture_thing.a.id }
          disk   = { path = "/${fixture_thing.a.id}" }
          open   = [{ number = fixture_thing.a.stamp }, { number = 7 }]
          dynamic "rule" {
            for_each = fixture_thing.a.id == "" ? [] : [8]
            content { number = rule.value }
          }
        }
        data "fixture_lookup" "a" { name = fixture_thing.b.parent == "" ? "b" : "a" }
        output "found" { value = data.fixture_lookup.a.name }
        "#,
    );
    let plan = bench.terraform.plan(&[]).await;
    assert_eq!(plan.actions(B), ["create"]);
    assert!(plan.unknown(B).contains(&"parent".to_owned()));
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
    let state = bench.terraform.state().await;
    assert_eq!(state.attribute(B, "parent"), "id-a");
    assert_eq!(state.attribute(B, "any")["inner"], "id-a");
    assert_eq!(state.attribute(B, "rule")[0]["number"], 8);
    assert_eq!(state.output("found"), "a");
    bench.terraform.destroy().await.succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_imported_by_id_and_by_block_and_then_settled() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("text = \"here\"");
    let mut existing = fixture::Thing::named("a");
    existing.text = Some("here".to_owned());
    bench.world.lock().things.insert("a".to_owned(), existing);
    bench.terraform.import(A, "a").await.succeeds();
    bench.terraform.assert_settled().await;
    assert_eq!(bench.terraform.state().await.attribute(A, "id"), "id-a");

    let error = bench.terraform.import("fixture_thing.c", "nowhere").await.fails();
    assert!(
        error.contains("resource address \"fixture_thing.c\" does not exist")
            || error.contains("No such thing"),
        "{error}"
    );

    // By a block, with the configuration written by Terraform.
    bench
        .terraform
        .run(&["state", "rm", "-no-color", A])
        .await
        .succeeds();
    bench.configure("import {\n  to = fixture_thing.g\n  id = \"a\"\n}\n");
    let plan = bench.terraform.plan(&["-generate-config-out=generated.tf"]).await;
    assert_eq!(plan.actions("fixture_thing.g"), ["no-op"], "{}", plan.text);
    bench.terraform.apply().await.succeeds();
    assert!(bench.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_disappeared_is_created_anew_and_what_drifted_is_repaired() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("text = \"right\"");
    bench.terraform.apply().await.succeeds();
    bench.world.lock().things.get_mut("a").unwrap().text = Some("wrong".to_owned());
    assert_eq!(bench.terraform.plan(&[]).await.actions(A), ["update"]);
    bench.terraform.apply().await.succeeds();
    assert_eq!(bench.world.lock().things["a"].text.as_deref(), Some("right"));
    bench.world.lock().things.clear();
    assert_eq!(bench.terraform.plan(&[]).await.actions(A), ["create"]);
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_create_keeps_what_was_made_and_replaces_it() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("behavior = \"fail_create\"");
    let error = bench.terraform.apply().await.fails();
    assert!(
        error.contains("Not created") && error.contains("behavior = \"fail_create\""),
        "{error}"
    );
    assert!(bench.terraform.state().await.resource(A).is_null());

    bench.thing("behavior = \"partial_create\"");
    assert!(bench.terraform.apply().await.fails().contains("Half created"));
    let state = bench.terraform.state().await;
    assert!(state.is_tainted(A));
    assert_eq!(state.attribute(A, "id"), "id-a");
    assert_eq!(state.attribute(A, "stamp"), &json!(null));

    bench.thing("");
    assert_eq!(bench.terraform.plan(&[]).await.actions(A), ["delete", "create"]);
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
    assert!(!bench.terraform.state().await.is_tainted(A));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_update_keeps_what_is_true_and_is_tried_again() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("text = \"one\"");
    bench.terraform.apply().await.succeeds();

    bench.thing("text = \"two\"\nbehavior = \"fail_update\"");
    assert!(bench.terraform.apply().await.fails().contains("Not updated"));
    assert_eq!(bench.terraform.state().await.attribute(A, "text"), "one");

    bench.thing("text = \"two\"\nbehavior = \"partial_update\"");
    assert!(bench.terraform.apply().await.fails().contains("Half updated"));
    let state = bench.terraform.state().await;
    assert_eq!(state.attribute(A, "text"), "two");
    assert_eq!(state.attribute(A, "behavior"), &json!(null));
    assert!(!state.is_tainted(A));

    bench.thing("text = \"two\"");
    bench.terraform.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_message_and_loses_no_state() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("");
    bench.terraform.apply().await.succeeds();
    bench.thing("text = \"x\"\nbehavior = \"panic_update\"");
    let error = bench.terraform.apply().await.fails();
    assert!(
        error.contains("update is broken") && error.contains("ApplyResourceChange"),
        "{error}"
    );
    assert_eq!(bench.terraform.state().await.attribute(A, "id"), "id-a");

    // A create that panicked may have made something: it is known, and replaced.
    bench.configure("resource \"fixture_thing\" \"b\" {\n  name = \"b\"\n  behavior = \"panic_create\"\n}\n");
    bench.terraform.apply().await.fails();
    assert!(bench.terraform.state().await.is_tainted(B));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroy_may_be_refused_and_a_failed_one_keeps_the_object() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("behavior = \"keep\"");
    bench.terraform.apply().await.succeeds();
    assert!(
        bench
            .terraform
            .destroy()
            .await
            .fails()
            .contains("Not to be destroyed")
    );
    bench.thing("behavior = \"fail_delete\"");
    bench.terraform.apply().await.succeeds();
    assert!(bench.terraform.destroy().await.fails().contains("Not deleted"));
    assert_eq!(bench.terraform.state().await.attribute(A, "id"), "id-a");
    bench.thing("");
    bench.terraform.apply().await.succeeds();
    bench.terraform.destroy().await.succeeds();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_waiting_and_keeps_what_was_reached() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("behavior = \"wait\"");
    let running = bench.terraform.start(&["apply", "-no-color", "-auto-approve"]);
    bench.world.waiting.notified().await;
    running.interrupt();
    let run = running.end().await;
    assert!(run.fails().contains("Interrupted"));
    let state = bench.terraform.state().await;
    assert!(state.is_tainted(A));
    assert_eq!(state.attribute(A, "id"), "id-a");
    // The server is as good as before.
    bench.thing("");
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_at_its_attribute_before_anything_is_done() {
    let Some(bench) = Bench::here().await else { return };
    let table = [
        (
            "text = \"bad\"",
            "on main.tf line 3, in resource \"fixture_thing\" \"a\": 3: text = \"bad\" Choose a better one.",
        ),
        (
            "ports = [{ number = 1 }, { number = 70000 }]",
            "Must be from 1 to 65535.",
        ),
        (
            "secret_wo_version = 1",
            "With secret_wo_version set, secret_wo must be set too.",
        ),
        (
            "secret = \"a\"\nsecret_wo = \"b\"",
            "At most one of secret, secret_wo may be set",
        ),
        (
            "open = [{ number = 1, protocol = \"icmp\" }]",
            "Must be one of \"tcp\", \"udp\".",
        ),
    ];
    for (arguments, message) in table {
        bench.thing(arguments);
        let error = bench.terraform.validate().await.fails();
        assert!(error.contains(message), "{arguments}: {error}");
    }
    bench.configure(
        "provider \"fixture\" { prefix = \"refused\" }\nresource \"fixture_thing\" \"a\" { name = \"a\" }\n",
    );
    let error = bench.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(error.contains("Prefix refused"), "{error}");
    assert!(bench.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_breaks_the_rules_is_told_which_and_where() {
    let Some(bench) = Bench::here().await else { return };
    bench.thing("behavior = \"break_plan\"\ntext = \"x\"");
    let error = bench.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(
        error.contains("text: a configured value must be planned as it is"),
        "{error}"
    );
    bench.thing("behavior = \"lie\"\ntext = \"x\"");
    let error = bench.terraform.apply().await.fails();
    assert!(
        error.contains("text: a known planned value must come back as it was"),
        "{error}"
    );
    bench.thing("behavior = \"forget\"");
    let error = bench.terraform.apply().await.fails();
    assert!(error.contains("nothing may be unknown after apply"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_provider_configuration_is_no_obstacle_to_a_plan() {
    let Some(bench) = Bench::here().await else { return };
    bench.configure(
        r#"
        resource "terraform_data" "later" { input = "p" }
        provider "fixture" { prefix = terraform_data.later.output }
        resource "fixture_thing" "a" { name = "a" }
        "#,
    );
    assert_eq!(bench.terraform.plan(&[]).await.actions(A), ["create"]);
    bench.terraform.apply().await.succeeds();
    bench.terraform.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_and_ephemeral_values_work_in_a_configuration() {
    let Some(bench) = Bench::here().await else { return };
    bench.configure(
        r#"
        ephemeral "fixture_key" "k" { name = "k" }
        resource "fixture_thing" "a" {
          name              = provider::fixture::join("-", "a", null, "b")
          secret_wo         = ephemeral.fixture_key.k.value
          secret_wo_version = 1
        }
        "#,
    );
    bench.terraform.apply().await.succeeds();
    assert_eq!(bench.terraform.state().await.attribute(A, "name"), "a-b");
    assert_eq!(bench.world.lock().secrets, ["key-of-k"]);
    assert!(bench.calls().contains(&"close k".to_owned()));
    assert!(!bench.terraform.state_file().contains("key-of-k"));
    bench.configure("output \"o\" { value = provider::fixture::join(\"bad\", \"a\") }\n");
    let error = bench.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(error.contains("The separator is bad."), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_state_of_an_old_version_is_upgraded_and_a_newer_one_refused() {
    let Some(bench) = Bench::here().await else { return };
    let state = |version: u32, attributes: serde_json::Value| {
        json!({
            "version": 4, "terraform_version": "1.11.4", "serial": 1, "lineage": "a1", "outputs": {},
            "resources": [{
                "mode": "managed", "type": "fixture_thing", "name": "a",
                "provider": format!("provider[\"{}\"]", fixture::SOURCE),
                "instances": [{ "schema_version": version, "attributes": attributes, "sensitive_attributes": [] }]
            }]
        })
        .to_string()
    };
    bench.thing("text = \"old (upgraded)\"");
    let mut existing = fixture::Thing::named("a");
    existing.text = Some("old (upgraded)".to_owned());
    bench.world.lock().things.insert("a".to_owned(), existing);
    bench.terraform.write(
        "terraform.tfstate",
        &state(0, json!({ "title": "a", "text": "old", "gone": [1, 2] })),
    );
    let plan = bench.terraform.plan(&[]).await;
    assert_eq!(plan.actions(A), ["no-op"], "{}", plan.text);
    bench
        .terraform
        .write("terraform.tfstate", &state(9, json!({ "name": "a" })));
    let error = bench.terraform.run(&["plan", "-no-color"]).await.fails();
    assert!(error.contains("newer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_resources_are_applied_at_once() {
    let Some(bench) = Bench::here().await else { return };
    bench.configure("resource \"fixture_thing\" \"m\" {\n  count = 40\n  name = \"m${count.index}\"\n  size = count.index\n}\n");
    bench
        .terraform
        .run(&["apply", "-no-color", "-auto-approve", "-parallelism=20"])
        .await
        .succeeds();
    bench.terraform.assert_settled().await;
    assert_eq!(bench.world.lock().things.len(), 40);
    bench.terraform.destroy().await.succeeds();
    assert!(bench.world.lock().things.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_program_is_started_by_terraform_itself() {
    const SOURCE: &str = "terraform.local/harness/harness";
    let Some(terraform) = Terraform::here().await else {
        return;
    };
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_terraform-provider-harness"));
    let terraform = terraform.installed(SOURCE, program);
    let schemas = terraform
        .run(&["providers", "schema", "-json"])
        .await
        .succeeds()
        .json();
    assert!(schemas["provider_schemas"][SOURCE]["provider"].is_object());
}
