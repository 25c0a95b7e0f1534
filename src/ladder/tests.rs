//! Ladders of traces as laboratories write them, in characters and as SVG.

use std::time::Duration;

use harness::trace::Line;
use nix::time::{ClockId, clock_gettime};
use rstest::rstest;

use crate::fixture::markup;
use crate::ladder::rung::{Ladder, Mark, Note, What};
use crate::ladder::side::{Pair, Side};
use crate::ladder::{svg, text};
use crate::style::Style;

pub const QUIZ1_OFF: &str = "
     0.000000  -- listen(A) --
     0.000029  C > S  S 0:0(0)  win 65495 <mss 65495,sackOK,TS val 1 ecr 0,nop,wscale 10>
     0.000036  S > C  S. 0:0(0) ack 1  win 65483
     0.000044  C > S  . 1:1(0) ack 1  win 64
     0.000061  C > S  P. 1:12(11) ack 1  win 64
     0.000064  S > C  . 1:1(0) ack 12  win 64
     0.000255  -- listen(B) --
     0.000562  -- close(A) --
     0.000570  S > C  R. 1:1(0) ack 12  win 64
     0.002116  -- accept(B): EAGAIN --
     0.002470  -- a fresh client comes --
     0.002496  fresh > S  S 0:0(0)  win 65495
     0.002503  S > fresh  S. 0:0(0) ack 1  win 65483
";

pub const QUIZ1_ON: &str = "
     0.000000  -- net.ipv4.tcp_migrate_req = 1 --
     0.000015  -- listen(A) --
     0.000036  C > S  S 0:0(0)  win 65495 <mss 65495,sackOK,TS val 1 ecr 0,nop,wscale 10>
     0.000041  S > C  S. 0:0(0) ack 1  win 65483
     0.000048  C > S  . 1:1(0) ack 1  win 64
     0.000060  C > S  P. 1:12(11) ack 1  win 64
     0.000062  S > C  . 1:1(0) ack 12  win 64
     0.000141  -- listen(B) --
     0.000346  -- close(A) --
     0.001778  -- accept(B): C's connection --
     0.001796  S > C  P. 1:3(2) ack 12  win 64
     0.001801  C > S  . 12:12(0) ack 3  win 64
     0.001816  -- done --
     0.002016  -- a fresh client comes --
     0.002034  fresh > S  S 0:0(0)  win 65495
";

/// The gate, retransmissions of both ends, and a request that its timer moves.
const QUIZ2_ON: &str = "
     0.000000  -- net.ipv4.tcp_migrate_req = 1 --
     0.000020  -- listen(A) --
     0.000459  -- gate closed (nftables) --
     0.000470  -- connect(C) --
     0.000486  C > S  S 0:0(0)  win 65495 <mss 65495,sackOK,TS val 1 ecr 0,nop,wscale 10>
     0.000492  S > C  S. 0:0(0) ack 1  win 65483
     0.000500  C > S  . 1:1(0) ack 1  win 64
     0.000511  C > S  P. 1:12(11) ack 1  win 64
     0.000603  -- listen(B) --
     0.002171  -- close(A) --
     0.208232  C > S  P. 1:12(11) ack 1  win 64
     1.018232  S > C  S. 0:0(0) ack 1  win 64
     1.018300  C > S  . 12:12(0) ack 1  win 64
     1.020000  -- gate opens --
     1.668232  C > S  P. 1:12(11) ack 1  win 64
     1.668317  S > C  . 1:1(0) ack 12  win 64
     1.668639  -- accept(B): C's connection --
     1.670000  -- listen(a fresh listener) --
     1.670100  127.0.0.1:34654 > S  S 0:0(0)  win 65495
     1.670200  S > 127.0.0.1:34654  S. 0:0(0) ack 1  win 65495
";

