//! Markup as short as HTML allows, which XML does not: a page with every case has more than a hundred
//! thousand attributes.

use maud::{Markup, PreEscaped};

/// What the root of a picture needs in a file of its own.
const NAMESPACE: &str = " xmlns=\"http://www.w3.org/2000/svg\"";

/// The same without quotes around values of attributes that are one plain word, and without the
/// namespace of pictures. There must be no script in it; text has no quotes of its own.
pub fn plainer(markup: &Markup) -> Markup {
    let whole = markup.0.replace(NAMESPACE, "");
    let mut plain = String::with_capacity(whole.len());
    let mut rest = whole.as_str();
    while let Some((before, value)) = rest.split_once("=\"") {
        let Some((value, after)) = value.split_once('"') else { break };
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let has_none = !value.is_empty() && value.chars().all(is_word) && !after.starts_with('/');
        let quote = if has_none { "" } else { "\"" };
        for part in [before, "=", quote, value, quote] {
            plain.push_str(part);
        }
        rest = after;
    }
    plain.push_str(rest);
    PreEscaped(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_have_no_quotes() {
        let markup = concat!(
            r#"<svg class="ladder" xmlns="http://www.w3.org/2000/svg"><text x="7.5" y="-3" d="M1 2">"#,
            r#"a &quot;=&quot;</text><path d="M1"/></svg>"#
        );
        let plain = concat!(
            r#"<svg class=ladder><text x=7.5 y=-3 d="M1 2">a &quot;=&quot;</text>"#,
            r#"<path d="M1"/></svg>"#
        );
        assert_eq!(plainer(&PreEscaped(markup.into())).0, plain);
    }
}
