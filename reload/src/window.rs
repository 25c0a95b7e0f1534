//! What makes a handshake last, so that a close finds some in flight.
//!
//! On a bare loopback interface a handshake is over before `connect` returns, and a close
//! loses nothing, whoever does it.

use std::fmt;
use std::time::Duration;

use harness::gate::Hold;
use harness::load::Held;
use harness::process::Returned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A client's first retransmission of data: `TCP_RTO_MIN`, where the handshake took no time.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(200);

/// A listener's first retransmission of a SYN+ACK: `TCP_TIMEOUT_INIT`.
const FIRST_SYN_ACK_RETRANSMISSION: Duration = Duration::from_secs(1);

/// Who sends data first on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstToSpeak {
    /// The client, as in HTTP. It sends its data again until they are acknowledged.
    Client,
    /// The server, as in SMTP. The client sends nothing by itself after its final ACK: if that is
    /// lost, the next one answers the server's next SYN+ACK. If the handshake is lost as well,
    /// the client is not reset, since it sends nothing: it waits until it gives up.
    Server,
}

/// How the work of the lab begins that finds out which window is possible here.
const PROBE: &str = "reload-window ";

/// The work of a lab that finds out which window is possible here.
pub fn probe_work(round_trip: Duration) -> String {
    format!("{PROBE}{}", round_trip.as_micros())
}

/// Does a lab's work if it is that.
pub(crate) fn lab_work(work: &str) -> Option<Returned> {
    let round_trip = work.strip_prefix(PROBE)?.parse().ok().map(Duration::from_micros)?;
    Some(Returned::json(&Window::probe(round_trip), vec![]))
}

/// What of a handshake is prolonged, and by how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Window {
    /// Clients and server are at two ends of a line; every packet takes half of this.
    DelayLine {
        /// The round-trip time.
        #[serde(rename = "round_trip_ms", with = "harness::json::milliseconds")]
        #[schemars(with = "f64")]
        round_trip: Duration,
    },
    /// Of some clients everything after the SYN is dropped until they retransmit.
    Hold {
        /// Which, and how long.
        held: Held,
    },
}

impl Window {
    /// The usual hold: of a third of the clients, until their first retransmission.
    pub const HOLD: Self =
        Self::Hold { held: Held { percent: 30, lasts: Duration::from_millis(150) } };

    /// A delay line where this user may lay one, else a hold.
    ///
    /// Must run inside a lab.
    ///
    /// # Errors
    /// Why there is neither.
    pub fn probe(round_trip: Duration) -> Result<Self, String> {
        let line = harness::load::delay_line::probe().map(|()| Self::DelayLine { round_trip });
        line.or_else(|no_line| match Hold::close().and_then(Hold::open) {
            Ok(_) => Ok(Self::HOLD),
            Err(no_hold) => Err(format!("{no_line}; {no_hold}")),
        })
    }

    /// For about how long a handshake is in flight.
    pub fn span(&self, first: FirstToSpeak) -> Duration {
        match (self, first) {
            (Self::DelayLine { round_trip }, _) => *round_trip,
            (Self::Hold { .. }, FirstToSpeak::Client) => FIRST_RETRANSMISSION,
            (Self::Hold { .. }, FirstToSpeak::Server) => FIRST_SYN_ACK_RETRANSMISSION,
        }
    }

    /// For about how long a client waits for its answer.
    pub fn answer(&self, first: FirstToSpeak) -> Duration {
        match self {
            // What is said first follows the handshake.
            Self::DelayLine { round_trip } => *round_trip * 2,
            Self::Hold { .. } => self.span(first),
        }
    }

    /// Whether clients whose handshakes are lost wait until they give up. What a delay line
    /// carries comes to the server, which resets it.
    pub fn leaves_waiting(&self, first: FirstToSpeak) -> bool {
        matches!((self, first), (Self::Hold { .. }, FirstToSpeak::Server))
    }

    /// Whose clients are held, if any are.
    pub fn held(&self) -> Option<Held> {
        match self {
            Self::DelayLine { .. } => None,
            Self::Hold { held } => Some(*held),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DelayLine { round_trip } => {
                write!(f, "a delay line with a round trip of {} ms", round_trip.as_millis())
            }
            Self::Hold { held } => write!(
                f,
                "loopback, on which the final ACK of {} % of the clients is held for {} ms",
                held.percent,
                FIRST_RETRANSMISSION.as_millis()
            ),
        }
    }
}