/// Two wire clients; one resets, and the other is reset.
const WIRE_CLIENTS: &str = "
     0.000000  -- net.ipv4.tcp_migrate_req = 1 --
     0.000015  -- listen(A) --
     0.000072  W > S  S 0:0(0)  win 65535 <mss 1460>
     0.000082  S > W  S. 0:0(0) ack 1  win 65495 <mss 65495>
     0.000119  X > S  S 0:0(0)  win 65535 <mss 1460>
     0.000121  S > X  S. 0:0(0) ack 1  win 65495 <mss 65495>
     0.000135  -- listen(B) --
     0.000136  -- shutdown(A, SHUT_RDWR) --
     0.000293  W > S  R 1:1(0)  win 65535
     0.000428  X > S  . 1:1(0) ack 1  win 65535
     0.002083  W > S  P. 1:12(11) ack 1  win 65535
     0.002090  S > W  R 1:1(0)  win 0
     0.002462  S > X  R. 1:1(0) ack 1  win 65495
";

/// Three listeners, so that nobody can know which gets a SYN before one accepts it, and
/// connections that nobody accepts.
const THREE: &str = "
     0.000000  -- net.ipv4.tcp_migrate_req = 1 --
     0.000001  -- listen(A) --
     0.000002  -- listen(B) --
     0.000003  -- listen(C) --
     0.000010  W1 > S  S 0:0(0)  win 65535 <mss 1460>
     0.000011  S > W1  S. 0:0(0) ack 1  win 65495 <mss 65495>
     0.000012  W1 > S  . 1:1(0) ack 1  win 65535
     0.000020  W2 > S  S 0:0(0)  win 65535 <mss 1460>
     0.000021  S > W2  S. 0:0(0) ack 1  win 65495 <mss 65495>
     0.000030  -- accept(B): W1's connection --
     0.000040  -- close(A) --
     1.000050  W2 > S  P. 4294967290:4294967295(5) ack 4294967295  win 65535
     1.000060  S > W2  . 1:1(0) ack 1  win 65535
";

/// A Fast Open child, which is one at its SYN+ACK.
const FAST_OPEN: &str = "
     0.000000  -- net.ipv4.tcp_migrate_req = 1 --
     0.000001  -- listen(A) --
     0.000010  W > S  S 0:11(11)  win 65535 <mss 1460,option 34 (8 bytes)>
     0.000011  S > W  S. 0:0(0) ack 12  win 65495 <mss 65495>
     0.000012  -- listen(B) --
     0.000013  -- close(A) --
     0.000014  W > S  . 12:12(0) ack 1  win 65535
     0.000030  -- accept(B): W's connection --
";

/// A child that its client has reset, and that still waits.
const RESET: &str = "
     0.000001  -- listen(A) --
     0.000010  C > S  S 0:0(0)  win 65495 <mss 65495>
     0.000011  S > C  S. 0:0(0) ack 1  win 65483
     0.000012  C > S  . 1:1(0) ack 1  win 64
     0.000013  C > S  P. 1:12(11) ack 1  win 64
     0.000014  S > C  . 1:1(0) ack 12  win 64
     0.000020  C > S  R. 12:12(0) ack 1  win 64
     0.000030  -- listen(B) --
     0.000040  -- close(A) --
";

/// The same with migration; and a listener that is destroyed, and then a child in a queue.
fn destroyed() -> String {
    let on = "0.000000  -- net.ipv4.tcp_migrate_req = 1 --";
    let reset = RESET.replace("close(A)", "SOCK_DESTROY(A)");
    let reset = reset.replace("     0.000020  C > S  R. 12:12(0) ack 1  win 64\n", "");
    let then = "0.000050  -- SOCK_DESTROY(C's child) --
                0.000051  S > C  R. 1:1(0) ack 12  win 64
                0.000060  -- accept(B): C's connection --";
    format!("{on}{reset}{then}")
}

/// More listeners than there is room for.
fn many() -> String {
    let listens = (0..9).map(|n| format!("0.00000{n}  -- listen(L{n}) --\n"));
    let closes = (0..2).map(|n| format!("0.00002{n}  -- close(L{n}) --\n"));
    let client = "0.000010  W > S  S 0:0(0)  win 1\n0.000011  S > W  S. 0:0(0) ack 1  win 1\n";
    listens.chain([client.to_owned()]).chain(closes).collect()
}

