//! Rules of a security group, made in what plays AWS by what every delegate's machine has: a program that signs a request.

use std::process::Command;

use serde_json::json;

use super::{KIND, delegate};
use crate::moto::{Moto, REGION};

/// `ec2.sh QUERY`: one signed request. The login comes by the environment, and goes by the input.
const EC2: &str = r#"
printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" |
  curl --silent --show-error --fail --config - --aws-sigv4 "aws:amz:$AWS_REGION:ec2" --data "Version=2016-11-15&$1" "$ENDPOINT"
"#;

const MAIN: &str = r#"
variable "group" { type = string }
variable "rules" { type = map(object({ direction = string, port = number })) }
resource "terraform_data" "group" {
  input = var.group
  provisioner "local-exec" {
    command = "sh ${path.module}/ec2.sh 'Action=CreateSecurityGroup&GroupDescription=d&GroupName=${self.input}'"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "sh ${path.module}/ec2.sh 'Action=DeleteSecurityGroup&GroupName=${self.input}'"
  }
}
resource "terraform_data" "rule" {
  for_each = var.rules
  input    = merge(each.value, { group = terraform_data.group.output })
  provisioner "local-exec" {
    command = "sh ${path.module}/rule.sh Authorize ${self.input.direction} ${self.input.group} ${self.input.port}"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "sh ${path.module}/rule.sh Revoke ${self.input.direction} ${self.input.group} ${self.input.port}"
  }
}
"#;

/// `rule.sh Authorize|Revoke Ingress|Egress GROUP PORT`
const RULE: &str = r#"
set -e
here=$(dirname "$0")
id=$(sh "$here/ec2.sh" "Action=DescribeSecurityGroups&GroupName.1=$3" | sed -n 's/.*<groupId>\(.*\)<\/groupId>.*/\1/p' | head -n 1)
sh "$here/ec2.sh" "Action=$1SecurityGroup$2&GroupId=$id&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=$4&IpPermissions.1.ToPort=$4&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0/8"
"#;

#[tokio::test]
async fn rules_of_a_security_group_come_and_go() {
    let Some(mut delegate) = delegate() else { return };
    if delegate.settings.environment.find_program("curl").is_none() {
        eprintln!("SKIPPED: there is no curl, which signs the requests");
        return;
    }
    let Some(moto) = Moto::shared() else { return };
    delegate.settings.environment.set("ENDPOINT", moto.url.as_str());
    delegate.settings.environment.set("AWS_REGION", REGION);
    let group = format!("group-{:08x}", fastrand::u32(..));
    // What AWS has, asked as the configuration asks it.
    let folder = delegate.path("workspace/app");
    let ports = || {
        let asked = Command::new("sh")
            .arg("ec2.sh")
            .arg(format!(
                "Action=DescribeSecurityGroups&Filter.1.Name=group-name&Filter.1.Value.1={group}"
            ))
            .current_dir(&folder)
            .env("ENDPOINT", moto.url.as_str())
            .env("AWS_REGION", REGION)
            .envs([("AWS_ACCESS_KEY_ID", "AKIATEST"), ("AWS_SECRET_ACCESS_KEY", "x")])
            .output()
            .unwrap();
        assert!(asked.status.success(), "{asked:?}");
        let text = String::from_utf8(asked.stdout).unwrap();
        let mut ports: Vec<String> = text
            .split("<fromPort>")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap().to_owned())
            .filter(|port| port != "-1")
            .collect();
        ports.sort();
        (text.contains(&format!("<groupName>{group}</groupName>")), ports)
    };
    let task = |command: &str, rules: serde_json::Value| {
        json!({
            "command": command, "directory": "app",
            "files": {"main.tf": MAIN, "ec2.sh": EC2, "rule.sh": RULE},
            "variables": {"group": group, "rules": rules},
            "secrets": {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret-key-of-the-test"},
            // Requests of the same group one after another.
            "parallelism": 1,
        })
    };
    let both =
        json!({"in": {"direction": "Ingress", "port": 443}, "out": {"direction": "Egress", "port": 9092}});
    let outcome = delegate.run(KIND, task("apply", both)).await.well();
    assert_eq!(outcome.field("plan")["add"], 3);
    assert_eq!(ports(), (true, vec!["443".to_owned(), "9092".to_owned()]));
    outcome.hides("secret-key-of-the-test");

    let one = json!({"in": {"direction": "Ingress", "port": 443}});
    let outcome = delegate.run(KIND, task("apply", one.clone())).await.well();
    assert_eq!(
        outcome.field("plan")["changes"],
        json!([{"address": "terraform_data.rule[\"out\"]", "action": "delete"}])
    );
    assert_eq!(ports(), (true, vec!["443".to_owned()]));

    delegate.run(KIND, task("destroy", one)).await.well();
    assert_eq!(ports(), (false, Vec::new()));
}
