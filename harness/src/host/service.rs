//! What a process belongs to: a unit of systemd, or a container, by its control group.

use std::fs;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a process belongs to.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Service {
    /// A unit of systemd: `nginx.service`.
    Unit {
        /// Its name.
        name: String,
    },
    /// A container.
    Container {
        /// What made it: docker, podman, ...
        runtime: String,
        /// Its id, or its name where the runtime uses names.
        id: String,
        /// It is one of a pod of Kubernetes.
        pod: bool,
    },
}

/// How the last part of a container's control group begins, and what made the container.
const SCOPES: [(&str, &str); 7] = [
    ("docker-", "docker"),
    ("libpod-", "podman"),
    ("cri-containerd-", "containerd"),
    ("crio-", "cri-o"),
    ("machine-", "machine"),
    ("lxc.payload.", "lxc"),
    ("nerdctl-", "containerd"),
];

/// Directories whose children are containers.
const PARENTS: [(&str, &str); 3] =
    [("docker", "docker"), ("lxc", "lxc"), ("libpod_parent", "podman")];

/// Endings of names of units that processes run in.
const UNITS: [&str; 2] = [".service", ".scope"];

/// How many digits a container's id has.
const ID_DIGITS: usize = 64;

impl Service {
    /// What a process belongs to, if its control group shows it.
    pub fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?)
    }

    /// A line: the number of a hierarchy, its controllers, and the path of the group. In the
    /// first of these hierarchies that there is: the unified one, systemd's own, any.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<(&str, &str)> =
            text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).collect();
        let of = |wanted: &str| {
            let path = lines.iter().find(|(controllers, _)| *controllers == wanted)?.1;
            Self::of_path(path)
        };
        let any = || lines.iter().find_map(|(_, path)| Self::of_path(path));
        of("").or_else(|| of("name=systemd")).or_else(any)
    }

    fn of_path(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let pod = parts.iter().any(|part| part.starts_with("kubepods"));
        let container = parts.iter().enumerate().rev().find_map(|(at, part)| {
            let parent = at.checked_sub(1).map(|at| parts[at]);
            let (runtime, id) = container(part, parent)?;
            Some(Self::Container { runtime: runtime.to_owned(), id: id.to_owned(), pod })
        });
        container.or_else(|| {
            let unit = parts.iter().rev().find(|part| UNITS.iter().any(|end| part.ends_with(end)));
            unit.map(|name| Self::Unit { name: (*name).to_owned() })
        })
    }
}

/// What made the container of this control group, and its id, if it is a container's.
fn container<'p>(part: &'p str, parent: Option<&str>) -> Option<(&'static str, &'p str)> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    for (start, runtime) in SCOPES {
        // podman has a second scope, for what looks after a container.
        if let Some(id) = name.strip_prefix(start).filter(|id| !id.starts_with("conmon-")) {
            return Some((runtime, id));
        }
    }
    let is_id = name.len() == ID_DIGITS && name.chars().all(|digit| digit.is_ascii_hexdigit());
    let of_parent = parent.and_then(|parent| PARENTS.iter().find(|(name, _)| *name == parent));
    match of_parent {
        Some((_, runtime)) => Some((runtime, name)),
        None => is_id.then_some(("container", name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn shown(text: &str) -> String {
        match Service::parse(text) {
            None => "nothing".into(),
            Some(Service::Unit { name }) => format!("unit {name}"),
            Some(Service::Container { runtime, id, pod }) => {
                let id = id.replace(ID, "ID");
                format!("{runtime} {id}{}", if pod { ", pod" } else { "" })
            }
        }
    }

    #[rstest]
    #[case::unit("0::/system.slice/nginx.service", "unit nginx.service")]
    #[case::instance(
        "0::/system.slice/system-haproxy.slice/haproxy@b.service",
        "unit haproxy@b.service"
    )]
    #[case::delegated("0::/system.slice/nginx.service/workers", "unit nginx.service")]
    #[case::session("0::/user.slice/user-0.slice/session-3.scope", "unit session-3.scope")]
    #[case::init("0::/init.scope", "unit init.scope")]
    #[case::root("0::/", "nothing")]
    #[case::nothing("", "nothing")]
    #[case::first_version(
        "2:cpu:/x\n1:name=systemd:/system.slice/apache2.service\n",
        "unit apache2.service"
    )]
    #[case::docker("0::/system.slice/docker-ID.scope", "docker ID")]
    #[case::docker_by_cgroupfs("12:memory:/docker/ID\n", "docker ID")]
    #[case::podman("0::/machine.slice/libpod-ID.scope/container", "podman ID")]
    #[case::containerd(
        "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-podX.slice/cri-containerd-ID.scope",
        "containerd ID, pod"
    )]
    #[case::kubernetes_by_cgroupfs("0::/kubepods/burstable/podX/ID", "container ID, pod")]
    #[case::lxc("0::/lxc.payload.web/system.slice/nginx.service", "lxc web")]
    #[case::nspawn("0::/machine.slice/machine-web.scope/payload", "machine web")]
    fn control_groups(#[case] text: &str, #[case] wanted: &str) {
        assert_eq!(shown(&text.replace("ID", ID)), wanted);
    }
}
