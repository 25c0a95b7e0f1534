//! Whether a request that moved has the options that were negotiated in its SYN.

use harness::lab::Lab;
use harness::net::segment::TcpOption;
use harness::socket::wire_client::{Draft, WireClient};
use harness::socket::{Child, Listener};

use crate::judge::expectation::Expectation;
use crate::steps::request::{data, syn_acks};
use crate::steps::syn_ack_timer::FIRST;

pub(crate) fn alike() -> Expectation {
    Expectation::new()
        .fact("timestamp of the answer", "echoed")
        .fact("clock of W's SYN+ACKs", "one")
        .fact("options of the SYN+ACKs", "alike")
        .fact("W's child, and a fresh one", "alike")
        .counters(&[("TCPMigrateReqSuccess", 1), ("PassiveOpens", 1)])
}

/// Kinds of TCP options.
const WINDOW_SCALE: u8 = 3;

const SACK_PERMITTED: u8 = 4;

pub(crate) const TIMESTAMPS: u8 = 8;

/// W's clock at its data.
const LATER: u32 = 1001;

fn syn_with_options() -> Draft {
    let timestamps = [1000_u32.to_be_bytes(), [0; 4]].concat();
    Draft::syn()
        .asking_for_ecn()
        .option(SACK_PERMITTED, &[])
        .option(TIMESTAMPS, &timestamps)
        .option(WINDOW_SCALE, &[5])
}

pub(crate) fn options(lab: &mut Lab, by_timer: bool) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let mut w = lab.wire_client("W")?;
    lab.wire_syn(&mut w, &syn_with_options())?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    lab.close(a);
    if by_timer {
        lab.until_syn_acks(&w, 2, FIRST)?;
    }
    let child = finish(lab, &mut w, &b)?;
    lab.observe_counters(&before)?;
    let answer = lab.trace().segments().last().map(|segment| segment.options.clone());
    let is_echo = |option: &TcpOption| matches!(option, TcpOption::Timestamps(_, LATER));
    let echoed = answer.is_some_and(|options| options.iter().any(is_echo));
    lab.observe("timestamp of the answer", if echoed { "echoed" } else { "not echoed" });
    // Each connection's clock begins at random; the clone goes on with the same.
    let times = times_of_syn_acks(lab, &w);
    let goes_on = times.windows(2).all(|two| two[1].wrapping_sub(two[0]) < 1 << 20);
    lab.observe("clock of W's SYN+ACKs", if goes_on { "one" } else { "several" });
    let mut fresh = lab.wire_client("fresh")?;
    lab.wire_syn(&mut fresh, &syn_with_options())?;
    let usual = finish(lab, &mut fresh, &b)?;
    observe_syn_acks(lab);
    let endowed = |child: &Child| -> harness::Result<String> {
        Ok(format!("{}, sends {}", child.negotiated_options()?, child.segment_size()?))
    };
    let (own, usual) = (endowed(&child)?, endowed(&usual)?);
    let compared = if own == usual { "alike".to_owned() } else { format!("{own}; {usual}") };
    lab.observe("W's child, and a fresh one", compared);
    Ok(())
}

/// Completes a handshake with data, and accepts the child. It resets on close.
fn finish(lab: &mut Lab, w: &mut WireClient, b: &Listener) -> harness::Result<Child> {
    // The first that it got: what it echoes must be as good as the last.
    let echo = times_of_syn_acks(lab, w).first().copied().unwrap_or(0);
    let timestamps = [LATER.to_be_bytes(), echo.to_be_bytes()].concat();
    lab.wire_send(w, &data().option(TIMESTAMPS, &timestamps))?;
    let child = b.accept()?;
    Ok(child)
}

/// The timestamps of the SYN+ACKs to `w`.
pub(crate) fn times_of_syn_acks(lab: &mut Lab, w: &WireClient) -> Vec<u32> {
    let local = std::net::SocketAddr::new(w.local.ip().to_canonical(), w.local.port());
    let time = |option: &TcpOption| match option {
        TcpOption::Timestamps(time, _) => Some(*time),
        _ => None,
    };
    let syn_acks =
        lab.trace().segments().filter(|s| s.to == local && s.flags.syn() && s.flags.ack());
    syn_acks.filter_map(|s| s.options.iter().find_map(time)).collect()
}

/// Observes whether all SYN+ACKs have the same options; the server's clock aside.
fn observe_syn_acks(lab: &mut Lab) {
    let syn_acks = syn_acks(lab);
    let mut shown: Vec<String> = syn_acks
        .map(|s| {
            let timeless = s.options.iter().map(|option| match option {
                TcpOption::Timestamps(_, echo) => format!("TS ecr {echo}"),
                option => option.to_string(),
            });
            format!("win {} <{}>", s.window, timeless.collect::<Vec<_>>().join(","))
        })
        .collect();
    shown.dedup();
    let compared = if shown.len() == 1 { "alike".to_owned() } else { shown.join("; ") };
    lab.observe("options of the SYN+ACKs", compared);
}
