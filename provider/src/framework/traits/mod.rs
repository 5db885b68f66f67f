//! What a provider author writes: one [`Provider`], and one type for each [`Resource`], [`DataSource`],
//! [`EphemeralResource`], [`Function`], [`ListResource`] and [`Action`].
//!
//! The rules are the same for all of them. A handler gets a [`Context`] and typed models, and returns a value
//! or [`Diagnostics`]; `?` works on [`ValueError`](super::value::ValueError) and `Diagnostics`. An `Err`
//! means that nothing changed in the world and keeps what is stored. What changed in spite of a failure is
//! said with [`Outcome::partial`]. Warnings go through [`Context::warn`]. A panic becomes a diagnostic and
//! keeps what is stored. When [`Context::stop`] is cancelled, stop waiting and return the state that was
//! reached.
//!
//! A whole resource, as short as they get:
//!
//! ```
//! use harness_provider::framework::prelude::*;
//!
//! /// The model of the resource: one field an attribute. Computed attributes are `Field`s, as they are unknown in a plan.
//! #[derive(Debug, Clone, Serialize, Deserialize)]
//! struct Note {
//!     path: String,
//!     text: Option<String>,
//!     id: Field<String>,
//! }
//!
//! struct NoteResource;
//!
//! #[async_trait]
//! impl Resource for NoteResource {
//!     type Data = ();
//!     type Model = Note;
//!
//!     fn type_name(&self) -> &'static str {
//!         "desk_note"
//!     }
//!
//!     fn schema(&self) -> Schema {
//!         Schema::new(0)
//!             .attribute("path", Attribute::string().required().requires_replace())
//!             .attribute("text", Attribute::string())
//!             .attribute("id", Attribute::string().computed().use_state_for_unknown())
//!     }
//!
//!     async fn create(&self, _: &Context<()>, request: CreateRequest<Note>) -> Result<Outcome<Note>, Diagnostics> {
//!         let mut note = request.plan;
//!         write(&note)?;
//!         note.id = note.path.clone().into();
//!         Ok(Outcome::done(note))
//!     }
//!
//!     async fn read(&self, _: &Context<()>, request: ReadRequest<Note>) -> Result<ReadOutcome<Note>, Diagnostics> {
//!         let mut note = request.state;
//!         match std::fs::read_to_string(&note.path) {
//!             Ok(text) => {
//!                 note.text = Some(text);
//!                 Ok(ReadOutcome::present(note))
//!             }
//!             // Only what is known to be gone is gone; any other error keeps the state.
//!             Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(ReadOutcome::Gone),
//!             Err(error) => Err(Diagnostic::from_error("Note not readable", &error, "Check the file's permissions.").into()),
//!         }
//!     }
//!
//!     async fn update(&self, _: &Context<()>, request: UpdateRequest<Note>) -> Result<Outcome<Note>, Diagnostics> {
//!         write(&request.plan)?;
//!         Ok(Outcome::done(request.plan))
//!     }
//!
//!     async fn delete(&self, _: &Context<()>, request: DeleteRequest<Note>) -> Result<Outcome<Note>, Diagnostics> {
//!         std::fs::remove_file(&request.state.path)
//!             .map_err(|error| Diagnostic::from_error("Note not removed", &error, "Remove it by hand."))?;
//!         Ok(Outcome::gone())
//!     }
//! }
//!
//! fn write(note: &Note) -> Result<(), Diagnostics> {
//!     std::fs::write(&note.path, note.text.as_deref().unwrap_or_default())
//!         .map_err(|error| Diagnostic::from_error("Note not written", &error, "Check that the folder exists.").at("path").into())
//! }
//! ```

mod action;
mod context;
mod data_source;
mod ephemeral;
mod function;
mod list;
mod private;
mod provider;
mod resource;

pub use action::{Action, Progress};
pub use context::{ClientCapabilities, Configured, Context, DeferReason};
pub use data_source::{DataOutcome, DataSource};
pub use ephemeral::{EphemeralResource, Opened, Renewed};
pub use function::{Function, FunctionError, Parameter, Signature};
pub use list::{ListItem, ListRequest, ListResource, ListSink};
pub use private::{MAX_PRIVATE_BYTES, Private};
pub use provider::{ConfigureRequest, Parts, Provider};
pub use resource::{
    CreateRequest, DeleteRequest, ImportRequest, ImportTarget, Imported, MoveRequest, Outcome, ReadOutcome,
    ReadRequest, Resource, UpdateRequest, Upgrade,
};

#[cfg(doc)]
use super::diagnostics::Diagnostics;
