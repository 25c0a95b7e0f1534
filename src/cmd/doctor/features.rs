//! What a kernel may have and may be without. The cases that need it run, or are skipped.

use harness::Family;
use harness::kernel::Kernel;
use scenarios::case::{Migration, Need, Selected, Setting};
use scenarios::catalogue;
use scenarios::judge::Verdict;
use scenarios::requirement::{Met, requirement};

use crate::cmd::doctor::finding::Finding;

/// What is looked at: its name, what cases call it, in which family, and what there is of it.
const OPTIONAL: [(&str, Need, Family, &str); 13] = [
    ("IPv6", Need::Ipv6, Family::V6, "::1 on the lab's lo"),
    ("settings", Need::Settings, Family::V4, "sysctls of the lab's network can be written"),
    ("SYN cookies", Need::SynCookies, Family::V4, "net.ipv4.tcp_syncookies"),
    ("TCP MD5", Need::Md5, Family::V4, "signatures by TCP_MD5SIG"),
    ("TCP-AO", Need::Ao, Family::V4, "keys with HMAC-SHA1"),
    ("Multipath TCP", Need::Multipath, Family::V4, "sockets of IPPROTO_MPTCP"),
    ("... over IPv6", Need::Multipath, Family::V6, "sockets of IPPROTO_MPTCP"),
    ("sock_diag", Need::SockDiag, Family::V4, "netlink shows sockets"),
    ("SOCK_DESTROY", Need::Destroy, Family::V4, "netlink destroys sockets"),
    ("io_uring", Need::IoUring, Family::V4, "rings that close descriptors"),
    ("close_range", Need::CloseRange, Family::V4, "there"),
    ("UNIX sockets", Need::UnixSockets, Family::V4, "there"),
    ("second user", Need::SecondUid, Family::V4, "there is one"),
];

/// A line for each.
pub fn findings(kernel: &Kernel) -> Vec<Finding> {
    OPTIONAL.iter().map(|optional| finding(optional, kernel)).collect()
}

fn finding(
    (name, need, family, there): &(&'static str, Need, Family, &str),
    kernel: &Kernel,
) -> Finding {
    let setting = Setting { family: *family, migration: Migration::Off };
    let Met::No(verdict) = requirement(&[*need], setting, kernel) else {
        return Finding::good(name, *there);
    };
    let concerned = catalogue::all().iter().filter(|case| needs(case, *need, *family)).count();
    let becomes = match verdict {
        Verdict::Fail { .. } => "fail",
        Verdict::Error { .. } => "end in errors",
        Verdict::Skip { .. } | Verdict::Pass { .. } | Verdict::KnownBug { .. } => "are skipped",
    };
    let why = verdict.reason().map_or_else(
        || verdict.mismatches().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        std::borrow::Cow::into_owned,
    );
    Finding::bad(name, why, format!("{concerned} cases {becomes}"))
}

/// Whether a case has this need; of one that is about IPv6, in a setting with it.
fn needs(selected: &Selected, need: Need, family: Family) -> bool {
    let of_family = family == Family::V4 || selected.setting.family.needs_ipv6();
    match need {
        Need::Ipv6 => of_family || selected.needs().contains(&Need::Ipv6),
        _ => of_family && selected.needs().contains(&need),
    }
}

#[cfg(test)]
mod tests {
    use harness::Errno;

    use super::*;
    use crate::fixture;
    use crate::style::Style;

    #[test]
    fn each_optional_feature_has_a_line_with_what_it_costs() {
        let mut kernel = fixture::run::run().environment.kernel;
        let shown = |kernel: &Kernel| -> String {
            findings(kernel).iter().map(|finding| finding.shown(Style::PLAIN)).collect()
        };
        assert!(!shown(&kernel).contains("--"), "{}", shown(&kernel));
        kernel.io_uring = Err(Errno::EPERM.into());
        kernel.close_range = Err(Errno::EPERM.into());
        kernel.ao = Err(Errno::ENOENT.into());
        let text = shown(&kernel);
        assert!(text.contains("--  io_uring       io_uring is turned off (EPERM)"), "{text}");
        assert!(
            text.contains("--  close_range    no close_range: it is refused (EPERM)"),
            "{text}"
        );
        assert!(text.contains("--  TCP-AO         no HMAC-SHA1 for TCP-AO"), "{text}");
        assert!(text.contains("27 cases are skipped"), "{text}");
    }
}
