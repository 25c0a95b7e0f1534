//! Snapshots of every consumer.
