//! What a user may name as a kernel.

use std::path::{Path, PathBuf};

use crate::architecture::Architecture;
use crate::fetch::kernels::{self, Kernel};

/// A kernel that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// One of the table.
    Listed(&'static Kernel),
    /// The user's own.
    Own {
        /// What the user wrote.
        text: String,
        /// A `bzImage`, a `vmlinux` or a User-Mode Linux binary, packages, or a directory with
        /// one of these; what belongs together.
        files: Vec<PathBuf>,
        /// Directories and packages with its modules.
        modules: Vec<PathBuf>,
    },
    /// One that is installed on this machine.
    Installed {
        /// Its `uname -r`; nothing for the one that runs.
        release: Option<String>,
    },
}

/// What is named as the installed kernel, with `:RELEASE` after it or without.
const INSTALLED: &str = "installed";

/// Stands between a kernel's version and its architecture.
const OF_ARCHITECTURE: char = ':';

/// Stands between files that are one kernel. It is in the names of many packages as well.
const AND: char = '+';

impl Choice {
    /// The name of a listed kernel, or else what the user wrote.
    pub fn name(&self) -> String {
        match self {
            Self::Listed(kernel) => kernel.name.clone(),
            Self::Own { text, .. } => text.clone(),
            Self::Installed { release: None } => INSTALLED.into(),
            Self::Installed { release: Some(release) } => format!("{INSTALLED}:{release}"),
        }
    }

    /// The architecture of a kernel of the table; that of others is seen when they are prepared.
    pub fn architecture(&self) -> Option<Architecture> {
        match self {
            Self::Listed(kernel) => Some(kernel.architecture),
            Self::Own { .. } | Self::Installed { .. } => None,
        }
    }

    /// Whether this is the user's own kernel, the only kind that `--modules` is for.
    pub fn is_own(&self) -> bool {
        matches!(self, Self::Own { .. })
    }

    /// Whether this is one of the table, the only kind that is fetched.
    pub fn is_listed(&self) -> bool {
        matches!(self, Self::Listed(_))
    }
}

/// A text names neither a listed kernel nor a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no kernel `{text}`: neither a file nor one of {}",
    of(*.architecture).map(|kernel| &*kernel.name).collect::<Vec<_>>().join(", ")
)]
pub struct NoSuchKernel {
    /// What the user wrote.
    pub text: String,
    /// Of which architecture it was looked for.
    pub architecture: Architecture,
}

/// The listed kernels of an architecture, in the order of the table.
pub fn of(architecture: Architecture) -> impl Iterator<Item = &'static Kernel> {
    kernels::table().iter().filter(move |kernel| kernel.architecture == architecture)
}

/// As [`of`].
pub fn all(architecture: Architecture) -> Vec<Choice> {
    of(architecture).map(Choice::Listed).collect()
}

/// The kernels that `text` names: listed ones by a prefix of whole numbers (`6.1` is
/// every 6.1.x and never 6.12), or else one by the paths of its files, with `+` between them;
/// `installed` is the one that runs. `modules` goes with paths; the others have their own. Listed
/// ones are of this architecture, unless `text` names another one after its colon.
///
/// # Errors
/// It names none.
pub fn choose(
    text: &str,
    modules: Option<&Path>,
    architecture: Architecture,
) -> Result<Vec<Choice>, NoSuchKernel> {
    let is_meant =
        |kernel: &Kernel| text.contains(OF_ARCHITECTURE) || kernel.architecture == architecture;
    let listed: Vec<_> = kernels::table()
        .iter()
        .filter(|kernel| is_meant(kernel) && names(text, &kernel.name))
        .collect();
    if let Some(whole) = listed.iter().find(|kernel| kernel.name == text) {
        return Ok(vec![Choice::Listed(whole)]);
    }
    if !listed.is_empty() {
        return Ok(listed.into_iter().map(Choice::Listed).collect());
    }
    match text.strip_prefix(INSTALLED).map(|rest| rest.strip_prefix(':').ok_or(rest)) {
        Some(Ok(release)) if !release.is_empty() => {
            return Ok(vec![Choice::Installed { release: Some(release.into()) }]);
        }
        Some(Err("")) => return Ok(vec![Choice::Installed { release: None }]),
        _ => {}
    }
    let files = paths(text);
    if text.contains('/') || files[0].exists() {
        // A path that is no text has no `+` that could be told from others.
        let modules = modules.map(|path| path.to_str().map_or_else(|| vec![path.into()], paths));
        let modules = modules.unwrap_or_default();
        return Ok(vec![Choice::Own { text: text.into(), files, modules }]);
    }
    Err(NoSuchKernel { text: text.into(), architecture })
}

/// The paths in `A+B`. A `+` stands between two only if what is before it is there: the names
/// of packages have it too. What is not there at all is one path.
fn paths(text: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut rest = text;
    loop {
        let ends = rest.match_indices(AND).map(|(at, _)| at).chain([rest.len()]);
        // Of two that are there, the longer one is meant.
        let end = ends.filter(|end| Path::new(&rest[..*end]).exists()).max().unwrap_or(rest.len());
        paths.push(PathBuf::from(&rest[..end]));
        match rest.get(end + AND.len_utf8()..) {
            None | Some("") => return paths,
            Some(after) => rest = after,
        }
    }
}

