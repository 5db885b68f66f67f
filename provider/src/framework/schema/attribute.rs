//! One attribute and how it behaves.

use super::object::Object;
use super::validator::Validator;
use crate::framework::value::{Type, Value};

/// Who sets the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The user, always.
    Required,
    /// The user, or nobody.
    Optional,
    /// The user, else the provider.
    OptionalComputed,
    /// The provider.
    Computed,
}

impl Mode {
    /// Whether the provider may set it.
    pub const fn is_computed(self) -> bool {
        matches!(self, Self::OptionalComputed | Self::Computed)
    }

    /// Whether the user may set it.
    pub const fn is_configurable(self) -> bool {
        !matches!(self, Self::Computed)
    }
}

/// How nested attribute objects are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// One object.
    Single,
    /// In order.
    List,
    /// Without order.
    Set,
    /// By key.
    Map,
}

/// What an attribute holds.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A value of a type.
    Plain(Type),
    /// Objects whose attributes have their own modes and rules.
    Nested(Nesting, Object),
}

/// What a change looks like to a modifier.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What the user wrote; null if nothing.
    pub config: &'a Value,
    /// What is stored.
    pub prior: &'a Value,
    /// What is planned; may be unknown.
    pub planned: &'a Value,
}

/// What a plan does with an attribute.
#[derive(Debug, Clone, Copy)]
pub enum Modifier {
    /// A changed value replaces the whole resource.
    RequiresReplace,
    /// A changed value replaces the whole resource if this says so.
    RequiresReplaceIf(fn(Change<'_>) -> bool),
    /// A value the provider set once stays: without it every change of anything shows it as "known after
    /// apply".
    UseStateForUnknown,
}

/// One attribute of a schema. Optional unless said otherwise.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub(crate) kind: Kind,
    pub(crate) mode: Mode,
    pub(crate) sensitive: bool,
    pub(crate) write_only: bool,
    pub(crate) description: String,
    pub(crate) deprecated: Option<String>,
    pub(crate) default: Option<Value>,
    pub(crate) modifiers: Vec<Modifier>,
    pub(crate) validators: Vec<Validator>,
}

impl Attribute {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            mode: Mode::Optional,
            sensitive: false,
            write_only: false,
            description: String::new(),
            deprecated: None,
            default: None,
            modifiers: Vec::new(),
            validators: Vec::new(),
        }
    }

    /// Of any plain type.
    pub fn of(ty: Type) -> Self {
        Self::new(Kind::Plain(ty))
    }

    /// Text.
    pub fn string() -> Self {
        Self::of(Type::String)
    }

    /// A number.
    pub fn number() -> Self {
        Self::of(Type::Number)
    }

    /// `true` or `false`.
    pub fn bool() -> Self {
        Self::of(Type::Bool)
    }

    /// A value of any type.
    pub fn dynamic() -> Self {
        Self::of(Type::Dynamic)
    }

    /// A list of plain values.
    pub fn list(element: Type) -> Self {
        Self::of(Type::list(element))
    }

    /// A set of plain values.
    pub fn set(element: Type) -> Self {
        Self::of(Type::set(element))
    }

    /// A map of plain values.
    pub fn map(element: Type) -> Self {
        Self::of(Type::map(element))
    }

    /// One nested object: `name = { … }`.
    pub fn object(object: Object) -> Self {
        Self::new(Kind::Nested(Nesting::Single, object))
    }

    /// A list of nested objects.
    pub fn object_list(object: Object) -> Self {
        Self::new(Kind::Nested(Nesting::List, object))
    }

    /// A set of nested objects.
    pub fn object_set(object: Object) -> Self {
        Self::new(Kind::Nested(Nesting::Set, object))
    }

    /// A map of nested objects.
    pub fn object_map(object: Object) -> Self {
        Self::new(Kind::Nested(Nesting::Map, object))
    }

    /// The user must set it.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.mode = Mode::Required;
        self
    }

    /// The user may set it. What an attribute is unless said otherwise.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.mode = Mode::Optional;
        self
    }

    /// Only the provider sets it.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.mode = Mode::Computed;
        self
    }

    /// The user may set it, else the provider does.
    #[must_use]
    pub fn optional_computed(mut self) -> Self {
        self.mode = Mode::OptionalComputed;
        self
    }

    /// Terraform hides the value in its output. It is still in the state, in clear text.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// The value is in the configuration only, never in a plan or a state.
    #[must_use]
    pub fn write_only(mut self) -> Self {
        self.write_only = true;
        self
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

    /// The value when the user sets none. Makes it optional and computed, because Terraform lets a provider
    /// fill in nothing else.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self.mode = Mode::OptionalComputed;
        self
    }

    /// See [`Modifier::RequiresReplace`].
    #[must_use]
    pub fn requires_replace(self) -> Self {
        self.modifier(Modifier::RequiresReplace)
    }

    /// See [`Modifier::RequiresReplaceIf`].
    #[must_use]
    pub fn requires_replace_if(self, condition: fn(Change<'_>) -> bool) -> Self {
        self.modifier(Modifier::RequiresReplaceIf(condition))
    }

    /// See [`Modifier::UseStateForUnknown`].
    #[must_use]
    pub fn use_state_for_unknown(self) -> Self {
        self.modifier(Modifier::UseStateForUnknown)
    }

    fn modifier(mut self, modifier: Modifier) -> Self {
        self.modifiers.push(modifier);
        self
    }

    /// Adds a check of the configured value. It is asked only about known values.
    #[must_use]
    pub fn validate(mut self, validator: Validator) -> Self {
        self.validators.push(validator);
        self
    }

    /// Who sets it.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What it holds.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What it is, in Markdown.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The value when the user sets none.
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Whether Terraform hides the value.
    pub fn is_sensitive(&self) -> bool {
        self.sensitive
    }

    /// Whether the value is in the configuration only.
    pub fn is_write_only(&self) -> bool {
        self.write_only
    }

    /// The checks of its configured value.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// Whether a change of it alone replaces the resource, always.
    pub fn replaces(&self) -> bool {
        self.modifiers
            .iter()
            .any(|modifier| matches!(modifier, Modifier::RequiresReplace))
    }

    /// What to use instead, if it is deprecated.
    pub fn deprecation(&self) -> Option<&str> {
        self.deprecated.as_deref()
    }

    /// The type of its values.
    pub fn ty(&self) -> Type {
        match &self.kind {
            Kind::Plain(ty) => ty.clone(),
            Kind::Nested(nesting, object) => nesting.of(object.ty()),
        }
    }
}

impl Nesting {
    /// The type of objects of type `object` so held.
    pub fn of(self, object: Type) -> Type {
        match self {
            Self::Single => object,
            Self::List => Type::list(object),
            Self::Set => Type::set(object),
            Self::Map => Type::map(object),
        }
    }
}
