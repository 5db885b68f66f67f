use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::config::secrets::EnvironmentSecrets;

/// Answers what it is told to, and remembers what it was asked.
struct Told(
    &'static str,
    Result<Secret, FetchError>,
    Arc<Mutex<Vec<&'static str>>>,
);

#[async_trait]
impl SecretProvider for Told {
    fn scheme(&self) -> &'static str {
        self.0
    }

    async fn fetch(&self, _name: &SecretName) -> Result<Secret, FetchError> {
        self.2.lock().unwrap().push(self.0);
        self.1.clone()
    }
}

async fn ask(
    name: &str,
    answers: [Result<Secret, FetchError>; 2],
) -> (Result<Secret, String>, Vec<&'static str>) {
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let [first, second] = answers;
    let providers = Providers::none()
        .with(Told("one", first, Arc::clone(&asked)))
        .with(Told("two", second, Arc::clone(&asked)));
    let answer = providers.resolve(name).await;
    let asked = asked.lock().unwrap().clone();
    (answer, asked)
}

#[tokio::test]
async fn providers_are_asked_in_order_and_the_first_that_has_it_wins() {
    let value = |text: &str| Ok(Secret::new(text));
    let absent = |place: &str| Err(FetchError::Absent(place.to_owned()));
    let failed = |problem: &str| Err(FetchError::Failed(problem.to_owned()));

    let (answer, asked) = ask("a", [value("1"), value("2")]).await;
    assert_eq!((answer.unwrap().expose(), asked), ("1", vec!["one"]));
    let (answer, asked) = ask("a", [absent("x"), value("2")]).await;
    assert_eq!((answer.unwrap().expose(), asked), ("2", vec!["one", "two"]));
    let (answer, asked) = ask("two://a", [value("1"), value("2")]).await;
    assert_eq!((answer.unwrap().expose(), asked), ("2", vec!["two"]));
    // Whether the first has it is not known: the second must not answer for it.
    let (answer, asked) = ask("a", [failed("away"), value("2")]).await;
    assert_eq!(
        (answer.unwrap_err(), asked),
        ("one: away".to_owned(), vec!["one"])
    );
    let (answer, _) = ask("a", [absent("x"), absent("y")]).await;
    assert_eq!(
        answer.unwrap_err(),
        "no provider has it (one: x; two: y); put it there, or correct the name"
    );
    let (answer, asked) = ask("three://a", [value("1"), value("2")]).await;
    let error = answer.unwrap_err();
    assert!(
        error.contains("no provider `three`; it has one, two") && asked.is_empty(),
        "{error}"
    );
    let (answer, _) = ask("a", [value(""), value("2")]).await;
    assert!(answer.unwrap_err().contains("empty"));
    let error = Providers::none().resolve("a").await.unwrap_err();
    assert!(error.contains("set DELEGATE_SECRETS_ENV_PREFIX"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_is_given_up() {
    struct Silent;
    #[async_trait]
    impl SecretProvider for Silent {
        fn scheme(&self) -> &'static str {
            "silent"
        }
        async fn fetch(&self, _name: &SecretName) -> Result<Secret, FetchError> {
            std::future::pending().await
        }
    }
    let error = Providers::none().with(Silent).resolve("a").await.unwrap_err();
    assert_eq!(error, "silent did not answer within 45 s");
}

#[tokio::test]
async fn the_environment_is_read_by_the_name_and_by_its_usual_form() {
    let values = [
        ("DB", "one"),
        ("ACCOUNT_MY_DB", r#"{"user":"u"}"#),
        ("lower", "two"),
    ];
    let values: BTreeMap<_, _> = values
        .map(|(name, value)| (name.to_owned(), Secret::new(value)))
        .into();
    let prefix = "TASK_SECRET_".to_owned();
    let providers = Providers::none().with(Environment::new(EnvironmentSecrets { prefix, values }));
    for (name, value) in [("db", "one"), ("account.my-db#user", "u"), ("env://lower", "two")] {
        assert_eq!(providers.resolve(name).await.unwrap().expose(), value);
    }
    let error = providers.resolve("org.no").await.unwrap_err();
    assert!(error.contains("env: TASK_SECRET_ORG_NO is not set"), "{error}");
    let error = providers.resolve("db?version=1").await.unwrap_err();
    assert!(error.contains("keeps no versions"), "{error}");
}

#[tokio::test]
async fn files_are_read_as_they_are_now_and_never_outside_of_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("secrets");
    // As Kubernetes mounts a Secret: links to a folder that is exchanged.
    std::fs::create_dir_all(folder.join("..data/team")).unwrap();
    std::fs::write(dir.path().join("outside"), "hunter2").unwrap();
    std::fs::write(folder.join("..data/account.db"), "first\nsecond\n").unwrap();
    std::os::unix::fs::symlink("..data/account.db", folder.join("account.db")).unwrap();
    std::fs::write(folder.join("..data/team/key"), r#"{"a":"b"}"#).unwrap();
    std::os::unix::fs::symlink("..data/team", folder.join("team")).unwrap();
    std::fs::write(folder.join("binary"), [0xff, 0xfe]).unwrap();
    std::fs::write(folder.join("large"), vec![b'x'; 1 << 20 | 1]).unwrap();
    let providers = Providers::none().with(Files::new(&folder));
    assert_eq!(
        providers.resolve("account.db").await.unwrap().expose(),
        "first\nsecond"
    );
    assert_eq!(
        providers.resolve("file://team/key#a").await.unwrap().expose(),
        "b"
    );
    std::fs::write(folder.join("..data/account.db"), "new").unwrap();
    assert_eq!(providers.resolve("account.db").await.unwrap().expose(), "new");
    for (name, said) in [
        ("no", "does not exist"),
        ("team", "does not exist"),
        ("account.db/x", "does not exist"),
        ("binary", "no text in UTF-8"),
        ("large", "more than 1048576 bytes"),
        ("../outside", "`..` in its path"),
    ] {
        let error = providers.resolve(name).await.unwrap_err();
        assert!(
            error.contains(said) && !error.contains("hunter2"),
            "{name}: {error}"
        );
    }
}
