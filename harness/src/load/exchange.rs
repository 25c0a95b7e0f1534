//! What a client sends and gets.

use serde::{Deserialize, Serialize};

use super::attempt::Outcome;

/// What clients ask for, where nothing else is said.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n";

/// How much of an answer of HTTP is looked at: its status.
const STATUS: usize = "HTTP/1.1 200".len();

/// What every client of a load sends, and how a good answer begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// What is sent as soon as the connection is established; may be nothing.
    pub request: Vec<u8>,
    /// How a good answer begins; nothing for one of HTTP with the status 200.
    pub answer: Option<Vec<u8>>,
    /// Whether the server closes the connection after its answer. If it does not, the client
    /// does as soon as it has the beginning.
    pub server_closes: bool,
}

impl Default for Exchange {
    /// A request of HTTP, after which the server closes the connection.
    fn default() -> Self {
        Self { request: REQUEST.to_vec(), answer: None, server_closes: true }
    }
}

impl Exchange {
    /// How many bytes of an answer say whether it is a good one.
    pub fn beginning(&self) -> usize {
        self.answer.as_ref().map_or(STATUS, Vec::len)
    }

    /// The outcome of a client that got this, and gets no more.
    pub fn outcome(&self, answer: &[u8]) -> Outcome {
        let begun = &answer[..answer.len().min(self.beginning())];
        let is_good = match &self.answer {
            Some(good) => begun == good.as_slice(),
            None => begun.starts_with(b"HTTP/1.") && begun.ends_with(b" 200"),
        };
        match is_good {
            true => Outcome::Answered,
            false if begun.len() < self.beginning() => Outcome::Closed,
            false => Outcome::WrongAnswer,
        }
    }

    /// Whether nothing more has to come after this.
    pub fn is_over(&self, answer: &[u8]) -> bool {
        !self.server_closes && answer.len() >= self.beginning()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(None, "", Outcome::Closed)]
    #[case(None, "HTTP/1.1 2", Outcome::Closed)]
    #[case(None, "HTTP/1.1 200 OK", Outcome::Answered)]
    #[case(None, "HTTP/1.0 200 OK", Outcome::Answered)]
    #[case(None, "HTTP/1.1 503 Busy", Outcome::WrongAnswer)]
    #[case(None, "220 mail ready", Outcome::WrongAnswer)]
    #[case(Some("220 "), "220 mail", Outcome::Answered)]
    #[case(Some("220 "), "22", Outcome::Closed)]
    #[case(Some("220 "), "421 busy", Outcome::WrongAnswer)]
    fn an_answer_is_judged_by_its_beginning(
        #[case] good: Option<&str>,
        #[case] answer: &str,
        #[case] outcome: Outcome,
    ) {
        let answer_is = good.map(|good| good.as_bytes().to_vec());
        let exchange = Exchange { answer: answer_is, ..Exchange::default() };
        assert_eq!(exchange.outcome(answer.as_bytes()), outcome);
    }

    #[test]
    fn an_answer_is_over_at_its_beginning_only_where_the_server_does_not_close() {
        let closes = Exchange { answer: Some(b"+PONG".to_vec()), ..Exchange::default() };
        assert!(!closes.is_over(b"+PONG\r\n"));
        let stays = Exchange { server_closes: false, ..closes };
        assert!(stays.is_over(b"+PONG\r\n") && !stays.is_over(b"+PO"));
    }
}
