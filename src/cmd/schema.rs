//! `sockmig schema`: the form of a document, as a JSON Schema made from the types that it is
//! written from.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::cli::DocumentKind;
use crate::cmd::explore::document::ExploreDocument;
use crate::cmd::inspect::document::InspectDocument;
use crate::cmd::print;
use crate::cmd::race::document::{PairsDocument, RaceDocument};
use crate::cmd::reload::close_cost::document::ClosingDocument;
use crate::cmd::reload::document::ReloadDocument;
use crate::cmd::reload::list::StrategiesDocument;
use crate::cmd::reload::stopped_member::StoppedDocument;
use crate::exit::Exit;
use crate::output::document::{MatrixDocument, RunDocument};

/// Prints the schema of a document.
pub fn schema(of: DocumentKind) -> Exit {
    let schema = match of {
        DocumentKind::Run => schema_of::<RunDocument>("sockmig run --format json"),
        DocumentKind::Matrix => schema_of::<MatrixDocument>("sockmig matrix --format json"),
        DocumentKind::Reload => schema_of::<ReloadDocument>("sockmig reload --format json"),
        DocumentKind::CloseCost => {
            schema_of::<ClosingDocument>("sockmig reload --close-cost --format json")
        }
        DocumentKind::StoppedMember => {
            schema_of::<StoppedDocument>("sockmig reload --stopped-member --format json")
        }
        DocumentKind::Explore => schema_of::<ExploreDocument>("sockmig explore --format json"),
        DocumentKind::Race => schema_of::<RaceDocument>("sockmig race --format json"),
        DocumentKind::RaceList => schema_of::<PairsDocument>("sockmig race --list --format json"),
        DocumentKind::ReloadList => {
            schema_of::<StrategiesDocument>("sockmig reload --list --format json")
        }
        DocumentKind::Inspect => schema_of::<InspectDocument>("sockmig inspect --format json"),
    };
    let text = serde_json::to_string_pretty(&schema).expect("a schema can be written as JSON");
    print::exactly((text + "\n").as_bytes())
}

/// The schema of documents as they are written; older ones may be read as well.
fn schema_of<T: JsonSchema>(command: &str) -> Schema {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(PlainText);
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), command.into());
    schema
}

/// Descriptions without the links of Rust's documentation, and without the formats that no
/// validator knows (`uint32`).
#[derive(Debug, Clone)]
struct PlainText;

impl Transform for PlainText {
    fn transform(&mut self, schema: &mut Schema) {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace("[`", "`").replace("`]", "`").replace('\n', " ");
        }
        if let Some(object) = schema.as_object_mut() {
            object.remove("format");
        }
        transform_subschemas(self, schema);
    }
}
