//! Network namespaces of this machine: which there are, and a look into one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::host::holders::pids;
use crate::host::listeners::{self, ListenerEntry, RequestAddress};
use crate::net::sysctl;
use crate::net::witness::Counters;
use crate::process::subprocess;
use crate::refusal::Refusal;

/// Where `ip netns add` puts names.
const NAMED: &str = "/run/netns";

/// Counters of a namespace that have to do with listeners and their connections, by the
/// kernel's names.
pub const COUNTERS: [&str; 10] = [
    "TCPMigrateReqSuccess",
    "TCPMigrateReqFailure",
    "ListenDrops",
    "ListenOverflows",
    "OutRsts",
    "EstabResets",
    "AttemptFails",
    "EmbryonicRsts",
    "TCPAbortOnData",
    "TCPAbortOnClose",
];

/// How a network namespace is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum NamespaceName {
    /// It is the one that sockmig runs in.
    This,
    /// Its name, as `ip netns` shows it.
    Named {
        /// The name.
        name: String,
    },
    /// It is only known by a process in it.
    OfProcess {
        /// The process.
        pid: u32,
        /// What it calls itself: any bytes that it likes.
        process: String,
    },
    /// It is known by a file that leads to it.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// A network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkNamespace {
    /// Its inode, which no other one has.
    pub id: u64,
    /// How it is called.
    pub name: NamespaceName,
    /// The file that leads to it.
    file: PathBuf,
}

/// What a network namespace has of listeners.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceLook {
    /// Its listeners.
    pub listeners: Vec<ListenerEntry>,
    /// Its handshakes in flight, by local address.
    pub requests: Vec<(RequestAddress, u32)>,
    /// `net.ipv4.tcp_migrate_req`; none where the kernel has no such setting.
    pub migrate_req: Option<u8>,
    /// Its [`COUNTERS`] since it was made; those that the kernel has.
    pub counters: BTreeMap<String, i64>,
}

/// Why something does not lead to a network namespace.
#[derive(Debug)]
pub enum NoNamespace {
    /// The file cannot be opened.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        why: io::Error,
    },
    /// The file is something else.
    OtherFile {
        /// The file.
        path: PathBuf,
    },
    /// No process has this id.
    NoProcess {
        /// The id.
        pid: u32,
    },
}

/// Why a network namespace could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NoLook {
    /// The kernel does not list TCP sockets: it is built without `CONFIG_INET_TCP_DIAG`, or its
    /// module for that cannot be loaded.
    NoTcpDiag,
    /// It refused a call.
    #[serde(untagged)]
    Refused(Refusal),
}

impl From<Refusal> for NoLook {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for NoLook {
    fn from(error: Error) -> Self {
        Self::Refused(error.into())
    }
}

impl NoLook {
    /// What the answer to a call of sock_diag means: it says ENOENT where nobody lists TCP
    /// sockets, and the call for a socket EPROTONOSUPPORT where nobody lists any.
    fn of_sock_diag(error: Error) -> Self {
        match Refusal::from(error) {
            refusal if matches!(refusal.errno(), Some(Errno::ENOENT | Errno::EPROTONOSUPPORT)) => {
                Self::NoTcpDiag
            }
            refusal => Self::Refused(refusal),
        }
    }
}

/// Every namespace that could be found.
#[derive(Debug)]
pub struct AllNamespaces {
    /// The namespaces; the first is this process's own.
    pub found: Vec<NetworkNamespace>,
    /// How many processes there are whose namespaces this user may not see.
    pub hidden: usize,
}

impl NetworkNamespace {
    /// The one that this process is in.
    ///
    /// # Errors
    /// `/proc` is not there.
    pub fn this() -> Result<Self> {
        let file = PathBuf::from("/proc/self/ns/net");
        let id = fs::metadata(&file).call(|| format!("stat({})", file.display()))?.ino();
        Ok(Self { id, name: NamespaceName::This, file })
    }

    /// The one that a process is in.
    ///
    /// # Errors
    /// There is no such process, or this user may not see its namespace.
    pub fn of_process(pid: u32) -> Result<Self, NoNamespace> {
        if !Path::new(&format!("/proc/{pid}")).exists() {
            return Err(NoNamespace::NoProcess { pid });
        }
        let process = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
        let process = String::from_utf8_lossy(&process).trim_end_matches('\n').to_owned();
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        Self::of_file(path, NamespaceName::OfProcess { pid, process })
    }

    /// The one that a name of `ip netns` stands for, or that a path leads to.
    ///
    /// # Errors
    /// There is no such file, this user may not open it, or it is something else.
    pub fn named(name: &str) -> Result<Self, NoNamespace> {
        if name.contains('/') {
            let path = PathBuf::from(name);
            return Self::of_file(path.clone(), NamespaceName::File { path });
        }
        Self::of_file(Path::new(NAMED).join(name), NamespaceName::Named { name: name.to_owned() })
    }

    fn of_file(path: PathBuf, name: NamespaceName) -> Result<Self, NoNamespace> {
        match inode_of(&path) {
            Ok(Some(id)) => Ok(Self { id, name, file: path }),
            Ok(None) => Err(NoNamespace::OtherFile { path }),
            Err(why) => Err(NoNamespace::Unreadable { path, why }),
        }
    }

