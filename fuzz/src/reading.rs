//! Reads inputs as the commands do, and says what came of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::net::segment::Segment;
use harness::trace::{Event, Trace};
use pcap_file::pcapng::{Block, PcapNgReader};
use reload::server_file::fault;
use reload::server_file::template::Names;
use sockmig::ladder::rung::Ladder;
use sockmig::ladder::side::{Pair, Side};
use sockmig::ladder::{svg, text};
use sockmig::style::Style;
use vm::boot::image;
use vm::boot::prepare::prepare;
use vm::fetch::cache::Cache;
use vm::fetch::choice::Choice;

use crate::corpus;

/// The widths of terminals that ladders are drawn for.
const WIDTHS: [usize; 3] = [1, 40, 120];

/// Through every command that reads documents, alone and with one that is whole.
pub fn documents(input: &[u8]) -> String {
    let whole = corpus::documents();
    // A run or a matrix, as the input has it.
    let other = &whole[input.len() % whole.len()];
    let shown = sockmig::shown::of_documents(input, other);
    for text in &shown {
        let raw = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(raw, None, "a control character is shown raw: {text:?}");
    }
    // How long each text is, roughly, and how those begin that are sentences.
    let kind = |text: &String| match text.len() {
        0..300 => without_numbers(text),
        more => more.ilog2().to_string(),
    };
    shown.iter().map(kind).collect::<Vec<_>>().join("\n")
}

/// What a file is, and what is in it if it is a kernel.
pub fn image(input: &[u8], path: &Path) -> String {
    let (identified, release) = (image::identify(path), image::release(path));
    let open =
        image::open(input).map(|inside| (inside.release, inside.kernel.map(|kernel| kernel.len())));
    without_numbers(&format!("{identified:?} {release:?} {open:?}"))
}

/// A package made ready to boot.
pub fn package(path: &Path) -> String {
    let place = path.with_extension("cache");
    let file = path.to_owned();
    let choice = Choice::Own { text: "own".into(), files: vec![file], modules: vec![] };
    let cache = Cache::at(&place).expect("an own directory is a cache");
    let made = match prepare(&choice, &cache, &mut |_| {}) {
        Ok(bootable) => format!("{:?}", bootable.modules.len()),
        Err(e) => e.to_string(),
    };
    // What is no package makes no cache.
    if place.exists() {
        fs::remove_dir_all(&place).expect("an own directory is removed");
    }
    let beside = path.parent().and_then(|parent| fs::read_dir(parent).ok());
    let left = beside.map_or(0, Iterator::count);
    assert_eq!(left, 1, "nothing is written anywhere else");
    without_numbers(&made)
}

/// What is wrong with a server's file, or its texts filled in.
pub fn server(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "not UTF-8".into() };
    match fault::read(text) {
        Ok(file) => {
            let mut names = Names::default();
            names.set("port", "80");
            let filled: usize = file.files.values().map(|text| names.fill(text).len()).sum();
            let waits = (file.ready_within(), file.reload_within(), file.quiet(), file.takes());
            let left = fault::left_alone(&file);
            without_numbers(&format!("{filled} {waits:?} {left:?} {:?}", file.program_names()))
        }
        Err(faults) => {
            let faults = faults.iter().map(|fault| without_numbers(&fault.to_string()));
            faults.take(3).collect::<Vec<_>>().join("\n")
        }
    }
}

/// What is wrong with a list of known bugs.
pub fn known(input: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(input) else { return "not UTF-8".into() };
    match scenarios::known_check::read(text, "own.toml") {
        Ok(list) => format!("{} {}", list.bugs.len(), list.history.len()),
        Err(complaints) => {
            let lines = text.lines().count().max(1);
            let outside = complaints.iter().find(|one| !(1..=lines + 1).contains(&one.line));
            assert_eq!(outside, None, "there are {lines} lines");
            let complaints = complaints.iter().map(|one| without_numbers(&one.to_string()));
            complaints.take(3).collect::<Vec<_>>().join("\n")
        }
    }
}

/// The packets of a capture as a trace and as ladders.
pub fn capture(input: &[u8]) -> String {
    let Ok(mut reader) = PcapNgReader::new(input) else { return "no capture".into() };
    let mut trace = Trace::default();
    let mut others = 0_u32;
    while let Some(Ok(block)) = reader.next_block() {
        let Block::EnhancedPacket(packet) = block else { continue };
        match Segment::parse(Duration::from_micros(trace.events.len() as u64), &packet.data) {
            Some(segment) => trace.events.push(Event::Segment(segment)),
            None => others += 1,
        }
    }
    let first = trace.segments().next().map(|segment| (segment.from, segment.to));
    if let Some((client, server)) = first {
        trace.name(client, "C");
        trace.name(server, "S");
    }
    let lines = trace.lines();
    let ladder = || Ladder::new(&lines, &[0, lines.len()]);
    let side = || Side { title: "a title".into(), ladder: ladder() };
    let pair = Pair::new(side(), side());
    let mut drawn: Vec<String> =
        WIDTHS.map(|width| text::drawn(&ladder(), width, Style::PLAIN)).into();
    drawn.extend(WIDTHS.map(|width| pair.text(width, Style::PLAIN)));
    drawn.push(svg::pair_alone(&pair, "a title").into_string());
    let options = trace.segments().flat_map(|segment| &segment.options).map(ToString::to_string);
    let mut kinds: Vec<String> = options.map(|option| without_numbers(&option)).collect();
    kinds.sort();
    kinds.dedup();
    let sizes: Vec<u32> = drawn.iter().map(|text| (text.len() as u32).ilog2()).collect();
    format!("{sizes:?} {} {kinds:?}", others.min(3))
}

/// What is alike in sentences about different inputs: what is quoted and numbers are left out.
fn without_numbers(text: &str) -> String {
    let unquoted: String = text.split(['`', '"', '\'']).step_by(2).collect();
    unquoted.chars().filter(|c| !c.is_ascii_digit()).take(200).collect()
}
