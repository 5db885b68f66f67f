//! Values that are known only after other resources have been applied.

use crate::fixture::{Case, DELEGATE, TOKEN, TOKEN_VARIABLE, resource};

fn delegate(case: &Case, arguments: &str) -> String {
    let place = format!(
        "host = {{ directory = \"{}\", service = \"process\" }}",
        case.host.path()
    );
    resource(&case.name, &format!("{place}\n  {TOKEN}\n  {arguments}"))
}

#[tokio::test]
async fn arguments_may_come_from_a_resource_of_the_same_apply() {
    let Some(case) = Case::new("unknown").await else {
        return;
    };
    case.terraform.write(
        "main.tf",
        &format!(
            "{TOKEN_VARIABLE}resource \"terraform_data\" \"manager\" {{\n  input = \"{}\"\n}}\n{}",
            case.manager.url,
            delegate(
                &case,
                &format!(
                    "account_id = \"{}\"\n  manager_url = terraform_data.manager.output\n  \
                     description = terraform_data.manager.id\n  tags = [terraform_data.manager.id]",
                    case.manager.account
                )
            )
        ),
    );
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["create"]);
    let unknown = plan.unknown(DELEGATE);
    for name in ["manager_url", "description", "id"] {
        assert!(unknown.contains(&name.to_owned()), "{name}: {unknown:?}");
    }
    for name in ["name", "account_id", "host"] {
        assert!(!unknown.contains(&name.to_owned()), "{name}: {unknown:?}");
    }
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn the_providers_own_arguments_may_be_unknown_while_planning() {
    let Some(case) = Case::new("unknown-provider").await else {
        return;
    };
    let text = |trigger: &str| {
        format!(
            "{TOKEN_VARIABLE}resource \"terraform_data\" \"manager\" {{\n  input = \"{}\"\n  triggers_replace = \"{trigger}\"\n}}\n\
             provider \"harness\" {{\n  endpoint = terraform_data.manager.output\n  account_id = \"{}\"\n}}\n{}",
            case.manager.url,
            case.manager.account,
            delegate(&case, "")
        )
    };
    case.terraform.write("main.tf", &text("a"));
    case.assert_heals().await;
    // Again, now with a delegate that is there: the plan neither fails nor loses it.
    case.terraform.write("main.tf", &text("b"));
    let plan = case.terraform.plan(&[]).await;
    assert_eq!(plan.actions(DELEGATE), ["no-op"], "{}", plan.text);
    case.assert_heals().await;
    case.assert_removed().await;
}
