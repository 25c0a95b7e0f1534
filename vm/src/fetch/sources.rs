//! The machine's own sources of packages, and what they say about where Debian's are.

use crate::fetch::kernels::PackageIndex;

/// The branches of Debian that a source may name, without what follows a `-`.
const BRANCHES: [&str; 14] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "experimental",
    "rc-buggy",
];

/// Where the keys of Debian's archive usually are.
const KEYRINGS: [&str; 2] = [
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/// An archive, one of its suites, and how it is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub uri: String,
    /// A branch, such as `bookworm` or `bookworm-security`.
    pub suite: String,
    /// `main` is among its components.
    pub has_main: bool,
    /// The keys that must have signed it: files, or the keys themselves in lines that
    /// each start with a space; nothing for those that the machine trusts with all.
    pub signed_by: Option<String>,
    /// `Check-Valid-Until`, which mirrors of the past switch off.
    pub check_valid_until: Option<String>,
}

impl Source {
    /// As apt reads it, with another suite, and for one architecture.
    pub fn stanza(&self, index: PackageIndex<'_>) -> String {
        let Self { uri, signed_by, check_valid_until, .. } = self;
        let (suite, architecture) = (index.suite, index.architecture.of_debian());
        let mut stanza = format!(
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n\
             Architectures: {architecture}\nTargets: Packages\n"
        );
        let keyring = KEYRINGS.into_iter().find(|path| std::path::Path::new(path).exists());
        if let Some(keys) = signed_by.as_deref().or(keyring) {
            stanza.push_str(&format!(
                "Signed-By:{}{keys}\n",
                if keys.starts_with('\n') { "" } else { " " }
            ));
        }
        if let Some(check) = check_valid_until {
            stanza.push_str(&format!("Check-Valid-Until: {check}\n"));
        }
        stanza
    }

    fn is_security(&self) -> bool {
        is_security(&self.suite)
    }

    /// How likely this is Debian's own archive; third parties name their suites alike.
    fn likelihood(&self) -> u32 {
        let branch = BRANCHES.iter().any(|branch| {
            let rest = self.suite.strip_prefix(branch);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '/']))
        });
        if !branch || !self.has_main || self.uri.starts_with("cdrom:") {
            return 0;
        }
        let signed = match &self.signed_by {
            Some(keys) if keys.contains("debian-archive") => 4,
            Some(keys) if keys.starts_with('/') => 0,
            _ => 1,
        };
        let last = self.uri.trim_end_matches('/').rsplit('/').next();
        signed + if matches!(last, Some("debian" | "debian-security")) { 2 } else { 0 }
    }
}

/// The most likely of the machine's sources for a suite. The archive of security updates
/// is next to the main one on mirrors, so that where one is says where the other is.
pub fn for_suite(suite: &str, sources: &[Source]) -> Option<Source> {
    let security = is_security(suite);
    let best = |security| {
        let fit = sources.iter().filter(|source| source.is_security() == security);
        // The first of the best, as apt itself would have it.
        fit.rev().max_by_key(|source| source.likelihood()).filter(|source| source.likelihood() > 0)
    };
    best(security).cloned().or_else(|| {
        let (from, to) = match security {
            true => ("debian", "debian-security"),
            false => ("debian-security", "debian"),
        };
        let other = best(!security)?;
        let mut parts: Vec<_> = other.uri.split('/').collect();
        let at = parts.iter().rposition(|part| *part == from)?;
        parts[at] = to;
        Some(Source { uri: parts.join("/"), ..other.clone() })
    })
}

fn is_security(suite: &str) -> bool {
    suite.ends_with("-security") || suite.ends_with("/updates")
}

/// Sources in the format of `sources.list`: `deb [options] uri suite components`.
pub fn one_line(text: &str) -> Vec<Source> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.filter_map(one).collect()
}

fn one(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let option = |name: &str| {
        let value = options.split_whitespace().find_map(|option| option.strip_prefix(name));
        value.and_then(|value| value.strip_prefix('=')).map(|value| value.replace(',', " "))
    };
    let mut words = rest.split_whitespace();
    Some(Source {
        uri: words.next()?.into(),
        suite: words.next()?.into(),
        has_main: words.any(|component| component == "main"),
        signed_by: option("signed-by"),
        check_valid_until: option("check-valid-until"),
    })
}

