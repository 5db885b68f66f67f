//! Schemas as data: what an object consists of, what Terraform is told of it, and the rules the plan engine
//! and validation follow.
//!
//! ```
//! use harness_provider::framework::schema::{Attribute, Object, Rule, Schema, Validator};
//!
//! let schema = Schema::new(0)
//!     .describe("A place to keep things.")
//!     .attribute("name", Attribute::string().required().requires_replace().validate(Validator::length(1, 63)))
//!     .attribute("size", Attribute::number().default(1))
//!     .attribute("disk", Attribute::object(Object::new().attribute("path", Attribute::string().required())))
//!     .attribute("memory", Attribute::object(Object::new()))
//!     .attribute("id", Attribute::string().computed().use_state_for_unknown())
//!     .rule(Rule::exactly_one_of(["disk", "memory"]));
//! assert!(schema.check("shelf").is_empty());
//! ```

mod attribute;
mod check;
mod identity;
mod object;
mod rule;
mod validate;
mod validator;
mod wire;

pub use attribute::{Attribute, Change, Kind, Mode, Modifier, Nesting};
pub use check::check_wire;
pub use identity::{IdentityAttribute, IdentitySchema};
pub use object::{Block, BlockNesting, Object};
pub use rule::Rule;
pub use validator::Validator;
pub(crate) use wire::{markdown, type_json};

use super::value::Type;

/// The schema of a resource, a data source, the provider or any other configured thing.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    pub(crate) version: i64,
    pub(crate) root: Object,
    pub(crate) description: String,
    pub(crate) deprecated: Option<String>,
}

impl Schema {
    /// An empty schema. The version rises when stored state of the one before cannot be read as it is; then
    /// the resource names an upgrade.
    pub fn new(version: i64) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }

    /// What the thing is, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.description = markdown.into();
        self
    }

    /// Marks the whole as deprecated, with what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecated = Some(message.into());
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, attribute: Attribute) -> Self {
        self.root = self.root.attribute(name, attribute);
        self
    }

    /// Adds a block. New schemas use nested attributes instead; blocks are for what already had them.
    #[must_use]
    pub fn block(mut self, name: impl Into<String>, block: Block) -> Self {
        self.root = self.root.block(name, block);
        self
    }

    /// Adds a rule between attributes.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.root = self.root.rule(rule);
        self
    }

    /// The version.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Attributes, blocks and rules.
    pub fn root(&self) -> &Object {
        &self.root
    }

    /// What the thing is, in Markdown.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The type of its values.
    pub fn ty(&self) -> Type {
        self.root.ty()
    }
}
