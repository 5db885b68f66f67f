//! Terraform and the provider are killed at moments that chance picks: the next apply heals, each time.

use std::time::Instant;

use crate::fixture::{Case, TOKEN};
use crate::terraform::crash_seed;

/// Cases at a time: they share two processors, and each waits for its disk now and then.
const LANES: usize = 4;

/// Kills of each of them; with those of the Helm tests there are more than a hundred.
const KILLS: usize = 21;

const APPLY: &[&str] = &["apply", "-no-color", "-auto-approve"];
const DESTROY: &[&str] = &["destroy", "-no-color", "-auto-approve"];

/// Create, update and destroy in turns, each killed and then healed.
async fn lane(number: usize) {
    let label = format!("crash{number}");
    let Some(case) = Case::new(&label).await else {
        return;
    };
    let mut chance = fastrand::Rng::with_seed(crash_seed(&label));
    let configure = |round: usize| {
        case.configure(&format!(
            "{TOKEN}\n  wait = {{ until = \"installed\" }}\n  tags = [\"round-{round}\"]"
        ));
    };
    configure(0);
    let began = Instant::now();
    case.terraform.apply().await.succeeds();
    let whole = began.elapsed();
    let mut installed = true;
    for round in 1..=KILLS {
        let destroy = installed && round % 3 == 0;
        configure(round);
        let moment = whole.mul_f64(chance.f64() * 1.1);
        let running = case.terraform.start(if destroy { DESTROY } else { APPLY });
        // Any moment is a good one: this waits for nothing.
        tokio::time::sleep(moment).await;
        running.kill();
        running.end().await;
        let what = match (destroy, installed) {
            (true, _) => "destroy",
            (false, true) => "update",
            (false, false) => "create",
        };
        eprintln!("{label} round {round}: {what} killed after {moment:?}");
        if destroy && chance.bool() {
            case.terraform.destroy().await.succeeds();
            case.host.assert_gone_but_for_an_empty_folder();
            installed = false;
        } else {
            case.terraform.apply().await.succeeds();
            case.host.assert_one_delegate();
            let tags = case.host.variable("DELEGATE_TAGS");
            assert_eq!(tags, Some(format!("round-{round}")), "{label} round {round}");
            installed = true;
        }
    }
    case.terraform.apply().await.succeeds();
    case.assert_well(&case.host, &case.name).await;
    case.assert_removed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_killed_at_any_moment_is_healed() {
    let lanes: Vec<_> = (0..LANES).map(|number| tokio::spawn(lane(number))).collect();
    for lane in lanes {
        lane.await.expect("the lane comes to its end");
    }
}
