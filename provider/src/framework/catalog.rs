//! What a provider offers, as data: for its documentation and for other tools. Nothing is configured and nothing is
//! contacted; it cannot fail.

use super::schema::{IdentitySchema, Schema};
use super::traits::{Parts, Provider, Signature};

/// A provider's block and its parts, each kind in the order of registration.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// The schema of the provider block.
    pub provider: Schema,
    /// Everything else.
    pub parts: Vec<Part>,
}

/// One part of a provider.
#[derive(Debug, Clone)]
pub struct Part {
    /// The full type name, with the provider's prefix; the plain name of a function.
    pub name: &'static str,
    /// What it is.
    pub content: Content,
}

/// What a part is, with all that is known of it before it is used.
#[derive(Debug, Clone)]
pub enum Content {
    /// A managed resource and, if it has one, its identity.
    Resource(Schema, Option<IdentitySchema>),
    /// A data source.
    DataSource(Schema),
    /// An ephemeral resource.
    EphemeralResource(Schema),
    /// The listing of a resource.
    ListResource(Schema),
    /// An action.
    Action(Schema),
    /// A function.
    Function(Signature),
}

impl Catalog {
    /// Asks `provider` for everything it has.
    pub fn of<P: Provider>(provider: &P) -> Self {
        let mut all = Parts::new();
        provider.register(&mut all);
        let mut parts = Vec::new();
        let mut add = |name, content| parts.push(Part { name, content });
        for entry in &all.resources {
            let identity = entry.handler.identity_schema();
            add(entry.name, Content::Resource(entry.schema().clone(), identity));
        }
        for entry in &all.data_sources {
            add(entry.name, Content::DataSource(entry.schema().clone()));
        }
        for entry in &all.ephemeral {
            add(entry.name, Content::EphemeralResource(entry.schema().clone()));
        }
        for entry in &all.lists {
            add(entry.name, Content::ListResource(entry.schema().clone()));
        }
        for entry in &all.actions {
            add(entry.name, Content::Action(entry.schema().clone()));
        }
        for function in &all.functions {
            add(function.name(), Content::Function(function.signature()));
        }
        Self {
            provider: provider.schema(),
            parts,
        }
    }
}