    /// All that there are names or processes of.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn all() -> Result<AllNamespaces> {
        let this = Self::this()?;
        let mut all = AllNamespaces { found: vec![this], hidden: 0 };
        let mut names: Vec<String> = fs::read_dir(NAMED)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        let named = names.iter().filter_map(|name| Self::named(name).ok());
        all.found.extend(named);
        for pid in pids()? {
            match fs::metadata(format!("/proc/{pid}/ns/net")) {
                Ok(status) if all.found.iter().any(|known| known.id == status.ino()) => {}
                Ok(_) => all.found.extend(Self::of_process(pid)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(_) => all.hidden += 1,
            }
        }
        let mut seen = Vec::new();
        all.found.retain(|namespace| {
            let new = !seen.contains(&namespace.id);
            seen.push(namespace.id);
            new
        });
        Ok(all)
    }

    /// Looks at the listeners in it.
    ///
    /// A forked process enters the namespace for that, unless it is this process's own; where
    /// the namespace belongs to a user namespace of this user's, it enters that one first.
    ///
    /// # Errors
    /// This user may not enter it, or the kernel has no sock_diag for TCP.
    pub fn look(&self) -> Result<NamespaceLook, NoLook> {
        if Self::this()?.id == self.id {
            return NamespaceLook::here();
        }
        let entered = File::open(&self.file).call(|| format!("open({})", self.file.display()))?;
        let status = entered.metadata().call(|| format!("fstat({})", self.file.display()))?;
        // The id of a process that has ended may be another one's by now.
        if status.ino() != self.id {
            return Err(Refusal::of(Errno::ENOENT).into());
        }
        subprocess::forked(|| {
            enter(&entered)?;
            NamespaceLook::here()
        })?
    }
}

impl NamespaceLook {
    /// Looks at this process's own namespace.
    ///
    /// # Errors
    /// The kernel has no sock_diag for TCP, or `/proc` cannot be read.
    fn here() -> Result<Self, NoLook> {
        let counters = Counters::read()?;
        let counter = |name: &&str| Some(((*name).to_owned(), counters.get(name)?));
        Ok(Self {
            listeners: listeners::listeners().map_err(NoLook::of_sock_diag)?,
            requests: listeners::requests().map_err(NoLook::of_sock_diag)?,
            migrate_req: sysctl::read(sysctl::MIGRATE_REQ).ok().and_then(|v| v.parse().ok()),
            counters: COUNTERS.iter().filter_map(counter).collect(),
        })
    }
}

fn enter(namespace: &File) -> Result<(), Refusal> {
    let refused = |call: &str, errno| Refusal::Errno { call: Some(call.to_owned()), errno };
    match setns(namespace, CloneFlags::CLONE_NEWNET) {
        Ok(()) => return Ok(()),
        Err(Errno::EPERM) => {}
        Err(errno) => return Err(refused("setns(CLONE_NEWNET)", errno)),
    }
    let owner = owner(namespace).map_err(|errno| refused("setns(CLONE_NEWNET)", errno))?;
    setns(owner, CloneFlags::CLONE_NEWUSER)
        .map_err(|errno| refused("setns(CLONE_NEWUSER)", errno))?;
    setns(namespace, CloneFlags::CLONE_NEWNET)
        .map_err(|errno| refused("setns(CLONE_NEWNET)", errno))
}

/// `NS_GET_USERNS` and `NS_GET_NSTYPE` of `linux/nsfs.h`. How they are numbered depends on the
/// architecture.
const GET_USERNS: libc::Ioctl = libc::_IO(0xb7, 1);
const GET_NSTYPE: libc::Ioctl = libc::_IO(0xb7, 3);

/// The user namespace that a namespace belongs to.
fn owner(namespace: &File) -> Result<OwnedFd, Errno> {
    // SAFETY: an ioctl without an argument.
    let opened = unsafe { libc::ioctl(namespace.as_raw_fd(), GET_USERNS) };
    let opened: RawFd = Errno::result(opened)?;
    // SAFETY: the kernel has just opened it for this caller.
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

/// The inode of a network namespace; nothing if the file is something else.
fn inode_of(path: &Path) -> io::Result<Option<u64>> {
    // What is no regular file could block, or do something, when it is opened.
    let status = fs::metadata(path)?;
    if !status.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    // SAFETY: an ioctl without an argument.
    let kind = unsafe { libc::ioctl(file.as_raw_fd(), GET_NSTYPE) };
    Ok((kind == libc::CLONE_NEWNET).then_some(status.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::no_module(Errno::ENOENT, NoLook::NoTcpDiag, r#""no-tcp-diag""#)]
    #[case::no_sock_diag(Errno::EPROTONOSUPPORT, NoLook::NoTcpDiag, r#""no-tcp-diag""#)]
    #[case::forbidden(
        Errno::EPERM,
        NoLook::Refused(Refusal::Errno { call: Some("send()".into()), errno: Errno::EPERM }),
        r#"{"call":"send()","errno":"EPERM"}"#
    )]
    fn who_lists_no_tcp_sockets_is_not_just_refused(
        #[case] errno: Errno,
        #[case] wanted: NoLook,
        #[case] written: &str,
    ) {
        let error = Error::Call { call: "send()".into(), source: errno.into() };
        let no_look = NoLook::of_sock_diag(error);
        assert_eq!(no_look, wanted);
        assert_eq!(serde_json::to_string(&no_look).expect("JSON"), written);
        assert_eq!(serde_json::from_str::<NoLook>(written).expect("a reason"), no_look);
    }
}
