//! `ECS_DEPLOY` and `ECS_RESTART`.
//!
//! moto is the ECS of most tests: it keeps clusters, services and task definitions, but runs no tasks. It makes a service with
//! one running task, whatever is wanted, and never changes that by itself. So a service of one task is steady there at
//! once, and one of two never is. Deployments that take their time, that ECS gives up or that it puts off are those of a double.

mod double;
mod refusals;

use serde_json::{Value, json};

use crate::delegate::Delegate;
use crate::moto::{Moto, REGION};
use double::Double;

/// A service of a test's own.
struct Site {
    moto: &'static Moto,
    delegate: Delegate,
    cluster: String,
}

fn access(endpoint: &url::Url) -> Value {
    json!({
        "region": REGION,
        "endpoint": endpoint,
        "credentials": {"keys": {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "the-secret-key"}},
    })
}

impl Site {
    async fn new() -> Option<Self> {
        let moto = Moto::shared()?;
        let this = Self {
            moto,
            delegate: Delegate::new(),
            cluster: format!("c{:x}", fastrand::u64(..)),
        };
        this.ask("CreateCluster", json!({"clusterName": this.cluster}))
            .await;
        Some(this)
    }

    /// What ECS itself says.
    async fn ask(&self, action: &str, body: Value) -> Value {
        let interface = "AmazonEC2ContainerServiceV20141113";
        self.moto.call_of("ecs", interface, action, body).await
    }

    /// Task data, with more fields.
    fn data(&self, more: Value) -> Value {
        let mut data = json!({
            "aws": access(&self.moto.url), "cluster": self.cluster, "service": "shop", "wait": {"timeout": "1s"},
        });
        let Value::Object(more) = more else {
            panic!("{more} is no object");
        };
        for (name, value) in more {
            data[name] = value;
        }
        data
    }

    async fn service(&self) -> Value {
        let asked = json!({"cluster": self.cluster, "services": ["shop"]});
        let mut reply = self.ask("DescribeServices", asked).await;
        reply["services"][0].take()
    }

    async fn containers(&self, definition: &str) -> Value {
        let asked = json!({"taskDefinition": definition});
        let mut reply = self.ask("DescribeTaskDefinition", asked).await;
        reply["taskDefinition"]["containerDefinitions"].take()
    }

    /// A service that runs one task, or is to run more.
    async fn deployed(&self, count: u32) -> String {
        let definition = self
            .ask("RegisterTaskDefinition", whole(&self.cluster, "shop:1"))
            .await;
        let arn = definition["taskDefinition"]["taskDefinitionArn"]
            .as_str()
            .unwrap();
        let service = json!({"cluster": self.cluster, "serviceName": "shop", "taskDefinition": arn, "desiredCount": count});
        self.ask("CreateService", service).await;
        arn.to_owned()
    }
}

