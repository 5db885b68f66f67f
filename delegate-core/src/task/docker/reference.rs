//! What an image is called: `[HOST[:PORT]/]NAME[:TAG]`, by the rules that registries share.

use crate::task::TaskError;

/// Longest of a whole name. A repository alone may have 255.
const MAX_REFERENCE_BYTES: usize = 512;

/// Longest tag.
const MAX_TAG_BYTES: usize = 128;

/// A registry that is not named.
const DOCKER_HUB: &str = "docker.io";

const EXPECTED: &str = "is no image reference; give [HOST[:PORT]/]NAME[:TAG] with a name in lower case";

/// The name of an image, in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::task) struct Reference<'a> {
    pub(in crate::task) text: &'a str,
    /// Where it is, as logins name it.
    pub(in crate::task) registry: &'a str,
    /// The name in its registry.
    pub(in crate::task) repository: &'a str,
    /// Without: `latest`.
    pub(in crate::task) tag: Option<&'a str>,
}

impl<'a> Reference<'a> {
    /// Reads a field; one with a digest names an image that exists, and is refused.
    pub(in crate::task) fn read(field: &str, text: &'a str) -> Result<Self, TaskError> {
        let wrong = |problem: &str| Err(TaskError::data(field, problem));
        if text.contains('@') {
            return wrong("has a digest, which comes of the content; give a tag");
        }
        if text.len() > MAX_REFERENCE_BYTES {
            return wrong("is longer than any image reference may be");
        }
        let (registry, rest) = match text.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest),
            _ => (DOCKER_HUB, text),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let named = repository.split('/').all(is_component);
        if !named || !tag.is_none_or(is_tag) || !is_registry(registry) {
            return wrong(EXPECTED);
        }
        Ok(Self {
            text,
            registry,
            repository,
            tag,
        })
    }

    /// All of it but the tag.
    pub(in crate::task) fn name(&self) -> &'a str {
        let tag = self.tag.map_or(0, |tag| tag.len() + 1);
        &self.text[..self.text.len() - tag]
    }
}

/// Whether what stands before the first slash is a host: as in every client, by its dot, its port, or its name.
fn is_host(text: &str) -> bool {
    text.contains(['.', ':']) || text == "localhost"
}

/// Whether it is a host with or without a port, and not more than that.
pub(in crate::task) fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = label.as_bytes();
        let within = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(within)
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Lower-case letters and digits, with single separators (`.`, `_`, `__`, hyphens) between them.
fn is_component(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii() && letter(c as u8));
    let mut count = 0;
    let fit = separators
        .inspect(|_| count += 1)
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'));
    let ends = |byte: Option<u8>| byte.is_some_and(letter);
    fit && count > 1 && ends(text.bytes().next()) && ends(text.bytes().last())
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= MAX_TAG_BYTES
        && text.bytes().next().is_some_and(word)
        && text
            .bytes()
            .all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_in_its_parts() {
        for (text, registry, repository, tag) in [
            ("app", DOCKER_HUB, "app", None),
            ("team/app:1.2-rc.1", DOCKER_HUB, "team/app", Some("1.2-rc.1")),
            ("localhost/app", "localhost", "app", None),
            // Without a slash, what stands before the colon is a name.
            ("h.com:5000", DOCKER_HUB, "h.com", Some("5000")),
            (
                "127.0.0.1:5000/team/app:v1",
                "127.0.0.1:5000",
                "team/app",
                Some("v1"),
            ),
            (
                "r.example.com/a__b/c-d--e.f",
                "r.example.com",
                "a__b/c-d--e.f",
                None,
            ),
        ] {
            let reference = Reference::read("f", text).unwrap();
            let parts = (reference.registry, reference.repository, reference.tag);
            assert_eq!(parts, (registry, repository, tag), "{text}");
            assert_eq!(
                text.strip_prefix(reference.name()).unwrap().len(),
                tag.map_or(0, |tag| tag.len() + 1)
            );
        }
    }

    #[test]
    fn what_no_registry_takes_is_no_reference() {
        for text in [
            "",
            "-app",
            "App",
            "a//b",
            "a/",
            "/a",
            "a..b",
            "a___b",
            "a:",
            "a:-1",
            "a b",
            "a\n",
            "ä",
            "h:0/a",
            "h:x/a",
            "-h.com/a",
            "https://h.com/a",
            "a:b:c",
            ".a",
            "a-",
        ] {
            assert!(Reference::read("f", text).is_err(), "{text:?}");
        }
        let digest = Reference::read("f", "a@sha256:00").unwrap_err().to_string();
        assert!(digest.contains("digest"), "{digest}");
    }
}
