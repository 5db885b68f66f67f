//! What is no task for `CONNECT`.

use serde_json::{Value, json};

use crate::bench::refused;

fn to(name: &str, target: Value) -> Value {
    let mut data = json!({"to": {}});
    data["to"][name] = target;
    data
}

fn principal(name: &str, value: &str) -> Value {
    let mut principal = json!({"tenant_id": "t", "client_id": "c", "client_secret": "s"});
    principal[name] = value.into();
    to("azure", json!({"identity": {"service_principal": principal}}))
}

fn workload(name: &str, value: &str) -> Value {
    let mut workload = json!({"audience": "//iam.googleapis.com/projects/1", "token": "t"});
    workload[name] = value.into();
    to("gcp", json!({"identity": {"workload_identity": workload}}))
}

fn key(file: &str) -> Value {
    to("gcp", json!({"identity": {"service_account": {"key": file}}}))
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_field() {
    let no_rsa = json!({
        "type": "service_account", "client_email": "a@b", "private_key_id": "k",
        "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    });
    refused(
        "CONNECT",
        &[
            (json!({}), "data", "missing field `to`"),
            (json!({"to": {"ftp": {}}}), "to", "unknown variant"),
            (json!({"to": "aws"}), "to.aws", "invalid type"),
            (to("aws", json!({"region": "x y"})), "to.aws.region", "is no region"),
            (
                to("aws", json!({"credentials": {"keys": {"access_key_id": "A-", "secret_access_key": "s"}}})),
                "to.aws.credentials.keys.access_key_id",
                "letters and digits",
            ),
            (
                to("aws", json!({"role": {"arn": "deploy"}})),
                "to.aws.role.arn",
                "no ARN of a role",
            ),
            (to("azure", json!({})), "to.azure", "missing field `identity`"),
            (
                principal("tenant_id", "a/b"),
                "to.azure.identity.service_principal.tenant_id",
                "is no id",
            ),
            (
                principal("client_secret", "a\nb"),
                "to.azure.identity.service_principal.client_secret",
                "more than one line",
            ),
            (
                principal("authority", "https://u:hunter2@h"),
                "to.azure.identity.service_principal.authority",
                "without a login",
            ),
            (key("/etc/key.json"), "to.gcp.identity.service_account.key", "whole JSON file"),
            (
                key(&no_rsa.to_string()),
                "to.gcp.identity.service_account.key",
                "no private key of RSA",
            ),
            (
                workload("audience", "https://x"),
                "to.gcp.identity.workload_identity.audience",
                "is no provider",
            ),
            (
                workload("service_account", "a/b@c"),
                "to.gcp.identity.workload_identity.service_account",
                "is no service account",
            ),
            (
                to("kubernetes", json!({"kubeconfig": "~/.kube/config"})),
                "to.kubernetes.kubeconfig",
                "is no kubeconfig",
            ),
            (to("git", json!({"url": "--upload-pack=x"})), "to.git.url", "begins with `-`"),
            (
                to(
                    "git",
                    json!({"url": "git@h:x", "credentials": {"https": {"user": "u", "password": "p"}}}),
                ),
                "to.git.credentials.https",
                "does not fit the URL",
            ),
            (to("registry", json!({"url": "h:5000"})), "to.registry.url", "is no address"),
            (
                to("registry", json!({"url": "https://h/v2/app"})),
                "to.registry.url",
                "a registry has none",
            ),
            (
                to("nexus", json!({"url": "https://h", "basic": {"user": "a:b", "password": "p"}})),
                "to.nexus.basic.user",
                "must not contain a colon",
            ),
            (
                to("database", json!({"sqlite": {"file": "a.db", "create": true}})),
                "to.database",
                "looking changes nothing",
            ),
            (
                to("database", json!({"url": "mysql://u@h/d"})),
                "to.database.url",
                "must begin with postgres://",
            ),
            (
                to("database", json!({"postgres": {"host": "", "user": "u", "database": "d"}})),
                "to.database.postgres.host",
                "is empty",
            ),
            (
                to(
                    "ssh",
                    json!({"host": "-oProxyCommand=x", "login": {"key": "-----BEGIN KEY-----", "known_hosts": "h k A"}}),
                ),
                "to.ssh.host",
                "begin with a hyphen",
            ),
            (
                to("ssh", json!({"host": "h", "login": {"key": "x", "known_hosts": "h k A"}})),
                "to.ssh.login.key",
                "is no private key",
            ),
        ],
    )
    .await;
}