fn whole(family: &str, image: &str) -> Value {
    json!({
        "family": family,
        "containerDefinitions": [
            {"name": "web", "image": image, "memory": 64, "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
            {"name": "log", "image": "log:7", "memory": 32},
        ],
    })
}

#[tokio::test]
async fn a_service_is_made_changed_set_to_an_older_definition_and_restarted() {
    let Some(site) = Site::new().await else { return };
    let made = site.data(json!({
        "task_definition": {"register": whole(&site.cluster, "shop:1")},
        "desired_count": 1,
        "create": {"launchType": "EC2"},
    }));
    let first = site.delegate.run("ECS_DEPLOY", made).await.well();
    assert_eq!(
        (first.field("created"), first.field("registered")),
        (&json!(true), &json!(true))
    );
    assert_eq!(
        (first.field("running"), first.field("desired")),
        (&json!(1), &json!(1))
    );
    let one = first.var("task_definition").to_owned();
    assert!(one.ends_with(":1"), "{one}");
    assert_eq!(site.service().await["taskDefinition"], one);
    first.hides("the-secret-key");

    let change = || {
        site.data(json!({"task_definition": {"change": {
            "images": {"web": "shop:2"},
            "environment": {"web": {"B": "two", "C": "3"}, "log": {"LEVEL": "info"}},
        }}}))
    };
    let second = site.delegate.run("ECS_DEPLOY", change()).await.well();
    assert_eq!(
        (second.field("created"), second.field("registered")),
        (&json!(false), &json!(true))
    );
    assert_eq!(second.text("previous_task_definition"), one);
    let two = second.text("task_definition").to_owned();
    assert_eq!(site.service().await["taskDefinition"], two);
    let containers = site.containers(&two).await;
    assert_eq!(
        (
            &containers[0]["image"],
            &containers[0]["memory"],
            &containers[1]["image"]
        ),
        (&json!("shop:2"), &json!(64), &json!("log:7"))
    );
    assert_eq!(
        containers[0]["environment"],
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "two"}, {"name": "C", "value": "3"}])
    );
    assert_eq!(
        containers[1]["environment"],
        json!([{"name": "LEVEL", "value": "info"}])
    );

    let again = site.delegate.run("ECS_DEPLOY", change()).await.well();
    assert_eq!(
        (again.field("registered"), again.text("task_definition")),
        (&json!(false), &*two)
    );

    let back = site.data(json!({"task_definition": {"existing": format!("{}:1", site.cluster)}}));
    let back = site.delegate.run("ECS_DEPLOY", back).await.well();
    assert_eq!(back.text("task_definition"), one);
    assert_eq!(site.service().await["taskDefinition"], one);

    let restarted = site
        .delegate
        .run("ECS_RESTART", site.data(json!({})))
        .await
        .well();
    let service = site.service().await;
    assert_eq!(service["deployments"][0]["id"], restarted.var("deployment"));
    assert_ne!(restarted.var("deployment"), back.var("deployment"));
    assert_eq!(service["taskDefinition"], one);
}

#[tokio::test]
async fn a_service_that_is_not_steady_in_time_is_given_back_what_it_had_unless_it_is_to_stay() {
    let Some(site) = Site::new().await else { return };
    let before = site.deployed(2).await;
    let change = |more: Value| {
        let mut data = site.data(json!({"task_definition": {"change": {"images": {"web": "shop:2"}}}}));
        data["on_failure"] = more;
        data
    };
    let failed = site.delegate.run("ECS_DEPLOY", change(json!("roll_back"))).await;
    failed
        .says("was not steady within 1s: 1 of 2 tasks run")
        .says(&format!("it was given {before} back, and it was not steady"));
    assert_eq!(failed.field("rolled_back"), &json!(false));
    assert_eq!(failed.text("previous_task_definition"), before);
    assert_eq!(site.service().await["taskDefinition"], before);

    let kept = site.delegate.run("ECS_DEPLOY", change(json!("keep"))).await;
    kept.says("; it stays so");
    assert_eq!(
        site.service().await["taskDefinition"],
        kept.text("task_definition")
    );

    let restart = site.delegate.run("ECS_RESTART", site.data(json!({}))).await;
    restart.says("told to replace its tasks, and it was not steady within 1s: 1 of 2 tasks run");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let Some(site) = Site::new().await else { return };
    let run = async |data: Value| site.delegate.run("ECS_DEPLOY", site.data(data)).await;
    let existing = json!({"existing": "no-such-family"});
    run(json!({"task_definition": existing}))
        .await
        .says(&format!("there is no service shop in cluster {}", site.cluster));
    run(json!({"task_definition": existing, "cluster": "no-such-cluster"}))
        .await
        .says("ECS DescribeServices in eu-central-1: ClusterNotFoundException");
    site.deployed(1).await;
    run(json!({"task_definition": existing}))
        .await
        .says("ECS DescribeTaskDefinition in eu-central-1: ClientException");
    let container = json!({"change": {"images": {"wbe": "shop:2"}}});
    run(json!({"task_definition": container}))
        .await
        .says("has no container `wbe`; it has log, web");
    let restart = site.data(json!({"service": "shopp"}));
    site.delegate
        .run("ECS_RESTART", restart)
        .await
        .says("there is no service shopp in cluster");
}

