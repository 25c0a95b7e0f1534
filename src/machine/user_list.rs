//! A user's own list of known bugs: read here, and sent to guests as text.

use std::fmt;
use std::path::Path;

use scenarios::judge::KnownList;
use scenarios::judge::builtin::builtin;
use scenarios::known_check::{self, Complaint};
use serde::{Deserialize, Serialize};

use crate::output::input::{self, NoInput};

/// No list is larger, in bytes.
const LARGEST: u64 = 4 << 20;

/// A list as a file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserList {
    /// The file, as it was named.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What is wrong with a list.
#[derive(Debug)]
pub enum UserListError {
    /// The file cannot be read.
    Unreadable {
        /// The file.
        name: String,
        /// Why.
        source: NoInput,
    },
    /// It is no list of known bugs.
    Wrong {
        /// The file.
        name: String,
        /// Everything that is wrong with it.
        complaints: Vec<Complaint>,
    },
}

impl fmt::Display for UserListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { name, source } => write!(f, "cannot read {name}: {source}"),
            Self::Wrong { name, complaints } => {
                write!(f, "{name} is no list of known bugs: ")?;
                // The others are shown by `sockmig known check`.
                let [first, others @ ..] = complaints.as_slice() else { return Ok(()) };
                write!(f, "{first}")?;
                match others.len() {
                    0 => Ok(()),
                    more => write!(f, " (and {more} more: sockmig known check {name})"),
                }
            }
        }
    }
}

impl UserList {
    /// Reads a file, and checks it.
    ///
    /// # Errors
    /// [`UserListError`].
    pub fn read(path: &Path) -> Result<Self, UserListError> {
        let name = path.display().to_string();
        let text = input::read_text(path, LARGEST)
            .map_err(|source| UserListError::Unreadable { name: name.clone(), source })?;
        let list = Self { name, text };
        list.parsed()?;
        Ok(list)
    }

    /// The list that is in it.
    ///
    /// # Errors
    /// [`UserListError::Wrong`].
    pub fn parsed(&self) -> Result<KnownList, UserListError> {
        known_check::read(&self.text, &self.name)
            .map_err(|complaints| UserListError::Wrong { name: self.name.clone(), complaints })
    }

    /// This list and sockmig's own. It stays in memory until the program ends: there is one.
    ///
    /// # Errors
    /// [`UserListError::Wrong`].
    pub fn with_builtin(&self) -> Result<&'static KnownList, UserListError> {
        Ok(Box::leak(Box::new(builtin().with(self.parsed()?))))
    }
}
