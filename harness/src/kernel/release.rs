//! What `uname -r` says of a kernel's base. A vendor is known by how its releases end.

use crate::kernel::base::{Base, Family, NoBase, ReadFrom};
use crate::kernel::version::Version;

/// How kernels are called that have the stable version in their release, by a part of it that
/// ends with a digit.
const MARKS: [(&str, Family); 6] = [
    (".fc", Family::Fedora),
    (".amzn", Family::Amazon),
    (".azl", Family::AzureLinux),
    (".cm", Family::AzureLinux),
    ("-android", Family::Android),
    ("-microsoft-standard-WSL", Family::Wsl),
];

/// How SUSE calls the flavours of its kernels.
const SUSE_FLAVOURS: [&str; 8] =
    ["-default", "-azure", "-rt", "-preempt", "-longterm", "-vanilla", "-kvmsmall", "-debug"];

/// What shows that the source has local changes: `+` and `-dirty` of the kernel's own
/// `scripts/setlocalversion`, or the commit that it was built from; nothing if nothing does.
pub fn local_changes(release: &str, banner: &str) -> Option<String> {
    let (_, rest) = split(release)?;
    if is_cos(rest, banner) || has_mark(rest, "-android") {
        return None;
    }
    if rest.contains("-dirty") {
        return Some("-dirty".into());
    }
    // As `git describe` has it: `-00042-g0123456789ab`.
    let is_hash = |text: &str| text.len() >= 7 && text.bytes().all(|c| c.is_ascii_hexdigit());
    if let Some((before, hash)) = rest.rsplit_once("-g")
        && is_hash(hash)
    {
        let count = before.rsplit_once('-').map_or("", |(_, count)| count);
        let counted = count.len() >= 5 && count.bytes().all(|c| c.is_ascii_digit());
        return Some(if counted { format!("-{count}-g{hash}") } else { format!("-g{hash}") });
    }
    rest.ends_with('+').then(|| "+".into())
}

/// The base of a kernel with this release, build and `/proc/version`, in which
/// [nothing shows local changes](local_changes).
pub fn base(release: &str, build: &str, banner: &str) -> Base {
    let Some((version, rest)) = split(release) else {
        return Base::Unknown { why: NoBase::NoVersion };
    };
    match family(version, rest, build, banner) {
        Ok((version, family)) => Base::Known { version, family, read_from: ReadFrom::Release },
        Err(why) => Base::Unknown { why },
    }
}

/// The version in front, and what follows it. Some vendors append a fourth number.
fn split(release: &str) -> Option<(Version, &str)> {
    let version = release.parse().ok()?;
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    Some((version, &release[end..]))
}

fn family(
    version: Version,
    rest: &str,
    build: &str,
    banner: &str,
) -> Result<(Version, Family), NoBase> {
    if rest.is_empty() {
        return Ok((version, Family::KernelOrg));
    }
    // Fedora's are called `-0.rc5.251110g0123456789ab.42.fc44`.
    if rest.starts_with("-rc") || has_mark(rest, "-0.rc") {
        return Err(NoBase::ReleaseCandidate);
    }
    if is_cos(rest, banner) {
        return Ok((version, Family::Cos));
    }
    if has_mark(rest, ".el") {
        return red_hat(version, rest);
    }
    if let Some((_, family)) = MARKS.into_iter().find(|(mark, _)| has_mark(rest, mark)) {
        return Ok((version, family));
    }
    if is_ubuntus_build_of(version, rest) {
        return Ok((version, Family::KernelOrg));
    }
    if build.contains("-Ubuntu") {
        return Err(NoBase::NoSignature);
    }
    if let Some(family) = arch_or_alpine(rest) {
        return Ok((version, family));
    }
    if let Some(package) = SUSE_FLAVOURS.iter().find_map(|flavour| rest.strip_suffix(flavour)) {
        return suse(version, package);
    }
    Err(NoBase::LocalVersion { suffix: rest.to_owned() })
}

