//! What people say to a run: approvals and decisions; and how whoever looks at it hears of news.

use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use crate::site::{Site, is, node};
use crate::support::Watchdog;

#[tokio::test]
async fn approvals_are_counted_by_person_and_one_no_is_a_no() {
    let _watchdog = Watchdog::start("approvals");
    let site = Site::start().await;
    let file = r#"
pipeline:
  identifier: p
  stages:
    - stage:
        identifier: s
        variables: [{name: what, value: everything}]
        spec:
          execution:
            steps:
              - step: {identifier: yes, type: HarnessApproval, spec: {approvalMessage: Deploy <+stage.variables.what>?, approvers: {minimumCount: 2}}}
              - step: {identifier: no, type: HarnessApproval, spec: {approvalMessage: Really?}}
              - step: {identifier: after, type: Run, spec: {command: "true"}}
"#;
    let id = site.caller.start(file, json!({})).await;
    let run = site.caller.until(&id, |run| is(run, "s.yes", "RUNNING")).await;
    let asked = &node(&run, "s.yes")["asked"];
    assert_eq!(
        asked,
        &json!({"approval": {"question": "Deploy everything?", "needed": 2, "given": []}})
    );
    let (status, run) = site
        .caller
        .say(&id, "s.yes", "approve", json!({"by": "ann"}))
        .await;
    assert_eq!(status, 200, "{run}");
    assert_eq!(node(&run, "s.yes")["asked"]["approval"]["given"], json!(["ann"]));
    let (status, said) = site
        .caller
        .say(&id, "s.yes", "approve", json!({"by": "ann"}))
        .await;
    assert_eq!((status, &said["code"]), (409, &json!("RUN_CONFLICT")), "{said}");
    // By its number as well.
    let number = node(&run, "s.yes")["node"].to_string();
    let body = json!({"by": "bob", "comment": "fine"});
    let (_, run) = site.caller.say(&id, &number, "approve", body).await;
    assert_eq!(node(&run, "s.yes")["message"], "Approved by ann, bob: fine");
    let body = json!({"by": "ann", "comment": "not today"});
    let (status, run) = site.caller.say(&id, "s.no", "reject", body).await;
    assert_eq!(status, 200, "{run}");
    let run = site.caller.ended(&id).await;
    assert!(
        is(&run, "s.no", "REJECTED") && is(&run, "s.after", "SKIPPED") && run["status"] == "FAILED",
        "{run:#}"
    );
    assert_eq!(node(&run, "s.no")["message"], "Rejected by ann: not today");
}

#[tokio::test]
async fn somebody_decides_what_follows_a_failure() {
    let _watchdog = Watchdog::start("decisions");
    let dir = tempfile::tempdir().unwrap();
    let site = Site::start().await;
    let file = r#"
pipeline:
  identifier: p
  stages:
    - stage:
        identifier: s
        failureStrategies:
          - onFailure:
              errors: [AllErrors]
              action: {type: ManualIntervention, spec: {timeout: 1h, onTimeout: {action: {type: Abort}}}}
        spec: {execution: {steps: [{step: {identifier: x, type: Run, spec: {command: "test -e 'DIR/ok'"}}}]}}
"#
    .replace("DIR", dir.path().to_str().unwrap());
    let id = site.caller.start(&file, json!({})).await;
    let asks = |run: &serde_json::Value| node(run, "s.x")["asked"] == "decision";
    site.caller.until(&id, asks).await;
    let (status, run) = site
        .caller
        .say(&id, "s.x", "decide", json!({"decision": "retry", "by": "ann"}))
        .await;
    assert_eq!(status, 200, "{run}");
    site.caller
        .until(&id, |run| asks(run) && node(run, "s.x")["attempts"] == 2)
        .await;
    std::fs::write(dir.path().join("ok"), "").unwrap();
    site.caller
        .say(&id, "s.x", "decide", json!({"decision": "retry"}))
        .await;
    let run = site.caller.ended(&id).await;
    assert_eq!(
        (&run["status"], &node(&run, "s.x")["attempts"]),
        (&json!("SUCCEEDED"), &json!(3))
    );
}

#[tokio::test]
async fn who_waits_for_news_hears_of_them_and_of_nothing_else() {
    let _watchdog = Watchdog::start("news");
    let site = Site::start().await;
    let file = r"
pipeline:
  identifier: p
  stages:
    - stage:
        identifier: s
        spec: {execution: {steps: [{step: {identifier: x, type: HarnessApproval, spec: {approvalMessage: Sure?}}}]}}
";
    let id = site.caller.start(file, json!({})).await;
    let run = site.caller.run(&id).await;
    let path = |ms: u32| {
        format!(
            "/pipelines/{id}?wait_ms={ms}&after={}",
            run["cursor"].as_str().unwrap()
        )
    };
    let began = Instant::now();
    let same = site.caller.call(Method::GET, &path(200), None).await;
    assert!(began.elapsed().as_millis() >= 200, "nothing happened: it waits");
    assert_eq!(same["cursor"], run["cursor"]);
    let long = path(25_000);
    let (news, answered) = tokio::join!(
        site.caller.call(Method::GET, &long, None),
        site.caller.say(&id, "s.x", "approve", json!({}))
    );
    assert_eq!(answered.0, 200, "{}", answered.1);
    assert_eq!(
        (&news["status"], &news["cursor"]),
        (&json!("SUCCEEDED"), &json!("over"))
    );
    assert!(news["finished_at"].is_string());
    // Of a run that is over nobody waits for news.
    let over = site
        .caller
        .call(
            Method::GET,
            &format!("/pipelines/{id}?wait_ms=25000&after=over"),
            None,
        )
        .await;
    assert_eq!(over["tree"], news["tree"], "it stays as it was seen last");
}
