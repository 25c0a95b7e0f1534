//! What is changed: the functions that implement migration, and the changes with names.

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::change::{Change, Edit, Origin};
use crate::function::functions;

/// A file of the kernel, with the functions of it that operators change.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// From the source's root.
    pub file: String,
    /// Their names; all that the file has, if there is none.
    #[serde(default)]
    pub functions: Vec<String>,
}

/// All files that operators change, as `sensitivity/subjects.toml` lists them.
///
/// # Errors
/// The list is not of that form.
pub fn subjects() -> anyhow::Result<Vec<Subject>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        subject: Vec<Subject>,
    }
    let list: List =
        toml::from_str(include_str!("../subjects.toml")).context("sensitivity/subjects.toml")?;
    Ok(list.subject)
}

impl Subject {
    /// That this source has every function of the list.
    ///
    /// # Errors
    /// It has not.
    pub fn is_in(&self, source: &str) -> anyhow::Result<()> {
        let found = functions(source);
        for name in &self.functions {
            let is_there = found.iter().any(|function| function.name == name);
            ensure!(is_there, "{} has no function {name}(): is it another kernel's?", self.file);
        }
        Ok(())
    }
}

/// A change that somebody wrote down.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Short, and its own.
    pub name: String,
    /// Which of the catalogue's mechanisms it breaks.
    pub mechanism: String,
    /// From the source's root.
    pub file: String,
    /// What the broken kernel does.
    pub breaks: String,
    /// The commit that it takes back, if it is a bug of history.
    #[serde(default)]
    pub fix: String,
    /// Whether the model of `sockmig explore` knows what it breaks.
    #[serde(default)]
    pub in_model: bool,
    /// The pairs of `sockmig race` that it is looked for by.
    #[serde(default)]
    pub pairs: Vec<String>,
    /// Its place, if it has one.
    #[serde(flatten)]
    place: Option<NamedEdit>,
    /// Its places, if it has several.
    #[serde(default)]
    edits: Vec<NamedEdit>,
}

/// One place of a named change.
#[derive(Debug, Clone, Deserialize)]
struct NamedEdit {
    function: String,
    old: String,
    new: String,
}

/// All that cases may notice, as `sensitivity/named.toml` lists them.
///
/// # Errors
/// The list is not of that form, or two have the same name.
pub fn named() -> anyhow::Result<Vec<Named>> {
    list("named.toml", include_str!("../named.toml"))
}

/// All that only two processors can show, as `sensitivity/two-processors.toml` lists them.
///
/// # Errors
/// The list is not of that form, or two have the same name.
pub fn of_two_processors() -> anyhow::Result<Vec<Named>> {
    list("two-processors.toml", include_str!("../two-processors.toml"))
}

fn list(file: &str, text: &str) -> anyhow::Result<Vec<Named>> {
    #[derive(Deserialize)]
    struct List {
        change: Vec<Named>,
    }
    let list: List = toml::from_str(text).with_context(|| format!("sensitivity/{file}"))?;
    for (at, named) in list.change.iter().enumerate() {
        let is_first = !list.change[..at].iter().any(|other| other.name == named.name);
        ensure!(is_first, "sensitivity/{file} has two changes named {}", named.name);
    }
    Ok(list.change)
}

impl Named {
    /// The change in this source.
    ///
    /// # Errors
    /// The source has no such place, or several.
    pub fn change(&self, source: &str) -> anyhow::Result<Change> {
        let places: Vec<&NamedEdit> = self.place.iter().chain(&self.edits).collect();
        ensure!(!places.is_empty(), "{}: nothing is changed", self.name);
        let mut edits = Vec::new();
        for place in &places {
            edits.push(place.edit(source).with_context(|| format!("the change {}", self.name))?);
        }
        edits.sort_by_key(|edit| edit.range.start);
        let origin = Origin::Named(self.name.clone());
        Ok(Change::of_edits((&self.file, source), &places[0].function, origin, edits))
    }
}

impl NamedEdit {
    fn edit(&self, source: &str) -> anyhow::Result<Edit> {
        let found = functions(source);
        let Some(function) = found.iter().find(|function| function.name == self.function) else {
            bail!("no function {}()", self.function);
        };
        // The function's parameters too: the body begins behind them.
        let whole = function.bytes(0, function.tokens.len() - 1);
        let mut places = source[whole.clone()].match_indices(&self.old);
        let Some((at, _)) = places.next() else {
            bail!("{}() has no `{}`", self.function, self.old.trim());
        };
        ensure!(places.next().is_none(), "{}() has `{}` twice", self.function, self.old.trim());
        let start = whole.start + at;
        Ok(Edit { range: start..start + self.old.len(), with: self.new.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "int f(int a)\n{\n\tg(a);\n\treturn a;\n}\nint h(int a)\n{\n\tg(a);\n}\n";

    fn named(text: &str) -> Named {
        toml::from_str(text).expect("a change")
    }

    #[test]
    fn the_lists_are_whole() {
        assert!(!subjects().expect("a list").is_empty());
        assert!(!super::named().expect("a list").is_empty());
        let of_two_processors = of_two_processors().expect("a list");
        assert!(!of_two_processors.is_empty());
        assert!(of_two_processors.iter().all(|change| !change.pairs.is_empty()));
    }

    #[test]
    fn a_change_is_made_within_its_function() {
        let text = "name = 'n'\nmechanism = 'm'\nfile = 'a.c'\nbreaks = 'b'\n\
                    function = 'h'\nold = 'g(a);'\nnew = ';'\n";
        let change = named(text).change(SOURCE).expect("a change");
        assert_eq!(change.line, 8);
        assert!(change.applied(SOURCE).ends_with("{\n\t;\n}\n"));
    }

    #[test]
    fn a_change_may_have_several_places() {
        let text = "name = 'n'\nmechanism = 'm'\nfile = 'a.c'\nbreaks = 'b'\n\
                    [[edits]]\nfunction = 'h'\nold = 'g(a);'\nnew = ';'\n\
                    [[edits]]\nfunction = 'f'\nold = 'g(a);'\nnew = ';'\n";
        let change = named(text).change(SOURCE).expect("a change");
        assert_eq!(change.applied(SOURCE).matches("g(a)").count(), 0);
    }

    #[test]
    fn a_place_that_is_not_there_or_twice_is_refused() {
        let place = |function: &str, old: &str| NamedEdit {
            function: function.into(),
            old: old.into(),
            new: String::new(),
        };
        let refused = |place: NamedEdit| place.edit(SOURCE).expect_err("refused").to_string();
        assert_eq!(refused(place("k", "g")), "no function k()");
        assert_eq!(refused(place("f", "h(a)")), "f() has no `h(a)`");
        assert_eq!(refused(place("f", "a)")), "f() has `a)` twice");
    }
}
