//! Functions of a source, and the statements in them.

use std::ops::Range;

use crate::token::{Kind, Token, tokens};

/// The body of one function, as tokens from its `{` to its `}`.
#[derive(Debug, Clone)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its parameters and its body, in order.
    pub tokens: Vec<Token<'a>>,
    /// Where the body's `{` stands among the tokens.
    pub body: usize,
}

/// All functions that a source defines.
pub fn functions(source: &str) -> Vec<Function<'_>> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match definition(&tokens, at) {
            Some((body, end)) => {
                // What programs call is defined by a macro, whose first argument is the name.
                let is_helper = tokens[at].text.starts_with("BPF_CALL_");
                let name = tokens[if is_helper { at + 2 } else { at }].text;
                let tokens = tokens[at + 1..=end].to_vec();
                found.push(Function { name, tokens, body: body - at - 1 });
                at = end + 1;
            }
            // What stands between braces and is no function: a structure, a table.
            None if tokens[at].is("{") => {
                at = closing(&tokens, at).map_or(tokens.len(), |end| end + 1);
            }
            None => at += 1,
        }
    }
    found
}

/// `name ( ... ) {`: where the body begins and ends.
fn definition(tokens: &[Token<'_>], at: usize) -> Option<(usize, usize)> {
    if tokens[at].kind != Kind::Word || !tokens.get(at + 1)?.is("(") {
        return None;
    }
    let mut body = closing(tokens, at + 1)? + 1;
    // Annotations of locks stand between a function's parameters and its body.
    while tokens.get(body)?.kind == Kind::Word {
        body += 1;
        if tokens.get(body)?.is("(") {
            body = closing(tokens, body)? + 1;
        }
    }
    if !tokens.get(body)?.is("{") {
        return None;
    }
    Some((body, closing(tokens, body)?))
}

/// Where what opens here is closed.
pub fn closing(tokens: &[Token<'_>], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.kind != Kind::Mark {
            continue;
        }
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The last token of the statement that begins here.
pub fn statement_end(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let token = tokens.get(start)?;
    if token.is("{") {
        return closing(tokens, start);
    }
    if token.kind == Kind::Word && is_head(tokens, start) {
        let head = closing(tokens, start + 1)?;
        let end = statement_end(tokens, head + 1)?;
        return match tokens.get(end + 1) {
            Some(next) if token.is("if") && next.is("else") => statement_end(tokens, end + 2),
            _ => Some(end),
        };
    }
    if token.is("do") {
        let block = statement_end(tokens, start + 1)?;
        return (block..tokens.len()).find(|at| tokens[*at].is(";"));
    }
    let mut at = start;
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" if token.kind == Kind::Mark => return Some(at),
            "(" | "[" | "{" if token.kind == Kind::Mark => at = closing(tokens, at)? + 1,
            _ => at += 1,
        }
    }
    None
}

/// `if (`, `while (`, and macros that are loops.
fn is_head(tokens: &[Token<'_>], at: usize) -> bool {
    let word = tokens[at].text;
    let is_loop = word.contains("for_each") || matches!(word, "if" | "while" | "for" | "switch");
    is_loop && tokens.get(at + 1).is_some_and(|next| next.is("("))
}

impl<'a> Function<'a> {
    /// The tokens of the body without its braces, as places among all tokens.
    pub fn inner(&self) -> Range<usize> {
        self.body + 1..self.tokens.len() - 1
    }

    /// The places where a statement begins.
    pub fn statements(&self) -> Vec<usize> {
        self.inner().filter(|at| self.begins_statement(*at)).collect()
    }

    fn begins_statement(&self, at: usize) -> bool {
        let tokens = &self.tokens;
        if matches!(tokens[at].text, "else" | "}" | ";") {
            return false;
        }
        match tokens[at - 1].text {
            // Not those between a head's parentheses.
            ";" => self.depth_of_parentheses(at) == 0,
            // What ends `do` begins nothing.
            "}" => !tokens[at].is("while"),
            "{" | "else" | "do" => true,
            ":" => self.is_label(at - 1),
            ")" => self.ends_head(at - 1),
            _ => false,
        }
    }

    /// `name:` and `case N:`, not `a ? b : c`.
    fn is_label(&self, colon: usize) -> bool {
        let tokens = &self.tokens;
        let before = &tokens[colon - 2];
        let is_case = (self.body..colon).rev().take(4).any(|at| tokens[at].is("case"));
        is_case
            || tokens[colon - 1].is("default")
            || (tokens[colon - 1].kind == Kind::Word
                && matches!(before.text, ";" | "}" | "{" | ":"))
    }

    fn ends_head(&self, close: usize) -> bool {
        let heads = (self.body..close).filter(|at| is_head(&self.tokens, *at));
        heads.into_iter().any(|at| closing(&self.tokens, at + 1) == Some(close))
    }

    fn depth_of_parentheses(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for token in self.tokens[self.body..at].iter().filter(|token| token.kind == Kind::Mark) {
            match token.text {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        depth
    }

    /// The bytes from one token to another, both included.
    pub fn bytes(&self, first: usize, last: usize) -> Range<usize> {
        self.tokens[first].at..self.tokens[last].range().end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
struct a { int b; };
static bool f(struct sock *sk)
	__must_hold(&lock)
{
	int i = 0;

	if (!sk)
		return false;
	else if (sk->a) {
		g(sk);
	} else
		goto out;
	for (i = 0; i < 3; i++)
		h(i);
out:
	return sk->b ? true : false;
}
int g(int a);
";

    #[test]
    fn what_is_only_declared_is_no_function() {
        let names: Vec<_> = functions(SOURCE).iter().map(|function| function.name).collect();
        assert_eq!(names, ["f"]);
    }

    #[test]
    fn statements_begin_behind_heads_labels_and_other_statements() {
        let function = &functions(SOURCE)[0];
        let begin: Vec<_> = function
            .statements()
            .into_iter()
            .map(|at| {
                let end = statement_end(&function.tokens, at).expect("an end");
                &SOURCE[function.bytes(at, end)]
            })
            .collect();
        let first: Vec<_> = begin.iter().map(|text| text.split('\n').next().unwrap()).collect();
        let expected = [
            "int i = 0;",
            "if (!sk)",
            "return false;",
            "if (sk->a) {",
            "{",
            "g(sk);",
            "goto out;",
            "for (i = 0; i < 3; i++)",
            "h(i);",
            "out:",
            "return sk->b ? true : false;",
        ];
        assert_eq!(first, expected);
    }
}
