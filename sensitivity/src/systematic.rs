//! Changes that nobody chooses: each operator is applied wherever it can be.

use std::ops::Range;

use crate::change::{Change, Origin};
use crate::function::{Function, closing, functions, statement_end};
use crate::operator::Operator;
use crate::token::{Kind, Token};

/// Variables that are taken for one another, by their types.
const SIBLINGS: [&[&str]; 4] = [
    &["sk", "nsk", "sk2", "sk_listener", "listener", "child", "newsk", "reuse_sk"],
    &["req", "nreq", "oreq", "newreq"],
    &["reuse", "more_reuse", "old_reuse"],
    &["i", "j"],
];

/// What is written in place of a mark.
const COMPARISONS: [(&str, &str); 6] =
    [("<", "<="), ("<=", "<"), (">", ">="), (">=", ">"), ("==", "!="), ("!=", "==")];
const COUNTING: [(&str, &str); 6] =
    [("++", "--"), ("--", "++"), ("+=", "-="), ("-=", "+="), ("+", "-"), ("-", "+")];

/// What a body is searched for.
struct Place<'a> {
    file: &'a str,
    source: &'a str,
    function: &'a Function<'a>,
    found: Vec<Change>,
}

/// Every change of these functions of a file, in the order of the source. All its functions, if
/// none is named.
pub fn changes(file: &str, source: &str, named: &[String]) -> Vec<Change> {
    let mut found = Vec::new();
    for function in functions(source) {
        if named.is_empty() || named.iter().any(|name| name == function.name) {
            let mut place = Place { file, source, function: &function, found: Vec::new() };
            place.statements();
            place.marks();
            place.words();
            found.append(&mut place.found);
        }
    }
    found.sort_by_key(|change| (change.edits[0].range.start, change.edits[0].range.end));
    found
}

impl Place<'_> {
    fn add(&mut self, operator: Operator, range: Range<usize>, with: impl Into<String>) {
        let at = (self.file, self.source);
        let origin = Origin::Systematic(operator);
        self.found.push(Change::new(at, self.function.name, origin, range, with.into()));
    }

    fn statements(&mut self) {
        for at in self.function.statements() {
            let tokens = &self.function.tokens;
            let Some(end) = statement_end(tokens, at) else { continue };
            let whole = self.function.bytes(at, end);
            match tokens[at].text {
                "if" | "while" => {
                    if let Some(close) = closing(tokens, at + 1) {
                        let condition = self.function.bytes(at + 2, close - 1);
                        let negated = format!("!({})", &self.source[condition.clone()]);
                        self.add(Operator::ConditionNegated, condition, negated);
                    }
                    self.without_else(at, end);
                }
                "return" => self.returned(at, end),
                "goto" => self.add(Operator::GotoDropped, whole, ";"),
                "break" | "continue" => self.add(Operator::StatementDeleted, whole, ";"),
                _ if is_expression(tokens, at) => {
                    self.add(Operator::StatementDeleted, whole, ";");
                }
                _ => {}
            }
        }
    }

    /// From the end of what `if` does on, to the end of what `else` does.
    fn without_else(&mut self, at: usize, end: usize) {
        let tokens = &self.function.tokens;
        let then = closing(tokens, at + 1).and_then(|close| statement_end(tokens, close + 1));
        if let Some(then) = then.filter(|then| then + 1 < end && tokens[then + 1].is("else")) {
            self.add(Operator::ElseDropped, self.function.bytes(then + 1, end), "");
        }
    }

    fn returned(&mut self, at: usize, end: usize) {
        let tokens = &self.function.tokens;
        let is_plain = end == at + 2 && tokens[at + 1].kind == Kind::Number;
        let is_named = end == at + 2 && matches!(tokens[at + 1].text, "true" | "false" | "NULL");
        if end > at + 1 && !is_plain && !is_named {
            self.add(Operator::ReturnValue, self.function.bytes(at + 1, end - 1), "0");
        }
    }

    fn marks(&mut self) {
        for at in self.function.inner() {
            let token = self.function.tokens[at];
            if token.kind != Kind::Mark {
                continue;
            }
            if let "&&" | "||" = token.text {
                let other = if token.text == "&&" { "||" } else { "&&" };
                self.add(Operator::AndOr, token.range(), other);
                self.sides(at);
            }
            let replaced = |table: &[(&str, &'static str)]| {
                table.iter().find(|(from, _)| *from == token.text).map(|(_, to)| *to)
            };
            if let Some(other) = replaced(&COMPARISONS) {
                self.add(Operator::ComparisonMoved, token.range(), other);
            }
            // Not the sign of a number.
            let is_binary = token.text.len() == 2 || self.is_operand_end(at - 1);
            if let Some(other) = replaced(&COUNTING).filter(|_| is_binary) {
                self.add(Operator::Counting, token.range(), other);
            }
        }
    }

    fn is_operand_end(&self, at: usize) -> bool {
        let token = self.function.tokens[at];
        match token.kind {
            Kind::Mark => token.is(")") || token.is("]"),
            _ => !token.is("return"),
        }
    }

    /// Both sides of `&&` or `||`, each replaced by what does not decide.
    fn sides(&mut self, at: usize) {
        let neutral = if self.function.tokens[at].is("&&") { "1" } else { "0" };
        let (first, last) = (self.side(at, false), self.side(at, true));
        self.add(Operator::SideDropped, self.function.bytes(first, at - 1), neutral);
        self.add(Operator::SideDropped, self.function.bytes(at + 1, last), neutral);
    }

    /// How far the operand beside `&&` or `||` goes.
    fn side(&self, operator: usize, forward: bool) -> usize {
        let tokens = &self.function.tokens;
        let binds_less = |token: &Token<'_>| {
            matches!(token.text, "&&" | "||" | "?" | ":" | "," | ";" | "=" | "{" | "}" | "return")
                && token.kind != Kind::Text
        };
        let (opens, closes) = if forward { ("([", ")]") } else { (")]", "([") };
        let mut depth = 0;
        let mut at = operator;
        loop {
            let next = if forward { at + 1 } else { at - 1 };
            let token = &tokens[next];
            if token.kind == Kind::Mark && opens.contains(token.text) {
                depth += 1;
            } else if token.kind == Kind::Mark && closes.contains(token.text) {
                if depth == 0 {
                    return at;
                }
                depth -= 1;
            } else if depth == 0 && binds_less(token) {
                return at;
            }
            at = next;
        }
    }

    fn words(&mut self) {
        for at in self.function.inner() {
            let token = self.function.tokens[at];
            match token.kind {
                Kind::Number => self.number(token),
                Kind::Word if token.is("true") => {
                    self.add(Operator::Constant, token.range(), "false");
                }
                Kind::Word if token.is("false") => {
                    self.add(Operator::Constant, token.range(), "true");
                }
                Kind::Word => self.siblings(at),
                Kind::Text | Kind::Mark => {}
            }
        }
    }

    fn number(&mut self, token: Token<'_>) {
        let Ok(value) = token.text.trim_end_matches(['U', 'L', 'u', 'l']).parse::<u64>() else {
            return;
        };
        let others = match value {
            0 => vec![1],
            1 => vec![0, 2],
            value => vec![0, value - 1, value + 1],
        };
        for other in others {
            self.add(Operator::Constant, token.range(), other.to_string());
        }
    }

    fn siblings(&mut self, at: usize) {
        let tokens = &self.function.tokens;
        let token = tokens[at];
        let is_member = matches!(tokens[at - 1].text, "->" | ".");
        let is_declared = tokens[at - 1].is("*")
            && tokens[at - 2].kind == Kind::Word
            && !tokens[at - 2].is("return");
        if is_member || is_declared || tokens.get(at + 1).is_some_and(|next| next.is("(")) {
            return;
        }
        let group = SIBLINGS.iter().find(|group| group.contains(&token.text));
        for other in group.into_iter().flat_map(|group| group.iter()) {
            // Those that the function has before this place.
            let is_known = tokens[..at].iter().enumerate().any(|(at, known)| {
                known.is(other) && (at == 0 || !matches!(tokens[at - 1].text, "->" | "."))
            });
            if *other != token.text && is_known {
                self.add(Operator::Sibling, token.range(), *other);
            }
        }
    }
}

