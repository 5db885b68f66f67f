//! Schemas as Terraform receives them.

use bytes::Bytes;

use super::{Attribute, Block, BlockNesting, Kind, Mode, Nesting, Object, Schema};
use crate::framework::value::Type;
use crate::plugin::proto::tfplugin6 as pb;

/// All descriptions are Markdown.
pub(crate) fn markdown() -> i32 {
    pb::StringKind::Markdown.into()
}

/// The type as the bytes that schemas carry.
pub(crate) fn type_json(ty: &Type) -> Bytes {
    ty.to_json().to_string().into()
}

impl Schema {
    /// The message for this schema.
    pub fn to_wire(&self) -> pb::Schema {
        let block = block(&self.root, &self.description, self.deprecated.as_deref());
        pb::Schema {
            version: self.version,
            block: Some(block),
        }
    }
}

fn block(object: &Object, description: &str, deprecated: Option<&str>) -> pb::schema::Block {
    pb::schema::Block {
        version: 0,
        attributes: object
            .attributes
            .iter()
            .map(|(name, schema)| attribute(name, schema))
            .collect(),
        block_types: object
            .blocks
            .iter()
            .map(|(name, block)| nested_block(name, block))
            .collect(),
        description: description.to_owned(),
        description_kind: markdown(),
        deprecated: deprecated.is_some(),
        deprecation_message: deprecated.unwrap_or_default().to_owned(),
        computed: false,
    }
}

fn attribute(name: &str, schema: &Attribute) -> pb::schema::Attribute {
    // Either a type or a nested type: Terraform refuses a provider that sends both.
    let (ty, nested) = match &schema.kind {
        Kind::Plain(ty) => (type_json(ty), None),
        Kind::Nested(nesting, object) => (Bytes::new(), Some(nested_object(*nesting, object))),
    };
    pb::schema::Attribute {
        name: name.to_owned(),
        r#type: ty,
        description: schema.description.clone(),
        required: schema.mode == Mode::Required,
        optional: matches!(schema.mode, Mode::Optional | Mode::OptionalComputed),
        computed: schema.mode.is_computed(),
        sensitive: schema.sensitive,
        description_kind: markdown(),
        deprecated: schema.deprecated.is_some(),
        nested_type: nested,
        write_only: schema.write_only,
        deprecation_message: schema.deprecated.clone().unwrap_or_default(),
    }
}

fn nested_object(nesting: Nesting, object: &Object) -> pb::schema::Object {
    use pb::schema::object::NestingMode;
    let nesting = match nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
        Nesting::Set => NestingMode::Set,
        Nesting::Map => NestingMode::Map,
    };
    pb::schema::Object {
        attributes: object
            .attributes
            .iter()
            .map(|(name, schema)| attribute(name, schema))
            .collect(),
        nesting: nesting.into(),
        ..pb::schema::Object::default()
    }
}

fn nested_block(name: &str, schema: &Block) -> pb::schema::NestedBlock {
    use pb::schema::nested_block::NestingMode;
    let (nesting, min, max) = match schema.nesting {
        BlockNesting::Single { required: false } => (NestingMode::Single, 0, 0),
        BlockNesting::Single { required: true } => (NestingMode::Single, 1, 1),
        BlockNesting::Group => (NestingMode::Group, 0, 0),
        BlockNesting::List { min, max } => (NestingMode::List, min, max),
        BlockNesting::Set { min, max } => (NestingMode::Set, min, max),
        BlockNesting::Map => (NestingMode::Map, 0, 0),
    };
    pb::schema::NestedBlock {
        type_name: name.to_owned(),
        block: Some(block(
            &schema.object,
            &schema.description,
            schema.deprecated.as_deref(),
        )),
        nesting: nesting.into(),
        min_items: min.into(),
        max_items: max.into(),
    }
}
