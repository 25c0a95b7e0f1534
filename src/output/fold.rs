//! Lines that are wider than a terminal, broken between words.

/// A line in lines of at most `width` characters, if it has blanks to break it at. What follows
/// the first is indented by two more than that.
pub fn folded(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let hanging = " ".repeat((indent + 2).min(width / 2));
    let mut folded = " ".repeat(indent);
    let (mut column, mut blanks, mut is_first) = (indent, 0, true);
    for word in line[indent..].split(' ') {
        // Of several blanks each but the last ends an empty word.
        if word.is_empty() {
            blanks += 1;
            continue;
        }
        let taken = columns(word);
        if !is_first && column + blanks + taken > width {
            folded.push('\n');
            folded.push_str(&hanging);
            column = hanging.len();
        } else {
            folded.push_str(&" ".repeat(blanks));
            column += blanks;
        }
        folded.push_str(word);
        column += taken;
        (blanks, is_first) = (1, false);
    }
    folded
}

/// A name, and what is said of it: from the column `at` on, two columns behind a longer name, or
/// below it where that leaves too little room.
pub fn entry(name: &str, at: usize, text: &str, width: usize) -> String {
    /// Less than this is no room for sentences.
    const ROOM: usize = 30;
    let long = name.chars().count();
    let at = if long < at { at } else { long + 2 };
    let is_below = width < at + ROOM;
    let indent = if is_below { 4 } else { at };
    let lines = scenarios::report::wrap(text, width.saturating_sub(indent).max(1));
    let mut entry = if is_below { format!("{name}\n") } else { String::new() };
    for (number, line) in lines.iter().enumerate() {
        let name = if number == 0 && !is_below { name } else { "" };
        entry.push_str(&format!("{name:<indent$}{line}\n"));
    }
    entry
}

/// A line of a table that is wider than the terminal: what it is about, and below that each cell
/// after the heading of its column. Empty cells are left out.
pub fn cells(about: &str, headings: &[&str], cells: &[String], width: usize) -> String {
    let said = headings.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
    let said: Vec<String> = said.map(|(heading, cell)| format!("{heading} {cell}")).collect();
    let lines = scenarios::report::wrap(&said.join(", "), width.saturating_sub(2).max(1));
    let lines = lines.iter().map(|line| format!("  {line}\n"));
    format!("{about}\n{}", lines.collect::<String>())
}

/// Names and what they mean, the meanings from the column `at` on.
pub fn legend(meanings: &[(&str, &str)], at: usize, width: usize) -> String {
    let entries =
        meanings.iter().map(|(name, means)| entry(&format!("  {name}"), at, means, width));
    entries.collect()
}

/// How many columns a text takes, without its colours.
fn columns(text: &str) -> usize {
    let mut parts = text.split("\x1b[");
    let first = parts.next().map_or(0, |part| part.chars().count());
    // A colour ends with the first `m`.
    let others = parts.map(|part| part.split_once('m').map_or(part, |(_, after)| after));
    first + others.map(|part| part.chars().count()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::Style;
    use rstest::rstest;

    #[rstest]
    #[case("short", "short")]
    #[case("one two three four", "one two\n  three\n  four")]
    #[case("  - one two three", "  - one\n    two\n    three")]
    #[case("a    b    c    d", "a    b\n  c    d")]
    #[case("https://a.long.word", "https://a.long.word")]
    #[case("see https://a.long.word now", "see\n  https://a.long.word\n  now")]
    fn lines_are_broken_between_words(#[case] line: &str, #[case] expected: &str) {
        assert_eq!(folded(line, 10), expected);
    }

    #[test]
    fn colours_take_no_room() {
        let line = Style::COLOUR.red("one") + " two";
        assert_eq!(folded(&line, 7), line);
        assert_eq!(folded(&line, 6), line.replace(' ', "\n  "));
        let of_others = "\x1b[1m\x1b[4mUsage:\x1b[0m run";
        assert_eq!(folded(of_others, 10), of_others);
    }

    #[test]
    fn a_line_of_a_table_is_a_few_where_the_terminal_is_narrow() {
        let row = ["32", "18", "", "36700 ns"].map(str::to_owned);
        let headings = ["rounds", "first", "second", "window"];
        let shown = "close/ack v4 off\n  rounds 32, first 18,\n  window 36700 ns\n";
        assert_eq!(cells("close/ack v4 off", &headings, &row, 24), shown);
    }

    #[test]
    fn what_is_said_stands_beside_or_below() {
        let text = "does something to a listener and looks";
        let beside = format!("{:<10}does something to a listener\n{:<10}and looks\n", "quiz1", "");
        assert_eq!(entry("quiz1", 10, text, 40), beside);
        let below = "quiz1\n    does something to a\n    listener and looks\n";
        assert_eq!(entry("quiz1", 10, text, 25), below);
        let behind =
            format!("{:<10}does something to a listener\n{:<10}and looks\n", "case/four", "");
        assert_eq!(entry("case/four", 10, text, 40), behind);
        let behind =
            format!("{:<12}does something to a listener\n{:<12}and looks\n", "case/names", "");
        assert_eq!(entry("case/names", 10, text, 42), behind);
        let below = "case/names\n    does something to a listener and\n    looks\n";
        assert_eq!(entry("case/names", 10, text, 41), below);
    }
}
