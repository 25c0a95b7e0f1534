//! The gate drops the final ACKs of those it is meant for, and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use harness::gate::{Gate, GateKind, Whose};
use harness::lab::Lab;
use harness::net::witness::{State, sockets};
use harness::socket::{Client, Listener, Stream};
use harness::trace::Event;
use harness::{Family, wait};

use crate::in_lab::{Need, Test};

/// How a gate chooses.
#[derive(Debug, Clone, Copy)]
enum By {
    Everyone,
    Port,
    Address,
    Mark,
}

const CHOSEN_PORT: u16 = 40_000;
const CHOSEN_MARK: u32 = 0x0a0b_0c0d;

/// Differs from the chosen one in one bit of one byte.
const OTHER_MARK: u32 = 0x0a0b_0c0c;

pub fn tests() -> Vec<Test> {
    let kinds = [GateKind::Nftables, GateKind::Filter];
    let of_kind = |kind| Family::ALL.iter().flat_map(move |&family| tests_of(kind, family));
    kinds.into_iter().flat_map(of_kind).collect()
}

fn tests_of(kind: GateKind, family: Family) -> Vec<Test> {
    let ways = [
        ("everyone", By::Everyone),
        ("port", By::Port),
        ("address", By::Address),
        ("mark", By::Mark),
    ];
    let of = |name: &str, body: Box<dyn Fn() + Send>| {
        let (word, need) = match kind {
            GateKind::Nftables => ("nftables", Some(Need::Nftables)),
            GateKind::Filter => ("filter", None),
        };
        Test::inside(format!("gate/{word}/{family}/{name}"), body)
            .needs(need)
            .needs(family.needs_ipv6().then_some(Need::Ipv6))
    };
    ways.map(|(name, by)| of(name, Box::new(move || gate(kind, family, by))))
        .into_iter()
        .chain([of("other-ports", Box::new(move || other_ports(kind, family)))])
        .collect()
}

fn gate(kind: GateKind, family: Family, by: By) {
    if matches!((family, by), (Family::V6, By::Address)) {
        add_address(other_address(family));
    }
    let mut lab = Lab::open(family).expect("a lab");
    let a = lab.listen("A").expect("A");
    lifted_by_drop(&mut lab, kind, &a, by);
    counts_what_it_dropped(&mut lab, kind, &a, by);
}

/// A gate whose value is dropped without a word lets everything through again.
fn lifted_by_drop(lab: &mut Lab, kind: GateKind, a: &Listener, by: By) {
    let gate = Gate::close_as(kind, a, whose(lab.family(), by)).expect("a gate");
    let chosen = connect_chosen(lab, by, "C");
    assert_requests(lab, &[&chosen]);
    drop(gate);
    chosen.send(b"now").expect("sent");
    let child = a.accept().expect("the chosen client's child");
    assert_eq!(child.peer, chosen.local);
    assert_eq!(child.receive().expect("data").to_string(), "`now`");
    leave(lab, chosen);
}

/// The chosen client's ACKs are dropped, and counted; its SYN and RST pass, and so does
/// everything of the other client.
fn counts_what_it_dropped(lab: &mut Lab, kind: GateKind, a: &Listener, by: By) {
    let family = lab.family();
    let before = lab.trace().events.len();
    let gate = Gate::close_as(kind, a, whose(family, by)).expect("a gate");
    // That it returns says that the SYN passed.
    let chosen = connect_chosen(lab, by, "D");
    let other = connect_other(lab, by, "E");
    let mut held = vec![chosen];
    match by {
        // There is no other.
        By::Everyone => held.push(other),
        _ => assert_served(a, &other),
    }
    for client in &held {
        client.send(b"held").expect("sent");
    }
    assert_requests(lab, &held.iter().collect::<Vec<_>>());
    assert!(a.accept_now().expect("accept").is_none(), "a held client's child was accepted");
    let ends: Vec<SocketAddr> = held.iter().map(|client| canonical(client.local)).collect();
    if kind == GateKind::Filter {
        // A listener counts the resets that follow as dropped, too: compared before them.
        wait::until("the listener's count to be the capture's", || {
            let captured = final_acks(lab, before, &ends);
            Ok((gate.dropped_by_filter()? == Some(captured)).then_some(()))
        })
        .expect("counted");
    }
    for client in held {
        leave(lab, client);
    }
    // Nothing is left that could retransmit, so that both counts are at rest.
    let dropped = gate.open().expect("opened");
    let captured = final_acks(lab, before, &ends);
    assert!(captured >= 2 * ends.len() as u64, "an ACK and data of each, but {captured}");
    if kind == GateKind::Nftables {
        assert_eq!(dropped, captured);
    }
}

