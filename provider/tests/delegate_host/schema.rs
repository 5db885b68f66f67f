//! The schema, as Terraform shows it to users and tools. A change of it is seen in review.

use crate::fixture::{Case, SOURCE};
use crate::golden::assert_golden;

#[tokio::test]
async fn the_schema_is_the_reviewed_one() {
    let Some(case) = Case::new("schema").await else {
        return;
    };
    case.write("");
    let schemas = case
        .terraform
        .run(&["providers", "schema", "-json"])
        .await
        .succeeds()
        .json();
    let mut text = serde_json::to_string_pretty(&schemas["provider_schemas"][SOURCE]).expect("JSON");
    text.push('\n');
    assert_golden("schema.json", &text);
}
