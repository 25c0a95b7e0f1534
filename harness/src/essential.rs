//! What every case needs of a kernel, in one place. Anything else may be missing: the cases
//! that need it are skipped, and say why.

use std::fmt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Something that no case can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Essential {
    /// `/proc`, where the kernel shows its counters and the program finds itself.
    Proc,
    /// The settings of a network namespace, under `/proc/sys`.
    Sysctls,
    /// Network namespaces: each case has one of its own.
    NetworkNamespaces,
    /// Process namespaces: with the end of one, everything in it ends.
    ProcessNamespaces,
    /// Mount namespaces, for a `/proc` of the case's own processes.
    MountNamespaces,
    /// User namespaces, where this program is not root.
    UserNamespaces,
    /// Packet sockets, which capture what is on the wire.
    PacketSockets,
}

impl Essential {
    /// All of them, in the order in which one can be looked for: without `/proc` the
    /// namespaces are not seen.
    pub const ALL: [Self; 7] = [
        Self::Proc,
        Self::Sysctls,
        Self::NetworkNamespaces,
        Self::ProcessNamespaces,
        Self::MountNamespaces,
        Self::UserNamespaces,
        Self::PacketSockets,
    ];

    /// What it is, in a word or two.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proc => "/proc",
            Self::Sysctls => "/proc/sys",
            Self::NetworkNamespaces => "net namespaces",
            Self::ProcessNamespaces => "pid namespaces",
            Self::MountNamespaces => "mnt namespaces",
            Self::UserNamespaces => "user namespaces",
            Self::PacketSockets => "packet sockets",
        }
    }

    /// What the kernel's configuration calls it.
    pub fn option(self) -> &'static str {
        match self {
            Self::Proc => "CONFIG_PROC_FS",
            Self::Sysctls => "CONFIG_SYSCTL",
            Self::NetworkNamespaces => "CONFIG_NET_NS",
            Self::ProcessNamespaces => "CONFIG_PID_NS",
            Self::MountNamespaces => "CONFIG_NAMESPACES",
            Self::UserNamespaces => "CONFIG_USER_NS",
            Self::PacketSockets => "CONFIG_PACKET",
        }
    }

    /// Whether root needs it, too.
    pub fn is_for_root(self) -> bool {
        self != Self::UserNamespaces
    }

    /// Whether the running kernel has it. One that has it may still refuse it to this process.
    pub fn is_there(self) -> bool {
        let exists = |path: &str| Path::new(path).exists();
        match self {
            Self::Proc => exists("/proc/self/exe"),
            Self::Sysctls => exists("/proc/sys/net"),
            Self::NetworkNamespaces => exists("/proc/self/ns/net"),
            Self::ProcessNamespaces => exists("/proc/self/ns/pid"),
            Self::MountNamespaces => exists("/proc/self/ns/mnt"),
            Self::UserNamespaces => exists("/proc/self/ns/user"),
            Self::PacketSockets => has_packet_sockets(),
        }
    }

    /// The first that the running kernel does not have, if there is one.
    pub fn first_missing(root: bool) -> Option<Self> {
        Self::ALL.into_iter().find(|each| (each.is_for_root() || !root) && !each.is_there())
    }
}

/// The family is looked up before the right to use it is.
fn has_packet_sockets() -> bool {
    let tried = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
    !matches!(tried, Err(Errno::EAFNOSUPPORT))
}

/// A sentence without its full stop: what is missing, and what to do.
impl fmt::Display for Essential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Proc => {
                return f.write_str(
                    "/proc is not mounted, and sockmig reads the kernel's counters there: mount \
                     -t proc proc /proc",
                );
            }
            Self::Sysctls => "/proc/sys/net, where migration is turned on",
            Self::NetworkNamespaces => "network namespaces, and each case runs in one of its own",
            Self::ProcessNamespaces => {
                "process namespaces, and nothing of a case may survive the end of its own"
            }
            Self::MountNamespaces => "mount namespaces, and each case has a /proc of its own",
            Self::UserNamespaces => "user namespaces, without which only root can run sockmig",
            Self::PacketSockets => "packet sockets, and each case captures what is on its wire",
        };
        write!(f, "this kernel has no {what}: it is built without {}", self.option())
    }
}

impl std::error::Error for Essential {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_everything_or_no_test_would_run() {
        assert_eq!(Essential::first_missing(true), None);
    }

    #[test]
    fn each_lack_is_one_sentence_with_its_option_or_its_remedy() {
        for each in Essential::ALL {
            let sentence = each.to_string();
            assert!(!sentence.contains(". ") && !sentence.contains('\n'), "{sentence}");
            assert!(sentence.contains(each.option()) || each == Essential::Proc, "{sentence}");
        }
    }
}