/// A call or an assignment, and no declaration.
fn is_expression(tokens: &[Token<'_>], at: usize) -> bool {
    let next = tokens.get(at + 1).map_or("", |token| token.text);
    match tokens[at].kind {
        Kind::Mark => matches!(tokens[at].text, "++" | "--" | "*" | "("),
        Kind::Word => {
            !matches!(tokens[at].text, "sizeof" | "switch" | "for" | "do" | "else" | "case")
                && !tokens[at].text.contains("for_each")
                && (matches!(next, "(" | "->" | "." | "[" | "++" | "--") || next.ends_with('='))
        }
        Kind::Number | Kind::Text => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const SOURCE: &str = "\
static bool f(struct sock *sk, struct sock *nsk, struct request_sock *req)
{
	int i = 0;

	if (!sk || (g(sk) && sk->count < 8U))
		return g(nsk);
	else
		reqsk_put(req);
	sk->count++;
	for (; i < 2; i++)
		goto out;
out:
	return false;
}
";

    fn made(operator: Operator) -> Vec<(String, String)> {
        let wanted = Origin::Systematic(operator);
        let changes = changes("a.c", SOURCE, &[]).into_iter();
        changes.filter(|change| change.origin == wanted).map(|c| (c.was, c.is)).collect()
    }

    #[rstest]
    #[case(Operator::StatementDeleted, &[("reqsk_put(req);", ";"), ("sk->count++;", ";")])]
    #[case(Operator::ConditionNegated, &[("!sk || (g(sk) && sk->count < 8U)", "!(!sk || (g(sk) && sk->count < 8U))")])]
    #[case(Operator::AndOr, &[("||", "&&"), ("&&", "||")])]
    #[case(Operator::SideDropped, &[
        ("!sk", "0"), ("(g(sk) && sk->count < 8U)", "0"), ("g(sk)", "1"), ("sk->count < 8U", "1"),
    ])]
    #[case(Operator::ComparisonMoved, &[("<", "<="), ("<", "<=")])]
    #[case(Operator::Constant, &[
        ("0", "1"), ("8U", "0"), ("8U", "7"), ("8U", "9"), ("2", "0"), ("2", "1"), ("2", "3"),
        ("false", "true"),
    ])]
    #[case(Operator::Counting, &[("++", "--"), ("++", "--")])]
    #[case(Operator::ElseDropped, &[("else reqsk_put(req);", "")])]
    #[case(Operator::GotoDropped, &[("goto out;", ";")])]
    #[case(Operator::Sibling, &[("sk", "nsk"), ("sk", "nsk"), ("sk", "nsk"), ("nsk", "sk"), ("sk", "nsk")])]
    #[case(Operator::ReturnValue, &[("g(nsk)", "0")])]
    fn an_operator_is_applied_wherever_it_can_be(
        #[case] operator: Operator,
        #[case] expected: &[(&str, &str)],
    ) {
        let made = made(operator);
        let made: Vec<_> = made.iter().map(|(was, is)| (was.as_str(), is.as_str())).collect();
        assert_eq!(made, expected);
    }

    #[test]
    fn only_functions_that_are_named_are_changed() {
        assert!(changes("a.c", SOURCE, &["another".into()]).is_empty());
    }
}
