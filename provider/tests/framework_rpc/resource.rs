//! Managed resources: validate, read, plan, apply.

use std::sync::Arc;

use harness_provider::framework::value::Value;
use harness_provider::plugin::proto::tfplugin6 as pb;
use harness_provider::plugin::proto::tfplugin6::provider_server::Provider as _;
use tonic::Request;

use super::{Bench, THING, deferring, empty, null, only, texts};

#[tokio::test]
async fn a_host_that_would_store_write_only_values_is_refused() {
    let bench = Bench::raw();
    let disk = Value::object([("path", "/x".into()), ("key_wo", "s".into())]);
    let config = bench.thing(&[("name", "a".into()), ("disk", disk)]);
    let validate = async |client| {
        let request = pb::validate_resource_config::Request {
            type_name: THING.into(),
            config: Some(config.clone()),
            client_capabilities: client,
        };
        bench
            .service
            .validate_resource_config(Request::new(request))
            .await
            .unwrap()
            .into_inner()
            .diagnostics
    };
    let refused = validate(None).await;
    assert!(only(&refused).contains("disk.key_wo is write-only"));
    assert_eq!(refused[0].attribute.as_ref().unwrap().steps.len(), 2);
    assert!(validate(Some(deferring())).await.is_empty());
}

#[tokio::test]
async fn warnings_reach_the_user_beside_the_answer() {
    let bench = Bench::configured().await;
    let config = bench.thing(&[("name", "a".into()), ("behavior", "warn".into())]);
    let plan = bench.plan(&null(), &config).await;
    assert_eq!(only(&plan.diagnostics), "A warning: Of the plan.");
    assert_eq!(plan.diagnostics[0].severity(), pb::diagnostic::Severity::Warning);
    assert!(plan.planned_state.is_some());
    let request = pb::validate_resource_config::Request {
        type_name: THING.into(),
        config: Some(bench.thing(&[("name", "a".into()), ("text", "old".into())])),
        client_capabilities: None,
    };
    let response = bench
        .service
        .validate_resource_config(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(only(&response.diagnostics), "Old text: Choose a newer one.");
}

#[tokio::test]
async fn a_create_is_planned_applied_and_read_with_its_identity() {
    let bench = Bench::configured().await;
    let config = bench.thing(&[("name", "a".into()), ("secret_wo", "s".into())]);
    let plan = bench.plan(&null(), &config).await;
    let planned = bench.read(plan.planned_state.as_ref());
    assert_eq!(
        (planned.named("id"), planned.named("secret_wo")),
        (&Value::Unknown, &Value::Null)
    );
    assert!(!plan.legacy_type_system && plan.requires_replace.is_empty());
    assert_eq!(
        bench.name_of(plan.planned_identity.as_ref()).as_deref(),
        Some("a")
    );

    let applied = bench.apply(&null(), plan.planned_state.unwrap(), &config).await;
    assert_eq!(texts(&applied.diagnostics), Vec::<String>::new());
    let state = bench.read(applied.new_state.as_ref());
    assert_eq!(
        (state.named("id"), state.named("secret_wo")),
        (&Value::from("id-a"), &Value::Null)
    );
    assert_eq!(bench.name_of(applied.new_identity.as_ref()).as_deref(), Some("a"));
    assert_eq!(&applied.private[..], br#"{"made":1}"#);

    // Also for a state from before the identity, and with the private state as it was.
    let read = bench
        .read_with(pb::read_resource::Request {
            current_state: applied.new_state.clone(),
            private: applied.private.clone(),
            ..Default::default()
        })
        .await;
    assert_eq!(bench.read(read.new_state.as_ref()), state);
    assert_eq!(read.private, applied.private);
    assert_eq!(bench.name_of(read.new_identity.as_ref()).as_deref(), Some("a"));
}

#[tokio::test]
async fn only_what_is_known_to_be_gone_is_gone() {
    let bench = Bench::configured().await;
    let gone = bench.read_resource(bench.thing(&[("name", "a".into())])).await;
    assert!(gone.diagnostics.is_empty());
    assert!(bench.read(gone.new_state.as_ref()).is_null());
    for (name, message) in [("unreachable", "Not reachable"), ("explosive", "read is broken")] {
        let state = bench.thing(&[("name", name.into())]);
        let request = pb::read_resource::Request {
            current_state: Some(state.clone()),
            private: "p".into(),
            current_identity: Some(bench.identity(name)),
            ..Default::default()
        };
        let response = bench.read_with(request).await;
        assert!(only(&response.diagnostics).contains(message));
        assert_eq!(response.new_state, Some(state));
        assert_eq!(&response.private[..], b"p");
        assert_eq!(response.new_identity, Some(bench.identity(name)));
    }
}

#[tokio::test]
async fn deferral_is_for_hosts_that_take_it() {
    let bench = Bench::configured().await;
    let state = bench.thing(&[("name", "later".into())]);
    let read = |client| {
        bench.read_with(pb::read_resource::Request {
            current_state: Some(state.clone()),
            client_capabilities: client,
            ..Default::default()
        })
    };
    let allowed = read(Some(deferring())).await;
    assert_eq!(
        allowed.deferred.unwrap().reason(),
        pb::deferred::Reason::AbsentPrereq
    );
    assert_eq!(allowed.new_state, Some(state.clone()));
    let refused = read(None).await;
    assert!(only(&refused.diagnostics).starts_with("Not possible yet") && refused.deferred.is_none());

    let config = bench.thing(&[("name", "a".into()), ("behavior", "defer".into())]);
    let plan = |client| {
        bench.plan_with(pb::plan_resource_change::Request {
            prior_state: Some(null()),
            proposed_new_state: Some(config.clone()),
            config: Some(config.clone()),
            client_capabilities: client,
            ..Default::default()
        })
    };
    assert!(plan(Some(deferring())).await.deferred.is_some());
    assert!(only(&plan(None).await.diagnostics).starts_with("Not possible yet"));
}

#[tokio::test]
async fn replacements_are_told_once_and_only_where_something_changes() {
    let bench = Bench::configured().await;
    let created = bench.create(&[("name", "a".into())]).await.new_state.unwrap();
    let plan = bench.plan(&created, &bench.thing(&[("name", "b".into())])).await;
    let paths: Vec<_> = plan
        .requires_replace
        .iter()
        .map(|path| path.steps.len())
        .collect();
    assert_eq!(paths, [1]);
    assert_eq!(
        bench.name_of(plan.planned_identity.as_ref()).as_deref(),
        Some("b")
    );
}

#[tokio::test]
async fn private_state_planned_reaches_the_apply() {
    let bench = Bench::configured().await;
    let config = bench.thing(&[("name", "a".into()), ("behavior", "remember".into())]);
    let plan = bench.plan(&null(), &config).await;
    assert_eq!(&plan.planned_private[..], br#"{"planned":"yes"}"#);
    let request = pb::apply_resource_change::Request {
        type_name: THING.into(),
        prior_state: Some(null()),
        planned_state: plan.planned_state,
        config: Some(config),
        planned_private: plan.planned_private,
        ..Default::default()
    };
    let applied = bench
        .service
        .apply_resource_change(Request::new(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(&applied.private[..], br#"{"made":1,"planned":"yes"}"#);
}

#[tokio::test]
async fn whatever_fails_in_an_apply_the_state_is_true() {
    let bench = Bench::configured().await;
    let behavior = |behavior: &str| [("name", Value::from("a")), ("behavior", behavior.into())];

    let failed = bench.create(&behavior("fail_create")).await;
    assert!(only(&failed.diagnostics).starts_with("Not created"));
    assert_eq!(failed.new_state, Some(null()));

    let partial = bench.create(&behavior("partial_create")).await;
    let state = bench.read(partial.new_state.as_ref());
    assert_eq!(
        (state.named("id"), state.named("stamp")),
        (&Value::from("id-a"), &Value::Null)
    );
    assert_eq!(bench.name_of(partial.new_identity.as_ref()).as_deref(), Some("a"));

    let panicked = bench.create(&behavior("panic_create")).await;
    assert!(only(&panicked.diagnostics).contains("create is broken"));
    let state = bench.read(panicked.new_state.as_ref());
    assert_eq!(
        (state.named("name"), state.named("id")),
        (&Value::from("a"), &Value::Null)
    );

    let stored = bench.create(&[("name", "a".into())]).await.new_state.unwrap();
    for behavior_name in ["fail_update", "panic_update", "vanish"] {
        let config = bench.thing(&behavior(behavior_name));
        let plan = bench.plan(&stored, &config).await;
        let applied = bench.apply(&stored, plan.planned_state.unwrap(), &config).await;
        assert_eq!(applied.diagnostics.len(), 1, "{behavior_name}");
        assert_eq!(
            bench.read(applied.new_state.as_ref()),
            bench.read(Some(&stored)),
            "{behavior_name}"
        );
    }
    for behavior_name in ["fail_delete", "panic_delete"] {
        let stored = bench.create(&behavior(behavior_name)).await.new_state.unwrap();
        let applied = bench.apply(&stored, null(), &null()).await;
        assert_eq!(applied.diagnostics.len(), 1, "{behavior_name}");
        assert_eq!(applied.new_state.as_ref(), Some(&stored), "{behavior_name}");
    }
}

#[tokio::test]
async fn a_destroy_has_a_plan_that_may_refuse() {
    let bench = Bench::configured().await;
    let stored = bench
        .create(&[("name", "a".into()), ("behavior", "keep".into())])
        .await
        .new_state
        .unwrap();
    let refused = bench.plan(&stored, &null()).await;
    assert!(only(&refused.diagnostics).starts_with("Not to be destroyed"));
    assert_eq!(refused.planned_state.as_ref(), Some(&stored));
    let stored = bench.create(&[("name", "b".into())]).await.new_state.unwrap();
    let plan = bench.plan(&stored, &null()).await;
    assert!(plan.diagnostics.is_empty());
    assert_eq!(plan.planned_state, Some(null()));
    let applied = bench.apply(&stored, null(), &null()).await;
    assert_eq!(applied.new_state, Some(null()));
    assert!(applied.private.is_empty() && applied.new_identity.is_none());
}

#[tokio::test]
async fn a_stop_ends_waiting_calls_and_not_the_service() {
    let bench = Arc::new(Bench::configured().await);
    let waiting = Arc::clone(&bench);
    let create = tokio::spawn(async move {
        waiting
            .create(&[("name", "a".into()), ("behavior", "wait".into())])
            .await
    });
    bench.world.waiting.notified().await;
    let stopped = bench.service.stop_provider(empty()).await.unwrap().into_inner();
    assert!(stopped.error.is_empty());
    let created = create.await.unwrap();
    assert!(only(&created.diagnostics).starts_with("Interrupted"));
    assert_eq!(
        bench.read(created.new_state.as_ref()).named("id"),
        &Value::from("id-a")
    );
    assert!(bench.create(&[("name", "b".into())]).await.diagnostics.is_empty());
}

#[tokio::test]
async fn a_stored_identity_stays_when_the_state_does_not_say_it() {
    let bench = Bench::configured().await;
    let nameless = [("name", "a".into()), ("behavior", "nameless".into())];
    let created = bench.create(&nameless).await;
    assert!(only(&created.diagnostics).contains("no identity after apply"));
    let request = pb::read_resource::Request {
        current_state: created.new_state,
        current_identity: Some(bench.identity("a")),
        ..Default::default()
    };
    let read = bench.read_with(request).await;
    assert_eq!(read.new_identity, Some(bench.identity("a")));
}

#[tokio::test]
async fn only_a_destroy_is_planned_as_nothing() {
    let bench = Bench::configured().await;
    let config = bench.thing(&[("name", "a".into()), ("behavior", "plan_nothing".into())]);
    let plan = bench.plan(&null(), &config).await;
    assert!(only(&plan.diagnostics).contains("the plan of a destroy, and no other, must be null"));
}
