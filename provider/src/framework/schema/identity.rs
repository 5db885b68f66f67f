//! Identity: what names an object in the outside world for its whole life.

use std::collections::BTreeMap;

use crate::framework::value::Type;
use crate::plugin::proto::tfplugin6 as pb;

/// The schema of a resource's identity: one level of primitives or lists of primitives.
#[derive(Debug, Clone, Default)]
pub struct IdentitySchema {
    pub(crate) version: i64,
    pub(crate) attributes: BTreeMap<String, IdentityAttribute>,
}

/// One attribute of an identity.
#[derive(Debug, Clone)]
pub struct IdentityAttribute {
    /// The type of its values.
    pub ty: Type,
    /// Whether an import by identity must name it.
    pub required: bool,
    /// What it is, in Markdown.
    pub description: String,
}

impl IdentitySchema {
    /// Without attributes.
    pub fn new(version: i64) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }

    /// An attribute that an import by identity must name.
    #[must_use]
    pub fn required(self, name: &str, ty: Type, description: &str) -> Self {
        self.attribute(name, ty, true, description)
    }

    /// An attribute that an import by identity may leave out.
    #[must_use]
    pub fn optional(self, name: &str, ty: Type, description: &str) -> Self {
        self.attribute(name, ty, false, description)
    }

    fn attribute(mut self, name: &str, ty: Type, required: bool, description: &str) -> Self {
        self.attributes.insert(
            name.to_owned(),
            IdentityAttribute {
                ty,
                required,
                description: description.to_owned(),
            },
        );
        self
    }

    /// The attributes by name.
    pub fn attributes(&self) -> &BTreeMap<String, IdentityAttribute> {
        &self.attributes
    }

    /// The type of identities.
    pub fn ty(&self) -> Type {
        Type::object(
            self.attributes
                .iter()
                .map(|(name, attribute)| (name.clone(), attribute.ty.clone())),
        )
    }

    /// What breaks Terraform's rules for identities.
    pub fn check(&self, name: &str) -> Vec<String> {
        let primitive = |ty: &Type| matches!(ty, Type::Bool | Type::Number | Type::String);
        let fits = |ty: &Type| primitive(ty) || matches!(ty, Type::List(element) if primitive(element));
        let mut faults: Vec<String> = self
            .attributes
            .iter()
            .filter(|(_, attribute)| !fits(&attribute.ty))
            .map(|(attribute, _)| {
                format!("{name}: identity attribute {attribute} must be a primitive or a list of primitives")
            })
            .collect();
        if self.attributes.is_empty() {
            faults.push(format!("{name}: the identity has no attributes"));
        }
        faults
    }

    pub(crate) fn to_wire(&self) -> pb::ResourceIdentitySchema {
        let attribute = |(name, attribute): (&String, &IdentityAttribute)| {
            pb::resource_identity_schema::IdentityAttribute {
                name: name.clone(),
                r#type: super::type_json(&attribute.ty),
                required_for_import: attribute.required,
                optional_for_import: !attribute.required,
                description: attribute.description.clone(),
            }
        };
        pb::ResourceIdentitySchema {
            version: self.version,
            identity_attributes: self.attributes.iter().map(attribute).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_one_level_of_primitives() {
        let good = IdentitySchema::new(0)
            .required("name", Type::String, "")
            .optional("ids", Type::list(Type::Number), "");
        assert!(good.check("thing").is_empty());
        let bad = IdentitySchema::new(0).required("map", Type::map(Type::String), "");
        assert_eq!(
            bad.check("thing"),
            ["thing: identity attribute map must be a primitive or a list of primitives"]
        );
        assert_eq!(IdentitySchema::new(0).check("thing").len(), 1);
    }
}
