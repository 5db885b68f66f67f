//! The state machine, step by step and by chance.

mod conservation;

use super::*;
use crate::protocol::api::TaskStatus;
use crate::protocol::wire::{CommandStatus, DelegateParams, ResponseCode};

const NOW: Millis = 1_000_000;

fn submission(id: &str) -> Submission {
    Submission {
        id: id.into(),
        kind: "X".into(),
        selectors: Vec::new(),
        timeout_ms: 60_000,
        queue_timeout_ms: 10_000,
    }
}

fn params(name: &str) -> DelegateParams {
    DelegateParams {
        delegate_name: name.into(),
        host_name: format!("host-{name}"),
        supported_task_types: vec!["X".into()],
        ..DelegateParams::default()
    }
}

fn join(queue: &mut Queue, name: &str) -> DelegateId {
    queue.register(NOW, params(name), "token").0
}

fn answer(code: ResponseCode, command: CommandStatus) -> Answer {
    Answer {
        code,
        command,
        json: "{}".into(),
    }
}

fn success() -> Answer {
    answer(ResponseCode::Ok, CommandStatus::Success)
}

fn retry() -> Answer {
    answer(ResponseCode::RetryOnOtherDelegate, CommandStatus::Failure)
}

fn offered(queue: &mut Queue, now: Millis, by: &DelegateId) -> Vec<String> {
    let offer = queue.offer(now, by, false).unwrap();
    offer.tasks.iter().map(|(id, _)| id.to_string()).collect()
}

fn status(queue: &Queue, id: &str) -> TaskStatus {
    queue.task(id).unwrap().status()
}

fn reason(queue: &Queue, id: &str) -> String {
    match &queue.task(id).unwrap().state {
        State::Ended(ended) => ended.reason.clone().unwrap_or_default(),
        _ => String::new(),
    }
}

#[test]
fn the_same_delegate_acquires_twice_and_another_not_at_all() {
    let mut queue = Queue::default();
    let (a, b) = (join(&mut queue, "a"), join(&mut queue, "b"));
    queue.submit(NOW, submission("t")).unwrap();
    assert_eq!(queue.acquire(NOW, "t", &a).unwrap().changes.len(), 1);
    assert_eq!(queue.acquire(NOW, "t", &a).unwrap(), Effects::default());
    assert_eq!(queue.acquire(NOW, "t", &b), Err(AcquireError::Taken));
    assert_eq!(queue.acquire(NOW, "u", &b), Err(AcquireError::UnknownTask));
    assert_eq!(
        queue.acquire(NOW, "t", &"nobody".into()),
        Err(AcquireError::NotRegistered)
    );
}

#[test]
fn all_selectors_must_hold_as_tag_name_or_host_name() {
    let mut queue = Queue::default();
    let mut tagged = params("a");
    tagged.tags = vec!["linux".into(), "prod".into()];
    let a = queue.register(NOW, tagged, "token").0;
    for (selectors, fits) in [
        (vec![], true),
        (vec!["linux"], true),
        (vec!["linux", "prod"], true),
        (vec!["linux", "a", "host-a"], true),
        (vec!["linux", "windows"], false),
        (vec!["Linux"], false),
        (vec!["host-b"], false),
    ] {
        let mut task = submission("t");
        task.selectors = selectors.iter().map(|text| (*text).to_owned()).collect();
        queue.submit(NOW, task).unwrap();
        assert_eq!(!offered(&mut queue, NOW, &a).is_empty(), fits, "{selectors:?}");
        assert_eq!(queue.acquire(NOW, "t", &a).is_ok(), fits, "{selectors:?}");
        queue.respond(NOW, "t", &a, success()).ok();
        queue.retract("t");
    }
}

#[test]
fn capacity_bounds_what_is_offered_and_acquired_but_not_aborts() {
    let mut queue = Queue::default();
    let mut small = params("a");
    small.task_capacity = Some(2);
    let a = queue.register(NOW, small, "token").0;
    for id in ["t1", "t2", "t3"] {
        queue.submit(NOW, submission(id)).unwrap();
    }
    assert_eq!(offered(&mut queue, NOW, &a).len(), 2);
    queue.acquire(NOW, "t1", &a).unwrap();
    queue.acquire(NOW, "t2", &a).unwrap();
    assert!(offered(&mut queue, NOW, &a).is_empty());
    assert_eq!(queue.acquire(NOW, "t3", &a), Err(AcquireError::NoRoom));
    queue.abort(NOW, "t1").unwrap();
    assert_eq!(queue.offer(NOW, &a, true).unwrap().aborts.len(), 1);
    let (_, effects) = queue.respond(NOW, "t2", &a, success()).unwrap();
    assert_eq!(effects.wake, vec![a.clone()], "there is room again");
    assert_eq!(offered(&mut queue, NOW, &a), ["t3"]);
}

