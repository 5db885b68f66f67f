//! What every test starts from: a manager, a folder with a provider block, and a key in the environment.

use reqwest::Method;
use serde_json::Value as Json;

use crate::manager::{Manager, unique};
use crate::terraform::Terraform;

/// The program Terraform starts.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_terraform-provider-harness");

pub(crate) const SOURCE: &str = "terraform.local/harness/harness";

/// Address of the one token.
pub(crate) const TOKEN: &str = "harness_delegate_token.this";

pub(crate) struct Case {
    pub(crate) terraform: Terraform,
    pub(crate) manager: Manager,
    /// A name for the token of this test.
    pub(crate) name: String,
}

impl Case {
    /// Gives nothing when there is no Terraform.
    pub(crate) async fn new(stem: &str) -> Option<Self> {
        let terraform = Terraform::here().await?.installed(SOURCE, PROGRAM.as_ref());
        let manager = Manager::start().await;
        let terraform = terraform.env("HARNESS_PLATFORM_API_KEY", &manager.api_key);
        Some(Self {
            terraform,
            manager,
            name: unique(stem),
        })
    }

    /// Writes a configuration for this manager.
    pub(crate) fn write(&self, text: &str) {
        let (url, account) = (&self.manager.url, &self.manager.account);
        self.terraform
            .write("main.tf", &format!("{}{text}", provider(url, account)));
    }

    /// Writes a configuration of one token with these further arguments.
    pub(crate) fn token(&self, arguments: &str) {
        self.write(&token(&self.name, arguments));
    }

    /// An attribute of the token in the state.
    pub(crate) async fn attribute(&self, name: &str) -> Json {
        self.terraform.state().await.attribute(TOKEN, name).clone()
    }

    /// The token as the manager has it; null when there is none.
    pub(crate) async fn known(&self) -> Json {
        let reply = self.platform(Method::GET, &[("name", &self.name)]).await;
        reply["resource"][0].clone()
    }

    /// Somebody else revokes the token.
    pub(crate) async fn revoke_outside(&self) {
        let reply = self.platform(Method::PUT, &[("tokenName", &self.name)]).await;
        assert_eq!(reply["resource"]["status"], "REVOKED", "{reply}");
    }

    /// Somebody else removes the token.
    pub(crate) async fn remove_outside(&self) {
        self.revoke_outside().await;
        self.platform(Method::DELETE, &[("tokenName", &self.name)]).await;
        assert_eq!(self.known().await, Json::Null);
    }

    async fn platform(&self, method: Method, query: &[(&str, &str)]) -> Json {
        let client = delegate_core::protocol::http::Http::default();
        let url: reqwest::Url = format!("{}/ng/api/delegate-token-ng", self.manager.url)
            .parse()
            .expect("an address");
        let client = client.for_url(&url).expect("a client");
        let request = client
            .request(method, url)
            .query(&[("accountIdentifier", self.manager.account.as_str())])
            .query(query)
            .header("x-api-key", &self.manager.api_key);
        let reply = request.send().await.expect("an answer");
        reply.json().await.expect("JSON")
    }
}

/// A provider block without a key.
pub(crate) fn provider(url: &str, account: &str) -> String {
    format!("provider \"harness\" {{\n  endpoint   = \"{url}\"\n  account_id = \"{account}\"\n}}\n")
}

/// A resource `harness_delegate_token.this`.
pub(crate) fn token(name: &str, arguments: &str) -> String {
    format!("resource \"harness_delegate_token\" \"this\" {{\n  name = \"{name}\"\n  {arguments}\n}}\n")
}

/// How often a text has another in it.
pub(crate) fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}
