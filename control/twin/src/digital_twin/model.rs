//! Models: what an interface holds, with all that it extends.
//! - Source: DTDL, Interface and its contents.
//! - Invariants: names are unique in a model; a component's model has no components of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::dtmi::Dtmi;
use super::error::Problems;
use super::parse;
use super::schema::{Field, Schema};

/// Versions of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtdlVersion {
    /// `dtmi:dtdl:context;2`
    V2,
    /// `dtmi:dtdl:context;3`
    V3,
}

/// An interface.
#[derive(Debug, Clone)]
pub struct Model {
    pub(crate) id: Dtmi,
    pub(crate) version: DtdlVersion,
    pub(crate) display_name: Option<String>,
    pub(crate) extends: Vec<Dtmi>,
    /// How many interfaces are extended in a row below this one.
    pub(crate) depth: usize,
    pub(crate) contents: BTreeMap<Box<str>, Arc<Member>>,
}

/// A content and the interface that it was written in: the same one inherited twice is one.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) origin: Dtmi,
    pub(crate) content: Content,
}

/// What an interface holds under a name.
#[derive(Debug, Clone)]
pub enum Content {
    /// Measurements.
    Telemetry(Schema),
    /// State.
    Property {
        /// What it may be.
        schema: Schema,
        /// Whether the service may ask for a value.
        is_writable: bool,
    },
    /// Something that the device does.
    Command(Command),
    /// A part with an interface of its own.
    Component(Arc<Model>),
    /// A link to another digital twin, which a hub knows nothing about.
    Relationship,
}

/// A command.
#[derive(Debug, Clone)]
pub struct Command {
    /// What it is called with.
    pub request: Option<Field>,
    /// What it answers.
    pub response: Option<Field>,
}

/// Where models are found.
pub trait Models {
    /// The model of an id.
    fn model(&self, id: &str) -> Option<Arc<Model>>;
}

/// No models at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoModels;

impl Models for NoModels {
    fn model(&self, _id: &str) -> Option<Arc<Model>> {
        None
    }
}

impl Model {
    /// Reads a document with one interface. What it extends, and what its components are, is inside it or in `models`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(document: &[u8], models: &dyn Models) -> Result<Self, Problems> {
        parse::one(document, models)
    }

    /// Reads a document with one interface or an array of them, in any order; each with its JSON text, so that it can be
    /// stored on its own. Those that others need come first.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn parse_all(document: &[u8], models: &dyn Models) -> Result<Vec<(Arc<Self>, Value)>, Problems> {
        parse::all(document, models)
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> &Dtmi {
        &self.id
    }

    /// The version of the language it is written in.
    #[must_use]
    pub const fn dtdl_version(&self) -> DtdlVersion {
        self.version
    }

    /// Its name for people.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.display_name.as_deref()
    }

    /// The interfaces that it extends.
    #[must_use]
    pub fn extends(&self) -> &[Dtmi] {
        &self.extends
    }

    /// What it holds under a name, or inherits.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<&Content> {
        self.contents.get(name).map(|member| &member.content)
    }

    /// All that it holds and inherits, by name.
    pub fn contents(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.contents.iter().map(|(name, member)| (&**name, &member.content))
    }

    /// Its components.
    pub fn components(&self) -> impl Iterator<Item = (&str, &Arc<Self>)> {
        self.contents().filter_map(|(name, content)| match content {
            Content::Component(model) => Some((name, model)),
            _ => None,
        })
    }
}
