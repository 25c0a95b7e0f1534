//! Why a case cannot be printed as a program.

use std::fmt;

/// The act that no program can do with Python's standard library, or with what is recorded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unprintable {
    /// Nothing was recorded.
    NotRun,
    /// A descriptor is closed through io_uring.
    IoUring,
    /// A process serves clients, or replaces itself.
    Process,
    /// Descriptors are sent through a UNIX socket.
    Descriptors,
    /// A thread sleeps in a call on a listener that is closed under it.
    SleepingCall,
    /// Segments are signed, or an option has what belongs to one connection alone.
    Signed,
    /// The number of subflows is limited.
    Subflows,
    /// The kernel's memory is read.
    Memory,
    /// Something is not recorded.
    Unrecorded,
    /// A UDP socket.
    Datagram,
    /// A document of another version.
    OtherVersion,
    /// A client connects whose connecting is not recorded.
    UnrecordedClient,
    /// A listener becomes a client.
    ListenerConnects,
    /// An eBPF program reads a map that is filled without a record.
    FilledMap,
    /// Timestamps answer the server's.
    Timestamps,
    /// A socket is of another family than the others.
    OtherFamily,
    /// An entry of a map is set if it is empty, or if it is taken.
    Vacancy,
    /// The hash decides, which is another one in each namespace, between too many listeners.
    Hash,
    /// Several clients or listeners have one name at a time.
    SharedName,
    /// `SO_INCOMING_CPU`.
    Processor,
    /// The hash of a client decides that is bound to a port.
    BoundClient,
    /// The server's first number of a second connection shows.
    Numbers,
    /// A listener of Multipath TCP is destroyed.
    DestroyedMultipath,
    /// An option of a socket, by its name.
    Option(String),
}

/// A sentence that names the act.
impl fmt::Display for Unprintable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun => f.write_str("it was not run on this kernel"),
            Self::IoUring => f.write_str("a descriptor is closed through io_uring"),
            Self::Process => f.write_str("a process of its own serves clients or calls execve"),
            Self::Descriptors => f.write_str("descriptors are sent through a UNIX socket"),
            Self::SleepingCall => {
                f.write_str("a thread sleeps in accept on the descriptor that is closed")
            }
            Self::Signed => f.write_str(
                "a segment has a signature or a key that is right for one connection alone",
            ),
            Self::Subflows => f.write_str("the number of subflows of Multipath TCP is limited"),
            Self::Memory => f.write_str("the kernel's memory is read"),
            Self::Unrecorded => f.write_str("something is done so often that it is not recorded"),
            Self::Datagram => f.write_str("a UDP socket is bound"),
            Self::OtherVersion => {
                f.write_str("a document of another version has only words for its acts")
            }
            Self::UnrecordedClient => {
                f.write_str("clients connect whose connecting is not recorded")
            }
            Self::ListenerConnects => f.write_str("a bound socket connects as a client"),
            Self::FilledMap => f.write_str("an eBPF program reads a map that is filled unrecorded"),
            Self::Timestamps => f.write_str("a segment echoes the server's timestamp"),
            Self::OtherFamily => f.write_str("a listener is of another address family"),
            Self::Vacancy => f.write_str("an entry of a map is set only if it is empty or taken"),
            Self::Hash => f.write_str(
                "the hash, which is another one in each namespace, decides between more listeners \
                 than a program can find clients for",
            ),
            Self::SharedName => f.write_str("several clients or listeners have one name at a time"),
            Self::Processor => {
                f.write_str("the processor decides that a segment comes in on (SO_INCOMING_CPU)")
            }
            Self::BoundClient => f.write_str(
                "the hash of a client decides that has a port of its own, and it is another one in \
                 each namespace",
            ),
            Self::Numbers => f.write_str(
                "the server's first number of a second connection, which is another one each \
                 time, shows",
            ),
            Self::DestroyedMultipath => {
                f.write_str("a listener of Multipath TCP is destroyed by its inner socket")
            }
            Self::Option(name) => write!(f, "the option {name} is set"),
        }
    }
}
