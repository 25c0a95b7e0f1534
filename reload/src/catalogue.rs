//! The list of all ways of reloading: everything else takes them from here.

use std::path::Path;

use harness::process::entry;

use crate::server_file::Definition;
use crate::strategy::Strategy;
use crate::{own, servers};

/// All strategies, in the order of tables.
pub fn all() -> Vec<Strategy> {
    own::strategies().into_iter().chain(servers::strategies()).collect()
}

/// The strategy with this id.
pub fn by_id(id: &str) -> Option<Strategy> {
    all().into_iter().find(|strategy| strategy.id == id)
}

/// The strategy that a server's file describes.
pub fn described(definition: Definition) -> Strategy {
    servers::strategy(definition)
}

/// The files that a server gets, each with its name, when a generation has this many workers: as
/// it starts, and where values differ after a reload, as they are then.
pub fn generated(definition: &Definition, workers: u32) -> [Vec<(String, String)>; 2] {
    let place = entry::scratch_place(&definition.texts()).unwrap_or(Path::new("/mnt"));
    [false, true].map(|is_reloaded| {
        let names = servers::names(definition, place, workers, is_reloaded);
        servers::generated(&definition.file, &names)
    })
}

/// The text of a server's file that this program has in it.
pub fn text(id: &str) -> Option<&'static str> {
    servers::SHIPPED.iter().find(|(shipped, _)| *shipped == id).map(|(_, text)| *text)
}

/// The strategies whose ids start with one of `prefixes`; all of them if `prefixes` is empty.
///
/// # Errors
/// A prefix that no id starts with, in a sentence.
pub fn select(prefixes: &[String]) -> std::result::Result<Vec<Strategy>, String> {
    let all = all();
    for prefix in prefixes {
        if !all.iter().any(|strategy| strategy.id.starts_with(prefix.as_str())) {
            let ids: Vec<&str> = all.iter().map(|strategy| strategy.id.as_str()).collect();
            return Err(format!(
                "no strategy has a name that starts with `{prefix}`; there are {}",
                ids.join(", ")
            ));
        }
    }
    let wanted = |strategy: &Strategy| {
        prefixes.is_empty() || prefixes.iter().any(|p| strategy.id.starts_with(p.as_str()))
    };
    Ok(all.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_unique_and_told_in_a_sentence() {
        let all = all();
        let ids: HashSet<&str> = all.iter().map(|strategy| strategy.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        for strategy in &all {
            assert!(strategy.does.ends_with('.') && !strategy.does.contains('\n'));
        }
    }

    #[test]
    fn a_prefix_that_nothing_has_is_refused_with_what_there_is() {
        let why = select(&["own".into(), "nope".into()]).err().expect("a refusal");
        assert!(why.contains("`nope`") && why.contains("own/naive"), "{why}");
    }
}
