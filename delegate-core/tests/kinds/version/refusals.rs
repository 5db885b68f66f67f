//! Data that says nothing of versions.

use serde_json::{Value, json};

use crate::bench::refused;

#[tokio::test]
async fn what_says_nothing_of_versions_is_refused() {
    let semantic = json!({"semantic": {}});
    let from = |from: Value| json!({"from": from, "scheme": semantic});
    let tags = |repository: &str| from(json!({"tags": {"repository": repository}}));
    let scheme = |scheme: Value| json!({"from": {"value": ""}, "scheme": scheme});
    let with = |field: &str, value: Value| {
        let mut data = from(json!({"tags": {"repository": "https://git.example.com/a.git"}}));
        data[field] = value;
        data
    };
    refused(
        "VERSION",
        &[
            (json!({"scheme": semantic}), "data", "missing field `from`"),
            (
                from(json!({"value": "1", "file": {"path": "/a"}})),
                "from",
                "single key",
            ),
            (from(json!({"tag": {}})), "from", "unknown variant"),
            (from(json!({"value": "1.2"})), "from.value", "semantic version"),
            (
                tags("shop"),
                "from.tags.repository",
                "neither a folder's absolute path",
            ),
            (
                tags("--upload-pack=touch /tmp/x"),
                "from.tags.repository",
                "neither a folder's",
            ),
            (
                tags("ext::sh -c touch% /tmp/x"),
                "from.tags.repository",
                "neither a folder's",
            ),
            (
                tags("https://anna:hunter2@git.example.com/a.git"),
                "from.tags.repository",
                "from.tags.login",
            ),
            (
                from(json!({"tags": {"repository": "/a", "login": {"user": "a", "password": "b"}}})),
                "from.tags.login",
                "not for a folder",
            ),
            (
                from(json!({"tags": {"repository": "git@h:a", "login": {"user": "a", "password": "b"}}})),
                "from.tags.login",
                "ssh uses the keys",
            ),
            (
                from(json!({"file": {"path": "VERSION"}})),
                "from.file.path",
                "absolute path",
            ),
            (
                from(json!({"file": {"path": "/a", "pattern": "("}})),
                "from.file.pattern",
                "regular expression",
            ),
            (
                from(json!({"file": {"path": "/a", "pattern": "a"}})),
                "from.file.pattern",
                "one group",
            ),
            (
                scheme(json!({"semantic": {"bump": "huge"}})),
                "scheme.semantic.bump",
                "unknown variant",
            ),
            (
                scheme(json!({"semantic": {"bump": "commits"}})),
                "scheme.semantic.bump",
                "path of a folder",
            ),
            (
                scheme(json!({"semantic": {"prerelease": "r c"}})),
                "scheme.semantic.prerelease",
                "letters, digits",
            ),
            (
                scheme(json!({"semantic": {"build": ""}})),
                "scheme.semantic.build",
                "letters, digits",
            ),
            (
                scheme(json!({"semantic": {"initial": "1.0"}})),
                "scheme.semantic.initial",
                "a release such as",
            ),
            (
                scheme(json!({"calendar": {"format": "MICRO"}})),
                "scheme.calendar.format",
                "no part of a date",
            ),
            (
                scheme(json!({"calendar": {"format": ""}})),
                "scheme.calendar.format",
                "1 to 200 bytes",
            ),
            (
                scheme(json!({"calendar": {"format": "YYYY", "date": "23.11.2026"}})),
                "scheme.calendar.date",
                "2026-11-23",
            ),
            (
                scheme(json!({"template": {"format": "{x}"}})),
                "scheme.template.format",
                "none of n",
            ),
            (
                scheme(json!({"template": {"format": "{n}{YYYY}"}})),
                "scheme.template.format",
                "right beside",
            ),
            (with("prefix", json!("v ")), "prefix", "a tag cannot have"),
            (
                with("write", json!({"file": "VERSION"})),
                "write.file",
                "absolute path",
            ),
            (with("tag", json!(true)), "tag", "path of a folder"),
            (with("push", json!(true)), "push", "needs `tag`"),
        ],
    )
    .await;
}
