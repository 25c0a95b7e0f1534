//! SYNs that listeners save for their children.

use harness::lab::Lab;
use harness::socket::Listener;
use harness::socket::attribute;
use harness::socket::wire_client::{Draft, WireClient};

/// Whether it is just the SYN that `client` has sent: an IP header, and the TCP header with
/// the maximum segment size; an Ethernet header before them, perhaps.
pub(crate) fn shown(syn: &[u8], client: &WireClient) -> String {
    const TCP: usize = 24;
    const LINK: usize = 14;
    let ip = if client.local.is_ipv4() { 20 } else { 40 };
    let port = client.local.port().to_be_bytes();
    match syn {
        [] => "nothing".to_owned(),
        syn if syn.len() == ip + TCP && syn[ip..ip + 2] == port => "its SYN".to_owned(),
        frame if frame.len() == LINK + ip + TCP && frame[LINK + ip..LINK + ip + 2] == port => {
            "its SYN and the link's header".to_owned()
        }
        other => format!("{} bytes: {other:?}", other.len()),
    }
}

/// How many clients come after a migration, to get the memory that was freed by it.
pub(crate) const OTHERS: usize = 8;

/// [`OTHERS`] clients send their SYNs; then each ends its handshake.
pub(crate) fn others(lab: &mut Lab) -> harness::Result<Vec<WireClient>> {
    let mut others = Vec::new();
    for index in 0..OTHERS {
        let mut other = lab.wire_client(&format!("X{index}"))?;
        lab.wire_syn(&mut other, &Draft::syn())?;
        others.push(other);
    }
    for other in &mut others {
        lab.wire_send(other, &Draft::new(".", 1, 1))?;
    }
    Ok(others)
}

/// How many of them have their own SYNs when `b` accepts them.
pub(crate) fn observe_others(
    lab: &mut Lab,
    b: &Listener,
    others: &[WireClient],
) -> harness::Result<()> {
    let mut own = 0;
    for other in others {
        let child = b.accept()?;
        own += i64::from(shown(&attribute::saved_syn(&child)?, other) == "its SYN");
    }
    lab.observe("others with their own SYNs", own);
    Ok(())
}