#[test]
fn a_kind_goes_to_who_runs_it_and_to_all_when_nobody_does() {
    let mut queue = Queue::default();
    let mut other = params("b");
    other.supported_task_types = vec!["Y".into()];
    let (a, b) = (join(&mut queue, "a"), queue.register(NOW, other, "token").0);
    let mut task = submission("y");
    task.kind = "Y".into();
    queue.submit(NOW, task.clone()).unwrap();
    assert!(offered(&mut queue, NOW, &a).is_empty());
    assert_eq!(offered(&mut queue, NOW, &b), ["y"]);
    task.id = "z".into();
    task.kind = "Z".into();
    queue.submit(NOW, task).unwrap();
    assert_eq!(offered(&mut queue, NOW, &a), ["z"], "somebody has to refuse it");
}

#[test]
fn every_answer_has_its_status() {
    use CommandStatus as C;
    use ResponseCode as R;
    for (code, command, expected) in [
        (R::Ok, C::Success, TaskStatus::Succeeded),
        (R::Ok, C::Skipped, TaskStatus::Succeeded),
        (R::Ok, C::Failure, TaskStatus::Failed),
        (R::Ok, C::Timeout, TaskStatus::TimedOut),
        (R::Ok, C::Aborted, TaskStatus::Aborted),
        (R::Failed, C::Success, TaskStatus::Failed),
        (R::Failed, C::Failure, TaskStatus::Failed),
    ] {
        let mut queue = Queue::default();
        let a = join(&mut queue, "a");
        queue.submit(NOW, submission("t")).unwrap();
        queue.acquire(NOW, "t", &a).unwrap();
        let (responded, _) = queue.respond(NOW, "t", &a, answer(code, command)).unwrap();
        assert_eq!(
            (responded, status(&queue, "t")),
            (Responded::Taken, expected),
            "{code:?} {command:?}"
        );
        let repeated = queue.respond(NOW, "t", &a, success()).unwrap();
        assert_eq!(repeated, (Responded::Repeated, Effects::default()));
        assert_eq!(status(&queue, "t"), expected, "the first answer stands");
    }
}

#[test]
fn an_answer_of_one_who_does_not_hold_the_task_has_no_effect() {
    let mut queue = Queue::default();
    let (a, b) = (join(&mut queue, "a"), join(&mut queue, "b"));
    queue.submit(NOW, submission("t")).unwrap();
    assert_eq!(
        queue.respond(NOW, "t", &b, success()),
        Err(RespondError::NotHolder)
    );
    queue.acquire(NOW, "t", &a).unwrap();
    assert_eq!(
        queue.respond(NOW, "t", &b, success()),
        Err(RespondError::NotHolder)
    );
    assert_eq!(
        queue.respond(NOW, "u", &b, success()),
        Err(RespondError::UnknownTask)
    );
    assert_eq!(status(&queue, "t"), TaskStatus::Running);
    queue.respond(NOW, "t", &a, success()).unwrap();
    assert_eq!(
        queue.respond(NOW, "t", &b, success()),
        Err(RespondError::NotHolder)
    );
}

#[test]
fn a_task_that_is_passed_on_goes_to_another_delegate_only() {
    let mut queue = Queue::default();
    let (a, b) = (join(&mut queue, "a"), join(&mut queue, "b"));
    queue.submit(NOW, submission("t")).unwrap();
    queue.acquire(NOW, "t", &a).unwrap();
    let later = NOW + 30_000;
    let (_, effects) = queue.respond(later, "t", &a, retry()).unwrap();
    assert!(effects.wake.contains(&b) && !effects.wake.contains(&a));
    assert!(offered(&mut queue, later, &a).is_empty());
    assert_eq!(queue.acquire(later, "t", &a), Err(AcquireError::NotSelected));
    assert_eq!(
        queue.respond(later, "t", &a, retry()).unwrap().0,
        Responded::Repeated
    );
    assert_eq!(
        queue.tick(later + 9_999).changes,
        [],
        "the wait counts from when it was passed on"
    );
    queue.acquire(later, "t", &b).unwrap();
    queue.respond(later, "t", &b, success()).unwrap();
    assert_eq!(status(&queue, "t"), TaskStatus::Succeeded);
}

#[test]
fn a_task_that_everybody_passes_on_is_given_up() {
    let mut queue = Queue::default();
    queue.submit(NOW, submission("t")).unwrap();
    for number in 0..MAX_ATTEMPTS {
        let next = join(&mut queue, &format!("d{number}"));
        queue.acquire(NOW, "t", &next).unwrap();
        queue.respond(NOW, "t", &next, retry()).unwrap();
    }
    assert_eq!(status(&queue, "t"), TaskStatus::Failed);
    assert!(reason(&queue, "t").contains("passed the task on"));
}

