//! Why a case cannot be held against the model.

use std::fmt;

/// What is done in a case that the model does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// Nothing was recorded: the case was skipped.
    NotRun,
    /// Listeners at several addresses, ports or devices, or of several users.
    SeveralAddresses,
    /// `SO_INCOMING_CPU` of a listener.
    IncomingCpu,
    /// A program in eBPF that chooses by what is not recorded.
    Program,
    /// Multipath TCP.
    Multipath,
    /// Signed segments.
    Signed,
    /// SYN cookies.
    Cookies,
    /// A process of its own accepts connections, or serves them, and does not say which.
    OtherProcess,
    /// A filter on a listener, which drops segments.
    Filter,
    /// A SYN with timestamps that a later segment contradicts.
    Timestamps,
    /// `TCP_SYNCNT`, by which a listener has its own number of retransmissions.
    OwnRetries,
    /// A segment that is none of a history's.
    Segment,
    /// `shutdown` of a socket that does not listen.
    ShutdownOfOther,
    /// A UDP socket.
    Datagram,
    /// Several clients or listeners have one name in the record at a time.
    SharedName,
    /// The hash spreads so many connections that not all possibilities can be tried.
    ManyHashes,
    /// `net.ipv4.tcp_invalid_ratelimit`.
    RateLimit,
    /// Memory is refused.
    RefusedMemory,
    /// What is done so often that it is not recorded.
    Unrecorded,
    /// An act of a document of another version.
    OtherVersion,
    /// No listener ever listens.
    NoListener,
    /// Nothing is recorded that the model says something of.
    NoFact,
}

/// A sentence, as the page about histories has it.
impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRun => "the kernel does not have what the case is about",
            Self::SeveralAddresses => {
                "listeners at several addresses, ports or devices, or of several users: the model \
                 has one group"
            }
            Self::IncomingCpu => {
                "`SO_INCOMING_CPU`: the kernel prefers listeners by the processor that a segment \
                 comes in on, which no record has"
            }
            Self::Program => "a program in eBPF chooses by a map or a hash that no record has",
            Self::Multipath => "Multipath TCP, which has a protocol of its own above each subflow",
            Self::Signed => "segments are signed (TCP-MD5, TCP-AO), and some are dropped for that",
            Self::Cookies => "SYN cookies: there is no request",
            Self::OtherProcess => "another process accepts, and what it gets is not recorded",
            Self::Filter => "a filter on a listener drops segments",
            Self::Timestamps => "timestamps decide whether a segment is an old one (PAWS)",
            Self::OwnRetries => "`TCP_SYNCNT` of a listener decides how often a timer fires",
            Self::Segment => "a segment is sent that the model has no kind for",
            Self::ShutdownOfOther => {
                "`shutdown` of a socket that does not listen marks the children that it has later"
            }
            Self::Datagram => "UDP",
            Self::SharedName => "several clients or listeners have one name in the record",
            Self::ManyHashes => {
                "the hash, which no record has, spreads more connections than can be tried"
            }
            Self::RefusedMemory => "the kernel gets no memory",
            Self::RateLimit => "`net.ipv4.tcp_invalid_ratelimit` leaves answers out",
            Self::Unrecorded => "something is done so often that it is not recorded",
            Self::OtherVersion => "a document of another version has only words for its acts",
            Self::NoFact => "nothing is recorded that the model says something of",
            Self::NoListener => "nothing listens",
        })
    }
}
