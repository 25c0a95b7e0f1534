//! How migration is turned on in a namespace, for good, and off again.

use harness::host::namespace::NamespaceName;
use harness::host::service::Service;

use crate::cmd::inspect::document::NamespaceDocument;
use crate::cmd::inspect::words::printable;

/// The setting.
pub const SETTING: &str = "net.ipv4.tcp_migrate_req";

/// Where it is kept on a machine.
const FILE: &str = "/etc/sysctl.d/60-tcp-migrate-req.conf";

/// Commands and lines of configuration, each after the word for when it works. Who is not root
/// enters the user namespace first that the other one belongs to.
pub fn commands(it: &NamespaceDocument, root: bool) -> Vec<(&'static str, String)> {
    let is_here = it.name == NamespaceName::This;
    let enter = match &it.name {
        NamespaceName::This => String::new(),
        NamespaceName::Named { name } => format!("ip netns exec {} ", printable(name)),
        NamespaceName::OfProcess { pid, .. } => match root {
            true => format!("nsenter -t {pid} -n "),
            false => format!("nsenter -t {pid} -U --preserve-credentials -n "),
        },
        NamespaceName::File { path } => {
            format!("nsenter --net={} ", printable(&path.display().to_string()))
        }
    };
    let container = match &it.container {
        Some(Service::Container { runtime, pod, .. }) => Some((runtime.as_str(), *pod)),
        // Of what a control group does not show, a read-only /proc/sys does.
        Some(Service::Unit { .. }) | None => it.settings_read_only.then_some(("", false)),
    };
    let mut lines = match it.settings_read_only {
        true => vec![("now", "not from in here: /proc/sys is read-only".into())],
        false => vec![("now", format!("{enter}sysctl -w {SETTING}=1"))],
    };
    match container {
        Some((_, true)) => {
            lines.push((
                "for good",
                format!("securityContext: {{sysctls: [{{name: {SETTING}, value: \"1\"}}]}}"),
            ));
            lines.push(("", "in the pod's spec, where the kubelet has".into()));
            lines.push(("", format!("--allowed-unsafe-sysctls={SETTING}")));
        }
        Some((runtime, false)) => lines.push(("for good", in_container(runtime))),
        None if is_here => {
            lines.push(("for good", format!("echo '{SETTING} = 1' > {FILE}")));
        }
        None => lines.push(("for good", "by what makes this namespace, each time".into())),
    }
    lines.push((
        "back",
        match it.settings_read_only {
            true => "start it without that".into(),
            false => format!("{enter}sysctl -w {SETTING}=0"),
        },
    ));
    if container.is_none() && is_here {
        lines.push(("", format!("rm {FILE}")));
    }
    lines
}

/// How a container gets a setting of its own when it starts. One that has the machine's network
/// has none of its own.
fn in_container(runtime: &str) -> String {
    match runtime {
        "docker" | "podman" => format!("{runtime} run --sysctl {SETTING}=1 ..."),
        "lxc" => format!("lxc.sysctl.{SETTING} = 1    (the container's configuration)"),
        _ => format!("{SETTING}=1 among the sysctls that the container is started with"),
    }
}