#[test]
fn a_waiting_task_is_aborted_at_once_and_an_ended_one_stays_as_it_is() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    assert_eq!(queue.abort(NOW, "t").unwrap().0, TaskStatus::Aborted);
    assert_eq!(queue.acquire(NOW, "t", &a), Err(AcquireError::Over));
    queue.submit(NOW, submission("u")).unwrap();
    queue.acquire(NOW, "u", &a).unwrap();
    queue.respond(NOW, "u", &a, success()).unwrap();
    assert_eq!(
        queue.abort(NOW, "u").unwrap(),
        (TaskStatus::Succeeded, Effects::default())
    );
    assert_eq!(queue.abort(NOW, "v"), Err(AbortError));
}

#[test]
fn a_running_task_is_aborted_by_its_delegate() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    queue.acquire(NOW, "t", &a).unwrap();
    let (now_is, effects) = queue.abort(NOW, "t").unwrap();
    assert_eq!((now_is, effects.wake), (TaskStatus::Running, vec![a.clone()]));
    for _ in 0..2 {
        let offer = queue.offer(NOW, &a, false).unwrap();
        assert_eq!(offer.aborts[0].0.as_str(), "t", "until it answers");
    }
    let aborted = answer(ResponseCode::Ok, CommandStatus::Aborted);
    queue.respond(NOW, "t", &a, aborted).unwrap();
    assert_eq!(status(&queue, "t"), TaskStatus::Aborted);
    assert!(queue.offer(NOW, &a, false).unwrap().is_empty());
}

#[test]
fn an_abort_ends_in_bounded_time_and_the_delegate_is_still_told() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    queue.acquire(NOW, "t", &a).unwrap();
    queue.abort(NOW, "t").unwrap();
    let end = NOW + ABORT_GRACE_MS;
    assert_eq!(queue.next_deadline(), Some(end));
    assert_eq!(queue.tick(end - 1).changes, []);
    queue.tick(end);
    assert_eq!(status(&queue, "t"), TaskStatus::Aborted);
    queue.forget("t");
    assert_eq!(queue.offer(end, &a, false).unwrap().aborts.len(), 1);
    assert_eq!(
        queue.respond(end, "t", &a, success()),
        Err(RespondError::UnknownTask)
    );
    assert!(queue.offer(end, &a, false).unwrap().is_empty(), "it has answered");
}

#[test]
fn an_aborted_task_of_a_silent_delegate_ends_without_it() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    queue.acquire(NOW, "t", &a).unwrap();
    let silent = NOW + MAX_SILENCE_MS + 1;
    queue.change("t", |task| task.timeout_ms = 3_600_000);
    queue.abort(silent, "t").unwrap();
    queue.tick(silent);
    assert_eq!(status(&queue, "t"), TaskStatus::Aborted);
    assert!(reason(&queue, "t").contains("not been heard of"));
}

#[test]
fn a_task_nobody_takes_expires_and_says_why() {
    let mut queue = Queue::default();
    let mut task = submission("t");
    task.selectors = vec!["gpu".into()];
    queue.submit(NOW, task).unwrap();
    assert_eq!(queue.tick(NOW + 9_999).changes, []);
    queue.tick(NOW + 10_000);
    assert_eq!(status(&queue, "t"), TaskStatus::Expired);
    assert!(reason(&queue, "t").contains("gpu"));
}

#[test]
fn a_run_without_an_answer_times_out_after_the_grace() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    queue.acquire(NOW, "t", &a).unwrap();
    let end = NOW + 60_000 + RUN_GRACE_MS;
    queue.heartbeat(end, &a, None, "token").unwrap();
    assert_eq!(queue.tick(end - 1).changes, []);
    queue.tick(end);
    assert_eq!(status(&queue, "t"), TaskStatus::TimedOut);
    assert_eq!(
        queue.respond(end, "t", &a, success()).unwrap().0,
        Responded::Repeated
    );
    assert_eq!(status(&queue, "t"), TaskStatus::TimedOut, "too late");
}

#[test]
fn a_lost_delegates_tasks_fail_with_a_reason() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    let mut task = submission("t");
    task.timeout_ms = 3_600_000;
    queue.submit(NOW, task).unwrap();
    queue.acquire(NOW, "t", &a).unwrap();
    assert_eq!(queue.tick(NOW + LOST_AFTER_MS).changes, []);
    queue.tick(NOW + LOST_AFTER_MS + 1);
    assert_eq!(status(&queue, "t"), TaskStatus::Failed);
    assert!(reason(&queue, "t").contains("not been heard of for 300 s"));
}

