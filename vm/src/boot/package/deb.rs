//! Debian's packages, without dpkg.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use crate::boot::bounded::{Bounded, Content};
use crate::boot::package::about::About;
use crate::boot::package::archive::{self, Visit};
use crate::boot::package::bad_package::{BadPackage, UnknownForm};
use crate::boot::regular;

/// Visits the files that the package installs.
///
/// # Errors
/// The package is damaged, or `visit` has an error.
pub fn files(deb: &Path, visit: Visit<'_>) -> Result<(), BadPackage> {
    archive::tar(member(deb, "data.tar")?, visit)
}

/// What a package says of itself.
///
/// # Errors
/// The package is damaged.
pub fn about(deb: &Path) -> Result<About, BadPackage> {
    let mut control = String::new();
    archive::tar(member(deb, "control.tar")?, &mut |path, content| {
        if path.ends_with("control") {
            Bounded::new(content, Content::Control).read_to_string(&mut control)?;
        }
        Ok(())
    })?;
    Ok(About::of_control(&control))
}

/// Opens a part of a package, whatever it is compressed with.
fn member(deb: &Path, name: &str) -> Result<impl Read, BadPackage> {
    let file = regular::open(deb).map_err(BadPackage::Unreadable)?;
    let size = file.metadata().map_err(BadPackage::Unreadable)?.len();
    let mut file = BufReader::new(file);
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if &magic != b"!<arch>\n" {
        return Err(BadPackage::Damaged("it does not start as an ar archive".into()));
    }
    let mut at = 8;
    while at < size {
        let mut header = [0; 60];
        file.read_exact(&mut header)?;
        let text = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]);
        let length: u64 = match text(48..58).trim_end().parse() {
            Ok(length) if header.ends_with(b"`\n") => length,
            _ => return Err(BadPackage::Damaged(format!("no ar header at byte {at}"))),
        };
        let end = at + 60 + length;
        if end > size {
            let missing = end - size;
            return Err(BadPackage::Damaged(format!("its last {missing} bytes are missing")));
        }
        let member = text(0..16);
        let member = member.trim_end().trim_end_matches('/');
        if let Some(compression) = member.strip_prefix(name) {
            // dpkg has read others; by now no distribution writes them.
            if !matches!(compression, "" | ".gz" | ".xz" | ".zst" | ".lzma") {
                return Err(BadPackage::Unknown(UnknownForm::Compression));
            }
            return archive::decompressed(file.take(length));
        }
        // Members start at even bytes.
        at = end + end % 2;
        file.seek(SeekFrom::Start(at))?;
    }
    Err(BadPackage::Damaged(format!("it has no {name}")))
}
