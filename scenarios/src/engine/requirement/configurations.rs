//! Kernels of `docs/configurations.md`, by what they answer and what their configurations say.

use std::collections::BTreeMap;

use harness::Errno;
use harness::gate::GateKind;
use harness::kernel::configuration::{Configuration, OPTIONS};
use harness::kernel::{Kernel, Version};
use harness::refusal::Refusal;
use harness::socket::ipv6::NoIpv6;
use harness::socket::multipath::NoMultipath;

use super::tests::kernel;
use super::{Met, Patience, runs};
use crate::catalogue;
use crate::judge::skip::SkipReason;
use crate::judge::verdict::Verdict;

/// A kernel of the table, which has everything but the options that are named.
fn without(options: &[&str]) -> Kernel {
    let lines = OPTIONS.iter().filter(|option| !options.contains(option));
    let text: String = lines.map(|option| format!("{option}=y\n")).collect();
    let mut kernel = kernel(Version::new(6, 12, 117));
    kernel.configuration = Configuration::parse(&text);
    kernel
}

fn answered(call: &str, errno: Errno) -> Refusal {
    Refusal::Errno { call: Some(call.to_owned()), errno }
}

/// How many cases are skipped for want of each option.
///
/// # Panics
/// One fails, ends in an error, or is skipped for another reason.
fn skipped(kernel: &Kernel) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for selected in catalogue::all() {
        match runs(&selected, kernel, Patience::Long) {
            Met::Yes
            | Met::No(Verdict::Skip { reason: SkipReason::OnlyByName | SkipReason::LongWork }) => {}
            Met::No(Verdict::Skip { reason: SkipReason::BuiltWithout { option, .. } }) => {
                *counted.entry(option).or_default() += 1;
            }
            other => panic!("{}: {other:?}", selected.id()),
        }
    }
    counted
}

#[test]
fn without_ipv6_everything_runs_over_ipv4() {
    let mut kernel = without(&["CONFIG_IPV6", "CONFIG_MPTCP_IPV6", "CONFIG_NF_TABLES_INET"]);
    let socket: Refusal = Errno::EAFNOSUPPORT.into();
    kernel.ipv6 = Err(NoIpv6::Socket { socket: socket.clone(), disabled_at_boot: false });
    let enabled = Some("1".to_owned());
    kernel.multipath_v6 = Err(NoMultipath::Refused { socket, enabled });
    kernel.nftables = Err(answered("nftables: add the rule", Errno::EOPNOTSUPP));
    kernel.gate = Ok(GateKind::Filter);
    let counted = skipped(&kernel);
    let over_ipv6 =
        catalogue::all().iter().filter(|selected| selected.setting.family.needs_ipv6()).count();
    let named: Vec<&String> = counted.keys().collect();
    assert_eq!(named, ["CONFIG_IPV6"]);
    assert!(counted["CONFIG_IPV6"] >= over_ipv6, "{counted:?}");
    assert!(counted["CONFIG_IPV6"] < over_ipv6 + 20, "{counted:?}");
}

#[test]
fn without_sha1_only_the_authentication_option_is_skipped() {
    let mut kernel = without(&["CONFIG_CRYPTO_SHA1"]);
    let call = "setsockopt(a listener to try, TCP_AO_ADD_KEY, 1)";
    kernel.ao = Err(answered(call, Errno::ENOENT));
    let under_ao =
        catalogue::all().iter().filter(|selected| selected.id().starts_with("ao/")).count();
    assert_eq!(skipped(&kernel), BTreeMap::from([("CONFIG_CRYPTO_SHA1".to_owned(), under_ao)]));
}
