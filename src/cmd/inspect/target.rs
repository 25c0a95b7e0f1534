//! Which network namespaces a command line asks for.

use std::io::ErrorKind;

use harness::host::namespace::{NetworkNamespace, NoNamespace};

use crate::cli::InspectArguments;

/// The namespaces to look at.
pub struct Targets {
    /// The namespaces, each once.
    pub namespaces: Vec<NetworkNamespace>,
    /// How many processes there are whose namespaces this user may not see.
    pub hidden: usize,
}

/// Why the namespaces are not known.
pub enum NoTargets {
    /// One that was named does not exist.
    Named(String),
    /// One that was named may not be opened by this user.
    Forbidden(String),
    /// `/proc` cannot be read.
    Unreadable(harness::Error),
}

impl NoTargets {
    fn of(why: &NoNamespace) -> Self {
        let said = sentence(why);
        match why {
            NoNamespace::Unreadable { why, .. } if why.kind() == ErrorKind::PermissionDenied => {
                Self::Forbidden(format!("{said}; that of another user needs root"))
            }
            _ => Self::Named(said),
        }
    }
}

impl Targets {
    /// Those that are asked for; without any, this process's own.
    pub fn of(arguments: &InspectArguments) -> Result<Self, NoTargets> {
        if arguments.all {
            let all = NetworkNamespace::all().map_err(NoTargets::Unreadable)?;
            return Ok(Self { namespaces: all.found, hidden: all.hidden });
        }
        let mut namespaces = Vec::new();
        for name in &arguments.netns {
            let found = NetworkNamespace::named(name);
            namespaces.push(found.map_err(|why| NoTargets::of(&why))?);
        }
        for pid in &arguments.pid {
            let found = NetworkNamespace::of_process(*pid);
            namespaces.push(found.map_err(|why| NoTargets::of(&why))?);
        }
        if namespaces.is_empty() {
            namespaces.push(NetworkNamespace::this().map_err(NoTargets::Unreadable)?);
        }
        let mut seen = Vec::new();
        namespaces.retain(|namespace| {
            let new = !seen.contains(&namespace.id);
            seen.push(namespace.id);
            new
        });
        Ok(Self { namespaces, hidden: 0 })
    }
}

/// What is wrong with what was named.
fn sentence(why: &NoNamespace) -> String {
    match why {
        NoNamespace::Unreadable { path, why } => {
            format!("cannot open the network namespace {}: {why}", path.display())
        }
        NoNamespace::OtherFile { path } => format!("{} is no network namespace", path.display()),
        NoNamespace::NoProcess { pid } => format!("there is no process {pid}"),
    }
}