/// Sources in the format of `*.sources`: stanzas of fields.
pub fn deb822(text: &str) -> Vec<Source> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut stanzas: Vec<Vec<(String, String)>> = vec![Vec::new()];
    for line in lines {
        let fields = stanzas.last_mut().expect("never empty");
        if line.trim().is_empty() {
            stanzas.push(Vec::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    stanzas.iter().flat_map(|fields| stanza(fields)).collect()
}

fn stanza(fields: &[(String, String)]) -> Vec<Source> {
    let field = |name: &str| fields.iter().find(|(field, _)| field == name);
    let value = |name: &str| field(name).map(|(_, value)| value.clone());
    let words = |name: &str| -> Vec<String> {
        value(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let off = value("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    if off || !words("types").iter().any(|kind| kind == "deb") {
        return Vec::new();
    }
    let Some(uri) = words("uris").into_iter().next() else { return Vec::new() };
    let suites = words("suites").into_iter();
    let source = |suite| Source {
        uri: uri.clone(),
        suite,
        has_main: words("components").iter().any(|component| component == "main"),
        signed_by: value("signed-by").filter(|keys| !keys.is_empty()),
        check_valid_until: value("check-valid-until"),
    };
    suites.map(source).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use rstest::rstest;

    const CONTAINER: &str = "\
# what a container of Debian has
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    /// Third parties use Debian's suites and components as well.
    const OTHERS: &str = "\
deb [arch=amd64 signed-by=/usr/share/keyrings/vendor.gpg] http://vendor.example/apt bookworm main
deb [signed-by=/etc/apt/keyrings/docker.asc] http://docker.example/linux/debian bookworm stable
deb http://node.example nodistro main
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb cdrom:[Debian]/ bookworm main
";

    fn uri(suite: &str, sources: &[Source]) -> Option<String> {
        for_suite(suite, sources).map(|source| source.uri)
    }

    #[rstest]
    #[case("trixie-backports", "http://mirror.example/debian")]
    #[case("sid", "http://mirror.example/debian")]
    #[case("trixie-security", "http://mirror.example/debian-security")]
    fn a_container_of_debian(#[case] suite: &str, #[case] at: &str) {
        let mut sources = one_line(OTHERS);
        sources.extend(deb822(CONTAINER));
        assert_eq!(uri(suite, &sources).as_deref(), Some(at));
    }

    #[test]
    fn third_parties_alone_are_not_debian() {
        assert_eq!(for_suite("sid", &one_line(OTHERS)), None);
        assert_eq!(for_suite("sid", &[]), None);
    }

    #[test]
    fn each_archive_stands_for_where_the_other_is() {
        let main = one_line("deb https://mirror.example/pub/debian/ stable main");
        let security = one_line("deb https://mirror.example/debian-security stable-security main");
        assert_eq!(
            uri("bookworm-security", &main).as_deref(),
            Some("https://mirror.example/pub/debian-security/")
        );
        assert_eq!(uri("sid", &security).as_deref(), Some("https://mirror.example/debian"));
        let elsewhere = one_line("deb https://mirror.example/os stable main");
        assert_eq!(uri("bookworm-security", &elsewhere), None);
    }

    #[test]
    fn options_and_keys_are_kept() {
        let line = "deb [ check-valid-until=no signed-by=/a.gpg,/debian-archive.gpg ] \
                    http://mirror.example/debian sid main # mine";
        let index = |suite, architecture| PackageIndex { suite, architecture };
        let stanza = one_line(line)[0].stanza(index("trixie-backports", Architecture::Arm64));
        assert_eq!(
            stanza,
            "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie-backports\n\
             Components: main\nArchitectures: arm64\nTargets: Packages\n\
             Signed-By: /a.gpg /debian-archive.gpg\nCheck-Valid-Until: no\n"
        );
        let keys = "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: sid\n\
                    Components: main\nSigned-By:\n -----BEGIN\n .\n abcd\n -----END\nEnabled: yes\n";
        let stanza = deb822(keys)[0].stanza(index("sid", Architecture::X86_64));
        assert!(stanza.ends_with("Signed-By:\n -----BEGIN\n .\n abcd\n -----END\n"), "{stanza}");
    }

    #[test]
    fn what_is_switched_off_is_not_there() {
        assert_eq!(deb822(&CONTAINER.replace("Types: deb\n", "Types: deb\nEnabled: no\n")), []);
        assert_eq!(deb822(&CONTAINER.replace("Types: deb\n", "Types: deb-src\n")), []);
    }
}
