//! Machines that lack something, for tests.