pub fn lines(trace: &str) -> Vec<Line> {
    let lines = trace.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| line.parse().expect("a line of a trace")).collect()
}

fn drawn(trace: &str, wrong: &[usize], width: usize) -> String {
    text::drawn(&Ladder::new(&lines(trace), wrong), width, Style::PLAIN)
}

#[rstest]
#[case("quiz-1-off", QUIZ1_OFF)]
#[case("quiz-1-on", QUIZ1_ON)]
#[case("quiz-2-on", QUIZ2_ON)]
#[case("wire-clients", WIRE_CLIENTS)]
#[case("three-listeners", THREE)]
#[case("fast-open", FAST_OPEN)]
#[case("reset-child", RESET)]
#[case("reset-child-that-moves", &format!("0.000000  -- net.ipv4.tcp_migrate_req = 1 --{RESET}"))]
#[case("destroyed", &destroyed())]
#[case("many-listeners", &many())]
fn a_ladder_in_characters(#[case] name: &str, #[case] trace: &str) {
    let drawn = drawn(trace, &[], 80);
    for line in drawn.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    insta::assert_snapshot!(format!("ladder-{name}"), drawn);
}

#[test]
fn a_narrow_ladder_has_its_notes_below() {
    insta::assert_snapshot!(drawn(QUIZ1_ON, &[], 60));
}

#[test]
fn what_is_wrong_is_marked_and_not_folded() {
    let wrong = lines(QUIZ1_OFF).len() - 1;
    insta::assert_snapshot!(drawn(QUIZ1_OFF, &[8, wrong], 80));
    let early = drawn(QUIZ1_OFF, &[wrong + 1], 80);
    assert!(early.lines().last().is_some_and(|line| line.starts_with('>')), "{early}");
}

#[test]
fn colour_only_helps() {
    let ladder = Ladder::new(&lines(QUIZ1_OFF), &[8]);
    let coloured = text::drawn(&ladder, 80, Style::COLOUR);
    assert!(coloured.contains("\x1b["), "{coloured}");
    let mut plain = String::new();
    for (index, part) in coloured.split("\x1b[").enumerate() {
        plain += if index == 0 { part } else { part.split_once('m').map_or("", |(_, text)| text) };
    }
    assert_eq!(plain, text::drawn(&ladder, 80, Style::PLAIN));
}

#[test]
fn the_lines_around_the_first_wrong_one() {
    let ladder = Ladder::new(&lines(QUIZ1_OFF), &[8]);
    let around = text::around(&ladder, 2, 80, Style::PLAIN);
    let lines: Vec<&str> = around.lines().collect();
    assert_eq!(lines.len(), 7, "{around}");
    assert_eq!((lines[1], lines[6]), ("  ... 6 lines before", "  ... 1 lines more"), "{around}");
    assert!(lines[4].starts_with("> 0.000570"), "{around}");
}

#[test]
fn a_ladder_as_svg() {
    let ladder = Ladder::new(&lines(QUIZ1_OFF), &[8]);
    let drawn = svg::drawn(&ladder, "quiz <1>").into_string();
    insta::assert_snapshot!(drawn.replace("><", ">\n<"));
    let texts = markup::parse(&drawn).text();
    assert!(texts.contains("quiz <1>") && texts.contains("S. 0:0(0) ack 1"), "{texts}");
    assert!(!drawn.contains(" id=") && !drawn.contains("<script"), "{drawn}");
}