/// Whether `mark` is there with a digit after it.
fn has_mark(rest: &str, mark: &str) -> bool {
    rest.match_indices(mark)
        .any(|(at, _)| rest[at + mark.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

/// Google's kernels end with a `+`, and their compiler is that of Chromium OS.
fn is_cos(rest: &str, banner: &str) -> bool {
    rest == "+" && banner.contains("(Chromium OS ")
}

/// Kernels for Red Hat's distributions: Red Hat's own, ELRepo's, and Oracle's.
fn red_hat(version: Version, rest: &str) -> Result<(Version, Family), NoBase> {
    if rest.contains(".elrepo") {
        return Ok((version, Family::Elrepo));
    }
    if !rest.ends_with("uek") && !rest.contains("uek.") {
        return Err(NoBase::RedHat);
    }
    if !version.is_first_of_line() {
        return Ok((version, Family::Oracle));
    }
    // 5.15.0-304.171.4.el9uek is of 5.15.171.
    let numbers = rest.trim_start_matches('-').split('.');
    let stable = numbers.skip(1).take_while(|part| !part.starts_with("el"));
    match stable.map(str::parse).collect::<Result<Vec<u32>, _>>().as_deref() {
        Ok([stable, _, ..]) => Ok((version.with_patch(*stable), Family::Oracle)),
        _ => Err(NoBase::LocalVersion { suffix: rest.to_owned() }),
    }
}

/// Ubuntu builds kernel.org's for those who want to try them: `6.17.8-061708-generic`.
fn is_ubuntus_build_of(version: Version, rest: &str) -> bool {
    let digits = rest.trim_start_matches('-').split('-').next().unwrap_or_default();
    digits == version.two_digits_each()
}

/// `-arch1-1`, `-zen1-1-zen`, `-hardened1-1-hardened`, `-1-lts`; Alpine's are `-0-lts` and
/// `-0-virt`.
fn arch_or_alpine(rest: &str) -> Option<Family> {
    if ["-arch", "-zen", "-hardened"].iter().any(|mark| has_mark(rest, mark)) {
        return Some(Family::Arch);
    }
    let (package, flavour) = rest.trim_start_matches('-').split_once('-')?;
    let is_number = !package.is_empty() && package.bytes().all(|c| c.is_ascii_digit());
    match flavour {
        "lts" | "virt" if package == "0" => Some(Family::Alpine),
        "lts" if is_number => Some(Family::Arch),
        _ => None,
    }
}

/// Tumbleweed counts its packages from 1 on for each stable version, as in `6.17.8-1-default`;
/// enterprise kernels have numbers as `-150600.23`, or `-57` for each of their service packs.
fn suse(version: Version, package: &str) -> Result<(Version, Family), NoBase> {
    let mut parts = package.trim_start_matches('-').split('.');
    let number = parts.next().unwrap_or_default();
    let counts_packages = number.len() == 1 && number.bytes().all(|c| c.is_ascii_digit());
    let only_a_commit_follows = parts.all(|part| part.starts_with('g'));
    match counts_packages && only_a_commit_follows {
        true => Ok((version, Family::Tumbleweed)),
        false => Err(NoBase::Suse),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const CHROMIUM: &str = "Linux version 6.6.105+ (builder@cos) (Chromium OS 17.0 clang)";

    fn read(release: &str) -> Base {
        let banner = if release == "6.6.105+" { CHROMIUM } else { "" };
        match local_changes(release, banner) {
            Some(mark) => Base::Unknown { why: NoBase::LocalChanges { mark } },
            None => base(release, "#1 SMP", banner),
        }
    }

    #[rstest]
    #[case("6.12.117", "6.12.117", Family::KernelOrg)]
    #[case("6.17.8-061708-generic", "6.17.8", Family::KernelOrg)]
    #[case("6.17.8-1.el9.elrepo.x86_64", "6.17.8", Family::Elrepo)]
    #[case("6.17.8-300.fc43.x86_64", "6.17.8", Family::Fedora)]
    #[case("6.1.163-186.299.amzn2023.x86_64", "6.1.163", Family::Amazon)]
    #[case("6.6.117.1-1.azl3", "6.6.117", Family::AzureLinux)]
    #[case("5.15.186.1-1.cm2", "5.15.186", Family::AzureLinux)]
    #[case("5.15.167.4-microsoft-standard-WSL2", "5.15.167", Family::Wsl)]
    #[case("6.6.105+", "6.6.105", Family::Cos)]
    #[case("5.15.0-304.171.4.el9uek.x86_64", "5.15.171", Family::Oracle)]
    #[case("5.4.17-2136.340.4.el8uek.x86_64", "5.4.17", Family::Oracle)]
    #[case("6.6.102-android15-8-g0123456789ab-ab12345678", "6.6.102", Family::Android)]
    #[case("6.17.8-arch1-1", "6.17.8", Family::Arch)]
    #[case("6.12.58-1-lts", "6.12.58", Family::Arch)]
    #[case("6.17.8-zen1-1-zen", "6.17.8", Family::Arch)]
    #[case("6.12.58-0-lts", "6.12.58", Family::Alpine)]
    #[case("6.17.8-1-default", "6.17.8", Family::Tumbleweed)]
    #[case("6.17.8-1.gabc1234-default", "6.17.8", Family::Tumbleweed)]
    fn a_release_with_a_stable_version_is_of_that(
        #[case] release: &str,
        #[case] version: &str,
        #[case] family: Family,
    ) {
        let version = version.parse().expect("a version");
        let read_from = ReadFrom::Release;
        assert_eq!(read(release), Base::Known { version, family, read_from });
    }

    #[rstest]
    #[case("5.14.0-611.el9.x86_64", NoBase::RedHat)]
    #[case("6.12.0-124.el10.x86_64", NoBase::RedHat)]
    #[case("4.18.0-553.83.1.el8_10.x86_64", NoBase::RedHat)]
    #[case("6.12.117-611.el9", NoBase::RedHat)]
    #[case("6.4.0-150600.23.7-default", NoBase::Suse)]
    #[case("5.3.18-57-default", NoBase::Suse)]
    #[case("6.4.0-150600.8.5-azure", NoBase::Suse)]
    #[case("7.3.0-rc7", NoBase::ReleaseCandidate)]
    #[case("7.3-rc7", NoBase::ReleaseCandidate)]
    #[case("6.18.0-0.rc5.251110g0123456789ab.42.fc44.x86_64", NoBase::ReleaseCandidate)]
    #[case("6.18.44-fc-v657", NoBase::LocalVersion { suffix: "-fc-v657".into() })]
    #[case("6.12.57-cloudflare-2025.11.5", NoBase::LocalVersion { suffix: "-cloudflare-2025.11.5".into() })]
    #[case("6.12.0-x.el9uek", NoBase::LocalVersion { suffix: "-x.el9uek".into() })]
    #[case("6.12.117+", NoBase::LocalChanges { mark: "+".into() })]
    #[case("6.12.117-mine-dirty", NoBase::LocalChanges { mark: "-dirty".into() })]
    #[case("6.12.117-gdeadbeef1234", NoBase::LocalChanges { mark: "-gdeadbeef1234".into() })]
    #[case(
        "7.2.0-rc3-00042-gdeadbeef1234",
        NoBase::LocalChanges { mark: "-00042-gdeadbeef1234".into() }
    )]
    #[case("mainline", NoBase::NoVersion)]
    fn any_other_release_is_of_none(#[case] release: &str, #[case] why: NoBase) {
        assert_eq!(read(release), Base::Unknown { why });
    }

    #[test]
    fn a_plus_is_a_local_change_unless_google_has_built_it() {
        assert!(local_changes("6.6.105+", "Linux version 6.6.105+ (me@here) (gcc 14)").is_some());
        assert!(local_changes("6.12.117+deb13-amd64", "").is_none(), "a part of Debian's name");
    }
}
