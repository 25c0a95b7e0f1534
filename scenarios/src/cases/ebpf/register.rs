//! The map of listeners (a socket array): what it takes and returns, and when it loses one.

use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;

use harness::bpf::{Attach, PASS, Program, SockArray, Vacancy};
use harness::lab::{Lab, outcome};
use harness::socket::BACKLOG;
use harness::socket::attribute::cookie;
use harness::socket::bind_spec::BindSpec;
use harness::{Context, Family};

use crate::case::{Case, Need, Setting, Settings};
use crate::cases::ebpf::connected_member::connected_member;
use crate::judge::expectation::{Expectation, WireRule};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ebpf/register/leaving",
        does: "A, B and C are in a socket array, and their group has a program that is asked about \
               migrations. A is closed; B is shut down, listens again, and is registered again.",
        must: "A listener that stops listening leaves the socket array at once, whatever the \
               sysctl, and does not return to it by listening again. C stays, with its cookie.",
        source: "reuseport_stop_listen_sock(), bpf_sk_reuseport_detach()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: |lab, _| leaving(lab, Attach::SelectOrMigrate),
        expect: |_| leaving_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/register/leaving-for-good",
        does: "As ebpf/register/leaving, but the program is not asked about migrations.",
        must: "The same, also with the sysctl off, where a listener that stops listening leaves \
               its group.",
        source: "reuseport_detach_sock(), bpf_sk_reuseport_detach()",
        settings: Settings::FamiliesOffAndOn,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: |lab, _| leaving(lab, Attach::Select),
        expect: |_| leaving_must(),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/register/refusals",
        does: "Sockets that are not listeners of a group are put into a socket array; so are one \
               that is in it already, and one at an index beyond its end. An index is emptied \
               twice. An array whose values have four bytes is read.",
        must: "EINVAL for a socket that does not listen, even if its group still keeps it for \
               migrations, and for one without SO_REUSEPORT; EBUSY for one that has an index \
               already, in this array or another; E2BIG beyond the end; ENOENT for an empty index; \
               ENOSPC where a cookie does not fit. An index may be given to another listener.",
        source: "reuseport_array_update_check(), bpf_fd_reuseport_array_lookup_elem()",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: refusals,
        expect: |_| {
            Expectation::new()
                .fact("a listener", "ok")
                .fact("a socket that does not listen", "EINVAL")
                .fact("a listener that was shut down", "EINVAL")
                .fact("a listener without the option", "EINVAL")
                .fact("the same listener at another place", "EBUSY")
                .fact("the same listener in another register", "EBUSY")
                .fact("a place beyond the end", "E2BIG")
                .fact("another listener at the same place", "ok")
                .fact("who is there", "B, ENOENT")
                .fact("emptying the place", "ok")
                .fact("emptying it again", "ENOENT")
                .fact("who is in a narrow register", "ENOSPC")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/register/shapes",
        does: "Socket arrays are made with keys and values of several lengths, and without entries.",
        must: "EINVAL for keys of other than 4 bytes, values of other than 4 or 8, and no entries.",
        source: "reuseport_array_alloc_check(), array_map_alloc_check()",
        settings: Settings::OnceOn(Family::V4),
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: |lab, _| {
            for (what, key, value, entries) in SHAPES {
                lab.observe(what, outcome(SockArray::answer(key, value, entries)?));
            }
            Ok(())
        },
        expect: |_| {
            Expectation::new()
                .fact("values of 4 bytes", "ok")
                .fact("values of 8 bytes", "ok")
                .fact("values of 6 bytes", "EINVAL")
                .fact("keys of 8 bytes", "EINVAL")
                .fact("no entries", "EINVAL")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/register/other-sockets",
        does: "A UDP socket with SO_REUSEPORT, a UNIX socket, and numbers that are no descriptors are \
               put into a socket array.",
        must: "Programs choose among UDP sockets, too. A UNIX socket is refused with ENOTSUPP, which \
               is 524 and has no name outside of the kernel; EBADF for a descriptor that is not open, \
               EINVAL for a number that is no int, whatever its lower half.",
        source: "reuseport_array_update_check(): IPPROTO_UDP, IPPROTO_TCP; \
                 bpf_fd_reuseport_array_update_elem(): S32_MAX",
        settings: Settings::Families,
        needs: &[Need::Programs, Need::UnixSockets],
        wire: WireRule::Silent,
        run: other_sockets,
        expect: |_| {
            Expectation::new()
                .fact("a UDP socket", "ok")
                .fact("a UNIX socket", "errno 524")
                .fact("the greatest number of all", "EBADF")
                .fact("a number that is no int", "EINVAL")
        },
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/register/connected",
        does: "A listens. D, which has SO_REUSEPORT and does not listen, has a program, and so a \
               group; it connects to A, and is put into a socket array.",
        must: "EINVAL: only listeners are freed late enough for a program to find them.",
        source: "reuseport_array_update_check(): SOCK_RCU_FREE",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Shows(&[(
            "D",
            "
            D > S  S 0:0(0)
            S > D  S. 0:0(0) ack 1
            D > S  . 1:1(0) ack 1
            ...
            ",
        )]),
        run: connected,
        expect: |_| Expectation::new().fact("a connected member of a group", "EINVAL"),
        ..Case::DEFAULT
    },
    Case {
        name: "ebpf/register/places",
        does: "Listeners are put at indices that must be empty, or must be taken; they replace \
               each other, are taken out and put back. An index beyond the end is emptied. A \
               socket array is freed with a listener in it, which is put into another.",
        must: "EEXIST for a taken index that had to be empty, ENOENT for an empty one that had to \
               be taken. A listener that was replaced or taken out, or whose array was freed, can \
               get another index. E2BIG beyond the end.",
        source: "reuseport_array_update_check(), reuseport_array_delete_elem(), \
                 reuseport_array_free(); bpf_fd_reuseport_array_update_elem(): free_osk",
        settings: Settings::Families,
        needs: &[Need::Programs],
        wire: WireRule::Silent,
        run: conditions,
        expect: |_| {
            Expectation::new()
                .fact("A at an empty place that was to be taken", "ENOENT")
                .fact("A at an empty place that was to be empty", "ok")
                .fact("B at a taken place that was to be empty", "EEXIST")
                .fact("B at a taken place that was to be taken", "ok")
                .fact("A, who was replaced, elsewhere", "ok")
                .fact("B taken out", "ok")
                .fact("B put back", "ok")
                .fact("a place beyond the end emptied", "E2BIG")
                .fact("who is there", "B, A")
                .fact("who is there in the end", "B, C")
        },
        ..Case::DEFAULT
    },
];