#[tokio::test]
async fn a_task_is_whom_its_data_names_or_who_the_delegate_is() {
    let Some(mut site) = Site::new().await else { return };
    site.deployed(1).await;
    let token = site.delegate.path("token");
    std::fs::write(&token, "header.payload.signature").unwrap();
    let role = "arn:aws:iam::123456789012:role/deployer";
    let restart = |aws: Value| {
        let mut data = site.data(json!({}));
        data["aws"] = aws;
        data
    };
    let mut by_role = access(&site.moto.url);
    by_role["role"] = json!({"arn": role, "external_id": "shop"});
    let mut by_token = access(&site.moto.url);
    by_token["credentials"] =
        json!({"web_identity": {"role_arn": role, "token": "header.payload.signature"}});
    let given = [restart(by_role), restart(by_token)];
    let own = restart(json!({}));
    for data in given {
        site.delegate.run("ECS_RESTART", data).await.well();
    }

    let refused = site.delegate.run("ECS_RESTART", own.clone()).await;
    assert!(
        refused.refusal().contains("`aws.region`: is needed"),
        "{}",
        refused.error()
    );
    let environment = &mut site.delegate.settings.environment;
    environment.set("AWS_REGION", REGION);
    environment.set("AWS_EC2_METADATA_DISABLED", "true");
    let refused = site.delegate.run("ECS_RESTART", own.clone()).await;
    assert!(
        refused.refusal().contains("have no identity of AWS"),
        "{}",
        refused.error()
    );
    let environment = &mut site.delegate.settings.environment;
    environment.set("AWS_ENDPOINT_URL", site.moto.url.as_str());
    environment.set("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
    environment.set("AWS_ROLE_ARN", role);
    site.delegate.run("ECS_RESTART", own).await.well();
}

#[tokio::test]
async fn a_deployment_that_takes_its_time_is_followed_with_its_events() {
    let double = Double::start([
        json!({"error": "ThrottlingException"}),
        double::steady("old", 2),
        double::state("new", "IN_PROGRESS", 0, &["one"]),
        double::state("new", "IN_PROGRESS", 1, &["two", "one"]),
        double::state("new", "COMPLETED", 2, &["three", "two", "one"]),
    ])
    .await;
    let data = double.data(json!({"task_definition": {"existing": "shop:2"}}));
    let outcome = Delegate::new().run("ECS_DEPLOY", data).await.well();
    assert_eq!(
        outcome.field("events"),
        &json!(["event one", "event two", "event three"])
    );
    assert_eq!(outcome.field("running"), &json!(2));
    for line in [
        "0 of 2 tasks run",
        "1 of 2 tasks run",
        "2 of 2 tasks run",
        "event two",
    ] {
        assert_eq!(outcome.log.matches(line).count(), 1, "{line}: {}", outcome.log);
    }
    assert_eq!(double.told(), ["shop:2"]);
}

#[tokio::test]
async fn a_deployment_that_ecs_gives_up_is_taken_back_with_the_reason() {
    let double = Double::start([
        double::steady("old", 2),
        double::state("new", "IN_PROGRESS", 0, &["one"]),
        double::state("new", "FAILED", 0, &["two", "one"]),
        double::steady("back", 2),
    ])
    .await;
    let data = double.data(json!({"task_definition": {"existing": "shop:2"}}));
    let outcome = Delegate::new().run("ECS_DEPLOY", data).await;
    outcome
        .says("ECS gave the deployment up: the reason")
        .says("a task was stopped: Essential container in task exited; container web exited with 137; container web: OutOfMemoryError")
        .says("it was given shop:1 back, and is steady");
    assert_eq!(outcome.field("rolled_back"), &json!(true));
    assert_eq!(double.told(), ["shop:2", "shop:1"]);
}

#[tokio::test]
async fn an_abort_ends_the_watching_and_says_what_stays() {
    let double = Double::start([
        double::steady("old", 2),
        double::state("new", "IN_PROGRESS", 0, &["one"]),
    ])
    .await;
    let delegate = Delegate::new();
    let task = delegate.start("ECS_RESTART", &double.data(json!({})));
    task.log.until("event one").await;
    task.cancel.cancel();
    let outcome = task.end().await.ended("ABORTED");
    assert!(
        outcome
            .error()
            .contains("aborted while restarting; ECS goes on with what it was told"),
        "{}",
        outcome.error()
    );
}
