//! Wires of clients that many cases have, in the notation of [`crate::judge::wire::Wire`].

/// C connects, and closes without having sent anything; how the two closes meet is left open.
pub(crate) const C_CLOSES_FIRST: (&str, &str) = (
    "C",
    "
    C > S  S 0:0(0)
    S > C  S. 0:0(0) ack 1
    C > S  . 1:1(0) ack 1
    ...
    ",
);

/// V ends its handshake, and sends nothing; the end of the case resets it.
pub(crate) const V_CONNECTS: (&str, &str) = (
    "V",
    "
    V > S  S 0:0(0)
    S > V  S. 0:0(0) ack 1
    V > S  . 1:1(0) ack 1
    S > V  R. 1:1(0) ack 1
    ...
    ",
);

/// W ends its handshake, and sends nothing; the end of the case resets it.
pub(crate) const W_CONNECTS: (&str, &str) = (
    "W",
    "
    W > S  S 0:0(0)
    S > W  S. 0:0(0) ack 1
    W > S  . 1:1(0) ack 1
    S > W  R. 1:1(0) ack 1
    ...
    ",
);

/// X ends its handshake, and sends nothing; the end of the case resets it.
pub(crate) const X_CONNECTS: (&str, &str) = (
    "X",
    "
    X > S  S 0:0(0)
    S > X  S. 0:0(0) ack 1
    X > S  . 1:1(0) ack 1
    S > X  R. 1:1(0) ack 1
    ...
    ",
);

/// C connects and sends a request, which is acknowledged; the end of the case resets it.
pub(crate) const C_CONNECTS_AND_SENDS: (&str, &str) = (
    "C",
    "
    C > S  S 0:0(0)
    S > C  S. 0:0(0) ack 1
    C > S  . 1:1(0) ack 1
    C > S  P. 1:12(11) ack 1
    S > C  . 1:1(0) ack 12
    S > C  R. 1:1(0) ack 12
    ...
    ",
);

/// C connects, sends a request and is answered; how the two closes meet is left open.
pub(crate) const C_IS_ANSWERED: (&str, &str) = (
    "C",
    "
    C > S  S 0:0(0)
    S > C  S. 0:0(0) ack 1
    C > S  . 1:1(0) ack 1
    C > S  P. 1:12(11) ack 1
    S > C  . 1:1(0) ack 12
    S > C  P. 1:3(2) ack 12
    C > S  . 12:12(0) ack 3
    ...
    ",
);

/// C connects, sends a request, is answered, and sends more; how the two closes meet is left open.
pub(crate) const C_IS_ANSWERED_TWICE_ASKED: (&str, &str) = (
    "C",
    "
    C > S  S 0:0(0)
    S > C  S. 0:0(0) ack 1
    C > S  . 1:1(0) ack 1
    C > S  P. 1:12(11) ack 1
    S > C  . 1:1(0) ack 12
    S > C  P. 1:3(2) ack 12
    C > S  . 12:12(0) ack 3
    C > S  P. 12:17(5) ack 3
    ...
    ",
);

/// W sends data with its final ACK, and nobody has its request any more: an RST without ACK.
pub(crate) const W_REFUSED: (&str, &str) = (
    "W",
    "
    W > S  S 0:0(0)
    S > W  S. 0:0(0) ack 1
    W > S  P. 1:12(11) ack 1
    S > W  R 1:1(0)
    ...
    ",
);

/// W ends its handshake with data, which is acknowledged; the end of the case resets it.
pub(crate) const W_SENDS: (&str, &str) = (
    "W",
    "
    W > S  S 0:0(0)
    S > W  S. 0:0(0) ack 1
    W > S  P. 1:12(11) ack 1
    S > W  . 1:1(0) ack 12
    S > W  R. 1:1(0) ack 12
    ...
    ",
);

/// W acknowledges what was never sent, then sends data; nobody has its request any more.
pub(crate) const W_ACKS_WRONGLY_AND_IS_REFUSED: (&str, &str) = (
    "W",
    "
    W > S  S 0:0(0)
    S > W  S. 0:0(0) ack 1
    W > S  . 1:1(0) ack 5
    S > W  R 5:5(0)
    W > S  P. 1:12(11) ack 1
    S > W  R 1:1(0)
    ...
    ",
);

/// W acknowledges what was never sent, then ends its handshake with data.
pub(crate) const W_ACKS_WRONGLY_AND_SENDS: (&str, &str) = (
    "W",
    "
    W > S  S 0:0(0)
    S > W  S. 0:0(0) ack 1
    W > S  . 1:1(0) ack 5
    S > W  R 5:5(0)
    W > S  P. 1:12(11) ack 1
    S > W  . 1:1(0) ack 12
    S > W  R. 1:1(0) ack 12
    ...
    ",
);
