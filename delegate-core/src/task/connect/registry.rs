//! A registry of images and charts: whether it takes a login, by the way that clients of the OCI distribution go.
//!
//! The registry is asked without a login first. It says then whether it wants the login itself, or a token of a service that it
//! names, where the login is shown.

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ANYBODY, Found, Meeting, Target};
use crate::Secret;
use crate::protocol::call::{Call, Reply};
use crate::protocol::http::shown;
use crate::task::ask::{ask, check_address, expect_success};
use crate::task::login::{Basic, bearer};
use crate::task::refusal::{Met, Refusal, Stage};
use crate::task::{TaskContext, TaskError};

// Its description is that of the field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageRegistry {
    /// Address: `https://HOST[:PORT]`.
    url: String,
    /// Login by name and password. Default: what everybody may do.
    basic: Option<Basic>,
}

/// How a registry lets people in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Admission {
    /// Everybody.
    None,
    /// By the login itself.
    Basic,
    /// By a token of a service that it names.
    Token,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RegistryFound {
    /// The registry.
    url: String,
    /// How it lets people in.
    admission: Admission,
}

#[async_trait]
impl Target for ImageRegistry {
    fn secrets(&self) -> Vec<Secret> {
        self.basic.iter().map(|basic| basic.password.clone()).collect()
    }

    fn check(&self, field: &str) -> Result<(), TaskError> {
        let url = check_address(&format!("{field}.url"), &self.url)?;
        if url.path() != "/" {
            return Err(TaskError::data(
                format!("{field}.url"),
                "has a path; a registry has none: expected https://HOST[:PORT]",
            ));
        }
        match &self.basic {
            Some(basic) => basic.header(&format!("{field}.basic")).map(drop),
            None => Ok(()),
        }
    }

    async fn meet(&self, field: &str, context: &TaskContext) -> Met<Meeting> {
        let mut url = check_address(field, &self.url)?;
        url.set_path("/v2/");
        let http = &context.http;
        let basic = self.basic.as_ref().map(|basic| basic.header(field)).transpose()?;
        let remedy = match &self.basic {
            Some(_) => format!("check `{field}.basic`"),
            None => format!("the registry wants a login; give `{field}.basic`"),
        };
        let first = ask(http, Call::new(Method::GET, url.clone())).await?;
        let admission = if first.status == StatusCode::UNAUTHORIZED {
            let challenge = challenge(&first).ok_or_else(|| {
                Refusal::new(
                    Stage::Answer,
                    &format!("{} wants a login, and none by name or token", shown(&url)),
                )
            })?;
            let authorization = match &challenge {
                Challenge::Basic => basic.clone(),
                Challenge::Token { realm, service } => {
                    if url.scheme() == "https" && realm.scheme() != "https" {
                        let said = format!("it sends the login to {}, in the clear", shown(realm));
                        return Err(Refusal::new(Stage::Answer, &said).into());
                    }
                    let token = self.token(realm, service.as_deref(), basic.as_ref(), context, &remedy);
                    Some(bearer(field, &token.await?)?)
                }
            };
            let call = with(Call::new(Method::GET, url.clone()), authorization.as_ref())?;
            expect_success(ask(http, call).await?, &shown(&url), &remedy)?;
            match challenge {
                Challenge::Basic => Admission::Basic,
                Challenge::Token { .. } => Admission::Token,
            }
        } else {
            expect_success(first, &shown(&url), &remedy)?;
            Admission::None
        };
        let user = self.basic.as_ref().filter(|_| admission != Admission::None);
        Ok(Meeting {
            identity: user.map_or_else(|| ANYBODY.to_owned(), |basic| basic.user.clone()),
            found: Found::Registry(RegistryFound {
                url: self.url.clone(),
                admission,
            }),
        })
    }
}

impl ImageRegistry {
    /// What the service that the registry names gives for the login.
    async fn token(
        &self,
        realm: &Url,
        service: Option<&str>,
        basic: Option<&HeaderValue>,
        context: &TaskContext,
        remedy: &str,
    ) -> Met<Secret> {
        let mut from = realm.clone();
        if let Some(service) = service {
            from.query_pairs_mut().append_pair("service", service);
        }
        if let Some(basic) = &self.basic {
            from.query_pairs_mut().append_pair("account", &basic.user);
        }
        let call = with(Call::new(Method::GET, from.clone()), basic)?;
        let reply = expect_success(ask(&context.http, call).await?, &shown(&from), remedy)?;
        let json = reply.json();
        let token = json["token"].as_str().or_else(|| json["access_token"].as_str());
        let none = || Refusal::new(Stage::Answer, &format!("{} gives no token", shown(&from)));
        let token = Secret::new(token.ok_or_else(none)?);
        context.secrets.mask([token.clone()]);
        Ok(token)
    }
}

/// With a login, where there is one.
fn with(call: Call, authorization: Option<&HeaderValue>) -> Met<Call> {
    let Some(value) = authorization.and_then(|value| value.to_str().ok()) else {
        return Ok(call);
    };
    let call = call.header("authorization", value);
    Ok(call.map_err(|error| Refusal::new(Stage::Login, &error.to_string()))?)
}

/// What a registry wants.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Token { realm: Url, service: Option<String> },
}

/// The best of what the answer asks for.
fn challenge(reply: &Reply) -> Option<Challenge> {
    let all = reply.headers.get_all(http::header::WWW_AUTHENTICATE);
    let read: Vec<Challenge> = all
        .iter()
        .filter_map(|value| read(value.to_str().ok()?))
        .collect();
    let token = |challenge: &Challenge| matches!(challenge, Challenge::Token { .. });
    let at = read.iter().position(token).unwrap_or_default();
    read.into_iter().nth(at)
}

fn read(text: &str) -> Option<Challenge> {
    let (scheme, parameters) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let value = |name: &str| {
        let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value)
    };
    Some(Challenge::Token {
        realm: value("realm")?.parse().ok()?,
        service: value("service").map(str::to_owned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_wants_is_read() {
        assert_eq!(read("Basic realm=\"x\""), Some(Challenge::Basic));
        let wanted = Challenge::Token {
            realm: "https://auth.example.com/token".parse().unwrap(),
            service: Some("registry.example.com".to_owned()),
        };
        let text =
            "Bearer realm=\"https://auth.example.com/token\",service=\"registry.example.com\",scope=\"\"";
        assert_eq!(read(text), Some(wanted));
        for text in [
            "",
            "Negotiate",
            "Bearer",
            "Bearer realm=\"no address\"",
            "Bearer realm=\"x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
