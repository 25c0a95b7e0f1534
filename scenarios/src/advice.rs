//! What to do where there can be no laboratory, or too little of something: the kernel's answer,
//! its cause on this machine, and what removes that.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use harness::essential::Essential;
use harness::net::sysctl;
use harness::process::Broken;
use harness::process::no_namespaces::{NamespaceStep, NoNamespaces};
use harness::process::users::{LabCapability, missing_capabilities};
use harness::refusal::Refusal;
use harness::{Errno, Resource, in_words};

/// How many namespaces a user may have, of each kind that a laboratory needs.
const LIMITS: [&str; 4] = [
    "user.max_user_namespaces",
    "user.max_net_namespaces",
    "user.max_pid_namespaces",
    "user.max_mnt_namespaces",
];

/// What of this machine an answer can be about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Machine {
    root: bool,
    has_proc: bool,
    has_dev_null: bool,
    /// Those of [`LIMITS`] that are 0.
    no_more_of: Vec<&'static str>,
    /// What labs take, and root has not.
    missing: Vec<LabCapability>,
}

impl Machine {
    fn this() -> Self {
        let is_zero = |limit: &&str| sysctl::read(limit).is_ok_and(|value| value == "0");
        Self {
            root: harness::kernel::is_root(),
            has_proc: Essential::Proc.is_there(),
            has_dev_null: Path::new("/dev/null").exists(),
            no_more_of: LIMITS.into_iter().filter(is_zero).collect(),
            missing: missing_capabilities(),
        }
    }
}

/// Why there can be no laboratory on this machine, and what to do about it.
pub fn no_lab(broken: &Broken) -> String {
    told(broken, &Machine::this())
}

fn told(broken: &Broken, machine: &Machine) -> String {
    let advice = match broken {
        Broken::Namespaces(why) => Some(namespaces(why, machine)),
        Broken::Start(why) => start(why, machine),
        Broken::Exhausted { of: Resource::Namespaces, .. } => Some(limit(machine)),
        Broken::Exhausted { of, .. } => return format!("{broken}; {}", limits(*of)),
        Broken::Setup(_) if !machine.missing.is_empty() => Some(capabilities(&machine.missing)),
        Broken::Setup(_) | Broken::Hung { .. } | Broken::Died { .. } | Broken::Interrupted => None,
    };
    advice.map_or_else(|| broken.to_string(), |advice| format!("{broken}\n{advice}"))
}

const ALLOW: &str = "sockmig needs namespaces of its own. Run it as root, or allow unprivileged \
    user namespaces:\nwhere these sysctls exist, kernel.unprivileged_userns_clone must be 1 and\n\
    kernel.apparmor_restrict_unprivileged_userns 0. A container may forbid them, too: give it\n\
    CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN), or another seccomp profile.";

fn namespaces(NoNamespaces { step, why }: &NoNamespaces, machine: &Machine) -> String {
    match (step, why.errno()) {
        (NamespaceStep::Make, Some(Errno::EPERM | Errno::EACCES)) if machine.root => {
            "This is root without CAP_SYS_ADMIN, as in a container: give it that capability\n\
             (docker run --cap-add SYS_ADMIN), or allow user namespaces there (another seccomp\n\
             profile)."
                .into()
        }
        (NamespaceStep::MapUser, Some(Errno::EPERM)) if machine.root => {
            "This is root without CAP_SETFCAP, which since Linux 5.12 it takes to be root in a\n\
             namespace: give it CAP_SETFCAP or CAP_SYS_ADMIN (docker run --cap-add SETFCAP), or run\n\
             sockmig as another user."
                .into()
        }
        (NamespaceStep::MapUser, Some(Errno::EROFS)) => {
            "/proc is mounted read-only here: mount it for writing, or run sockmig as root.".into()
        }
        _ => ALLOW.into(),
    }
}

fn capabilities(missing: &[LabCapability]) -> String {
    let named: Vec<String> = missing.iter().map(|each| format!("CAP_{}", each.name())).collect();
    let added: Vec<String> =
        missing.iter().map(|each| format!("--cap-add {}", each.name())).collect();
    format!(
        "This is root with CAP_SYS_ADMIN and without {}, as in a container: give it that, too\n\
         (docker run {}), or run sockmig as another user.",
        named.join(" and "),
        added.join(" ")
    )
}

fn limit(machine: &Machine) -> String {
    match machine.no_more_of.as_slice() {
        [] => format!(
            "A limit on namespaces is reached, or they are nested too deeply (32 levels). Other\n\
             programs of this user may have them; see the sysctls {}.",
            all_limits()
        ),
        none => {
            let set: Vec<String> = none.iter().map(|limit| format!("{limit}=1000")).collect();
            let verb = if none.len() == 1 { "is" } else { "are" };
            format!("{} {verb} 0 here: sysctl -w {}", none.join(" and "), set.join(" "))
        }
    }
}

fn start(why: &Refusal, machine: &Machine) -> Option<String> {
    if !machine.has_proc {
        return Some(Essential::Proc.to_string());
    }
    let advice = match why.errno()? {
        Errno::ENOENT if !machine.has_dev_null => {
            "There is no /dev/null, as in a bare chroot: mknod -m 666 /dev/null c 1 3, or mount \
             --bind /dev there."
        }
        Errno::EACCES | Errno::EPERM => {
            "Something forbids this program to start itself: a mount with noexec, or a security \
             module."
        }
        _ => return None,
    };
    Some(advice.into())
}