/// The listener at each index of the array, by its cookie.
fn places(array: &SockArray, names: &[(u64, &str)], number: u32) -> String {
    let place = |index| match array.cookie(index) {
        Ok(cookie) => {
            let known = names.iter().find(|(its, _)| *its == cookie);
            known.map_or("another", |(_, name)| name).to_owned()
        }
        Err(e) => harness::errno_name(&e),
    };
    (0..number).map(place).collect::<Vec<_>>().join(", ")
}

fn leaving(lab: &mut Lab, attach: Attach) -> harness::Result<()> {
    let array = SockArray::new(3)?;
    let program = Program::load(attach, &[PASS])?;
    let [a, b, c] = [lab.listen("A")?, lab.listen("B")?, lab.listen("C")?];
    lab.attach(&a, &program)?;
    let names = [(cookie(&a)?, "A"), (cookie(&b)?, "B"), (cookie(&c)?, "C")];
    lab.fill_array(&array, &[&a, &b, &c])?;
    lab.observe("at first", places(&array, &names, 3));
    lab.close(a);
    lab.observe("without A", places(&array, &names, 3));
    lab.shut_down(&b, Shutdown::Both)?;
    lab.observe("without B", places(&array, &names, 3));
    lab.start_listening(&b, BACKLOG)?;
    lab.observe("with B listening again", places(&array, &names, 3));
    lab.put_in_array(&array, 1, &b)?;
    lab.observe("with B registered again", places(&array, &names, 3));
    Ok(())
}

fn leaving_must() -> Expectation {
    Expectation::new()
        .fact("at first", "A, B, C")
        .fact("without A", "ENOENT, B, C")
        .fact("without B", "ENOENT, ENOENT, C")
        .fact("with B listening again", "ENOENT, ENOENT, C")
        .fact("with B registered again", "ENOENT, B, C")
}