/// The rungs of a ladder are in its picture, in their order, each with what a text would say.
#[rstest]
#[case(QUIZ1_ON)]
#[case(QUIZ2_ON)]
fn a_picture_says_what_a_text_says(#[case] trace: &str) {
    let ladder = Ladder::new(&lines(trace), &[]);
    let picture = markup::parse(&svg::drawn(&ladder, "quiz").into_string());
    let svg = picture.first("svg");
    assert_eq!((svg.attribute("role"), &*svg.first("title").text()), (Some("img"), "quiz"));
    let texts = svg.texts("text");
    let mut left = texts.iter();
    for rung in &ladder.rungs {
        let words = match &rung.what {
            What::Segment { notation, .. } => notation.clone(),
            What::Act { act, .. } => format!("-- {act} --"),
            What::Folded { text } => text.clone(),
            What::End => continue,
        };
        assert!(left.any(|text| text.contains(&words)), "{words} is not in its place: {texts:?}");
    }
    let resets = texts.iter().filter(|text| text.starts_with('R')).count();
    assert_eq!(svg.all("text.r").len(), resets, "resets are coloured, and nothing else is");
    // As many arrows as segments; every lane is drawn.
    let arrows = svg.all("path").into_iter().filter(|path| path.attribute("class") != Some("f"));
    let heads = arrows.flat_map(|path| path.attribute("d")).map(|d| d.matches('H').count());
    let segments = ladder.rungs.iter().filter(|rung| matches!(rung.what, What::Segment { .. }));
    assert_eq!(heads.sum::<usize>(), segments.count());
}

#[test]
fn whose_a_connection_is_is_never_guessed() {
    let owners = |trace: &str| -> Vec<String> {
        let ladder = Ladder::new(&lines(trace), &[]);
        let notes = ladder.rungs.into_iter().flat_map(|rung| rung.notes);
        let owners = notes.filter_map(|note| match note {
            Note::Owner(text) => Some(text),
            Note::Timer(_) => None,
        });
        owners.collect()
    };
    // Somebody was killed: any listener may be the one that is left.
    let killed = QUIZ1_ON.replace("close(A)", "SIGKILL");
    assert_eq!(owners(&killed), ["C: A's request", "C: A's child", "C: accepted by B"]);
    // Nor is the only one that listened sure to listen still.
    let later = "0.0  -- listen(A) --\n0.1  -- SIGKILL --\n0.2  C > S  S 0:0(0)  win 1\n\
                 0.3  S > C  S. 0:0(0) ack 1  win 1";
    assert_eq!(owners(later), ["C: somebody's request"]);
    // A reset after the accept is not the close's.
    let reset = QUIZ1_ON.replace("S > C  P. 1:3(2) ack 12", "S > C  R. 1:1(0) ack 12");
    assert_eq!(owners(&reset)[2..], ["C: B's child", "C: accepted by B", "C: gone"]);
    // A SYN that is not answered makes no request.
    assert_eq!(owners("0.0  -- listen(A) --\n0.1  C > S  S 0:0(0)  win 1"), [""; 0]);
}

#[test]
fn no_lines_are_an_empty_ladder() {
    let lines = lines("0.1  -- close(A) --");
    let ladder = Ladder::new(&lines, &[]);
    assert!(matches!(&ladder.rungs[0].what, What::Act { act, .. } if act == "close(A)"));
    assert_eq!(Ladder::new(&[], &[]).rungs, []);
}

fn pair() -> Pair {
    let side = |title: &str, trace, wrong: &[usize]| Side {
        title: title.into(),
        ladder: Ladder::new(&lines(trace), wrong),
    };
    Pair::new(
        side("quiz1/v4/off on 6.1", QUIZ1_OFF, &[8]),
        side("quiz1/v4/on on 6.1", QUIZ1_ON, &[]),
    )
}

#[rstest]
#[case(140)]
#[case(100)]
#[case(80)]
fn two_ladders(#[case] width: usize) {
    let drawn = pair().text(width, Style::PLAIN);
    for line in drawn.lines() {
        assert!(line.chars().count() <= width, "{line}");
    }
    insta::assert_snapshot!(format!("two-ladders-{width}"), drawn);
}

#[test]
fn what_only_one_ladder_has_is_marked_and_what_is_wrong_stays_so() {
    let pair = pair();
    let marked =
        |side: &Side, mark: Mark| side.ladder.rungs.iter().filter(|rung| rung.mark == mark).count();
    assert_eq!((marked(&pair.left, Mark::Wrong), marked(&pair.left, Mark::Differs)), (1, 1));
    assert_eq!((marked(&pair.right, Mark::Wrong), marked(&pair.right, Mark::Differs)), (0, 5));
    assert_eq!(pair.differing(), 7);
    let same = Pair::new(pair.right.clone(), pair.right);
    assert_eq!(same.differing(), 0);
}

