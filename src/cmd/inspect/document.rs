//! What `sockmig inspect` has found: the document, from which every format is made.

use std::collections::BTreeMap;

use harness::host::holders::HolderProcess;
use harness::host::namespace::{NamespaceName, NoLook};
use harness::host::options::ListenerOptions;
use harness::host::programs::ReuseportProgram;
use harness::host::service::Service;
use harness::refusal::Refusal;
use scenarios::judge::VersionSays;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cmd::inspect::grouping::{Difference, GroupAddress};
use crate::cmd::inspect::surprise::Surprise;

/// The version of the document's form.
pub const SCHEMA: u32 = 1;

/// What was found on this machine.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct InspectDocument {
    /// The version of the form of this document.
    pub schema: u32,
    /// The version of sockmig that wrote it.
    pub sockmig: String,
    /// The kernel.
    pub kernel: KernelDocument,
    /// sockmig ran as root.
    pub root: bool,
    /// The namespaces that were looked at.
    pub namespaces: Vec<NamespaceDocument>,
    /// What could not be seen.
    pub not_visible: NotVisible,
    /// The eBPF programs that may choose listeners, of the whole machine; none where this user
    /// is not shown them.
    pub programs: Option<Vec<ReuseportProgram>>,
    /// Modules that the kernel loaded because it was asked (`tcp_diag`, as `ss` makes it).
    pub modules_loaded: Vec<String>,
}

/// The kernel that runs.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct KernelDocument {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// The upstream version whose fixes it has, where that is known.
    pub base: Option<String>,
    /// What it makes of `tcp_migrate_req`.
    pub migration: MigrationSupport,
}

/// What a kernel makes of `tcp_migrate_req`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MigrationSupport {
    /// The setting, and the code that it turns on.
    Works,
    /// The setting is there and does nothing.
    SettingOnly,
    /// Not even the setting.
    Absent,
}

/// What this user is not shown.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct NotVisible {
    /// Processes whose descriptors cannot be listed: they may have listeners open.
    pub processes: usize,
    /// Processes whose network namespaces cannot be known, with `--all`.
    pub namespaces_of_processes: usize,
    /// Namespaces that could not be looked at.
    pub namespaces: Vec<UnseenNamespace>,
}

/// A namespace that could not be looked at.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct UnseenNamespace {
    /// Its inode.
    pub id: u64,
    /// How it is called.
    pub name: NamespaceName,
    /// Why.
    pub why: NoLook,
}

/// A network namespace.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct NamespaceDocument {
    /// Its inode.
    pub id: u64,
    /// How it is called.
    pub name: NamespaceName,
    /// `net.ipv4.tcp_migrate_req`; none where the kernel has no such setting.
    pub tcp_migrate_req: Option<u8>,
    /// Nobody in it can change the setting: `/proc/sys` is mounted read-only there, as in most
    /// containers.
    pub settings_read_only: bool,
    /// The container whose namespace it is, as far as that is known.
    pub container: Option<Service>,
    /// How many listeners it has, at all ports.
    pub listeners: usize,
    /// How many ports have one listener.
    pub single_ports: usize,
    /// Those of them whose listener has `SO_REUSEPORT`, as far as that is visible: at a reload,
    /// another one may join it before it closes.
    pub single_reuseport: Vec<SinglePortDocument>,
    /// Its counters since it was made, by the kernel's names.
    pub counters: BTreeMap<String, i64>,
    /// The ports with more than one listener.
    pub ports: Vec<PortDocument>,
    /// The known bugs of this kernel that concern these listeners.
    pub known_bugs: Vec<BugDocument>,
    /// What to do.
    pub advice: Vec<Advice>,
}

/// A port with more than one listener.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct PortDocument {
    /// The port.
    pub port: u16,
    /// Its groups, the largest first.
    pub groups: Vec<GroupDocument>,
    /// Those that look like one.
    pub look_alikes: Vec<LookAlikeDocument>,
}

/// A port with one listener, which others could join.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SinglePortDocument {
    /// The port.
    pub port: u16,
    /// The processes that have the listener open, as far as they are visible.
    pub holders: Vec<HolderProcess>,
    /// What happens to its connections if another listener joins its group, and it closes then.
    pub close_after_another_joined: CloseEffect,
}

/// Listeners that are one group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct GroupDocument {
    /// What they have in common.
    #[serde(flatten)]
    pub address: GroupAddress,
    /// The listeners.
    pub members: Vec<MemberDocument>,
    /// Handshakes in flight of all of them.
    pub handshakes_in_flight: u32,
    /// What happens to a member's connections when it closes now.
    pub close: CloseEffect,
    /// What would surprise a connection that moves.
    pub surprises: Vec<Surprise>,
    /// A member has keys for MD5 signatures, as far as that is visible.
    pub md5_keys: bool,
}

/// A listener.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct MemberDocument {
    /// Its inode, as in `/proc/PID/fd`.
    pub inode: u64,
    /// The number that no other socket of this kernel has.
    pub cookie: u64,
    /// Who it belongs to.
    pub uid: u32,
    /// Children that wait for `accept`.
    pub accept_queue: u32,
    /// The backlog.
    pub backlog: u32,
    /// Whether it is a listener of Multipath TCP; none if that is not visible.
    pub multipath: Option<bool>,
    /// The processes that have it open, as far as they are visible.
    pub holders: Vec<HolderProcess>,
    /// Its options; none if they are not visible.
    pub options: Option<ListenerOptions>,
    /// Why they are not visible, if it was tried.
    pub options_refused: Option<Refusal>,
}

/// Two groups that look like one.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LookAlikeDocument {
    /// Their places in `groups`.
    pub groups: [usize; 2],
    /// In what they differ.
    pub differences: Vec<Difference>,
}

/// What happens to a listener's connections when it closes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CloseEffect {
    /// Another member takes them over.
    Moves,
    /// It is not known whether another one takes them over: the kernel does not show which
    /// listeners are one group, and their users or options do not tell.
    Unknown,
    /// They are lost.
    Loses {
        /// Why.
        reason: LossReason,
    },
}

/// Why connections of a listener that closes are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossReason {
    /// `tcp_migrate_req` is 0.
    SettingIsOff,
    /// The kernel has the setting, and not the code.
    SettingDoesNothing,
    /// The kernel cannot.
    KernelCannot,
    /// There is no other member.
    OnlyMember,
}

/// A known bug of this kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BugDocument {
    /// The case that shows it.
    pub case: String,
    /// What is seen and why, in a sentence.
    pub reason: String,
    /// The commit that fixes it, if that is known.
    pub fix: Option<String>,
    /// Whether kernels of this version have it, or the version does not say.
    pub version: VersionSays,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Advice {
    /// Turn migration on in this namespace.
    TurnOn {
        /// For the groups of these ports.
        ports: Vec<u16>,
    },
    /// Pass listeners to the new server instead of closing them.
    PassListeners {
        /// At these ports.
        ports: Vec<u16>,
        /// Why nothing simpler helps.
        reason: PassReason,
    },
    /// Listen at one address, so that there is one group.
    ListenAlike {
        /// At these ports.
        ports: Vec<u16>,
    },
    /// Give the listeners of a group the same options.
    SetAlike {
        /// At these ports.
        ports: Vec<u16>,
    },
    /// Make room in full accept queues.
    MakeRoom {
        /// At these ports.
        ports: Vec<u16>,
    },
}

/// Why connections can only be kept by keeping their listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PassReason {
    /// The kernel has no migration.
    KernelCannot,
    /// Connections of Multipath TCP that wait are lost in any case.
    Multipath,
}
