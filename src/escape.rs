//! Text that others wrote: documents, consoles, users. It is escaped here for each format in
//! which it is shown, and nowhere else.
//!
//! A character that nobody would see, or that does something to a terminal, is shown as
//! Rust writes it: `\u{1b}`. What is escaped stays as it is when it is escaped again.

use std::borrow::Cow;

use crate::style;

/// Whether a character does something other than being seen: it moves a cursor, rings, ends a
/// line, turns the direction of writing round, or joins others unseen. XML knows some of them
/// not at all.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{fffe}'..='\u{ffff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn escaped_unless(text: &str, may_stay: impl Fn(char) -> bool) -> Cow<'_, str> {
    let goes = |c: char| is_unseen(c) && !may_stay(c);
    // Nearly all that there is, and quickly seen.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    if !text.contains(goes) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match goes(c) {
            true => escaped.extend(c.escape_default()),
            false => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// Text that is one line: an id, a name, a release.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped_unless(text, |_| false)
}

/// Text that may have several lines: a console, a reason, what was expected on the wire.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped_unless(text, |c| matches!(c, '\n' | '\t'))
}

/// A file of markup, HTML or XML, as it was made: what XML must not contain is escaped.
pub fn markup(text: String) -> String {
    let text = match lines(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(escaped) => escaped,
    };
    // The logs of some CI systems take `##[` for a command wherever it stands, and `::` where a
    // line begins with it.
    let text = if text.contains("##[") { text.replace("##[", "#&#35;[") } else { text };
    if !text.lines().any(is_command_line) {
        return text;
    }
    let safe = |line: &str| match is_command_line(line) {
        true => line.replacen("::", "&#58;:", 1),
        false => line.to_owned(),
    };
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

fn is_command_line(line: &str) -> bool {
    line.trim_start().starts_with("::")
}

/// A JSON document as it was made, in which the logs of CI systems find no command.
pub fn json(text: String) -> String {
    if text.contains("##[") { text.replace("##[", "#\\u0023[") } else { text }
}

/// Text that Markdown must not read, in one line: its own characters and HTML's, and the
/// bars that end a table's cell.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in html(text).chars() {
        if r"|\`*_[]~$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// The same for a line of HTML, a summary for instance, in which Markdown is not read.
pub fn html(text: &str) -> String {
    let blanks = text.replace(['\n', '\r', '\t'], " ");
    let mut escaped = String::with_capacity(text.len());
    for c in line(&blanks).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // A mention would send mail, a number would become a link.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text as code within a sentence of Markdown, or within a cell of a table.
pub fn code(text: &str) -> String {
    format!("<code>{}</code>", markdown(text))
}

/// Text as code in Markdown, in a fence longer than any inside.
pub fn fenced(text: &str) -> String {
    let text = lines(text);
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

/// What people see, in a terminal or in the log of a CI job. It comes in pieces.
///
/// Characters that do something to a terminal are escaped, except for line breaks and our own
/// colours. What would be a command to a CI system (`::error::`, `##[group]`,
/// `##vso[...]`) gets a backslash into its middle.
#[derive(Debug, Clone)]
pub struct ForPeople {
    colour: bool,
    /// The line has had nothing but blanks.
    begins: bool,
    /// The last two characters.
    last: [char; 2],
}

impl ForPeople {
    /// With colours, or without.
    pub fn new(colour: bool) -> Self {
        Self { colour, begins: true, last: [' '; 2] }
    }

    /// The next piece, as it may be shown.
    pub fn shown(&mut self, piece: &str) -> String {
        let mut shown = String::with_capacity(piece.len());
        let mut rest = piece;
        while let Some(c) = rest.chars().next() {
            let code = style::CODES.iter().find(|code| self.colour && rest.starts_with(**code));
            if let Some(code) = code {
                shown.push_str(code);
                rest = &rest[code.len()..];
                continue;
            }
            if self.is_command(c) {
                shown.push('\\');
            }
            match is_unseen(c) && !matches!(c, '\n' | '\t') {
                true => shown.extend(c.escape_default()),
                false => shown.push(c),
            }
            // A first colon does not end the beginning: the second is what makes the command.
            let still = c.is_whitespace() || (c == ':' && self.last[1] != ':');
            self.begins = c == '\n' || (self.begins && still);
            self.last = [self.last[1], c];
            rest = &rest[c.len_utf8()..];
        }
        shown
    }

    /// Whether a character completes what begins a command of a CI system.
    fn is_command(&self, c: char) -> bool {
        match self.last {
            [_, ':'] => self.begins && c == ':',
            ['#', '#'] => c == '[' || c.is_ascii_alphabetic(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::Style;
    use rstest::rstest;

    #[rstest]
    #[case("quiz1/v4/on", "quiz1/v4/on")]
    #[case("a\x1b[31mb", "a\\u{1b}[31mb")]
    #[case("a\nb\r\tc\u{7}", "a\\nb\\r\\tc\\u{7}")]
    #[case("\u{9b}1m\u{7f}", "\\u{9b}1m\\u{7f}")]
    #[case("\u{202e}evil\u{2066}", "\\u{202e}evil\\u{2066}")]
    #[case("zero\u{200b}width\u{feff}", "zero\\u{200b}width\\u{feff}")]
    #[case("✓ größer 日本", "✓ größer 日本")]
    fn a_line_shows_what_nobody_would_see(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(line(text), shown);
        assert_eq!(line(shown), shown, "it is escaped once");
    }

    #[test]
    fn lines_keep_their_breaks() {
        assert_eq!(lines("a\n\tb\r\n\x1bc"), "a\n\tb\\r\n\\u{1b}c");
    }

    #[rstest]
    #[case("::error::x\n", ":\\:error::x\n")]
    #[case("  ::error file=x::y", "  :\\:error file=x::y")]
    #[case("a ::error::x", "a ::error::x")]
    #[case("fe80::1 ::1", "fe80::1 ::1")]
    #[case("a\n::add-mask::x", "a\n:\\:add-mask::x")]
    #[case("see ##[error]x", "see ##\\[error]x")]
    #[case("##vso[task.x]", "##\\vso[task.x]")]
    #[case("## sockmig\n### more #1", "## sockmig\n### more #1")]
    #[case("\x1b[32mok\x1b[0m", "\\u{1b}[32mok\\u{1b}[0m")]
    fn people_get_no_commands(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(ForPeople::new(false).shown(text), shown);
        // However it is cut.
        let mut one_by_one = ForPeople::new(false);
        let pieces = text.chars().map(|c| one_by_one.shown(&c.to_string()));
        assert_eq!(pieces.collect::<String>(), shown);
    }

    #[test]
    fn our_own_colours_pass_where_there_are_colours() {
        let green = Style::COLOUR.green("ok");
        assert_eq!(ForPeople::new(true).shown(&green), green);
        let clears = format!("{green}\x1b[2J");
        assert_eq!(ForPeople::new(true).shown(&clears), format!("{green}\\u{{1b}}[2J"));
    }

    #[rstest]
    #[case("a|b", r"a\|b")]
    #[case("`x` <b> @me #1", r"\`x\` &lt;b&gt; &#64;me &#35;1")]
    #[case("a\nb\x1b", r"a b\\u{1b}")]
    #[case("a|b\n<b>*_`[#1]@x", r"a\|b &lt;b&gt;\*\_\`\[&#35;1\]&#64;x")]
    fn markdown_reads_nothing(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(markdown(text), shown);
    }

    #[test]
    fn html_reads_nothing() {
        assert_eq!(html("a|b\n<b>*_`[#1]@x"), "a|b &lt;b&gt;*_`[&#35;1]&#64;x");
    }

    #[test]
    fn a_fence_is_longer_than_any_inside() {
        assert_eq!(fenced("a ``` b"), "````text\na ``` b\n````\n");
        assert_eq!(fenced(""), "```text\n\n```\n");
        assert_eq!(fenced("a\n````\n\x07"), "`````text\na\n````\n\\u{7}\n`````\n");
    }

    #[test]
    fn a_code_span_ends_where_it_must() {
        assert_eq!(code("a`b</code>|"), r"<code>a\`b&lt;/code&gt;\|</code>");
    }

    #[test]
    fn markup_and_json_keep_their_meaning() {
        assert_eq!(markup("<p>\u{8}##[x</p>".into()), "<p>\\u{8}#&#35;[x</p>");
        assert_eq!(markup("<p>a\n ::error::x\n</p>".into()), "<p>a\n &#58;:error::x\n</p>");
        let json = json(r###"{"a": "##[error]"}"###.into());
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((value["a"].as_str(), json.contains("##[")), (Some("##[error]"), false));
    }
}
