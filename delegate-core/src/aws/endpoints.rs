//! Where services are.

use std::collections::BTreeMap;

use url::Url;

use super::Service;
use crate::protocol::call::CallError;

/// Addresses to use instead of AWS's own.
#[derive(Debug, Default, Clone)]
pub(crate) struct Endpoints {
    all: Option<Url>,
    /// By [`Service::variable`].
    each: BTreeMap<String, Url>,
}

impl Endpoints {
    /// The variables of AWS's own programs: `AWS_ENDPOINT_URL`, and `AWS_ENDPOINT_URL_…` of a service.
    pub(crate) fn of_variables<'v>(
        variables: impl IntoIterator<Item = (&'v str, &'v str)>,
    ) -> Result<Self, CallError> {
        let mut endpoints = Self::default();
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix("AWS_ENDPOINT_URL") else {
                continue;
            };
            let url = value.parse::<Url>().ok().filter(is_usable).ok_or_else(|| {
                CallError(format!(
                    "the variable {name} of this delegate is no address; expected https://host[:port]"
                ))
            })?;
            match rest.strip_prefix('_') {
                Some(service) => drop(endpoints.each.insert(service.to_owned(), url)),
                None if rest.is_empty() => endpoints.all = Some(url),
                None => {}
            }
        }
        Ok(endpoints)
    }

    /// The same, with another address of one service.
    #[must_use]
    pub(crate) fn with(mut self, service: &Service, url: Option<Url>) -> Self {
        self.each
            .extend(url.map(|url| (service.variable.to_owned(), url)));
        self
    }

    /// One address for everything.
    pub(crate) fn everything_at(url: Url) -> Self {
        Self {
            all: Some(url),
            each: BTreeMap::new(),
        }
    }

    pub(super) fn of(&self, service: &Service, region: &str) -> Result<Url, CallError> {
        if let Some(url) = self.each.get(service.variable).or(self.all.as_ref()) {
            return Ok(url.clone());
        }
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        format!("https://{}.{region}.{domain}/", service.host)
            .parse()
            .map_err(|_| CallError(format!("`{region}` is no region")))
    }
}

/// Whether a service can be there.
pub(crate) fn is_usable(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
}

/// Whether it has the letters of a region: it becomes part of a host's name.
pub(crate) fn is_region(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::{ECR, ECS, STS};
    use super::*;

    #[test]
    fn a_service_is_where_its_variable_says_or_that_of_all_or_aws() {
        let variables = [
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:1/"),
            ("AWS_ENDPOINT_URL_ECS", "http://127.0.0.1:2/"),
        ];
        let some = Endpoints::of_variables(variables).unwrap();
        let none = Endpoints::of_variables([("PATH", "/bin")]).unwrap();
        let at = |endpoints: &Endpoints, service, region| endpoints.of(service, region).unwrap().to_string();
        assert_eq!(at(&some, &ECS, "eu-west-1"), "http://127.0.0.1:2/");
        assert_eq!(at(&some, &STS, "eu-west-1"), "http://127.0.0.1:1/");
        assert_eq!(
            at(&none, &ECR, "eu-west-1"),
            "https://api.ecr.eu-west-1.amazonaws.com/"
        );
        assert_eq!(
            at(&none, &ECS, "cn-north-1"),
            "https://ecs.cn-north-1.amazonaws.com.cn/"
        );
        for bad in ["moto", "ftp://h/", "http://user:password@h/"] {
            let error = Endpoints::of_variables([("AWS_ENDPOINT_URL_STS", bad)]).unwrap_err();
            assert!(error.0.contains("AWS_ENDPOINT_URL_STS") && !error.0.contains("password"));
        }
        assert!(is_region("eu-central-1") && !is_region("x.evil/") && !is_region(""));
    }
}
