//! The token is in its Secret, and nowhere else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::asleep;
use crate::cluster::Site;

#[tokio::test]
async fn no_secret_is_in_a_plan_state_log_annotation_or_other_object() {
    const PASSWORD: &str = "hidden-p@ssword";

    let Some(mut site) = Site::without_helm("m-secret").await else {
        return;
    };
    let token = site.manager.token.clone();
    let bare = String::from_utf8(BASE64.decode(&token).expect("base64")).expect("text");
    let mut forms = vec![
        bare.clone(),
        token.clone(),
        PASSWORD.to_owned(),
        "hidden-p%40ssword".to_owned(),
    ];
    for form in forms.clone() {
        forms.push(BASE64.encode(form).trim_end_matches('=').to_owned());
    }
    let clean = |place: &str, text: &str| {
        assert!(!text.is_empty(), "{place} is empty");
        for form in &forms {
            assert!(!text.contains(form.as_str()), "a secret is in {place}: {form}");
        }
    };
    let proxied = asleep(&site)
        .set(
            "proxy",
            r#"{ host = "proxy.example", port = 3128, user = "me", password_wo = var.password }"#,
        )
        .more("\nvariable \"password\" {\n  type      = string\n  ephemeral = true\n  sensitive = true\n}\n");
    site.terraform.set_env("TF_VAR_password", PASSWORD);
    site.terraform.set_env("TF_LOG", "TRACE");
    proxied.write(&site);
    let plan = site.terraform.plan(&[]).await;
    clean("the plan", &plan.json.to_string());
    let applied = site.terraform.apply().await.succeeds();
    assert!(applied.stderr.contains("asking the API server"));
    clean("the log", &applied.stderr);
    clean("the state", &site.terraform.state_file());
    clean(
        "another object",
        &site
            .get(&["configmap,deployment,role,rolebinding,serviceaccount"])
            .await
            .to_string(),
    );
    let secret = format!("{}-delegate-token", site.name);
    let mut found = site.get(&["secret", &secret]).await;
    assert_eq!(found["data"]["DELEGATE_TOKEN"], BASE64.encode(&token));
    assert!(found["data"]["PROXY_PASSWORD"].is_string());
    // What is applied by server-side apply is kept nowhere else in the object.
    found["data"] = serde_json::Value::Null;
    clean("the Secret's own annotations", &found.to_string());

    let refused = site
        .apply(&proxied.set("image", "\"\u{7f}bad image\"").set("replicas", "1"))
        .await;
    clean("an error", &refused.fails());
    let destroyed = site.terraform.destroy().await.succeeds();
    clean("the log of a destroy", &destroyed.stderr);
}
