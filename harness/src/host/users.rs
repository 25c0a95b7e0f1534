//! Names of users, from `/etc/passwd` alone: other sources of names would need libraries that
//! a static program cannot load.

use std::collections::BTreeMap;
use std::fs;

/// The names of this machine's users, by uid. Empty where there is no `/etc/passwd`.
pub fn names() -> BTreeMap<u32, String> {
    fs::read_to_string("/etc/passwd").map(|text| parse(&text)).unwrap_or_default()
}

/// A line: the name, a password, the uid, and more. The first line of a uid counts.
fn parse(text: &str) -> BTreeMap<u32, String> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok()));
        if let (Some(name), Some(uid)) = (name, uid) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_uid_counts() {
        let names = parse("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\nbroken\nwww:x:33:33::/:");
        assert_eq!(names, BTreeMap::from([(0, "root".into()), (33, "www".into())]));
    }
}
