//! `sockmig`: what Linux does with TCP connections when an `SO_REUSEPORT` listener closes.

fn main() {
    scenarios::engine::enter_if_lab();
}
