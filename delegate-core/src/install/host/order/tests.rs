use super::*;
use crate::config::TokenSource;

const TOKEN: &str = "000102030405060708090a0b0c0d0e0f";

fn spec() -> HostSpec {
    let mut config = DelegateConfig::new(
        "account".parse().unwrap(),
        "team-a".parse().unwrap(),
        TokenSource::Inline(TOKEN.parse().unwrap()),
        "https://manager.example/gratis".parse().unwrap(),
    );
    config.log_service_url = Some("https://manager.example/logs/".parse().unwrap());
    config.init_script = Some("echo 'two'\necho \"lines\"".to_owned());
    config.grace_period = Duration::from_secs(7);
    HostSpec {
        config,
        extra_env: BTreeMap::from([("TEAM".to_owned(), "ä b".to_owned())]),
        binary: "/opt/incoming".into(),
        origin: Some(FileStamp {
            path: "/elsewhere".into(),
            size: 1,
            modified: i128::from(i64::MAX) * 4,
        }),
        directory: "/opt".into(),
        service: ServiceKind::Process,
        user: Some("deploy".to_owned()),
        notes: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    }
}

fn through_a_line(order: &Order) -> Order {
    let line = order.to_line();
    assert!(!line.expose().contains('\n'), "it is one line");
    Order::from_line(line.expose()).unwrap()
}

#[test]
fn every_order_arrives_as_it_was_given() {
    for order in [
        Order::Observe {
            directory: "/a".into(),
        },
        Order::Install(Box::new(spec())),
        Order::Uninstall {
            directory: "/a".into(),
            grace: Duration::from_mins(10),
        },
        Order::Log {
            directory: "/a".into(),
            lines: 15,
        },
    ] {
        // Secrets do not print, so they are compared as what they were written to.
        let arrived = through_a_line(&order);
        assert_eq!(arrived.to_line(), order.to_line());
        assert_eq!(format!("{arrived:?}"), format!("{order:?}"));
    }
}

#[test]
fn the_error_of_a_damaged_order_shows_nothing_of_it() {
    let line = Order::Install(Box::new(spec())).to_line();
    let cut = &line.expose()[..line.expose().len() - 3];
    let other = line.expose().replace("\"process\"", &format!("\"{TOKEN}\""));
    let later = line.expose().replacen("\"format\":1", "\"format\":9", 1);
    for (text, part) in [
        (cut, "column"),
        (&other, "column"),
        (&later, "it says 9"),
        ("", "column"),
    ] {
        let error = Order::from_line(text).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains(TOKEN), "{error}");
    }
}

#[tokio::test]
async fn an_answer_arrives_as_it_was_given_and_withholds_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let layout = super::super::Layout::new(folder.path());
    let record = Record {
        unfinished: true,
        ..super::super::claim(&spec())
    };
    super::super::write_record(&layout, &record).unwrap();
    let text = format!("DELEGATE_TOKEN={TOKEN}\nPROXY_USER=u\nPROXY_PASSWORD=hunter2\nTEAM=a\n");
    std::fs::write(layout.env_file(), text).unwrap();
    let answer = carry_out(Order::Observe {
        directory: folder.path().to_owned(),
    })
    .await;
    let line = answer_to_line(&answer);
    assert!(!line.contains(TOKEN) && !line.contains("hunter2"), "{line}");
    let arrived = answer_from_line(&line).unwrap();
    assert_eq!(arrived, answer);
    let Ok(Answer::Observed(Some(seen))) = arrived else {
        panic!("it is there");
    };
    let values: Vec<_> = seen
        .observed
        .env
        .iter()
        .map(|(_, value)| value.expose())
        .collect();
    assert_eq!(values, [WITHHELD, "u", WITHHELD, "a"]);
    assert!(WITHHELD.parse::<crate::config::DelegateToken>().is_ok());

    let refused = carry_out(Order::Uninstall {
        directory: "/usr".into(),
        grace: Duration::ZERO,
    })
    .await;
    let refusal = refused.clone().unwrap_err();
    assert!(
        refusal.untouched && refusal.about == About::Directory,
        "{refusal}"
    );
    assert_eq!(answer_from_line(&answer_to_line(&refused)).unwrap(), refused);
}
