//! Applies that fail: the error says what to do, nothing true is lost, and the next apply heals.

use std::time::{Duration, Instant};

use crate::fixture::{Case, DELEGATE, TOKEN};
use crate::manager::{any_token, encoded};

#[tokio::test]
async fn a_create_without_a_manager_fails_is_kept_and_heals() {
    let Some(mut case) = Case::new("failed").await else {
        return;
    };
    case.manager.stop().await;
    case.configure(&format!("{TOKEN}\n  wait = {{ timeout = \"2s\" }}"));
    let error = case.terraform.apply().await.fails();
    for part in [
        format!(
            "The delegate {} was not connected to its manager within 2 s",
            case.name
        ),
        case.manager.url.clone(),
        "log:".to_owned(),
    ] {
        assert!(error.contains(&part), "{part:?} is not in {error}");
    }
    let state = case.terraform.state().await;
    assert!(state.is_tainted(DELEGATE), "what exists is kept");
    assert_eq!(state.attribute(DELEGATE, "connected"), false);
    case.host.assert_one_delegate();

    case.manager.resume().await;
    assert_eq!(
        case.terraform.plan(&[]).await.actions(DELEGATE),
        ["delete", "create"]
    );
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn a_create_that_failed_can_be_destroyed() {
    let Some(mut case) = Case::new("failed-destroy").await else {
        return;
    };
    case.manager.stop().await;
    case.configure(&format!("{TOKEN}\n  wait = {{ timeout = \"1s\" }}"));
    case.terraform.apply().await.fails();
    case.assert_removed().await;
}

#[tokio::test]
async fn a_refused_token_is_told_at_once_with_the_delegates_last_words() {
    let Some(mut case) = Case::new("refused").await else {
        return;
    };
    let wrong = any_token();
    case.hand_over(&wrong);
    case.configure(&format!("{TOKEN}\n  wait = {{ timeout = \"3m\" }}"));
    let began = Instant::now();
    let error = case.terraform.apply().await.fails();
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "not after the whole timeout: {:?}",
        began.elapsed()
    );
    for part in [
        format!("The delegate {} ended by itself", case.name),
        "token".to_owned(),
        "log:".to_owned(),
    ] {
        assert!(error.contains(&part), "{part:?} is not in {error}");
    }
    assert!(
        !error.contains(&wrong) && !error.contains(&encoded(&wrong)),
        "{error}"
    );
    assert!(case.terraform.state().await.is_tainted(DELEGATE));
    assert_eq!(case.host.processes(), [], "it has ended for good");

    let right = case.manager.token.clone();
    case.hand_over(&right);
    case.assert_heals().await;
    case.assert_removed().await;
}

#[tokio::test]
async fn an_update_that_fails_keeps_what_is_true_and_heals() {
    let Some(mut case) = Case::installed("failed-update").await else {
        return;
    };
    case.hand_over(&any_token());
    case.configure("token_wo = var.delegate_token\n  token_wo_version = 2\n  tags = [\"new\"]");
    let error = case.terraform.apply().await.fails();
    assert!(error.contains("ended by itself"), "{error}");
    let state = case.terraform.state().await;
    assert!(
        !state.is_tainted(DELEGATE),
        "an update that fails does not replace"
    );
    assert_eq!(state.attribute(DELEGATE, "connected"), false);
    assert_eq!(
        case.host.variable("DELEGATE_TAGS").as_deref(),
        Some("new"),
        "what was written is kept"
    );
    // The state knows that it is not done, with and without looking.
    for arguments in [&["-refresh=false"][..], &[]] {
        let plan = case.terraform.plan(arguments).await;
        assert_eq!(plan.actions(DELEGATE), ["update"], "{arguments:?}: {}", plan.text);
    }
    let right = case.manager.token.clone();
    case.hand_over(&right);
    case.assert_heals().await;
    assert_eq!(case.attribute("token_wo_version").await, 2);
    case.assert_removed().await;
}

#[tokio::test]
async fn an_update_whose_wait_fails_leaves_one_delegate_that_connects_later() {
    let Some(mut case) = Case::installed("late").await else {
        return;
    };
    case.manager.stop().await;
    case.configure(&format!(
        "{TOKEN}\n  tags = [\"late\"]\n  wait = {{ timeout = \"1s\" }}"
    ));
    let error = case.terraform.apply().await.fails();
    assert!(
        error.contains("was not connected to its manager within 1 s"),
        "{error}"
    );
    case.host.assert_one_delegate();
    let agent = case.host.agent();
    case.manager.resume().await;
    // What is installed is as asked: to heal is to wait, not to restart.
    case.configure(&format!("{TOKEN}\n  tags = [\"late\"]"));
    case.assert_heals().await;
    assert_eq!(case.host.agent(), agent);
    case.assert_removed().await;
}

#[tokio::test]
async fn another_machine_than_the_stored_one_is_refused_and_nothing_is_touched() {
    let Some(case) = Case::installed("elsewhere").await else {
        return;
    };
    let agent = case.host.agent();
    let own = case.attribute("target_id").await;
    let state = case.terraform.state_file();
    case.terraform.write(
        "terraform.tfstate",
        &state.replace(own.as_str().unwrap(), "00000000000000000000000000000000"),
    );
    for command in [
        &["plan", "-no-color"][..],
        &["apply", "-auto-approve", "-no-color"],
        &["destroy", "-auto-approve", "-no-color", "-refresh=false"],
    ] {
        let error = case.terraform.run(command).await.fails();
        assert!(error.contains("This is another place"), "{command:?}: {error}");
        assert!(
            error.contains("00000000000000000000000000000000"),
            "{command:?}: {error}"
        );
    }
    assert_eq!(case.host.agent(), agent, "nothing was touched");
    case.terraform.write("terraform.tfstate", &state);
    case.terraform.assert_settled().await;
    case.assert_removed().await;
}