#[test]
fn two_ladders_as_svg() {
    let (pair, title) = (pair(), "off & on");
    let (drawn, alone) =
        (svg::pair(&pair, title).into_string(), svg::pair_alone(&pair, title).into_string());
    assert!(alone.len() > drawn.len() + svg::STYLE.len() && alone.contains("prefers-color-scheme"));
    for svg in [drawn, alone] {
        let texts = markup::parse(&svg).text();
        for part in ["off & on", "quiz1/v4/off on 6.1", "quiz1/v4/on on 6.1", "C: accepted by B"] {
            assert!(texts.contains(part), "{part}: {texts}");
        }
    }
}

/// A trace of at least so many lines: of one client that sends and sends, of clients one after
/// the other, or of listeners that come and go.
fn long(kind: Long, least: usize) -> Vec<Line> {
    let start = "0.000001  -- listen(A) --\n0.000002  -- listen(B) --\n";
    let handshake = |client: &str| {
        format!(
            "0.1  {client} > S  S 0:0(0)  win 1\n0.1  S > {client}  S. 0:0(0) ack 1  win 1\n\
             0.1  {client} > S  . 1:1(0) ack 1  win 1\n"
        )
    };
    let piece = |number: usize| match kind {
        Long::Segments if number == 0 => handshake("C"),
        Long::Segments => {
            let (from, to) = (number * 10, number * 10 + 10);
            format!(
                "0.2  C > S  P. {from}:{to}(10) ack 1  win 1\n0.2  S > C  . 1:1(0) ack {to}  win 1\n"
            )
        }
        Long::Clients => {
            handshake(&format!("C{number}"))
                + &format!("0.2  -- accept(A): C{number}'s connection --\n")
        }
        Long::Listeners => format!("0.1  -- listen(L{number}) --\n0.2  -- close(L{number}) --\n"),
    };
    let mut trace = start.to_owned();
    let mut number = 0;
    while trace.lines().count() < least {
        let more = (number..number + 200).map(piece).collect::<String>();
        trace += &more;
        number += 200;
    }
    let mut lines = lines(&trace);
    lines.truncate(least);
    lines
}

#[derive(Debug, Clone, Copy)]
enum Long {
    Segments,
    Clients,
    Listeners,
}

/// Processor time of this thread, which other programs do not add to.
fn processor_time(work: impl FnOnce()) -> Duration {
    let now = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock"));
    let before = now();
    work();
    now() - before
}

#[rstest]
fn the_time_that_a_trace_takes_grows_as_it_does(
    #[values(Long::Segments, Long::Clients, Long::Listeners)] kind: Long,
) {
    let takes = |count: usize| {
        let lines = long(kind, count);
        // Every second is wrong, and every third differs on the other side.
        let wrong: Vec<usize> = (0..count).step_by(2).collect();
        let other: Vec<Line> =
            lines.iter().enumerate().filter(|(at, _)| at % 3 > 0).map(|(_, l)| l.clone()).collect();
        let work = || {
            let ladder = Ladder::new(&lines, &wrong);
            let left = Side { title: "left".into(), ladder };
            let right = Side { title: "right".into(), ladder: Ladder::new(&other, &[]) };
            let drawn = text::drawn(&left.ladder, 80, Style::PLAIN);
            assert!(drawn.lines().count() > count / 2);
            let pair = Pair::new(left, right);
            assert!(pair.text(160, Style::PLAIN).lines().count() > count / 2);
            assert!(!svg::pair(&pair, "both").into_string().is_empty());
        };
        (0..3).map(|_| processor_time(work)).min().expect("three times")
    };
    let (short, long) = (takes(2000), takes(8000));
    // Four times as long a trace; sixteen would be as the square.
    assert!(long < short * 9, "{short:?}, and for four times as many lines {long:?}");
}
