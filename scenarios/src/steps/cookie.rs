//! The cookie of a child.

use harness::lab::Lab;
use harness::socket::Listener;
use harness::{Result, socket::attribute};

pub(crate) fn observe_cookie_of_child(lab: &mut Lab, b: &Listener, cookie: u64) -> Result<()> {
    let Some(child) = lab.accept_now(b)? else {
        lab.observe("the child's SO_COOKIE", "no child");
        return Ok(());
    };
    // W would never acknowledge a FIN.
    let kept = attribute::cookie(&child)? == cookie;
    lab.observe(
        "the child's SO_COOKIE",
        if kept { "as its request's at A" } else { "another one" },
    );
    Ok(())
}