fn refusals(lab: &mut Lab, setting: Setting) -> harness::Result<()> {
    let [array, other] = [SockArray::new(2)?, SockArray::new(1)?];
    let narrow = SockArray::narrow(1)?;
    let [a, b, c] = [lab.listen("A")?, lab.listen("B")?, lab.listen("C")?];
    let bound = lab.bind_at("D", &BindSpec::usual(setting.family))?;
    let former = lab.listen_at("F", &BindSpec::neighbour(setting.family))?;
    // So it stays in its group.
    lab.attach(&former, &Program::load(Attach::SelectOrMigrate, &[PASS])?)?;
    lab.shut_down(&former, Shutdown::Both)?;
    let alone = lab.socket("E")?;
    // Without SO_REUSEPORT the usual address is taken.
    lab.start_listening(&alone, BACKLOG)?;
    let names = [(cookie(&a)?, "A"), (cookie(&b)?, "B"), (cookie(&c)?, "C")];
    for (what, came) in [
        ("a listener", array.put(0, &a)),
        ("a socket that does not listen", array.put(1, &bound)),
        ("a listener that was shut down", array.put(1, &former)),
        ("a listener without the option", array.put(1, &alone)),
        ("the same listener at another place", array.put(1, &a)),
        ("the same listener in another register", other.put(0, &a)),
        ("a place beyond the end", array.put(2, &b)),
        ("another listener at the same place", array.put(0, &b)),
    ] {
        lab.observe(what, outcome(came));
    }
    lab.observe("who is there", places(&array, &names, 2));
    lab.observe("emptying the place", outcome(array.remove(0)));
    lab.observe("emptying it again", outcome(array.remove(0)));
    narrow.put(0, &c).tested(|| "bpf(BPF_MAP_UPDATE_ELEM, a narrow array, 0, C)".into())?;
    lab.observe("who is in a narrow register", outcome(narrow.cookie(0).map(drop)));
    Ok(())
}

/// What is asked for, with the bytes of a key and of a value, and the number of entries.
const SHAPES: [(&str, u32, u32, u32); 5] = [
    ("values of 4 bytes", 4, 4, 1),
    ("values of 8 bytes", 4, 8, 1),
    ("values of 6 bytes", 4, 6, 1),
    ("keys of 8 bytes", 8, 8, 1),
    ("no entries", 4, 8, 0),
];

fn other_sockets(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let array = SockArray::new(2)?;
    let udp = lab.udp("A")?;
    lab.observe("a UDP socket", outcome(array.put(0, &udp)));
    let unix = UnixDatagram::unbound().call(|| "socket(AF_UNIX, SOCK_DGRAM)".into())?;
    lab.observe("a UNIX socket", outcome(array.put_unrecorded(1, &unix)));
    let [greatest, beyond] = [i32::MAX as u64, 1 << 32 | udp.as_fd().as_raw_fd() as u64];
    lab.observe("the greatest number of all", outcome(array.put_number(1, greatest)));
    lab.observe("a number that is no int", outcome(array.put_number(1, beyond)));
    Ok(())
}

fn connected(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let array = SockArray::new(1)?;
    let _a = lab.listen("A")?;
    let d = connected_member(lab)?;
    lab.observe("a connected member of a group", outcome(array.put(0, &d)));
    Ok(())
}

fn conditions(lab: &mut Lab, _: Setting) -> harness::Result<()> {
    let [array, other] = [SockArray::new(2)?, SockArray::new(1)?];
    let [a, b, c] = [lab.listen("A")?, lab.listen("B")?, lab.listen("C")?];
    let names = [(cookie(&a)?, "A"), (cookie(&b)?, "B"), (cookie(&c)?, "C")];
    for (what, came) in [
        ("A at an empty place that was to be taken", array.put_if(Vacancy::Taken, 0, &a)),
        ("A at an empty place that was to be empty", array.put_if(Vacancy::Empty, 0, &a)),
        ("B at a taken place that was to be empty", array.put_if(Vacancy::Empty, 0, &b)),
        ("B at a taken place that was to be taken", array.put_if(Vacancy::Taken, 0, &b)),
        ("A, who was replaced, elsewhere", array.put(1, &a)),
        ("B taken out", array.remove(0)),
        ("B put back", array.put(0, &b)),
        ("a place beyond the end emptied", array.remove(2)),
    ] {
        lab.observe(what, outcome(came));
    }
    lab.observe("who is there", places(&array, &names, 2));
    lab.put_in_array(&other, 0, &c)?;
    drop(other);
    lab.put_in_array_when_freed(&array, 1, &c)?;
    lab.observe("who is there in the end", places(&array, &names, 2));
    Ok(())
}
