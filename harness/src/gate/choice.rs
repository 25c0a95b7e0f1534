//! Which kind of gate the environment asks for.

use crate::error::{Error, Result};
use crate::trace::GateKind;

/// The environment variable that chooses the kind of gate: `nftables` or `filter`. Labs
/// inherit it.
pub const CHOICE: &str = "SOCKMIG_GATE";

/// The kind that the environment asks for, if it does.
///
/// # Errors
/// [`CHOICE`] is neither of the two.
pub fn chosen() -> Result<Option<GateKind>> {
    match std::env::var(CHOICE).as_deref() {
        Err(std::env::VarError::NotPresent) | Ok("") => Ok(None),
        Ok("nftables") => Ok(Some(GateKind::Nftables)),
        Ok("filter") => Ok(Some(GateKind::Filter)),
        Ok(other) => Err(unknown(format!("`{}`", other.escape_default()))),
        Err(std::env::VarError::NotUnicode(_)) => Err(unknown("something else".into())),
    }
}

fn unknown(got: String) -> Error {
    Error::unreadable(format!("{CHOICE}, which may be `nftables` or `filter`"), got)
}
