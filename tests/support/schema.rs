//! Whether documents have the form that `sockmig schema` says.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{run, sockmig};

/// The schema of a kind of document, as the command prints it.
pub fn schema(kind: &str) -> String {
    let printed = run(&mut sockmig(&["schema", kind]));
    assert_eq!(printed.code, Some(0), "{printed}");
    printed.stdout
}

/// Holds documents against their schema.
pub struct Validator {
    kind: &'static str,
    validator: jsonschema::Validator,
}

impl Validator {
    /// Of one kind of document.
    pub fn of(kind: &'static str) -> Self {
        let schema = serde_json::from_str(&schema(kind)).expect("a schema is JSON");
        let validator = jsonschema::draft202012::new(&schema);
        Self { kind, validator: validator.expect("a schema is one of draft 2020-12") }
    }

    /// The document must be as the schema says.
    pub fn check(&self, document: &Value) {
        let wrong: BTreeSet<String> = self
            .validator
            .iter_errors(document)
            .take(5)
            .map(|e| format!("{}: {e:.300}", e.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", self.kind);
    }
}
