//! The documents that cases cite. Each title is written once, here.

use std::fmt;

/// A text that says what the kernel must do.
#[derive(Debug, PartialEq, Eq)]
pub struct Document {
    /// Its title.
    pub title: &'static str,
    /// Who wrote it, for what, and when.
    pub origin: &'static str,
    /// Where to look for it.
    pub link: &'static str,
}

/// A place in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Citation {
    /// The document.
    pub document: &'static Document,
    /// Where in it, in the document's own words; empty for all of it.
    pub place: &'static str,
}

impl Document {
    /// A place in it; empty for all of it.
    #[must_use]
    pub const fn at(&'static self, place: &'static str) -> Citation {
        Citation { document: self, place }
    }
}

impl fmt::Display for Citation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({})", self.document.title, self.document.origin)?;
        if !self.place.is_empty() {
            write!(f, ", {}", self.place)?;
        }
        Ok(())
    }
}

/// The talk with the two quizzes.
pub static TALK: Document = Document {
    title: "Socket migration for SO_REUSEPORT",
    origin: "Kuniyuki Iwashima, Linux Plumbers Conference 2021",
    link: "https://lpc.events/event/11/",
};

/// What came with the patches that brought migration.
pub static COVER_LETTER: Document = Document {
    title: "[PATCH v4 bpf-next 00/11] Socket migration for SO_REUSEPORT",
    origin: "Kuniyuki Iwashima, mailing list bpf, 27 April 2021",
    link: "https://lore.kernel.org/bpf/",
};

/// An answer to them: how servers do without.
pub static REPLY: Document = Document {
    title: "Re: [PATCH v4 bpf-next 00/11] Socket migration for SO_REUSEPORT",
    origin: "Maciej Żenczykowski, mailing list bpf, 27 April 2021",
    link: "https://lore.kernel.org/bpf/",
};

/// Multipath TCP, as Linux speaks it.
pub static RFC_8684: Document = Document {
    title: "TCP Extensions for Multipath Operation with Multiple Addresses",
    origin: "RFC 8684, March 2020",
    link: "https://www.rfc-editor.org/rfc/rfc8684",
};

/// Every document, in the order in which they are listed.
pub static DOCUMENTS: [&Document; 4] = [&TALK, &COVER_LETTER, &REPLY, &RFC_8684];