#[test]
fn a_delegate_is_forgotten_after_hours_and_has_to_register_anew() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    assert_eq!(queue.tick(NOW + FORGET_AFTER_MS).changes, []);
    let gone = queue.tick(NOW + FORGET_AFTER_MS + 1);
    assert_eq!(gone.changes, [Changed::DelegateGone(a.clone())]);
    assert_eq!(queue.offer(NOW, &a, true), Err(NotRegistered));
    assert_eq!(queue.heartbeat(NOW, &a, None, "token"), Err(NotRegistered));
}

#[test]
fn two_live_replicas_never_share_an_identity_and_a_restart_takes_the_old_one() {
    let mut queue = Queue::default();
    let (first, second) = (join(&mut queue, "a"), join(&mut queue, "a"));
    assert_ne!(first, second);
    let later = NOW + MAX_SILENCE_MS + 1;
    queue.heartbeat(later, &first, None, "token").unwrap();
    let (third, _) = queue.register(later, params("a"), "token");
    assert_eq!(third, second, "the silent one's");
    let mut named = params("a");
    named.delegate_id = first.to_string();
    assert_eq!(queue.register(later, named, "token").0, first, "its own");
}

#[test]
fn a_waiting_delegate_is_not_given_the_same_event_over_and_over() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    assert!(queue.offer(NOW, &a, true).unwrap().fresh);
    let again = queue.offer(NOW + 1, &a, true).unwrap();
    assert_eq!((again.fresh, again.again_at), (false, Some(NOW + REOFFER_MS)));
    queue.submit(NOW + 2, submission("u")).unwrap();
    assert!(queue.offer(NOW + 2, &a, true).unwrap().fresh, "something new");
    assert!(
        queue.offer(NOW + 2 + REOFFER_MS, &a, true).unwrap().fresh,
        "not acted on"
    );
}

#[test]
fn delegates_of_a_revoked_token_see_nothing_and_get_nothing() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    assert_eq!(queue.revoke("token").wake, vec![a.clone()]);
    assert!(queue.offer(NOW, &a, true).unwrap().is_empty());
    assert_eq!(queue.acquire(NOW, "t", &a), Err(AcquireError::NotSelected));
    queue.heartbeat(NOW, &a, None, "another").unwrap();
    assert_eq!(
        offered(&mut queue, NOW, &a),
        ["t"],
        "with an active token it goes on"
    );
}

#[test]
fn silence_while_the_manager_was_away_is_not_held_against_a_delegate() {
    let mut queue = Queue::default();
    let a = join(&mut queue, "a");
    queue.submit(NOW, submission("t")).unwrap();
    queue.acquire(NOW, "t", &a).unwrap();
    queue.change("t", |task| task.timeout_ms = 36_000_000);
    let row = DelegateRow {
        id: a.clone(),
        params: params("a"),
        token_name: "token".into(),
        registered_at: NOW,
        last_seen: NOW + 3_600_000,
    };
    let back = NOW + 3_600_000 + 60_000;
    let tasks = queue.tasks.values().cloned().collect();
    let mut restored = Queue::restore(back, tasks, vec![row], &["token".to_owned()]);
    assert_eq!(restored.tick(back).changes, []);
    assert_eq!(restored.running(), 1);
    restored.respond(back, "t", &a, success()).unwrap();
    assert_eq!(status(&restored, "t"), TaskStatus::Succeeded);
}

#[test]
fn a_task_of_which_the_holder_may_not_know_is_offered_to_it_again() {
    let mut queue = Queue::default();
    let (a, b) = (join(&mut queue, "a"), join(&mut queue, "b"));
    for id in ["lost", "confirmed"] {
        queue.submit(NOW, submission(id)).unwrap();
        queue.acquire(NOW, id, &a).unwrap();
    }
    queue.confirm("confirmed");
    assert!(queue.offer(NOW + CONFIRM_MS - 1, &a, true).unwrap().is_empty());
    let offer = queue.offer(NOW + CONFIRM_MS, &a, true).unwrap();
    assert_eq!(
        (offer.tasks.len(), offer.tasks[0].0.as_str(), offer.fresh),
        (1, "lost", true)
    );
    assert!(
        queue.offer(NOW + CONFIRM_MS, &b, true).unwrap().is_empty(),
        "it has a holder"
    );
    queue.acquire(NOW + CONFIRM_MS, "lost", &a).unwrap();
    assert!(queue.offer(NOW + CONFIRM_MS + 1, &a, true).unwrap().is_empty());
}

#[test]
fn a_delegate_that_was_started_anew_leaves_no_stale_entry() {
    let mut queue = Queue::default();
    let old = join(&mut queue, "a");
    let restart = NOW + 1_000;
    let (new, _) = queue.register(restart, params("a"), "token");
    let silent = NOW + MAX_SILENCE_MS + 1;
    queue.heartbeat(silent, &new, None, "token").unwrap();
    assert_eq!(queue.tick(silent).changes, [Changed::DelegateGone(old)]);
    assert_eq!(queue.delegates().count(), 1);
}