/// Final ACKs and data by `ends`, captured after the first `before` events.
fn final_acks(lab: &mut Lab, before: usize, ends: &[SocketAddr]) -> u64 {
    let after = lab.trace().events[before..].iter().filter_map(|event| match event {
        Event::Segment(segment) => Some(segment),
        Event::Act { .. } => None,
    });
    after
        .filter(|segment| ends.contains(&canonical(segment.from)))
        .filter(|segment| segment.flags.ack() && !segment.flags.syn() && !segment.flags.rst())
        .count() as u64
}

/// Resets the connection, and waits for the request to go: the RST passes the gate.
fn leave(lab: &mut Lab, client: Client) {
    let local = canonical(client.local);
    client.reset_on_close().expect("SO_LINGER");
    drop(client);
    wait::until("the end of the request that was reset", || {
        let lines = sockets(lab.family())?;
        let requests = lines.iter().filter(|line| line.state == State::SynRecv);
        Ok(requests.clone().all(|line| canonical(line.remote) != local).then_some(()))
    })
    .expect("reset");
}

/// Exactly these clients have a request that waits for its final ACK.
fn assert_requests(lab: &Lab, clients: &[&Client]) {
    let mut expected: Vec<_> = clients.iter().map(|client| canonical(client.local)).collect();
    let mut found: Vec<_> = sockets(lab.family())
        .expect("sockets")
        .into_iter()
        .filter(|line| line.state == State::SynRecv)
        .map(|line| canonical(line.remote))
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "requests");
}

fn assert_served(a: &Listener, client: &Client) {
    let child = a.accept().expect("the other client's child");
    assert_eq!(child.peer, client.local, "whose child was accepted");
    client.send(b"?").expect("sent");
    assert_eq!(child.receive().expect("data").to_string(), "`?`");
    client.reset_on_close().expect("SO_LINGER");
}

fn whose(family: Family, by: By) -> Whose {
    match by {
        By::Everyone => Whose::Everyone,
        By::Port => Whose::Port(CHOSEN_PORT),
        By::Address => Whose::Address(other_address(family)),
        By::Mark => Whose::Mark(CHOSEN_MARK),
    }
}

fn connect_chosen(lab: &mut Lab, by: By, name: &str) -> Client {
    let family = lab.family();
    let client = match by {
        By::Everyone => lab.client(name, 0),
        By::Port => lab.client(name, CHOSEN_PORT),
        By::Address => lab.client_at(name, other_address(family), 0),
        By::Mark => lab.client(name, 0).inspect(|client| {
            client.mark(CHOSEN_MARK).expect("SO_MARK");
        }),
    };
    lab.connect_client(client.expect("a socket")).expect("connected")
}

/// As similar to the chosen one as can be.
fn connect_other(lab: &mut Lab, by: By, name: &str) -> Client {
    let port = if matches!(by, By::Port) { CHOSEN_PORT + 1 } else { 0 };
    let client = lab.client(name, port).expect("a socket");
    if matches!(by, By::Mark) {
        client.mark(OTHER_MARK).expect("SO_MARK");
    }
    lab.connect_client(client).expect("connected")
}

/// The gate is for the server's port alone, whatever the family.
fn other_ports(kind: GateKind, family: Family) {
    let mut lab = Lab::open(family).expect("a lab");
    let a = lab.listen("A").expect("A");
    let _gate = Gate::close_as(kind, &a, Whose::Everyone).expect("a gate");
    let listener = TcpListener::bind((family.loopback(), harness::PORT + 1)).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).expect("connected");
    listener.set_nonblocking(true).expect("O_NONBLOCK");
    let accepted = wait::until("a child", || match listener.accept() {
        Ok((_, peer)) => Ok(Some(peer)),
        Err(_) => Ok(None),
    });
    assert_eq!(accepted.expect("accepted"), client.local_addr().expect("an address"));
}

/// A second address of `lo`; IPv4 has all of 127.0.0.0/8.
fn other_address(family: Family) -> IpAddr {
    let v4 = Ipv4Addr::new(127, 0, 0, 2);
    match family {
        Family::V4 => v4.into(),
        Family::V4Mapped => v4.to_ipv6_mapped().into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(),
    }
}

fn add_address(address: IpAddr) {
    let lo = nix::net::if_::if_nametoindex("lo").expect("lo");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime
        .block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().expect("rtnetlink");
            let _connection = tokio::spawn(connection);
            handle.address().add(lo, address, 128).execute().await
        })
        .expect("a second address of lo");
    // Tentative until the kernel has seen that there is nobody to ask about it.
    wait::until("an address that can be bound", || Ok(TcpListener::bind((address, 0)).ok()))
        .expect("usable");
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
