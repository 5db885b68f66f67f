//! Where in a value: the path that diagnostics, replacements and conversion errors name.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// An attribute or block of an object.
    Attribute(String),
    /// An element of a list or tuple, from 0.
    Index(usize),
    /// An element of a map.
    Key(String),
    /// An element of a set. Sets have no addresses, so on the wire the path ends before this step.
    Element,
}

/// A path from the root of a resource's configuration. Empty means the whole.
///
/// ```
/// # use harness_provider::framework::value::AttributePath;
/// let path = AttributePath::from("helm.values").key("image").index(0);
/// assert_eq!(path.to_string(), r#"helm.values["image"][0]"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AttributePath(Vec<Step>);

impl AttributePath {
    /// The whole value.
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// The steps, outermost first.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this is the whole value.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path and one more step.
    #[must_use]
    pub fn step(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    /// The attribute `name` of the object here.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Self {
        self.step(Step::Attribute(name.to_owned()))
    }

    /// The element `index` of the list here.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Step::Index(index))
    }

    /// The element `key` of the map here.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.step(Step::Key(key.to_owned()))
    }

    /// `rest` taken from here.
    #[must_use]
    pub fn join(&self, rest: &Self) -> Self {
        Self(self.0.iter().chain(&rest.0).cloned().collect())
    }

    /// Puts one step in front: how an error finds its path while it travels outwards.
    pub(crate) fn prepend(&mut self, step: Step) {
        self.0.insert(0, step);
    }

    /// The part a host can address: everything before the first set element.
    #[must_use]
    pub fn addressable(&self) -> Self {
        Self(
            self.0
                .iter()
                .take_while(|step| **step != Step::Element)
                .cloned()
                .collect(),
        )
    }
}

impl From<Vec<Step>> for AttributePath {
    fn from(steps: Vec<Step>) -> Self {
        Self(steps)
    }
}

/// Attribute names joined by dots; the empty text is the root.
impl From<&str> for AttributePath {
    fn from(dotted: &str) -> Self {
        Self(
            dotted
                .split('.')
                .filter(|name| !name.is_empty())
                .map(|name| Step::Attribute(name.to_owned()))
                .collect(),
        )
    }
}

impl From<&Self> for AttributePath {
    fn from(path: &Self) -> Self {
        path.clone()
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Attribute(name) if position == 0 => f.write_str(name)?,
                Step::Attribute(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => write!(f, "[{key:?}]")?,
                Step::Element => f.write_str("[…]")?,
            }
        }
        Ok(())
    }
}
