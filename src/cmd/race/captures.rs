//! Where captures of rounds are kept.

use std::path::PathBuf;

use anyhow::Result;
use explore::drive::record::Recorded;

use crate::output::file::{OutDirectory, write_whole};

/// The document, next to the captures.
const DOCUMENT: &str = "race.json";

/// Captures of rounds, as files.
pub(super) struct Captures {
    /// Where they are kept, once one was.
    out: Option<OutDirectory>,
    /// Somebody has named the directory.
    is_named: bool,
    keeps_nothing: bool,
}

/// Of what a capture is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing explains it.
    Neither,
    /// It is known what it is.
    Explained,
}

impl Captures {
    pub(super) fn new(out: Option<OutDirectory>, keeps_nothing: bool) -> Self {
        Self { is_named: out.is_some(), out, keeps_nothing }
    }

    /// Keeps the capture of a round, and says where, if it is to be kept.
    pub(super) fn keep(
        &mut self,
        title: &str,
        why: Why,
        recorded: &Recorded,
    ) -> Result<Option<PathBuf>> {
        if self.keeps_nothing || (why == Why::Explained && !self.is_named) {
            return Ok(None);
        }
        let directory = OutDirectory::or_temporary(&mut self.out)?;
        directory.keep_capture(title, &recorded.pcapng).map(Some)
    }

    /// Keeps the document, if somebody has named a directory.
    pub(super) fn keep_document(&self, json: &str) -> Result<()> {
        match &self.out {
            Some(directory) if self.is_named => {
                write_whole(&directory.file(DOCUMENT), json.as_bytes())
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::trace::Trace;

    #[test]
    fn what_is_explained_is_kept_where_somebody_has_named_a_directory() {
        let recorded = Recorded { trace: Trace::default(), pcapng: vec![1, 2], seen_at: vec![] };
        let mut nowhere = Captures::new(None, true);
        assert_eq!(nowhere.keep("a/b v4 on 1", Why::Neither, &recorded).expect("nothing"), None);
        let mut unnamed = Captures::new(None, false);
        let explained = unnamed.keep("a/b v4 on two-children", Why::Explained, &recorded);
        assert_eq!(explained.expect("nothing"), None);
        unnamed.keep_document("{}").expect("nothing is written");

        let place = tempfile::tempdir().expect("a directory");
        let out = OutDirectory::open(place.path()).expect("it is there");
        let mut named = Captures::new(Some(out), false);
        for (title, why) in [("a/b v4 on 1", Why::Neither), ("a/b v6 off x", Why::Explained)] {
            let kept = named.keep(title, why, &recorded).expect("written").expect("a file");
            assert_eq!(kept, place.path().join(title.replace(['/', ' '], "-") + ".pcapng"));
            assert_eq!(std::fs::read(kept).expect("it is there"), [1, 2]);
        }
        named.keep_document("{}").expect("written");
        assert!(place.path().join(DOCUMENT).is_file());
    }
}