/// A refused call's answer, with what may be the limit if there was too little of something.
pub fn refusal(answer: &io::Error) -> String {
    match Resource::lacking(answer) {
        Some(of) => format!("{}; {}", in_words(answer), limits(of)),
        None => in_words(answer),
    }
}

/// What may be the limit where there is too little of something.
pub fn limits(of: Resource) -> Cow<'static, str> {
    match of {
        Resource::Namespaces => {
            format!("namespaces are limited by the sysctls {}", all_limits()).into()
        }
        other => other.limits().into(),
    }
}

/// [`LIMITS`] in a sentence.
fn all_limits() -> String {
    let [others @ .., last] = LIMITS;
    format!("{} and {last}", others.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn machine() -> Machine {
        Machine {
            root: false,
            has_proc: true,
            has_dev_null: true,
            no_more_of: vec![],
            missing: vec![],
        }
    }

    fn refused(step: NamespaceStep, errno: Errno) -> Broken {
        let why = Refusal::Errno { call: Some("unshare()".into()), errno };
        Broken::Namespaces(NoNamespaces { step, why })
    }

    /// Each answer has a cause of its own, and its own advice.
    #[rstest]
    #[case::forbidden(NamespaceStep::Make, Errno::EPERM, false, "unprivileged_userns_clone")]
    #[case::root_in_a_container(NamespaceStep::Make, Errno::EPERM, true, "without CAP_SYS_ADMIN")]
    #[case::another_answer(NamespaceStep::Make, Errno::EINVAL, false, "seccomp profile")]
    #[case::setfcap(NamespaceStep::MapUser, Errno::EPERM, true, "without CAP_SETFCAP")]
    #[case::no_map(NamespaceStep::MapUser, Errno::EPERM, false, "unprivileged_userns_clone")]
    #[case::read_only(NamespaceStep::MapUser, Errno::EROFS, false, "read-only")]
    fn each_answer_has_its_advice(
        #[case] step: NamespaceStep,
        #[case] errno: Errno,
        #[case] root: bool,
        #[case] advice: &str,
    ) {
        let text = told(&refused(step, errno), &Machine { root, ..machine() });
        assert!(text.starts_with(&format!("no laboratory: unshare(): {errno:?}\n")), "{text}");
        assert!(text.contains(advice), "{text}");
    }

    fn exhausted(of: Resource) -> Broken {
        Broken::Exhausted { of, call: "unshare(): ENOSPC".into() }
    }

    #[rstest]
    #[case::processes(Resource::Processes, "pids.max")]
    #[case::files(Resource::Descriptors, "ulimit -n")]
    #[case::memory(Resource::Memory, "memory.max")]
    #[case::namespaces(Resource::Namespaces, "A limit on namespaces is reached")]
    fn what_limits_is_named(#[case] of: Resource, #[case] advice: &str) {
        let text = told(&exhausted(of), &machine());
        assert!(text.starts_with("no laboratory: unshare(): ENOSPC"), "{text}");
        assert!(text.contains(advice), "{text}");
    }

    #[test]
    fn the_limit_that_is_0_is_named() {
        let of = |no_more_of: Vec<&'static str>| {
            let machine = Machine { root: true, no_more_of, ..machine() };
            told(&exhausted(Resource::Namespaces), &machine)
        };
        let one = of(vec!["user.max_net_namespaces"]);
        assert!(
            one.ends_with(
                "user.max_net_namespaces is 0 here: sysctl -w user.max_net_namespaces=1000"
            ),
            "{one}"
        );
        let two = of(vec!["user.max_user_namespaces", "user.max_net_namespaces"]);
        assert!(
            two.contains("user.max_user_namespaces and user.max_net_namespaces are 0"),
            "{two}"
        );
    }

    #[rstest]
    #[case::no_dev_null(Errno::ENOENT, Machine { has_dev_null: false, ..machine() }, "mknod -m 666 /dev/null")]
    #[case::no_proc(Errno::ENOENT, Machine { has_proc: false, ..machine() }, "mount -t proc")]
    #[case::noexec(Errno::EACCES, machine(), "noexec")]
    fn a_process_that_cannot_start_has_its_cause(
        #[case] errno: Errno,
        #[case] machine: Machine,
        #[case] advice: &str,
    ) {
        let text = told(&Broken::Start(errno.into()), &machine);
        assert!(text.contains(advice), "{text}");
    }

    #[test]
    fn what_root_lacks_is_named() {
        let broken = Broken::Setup("ioctl(SIOCSIFFLAGS, lo, IFF_UP): EPERM".into());
        let of = |missing: Vec<LabCapability>| told(&broken, &Machine { missing, ..machine() });
        assert_eq!(of(vec![]), broken.to_string());
        let text = of(vec![LabCapability::NetAdmin, LabCapability::NetRaw]);
        assert!(text.starts_with(&format!("{broken}\n")), "{text}");
        assert!(text.contains("without CAP_NET_ADMIN and CAP_NET_RAW"), "{text}");
        assert!(text.contains("docker run --cap-add NET_ADMIN --cap-add NET_RAW"), "{text}");
    }

    #[test]
    fn what_has_no_advice_is_told_as_it_is() {
        let text = told(&Broken::Start(Errno::EIO.into()), &machine());
        assert_eq!(text, "cannot start the laboratory's process: EIO");
    }
}