/// The newest of the listed kernels among these; a path only if there is nothing else,
/// as its age is not known.
pub fn newest(choices: &[Choice]) -> Option<&Choice> {
    // The table is in the order of age.
    let age = |choice: &Choice| match choice {
        Choice::Listed(kernel) => kernels::table().iter().position(|listed| listed == *kernel),
        Choice::Own { .. } | Choice::Installed { .. } => None,
    };
    choices.iter().max_by_key(|choice| age(choice))
}

fn names(text: &str, name: &str) -> bool {
    let rest = name.strip_prefix(text);
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '-', OF_ARCHITECTURE]);
    !text.is_empty() && rest.is_some_and(ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const HERE: Architecture = Architecture::X86_64;

    fn chosen(text: &str, architecture: Architecture) -> Vec<String> {
        choose(text, None, architecture).expect("listed").iter().map(Choice::name).collect()
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
    #[case("6.1.174-1", true, "6.1.174-1:arm64")]
    #[case("6.1.174-1:arm64", true, "6.1.174-1:arm64")]
    #[case("6.1.174-1:arm64", true, "6.1.174-1:arm64-16k")]
    #[case("6.1.174-1:arm", false, "6.1.174-1:arm64")]
    #[case("6.1.174-1:arm64", false, "6.1.174-1")]
    fn whole_numbers_select(#[case] text: &str, #[case] selects: bool, #[case] name: &str) {
        assert_eq!(names(text, name), selects);
    }

    #[test]
    fn a_line_selects_its_kernels_in_order() {
        let chosen = chosen("6.1", HERE);
        assert!(chosen.len() >= 3, "{chosen:?}");
        assert_eq!(chosen[0], "6.1.174-1");
        assert!(chosen.iter().all(|name| name.starts_with("6.1.")), "{chosen:?}");
    }

    #[test]
    fn an_architecture_has_kernels_of_its_own() {
        for architecture in Architecture::ALL {
            let all = all(architecture);
            let newest = all.last().expect("kernels").name();
            let named = chosen(&newest, HERE);
            assert_eq!(named, std::slice::from_ref(&newest), "named with its architecture");
            let version = newest.split(OF_ARCHITECTURE).next().expect("a version");
            assert!(chosen(version, architecture).contains(&newest));
            let of_others = of(architecture).filter(|kernel| kernel.architecture != architecture);
            assert_eq!(of_others.count(), 0);
        }
        // A whole name is that kernel's alone, even where it begins another one's.
        assert_eq!(chosen("6.12.117-1:arm64", HERE), ["6.12.117-1:arm64"]);
        let both = ["6.12.117-1:arm64", "6.12.117-1:arm64-16k"];
        assert_eq!(chosen("6.12.117-1", Architecture::Arm64), both);
        assert!(chosen("6.12", HERE).iter().all(|name| !name.contains(OF_ARCHITECTURE)));
        assert!(chosen("6.12", Architecture::Arm64).iter().all(|name| name.contains(":arm64")));
    }

    #[test]
    fn a_path_is_a_path_even_when_nothing_is_there() {
        let text = "./no/such/bzImage".to_owned();
        let files = vec![PathBuf::from(&text)];
        let modules = vec![PathBuf::from("lib")];
        assert_eq!(
            choose(&text, Some(Path::new("lib")), HERE),
            Ok(vec![Choice::Own { text, files, modules }])
        );
    }

    #[rstest]
    #[case("installed", Some(None))]
    #[case("installed:6.12.1", Some(Some("6.12.1")))]
    #[case("installed:", None)]
    #[case("installed-6.12", None)]
    fn an_installed_kernel_is_named_by_its_release(
        #[case] text: &str,
        #[case] release: Option<Option<&str>>,
    ) {
        let chosen = choose(text, None, HERE).ok();
        let expected =
            release.map(|release| vec![Choice::Installed { release: release.map(str::to_owned) }]);
        assert_eq!(chosen, expected);
        if let Some(chosen) = chosen {
            assert_eq!(chosen[0].name(), text);
        }
    }

    #[rstest]
    #[case::one(&["a+deb13_1.deb"])]
    #[case::two(&["a+deb13_1.deb", "b+deb13_1.deb"])]
    #[case::three(&["c.rpm", "a+deb13_1.deb", "c.rpm"])]
    #[case::the_second_is_not_there(&["c.rpm", "d+e.rpm"])]
    #[case::nothing_is_there(&["d+e.rpm"])]
    fn files_that_belong_together_are_told_from_names_with_a_plus(#[case] names: &[&str]) {
        let dir = tempfile::tempdir().expect("a directory");
        for file in ["a+deb13_1.deb", "b+deb13_1.deb", "c.rpm", "a"] {
            std::fs::write(dir.path().join(file), b"").expect("written");
        }
        let expected: Vec<_> = names.iter().map(|name| dir.path().join(name)).collect();
        let written: Vec<_> = expected.iter().map(|path| path.to_str().expect("text")).collect();
        assert_eq!(paths(&written.join("+")), expected);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = choose("6.13", None, HERE).expect_err("6.13 is not listed").to_string();
        assert!(error.starts_with("no kernel `6.13`: neither a file nor one of 5.10."), "{error}");
        assert!(error.contains(", 6.1.176-1, "), "{error}");
    }

    #[test]
    fn the_newest_is_by_number() {
        let mut choices = all(HERE);
        choices.reverse();
        let files = vec!["bzImage".into()];
        choices.push(Choice::Own { text: "bzImage".into(), files, modules: vec![] });
        assert_eq!(newest(&choices), all(HERE).last());
        assert_eq!(newest(&choices[choices.len() - 1..]), choices.last());
        assert_eq!(newest(&[]), None);
    }
}
