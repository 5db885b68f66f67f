//! Objects: attributes, blocks, and the rules between them.

use std::collections::BTreeMap;

use super::attribute::{Attribute, Nesting};
use super::rule::Rule;
use crate::framework::value::Type;

/// A set of attributes, as a schema's root, a nested attribute or a block has it.
#[derive(Debug, Clone, Default)]
pub struct Object {
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) blocks: BTreeMap<String, Block>,
    pub(crate) rules: Vec<Rule>,
}

impl Object {
    /// Without attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, attribute: Attribute) -> Self {
        self.attributes.insert(name.into(), attribute);
        self
    }

    /// Adds a block. Only roots and blocks may have blocks; nested attributes may not.
    #[must_use]
    pub fn block(mut self, name: impl Into<String>, block: Block) -> Self {
        self.blocks.insert(name.into(), block);
        self
    }

    /// Adds a rule between attributes.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// The attributes by name.
    pub fn attributes(&self) -> &BTreeMap<String, Attribute> {
        &self.attributes
    }

    /// The blocks by name.
    pub fn blocks(&self) -> &BTreeMap<String, Block> {
        &self.blocks
    }

    /// The rules between its attributes.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The type of its values.
    pub fn ty(&self) -> Type {
        let attributes = self
            .attributes
            .iter()
            .map(|(name, attribute)| (name.clone(), attribute.ty()));
        let blocks = self
            .blocks
            .iter()
            .map(|(name, block)| (name.clone(), block.nesting.holder().of(block.object.ty())));
        Type::Object(attributes.chain(blocks).collect())
    }
}

/// How many of a block there may be, and how they are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockNesting {
    /// At most one; absent is null.
    Single {
        /// Whether it must be there.
        required: bool,
    },
    /// Always one: absent is a block with nothing set.
    Group,
    /// In order. Absent is an empty list.
    List {
        /// At least this many.
        min: u32,
        /// At most this many; 0 for any number.
        max: u32,
    },
    /// Without order. Absent is an empty set.
    Set {
        /// At least this many.
        min: u32,
        /// At most this many; 0 for any number.
        max: u32,
    },
    /// By label. Absent is an empty map.
    Map,
}

impl BlockNesting {
    /// As what the blocks are held.
    pub const fn holder(self) -> Nesting {
        match self {
            Self::Single { .. } | Self::Group => Nesting::Single,
            Self::List { .. } => Nesting::List,
            Self::Set { .. } => Nesting::Set,
            Self::Map => Nesting::Map,
        }
    }
}

/// A block: `name { … }`.
#[derive(Debug, Clone)]
pub struct Block {
    pub(crate) nesting: BlockNesting,
    pub(crate) object: Object,
    pub(crate) description: String,
    pub(crate) deprecated: Option<String>,
}

impl Block {
    /// A block of this content.
    pub fn new(nesting: BlockNesting, object: Object) -> Self {
        Self {
            nesting,
            object,
            description: String::new(),
            deprecated: None,
        }
    }

    /// What it is, in Markdown.
    #[must_use]
    pub fn describe(mut self, markdown: impl Into<String>) -> Self {
        self.description = markdown.into();
        self
    }

    /// Marks it as deprecated, with what to use instead.
    #[must_use]
    pub fn deprecated(mut self, message: impl Into<String>) -> Self {
        self.deprecated = Some(message.into());
        self
    }
}
