//! What a user may name as a kernel.

use std::path::{Path, PathBuf};

use crate::fetch::kernels::{self, Kernel};

/// A kernel that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// One of the table.
    Listed(&'static Kernel),
    /// The user's own.
    Path {
        /// A `bzImage`, a `vmlinux`, a `.deb`, or a User-Mode Linux binary.
        image: PathBuf,
        /// A directory with its modules.
        modules: Option<PathBuf>,
    },
}

impl Choice {
    /// The name of a listed kernel, or the path as the user wrote it.
    pub fn name(&self) -> String {
        match self {
            Self::Listed(kernel) => kernel.name.clone(),
            Self::Path { image, .. } => image.display().to_string(),
        }
    }

    /// Whether this is the user's own kernel, the only kind that `--modules` is for.
    pub fn is_path(&self) -> bool {
        matches!(self, Self::Path { .. })
    }
}

/// A text names neither a listed kernel nor a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no kernel `{text}`: neither a file nor one of {}",
    kernels::table().iter().map(|kernel| &*kernel.name).collect::<Vec<_>>().join(", ")
)]
pub struct NoSuchKernel {
    /// What the user wrote.
    pub text: String,
}

/// Every listed kernel, in the order of the table.
pub fn all() -> Vec<Choice> {
    kernels::table().iter().map(Choice::Listed).collect()
}

/// The kernels that `text` names: listed ones by a prefix of whole numbers (`6.1` is
/// every 6.1.x and never 6.12), or else one by the path to its file. `modules` goes with
/// a path; Debian's kernels have their own.
///
/// # Errors
/// It names none.
pub fn choose(text: &str, modules: Option<&Path>) -> Result<Vec<Choice>, NoSuchKernel> {
    let listed: Vec<_> =
        kernels::table().iter().filter(|kernel| names(text, &kernel.name)).collect();
    if !listed.is_empty() {
        return Ok(listed.into_iter().map(Choice::Listed).collect());
    }
    if text.contains('/') || Path::new(text).exists() {
        let modules = modules.map(Path::to_owned);
        return Ok(vec![Choice::Path { image: text.into(), modules }]);
    }
    Err(NoSuchKernel { text: text.into() })
}

/// The newest of the listed kernels among these; a path only if there is nothing else,
/// as its age is not known.
pub fn newest(choices: &[Choice]) -> Option<&Choice> {
    // The table is in the order of age.
    let age = |choice: &Choice| match choice {
        Choice::Listed(kernel) => kernels::table().iter().position(|listed| listed == *kernel),
        Choice::Path { .. } => None,
    };
    choices.iter().max_by_key(|choice| age(choice))
}

fn names(text: &str, name: &str) -> bool {
    let rest = name.strip_prefix(text);
    !text.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn chosen(text: &str) -> Vec<String> {
        choose(text, None).expect("listed").iter().map(Choice::name).collect()
    }

    #[rstest]
    #[case("6.1", true, "6.1.174-1")]
    #[case("6.1", false, "6.12.86-1")]
    #[case("6.1.174", true, "6.1.174-1")]
    #[case("6.1.174-1", true, "6.1.174-1")]
    #[case("6.1.17", false, "6.1.174-1")]
    #[case("6.1.174-", false, "6.1.174-1")]
    #[case("6.", false, "6.1.174-1")]
    #[case("", false, "6.1.174-1")]
    fn whole_numbers_select(#[case] text: &str, #[case] selects: bool, #[case] name: &str) {
        assert_eq!(names(text, name), selects);
    }

    #[test]
    fn a_line_selects_its_kernels_in_order() {
        let chosen = chosen("6.1");
        assert!(chosen.len() >= 3, "{chosen:?}");
        assert_eq!(chosen[0], "6.1.174-1");
        assert!(chosen.iter().all(|name| name.starts_with("6.1.")), "{chosen:?}");
    }

    #[test]
    fn a_path_is_a_path_even_when_nothing_is_there() {
        let image = PathBuf::from("./no/such/bzImage");
        let modules = Some(PathBuf::from("lib"));
        assert_eq!(
            choose("./no/such/bzImage", Some(Path::new("lib"))),
            Ok(vec![Choice::Path { image, modules }])
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = choose("6.13", None).expect_err("6.13 is not listed").to_string();
        assert!(error.starts_with("no kernel `6.13`: neither a file nor one of 5.10."), "{error}");
        assert!(error.contains(", 6.1.176-1, "), "{error}");
    }

    #[test]
    fn the_newest_is_by_number() {
        let mut choices = all();
        choices.reverse();
        choices.push(Choice::Path { image: "bzImage".into(), modules: None });
        assert_eq!(newest(&choices), all().last());
        assert_eq!(newest(&choices[choices.len() - 1..]), choices.last());
        assert_eq!(newest(&[]), None);
    }
}
