//! Everybody gets what is found, and nobody who fails spoils it for the others.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use crate::cmd::matrix::fan_out::{self, FanOut, Files};
use crate::exit::Exit;
use crate::fixture::matrix as made;
use crate::output::buffer::Buffer;
use crate::output::document::{KernelDocument, MachineEnd, MatrixDocument};
use crate::output::matrix::event::{Matrix, MatrixConsumer};
use crate::output::matrix::live::Live;
use crate::output::matrix::table::Table;
use crate::output::read::parse;
use crate::style::Style;

/// Cannot write, however often it is asked; counts how often that is.
struct Full(Rc<Cell<u32>>);

impl MatrixConsumer for Full {
    fn ended(&mut self, _kernel: usize, _found: &KernelDocument) -> io::Result<()> {
        self.0.set(self.0.get() + 1);
        Err(io::ErrorKind::StorageFull.into())
    }

    fn end(&mut self, _matrix: &Matrix, _found: &MatrixDocument) -> io::Result<()> {
        panic!("it has failed and is not asked again");
    }
}

#[test]
fn a_consumer_that_cannot_write_spoils_nothing_else() {
    let place = tempfile::tempdir().expect("a directory");
    let files = Files {
        json: Some(place.path().join("matrix.json")),
        junit: Some(place.path().join("missing/junit.xml")),
        ..Files::default()
    };
    let mut fan_out = FanOut::new(files);
    let (asked, bytes) = (Rc::new(Cell::new(0)), Buffer::default());
    fan_out.add(Full(asked.clone()));
    fan_out.add(Table::new(bytes.clone(), Style::PLAIN, 80, Live::hidden()));
    let matrix = made::beginning();
    let ids: Vec<String> = matrix.selection.iter().map(scenarios::case::Selected::id).collect();
    let kernel = made::kernel("6.1.174-1", MachineEnd::Completed, &ids, |_, _| Some(made::pass()));
    let found = made::matrix(ids, vec![kernel.clone()]);
    fan_out.begin(&matrix);
    fan_out.ended(0, &kernel);
    fan_out.ended(0, &kernel);
    fan_out.end(&matrix, &found);
    assert_eq!(asked.get(), 1);
    assert!(bytes.text().ends_with("7 cells: 7 ok; 61.2 s\n"), "{}", bytes.text());
    let json = std::fs::read(place.path().join("matrix.json")).expect("written");
    assert_eq!(parse(&json).expect("a document").into_matrix(), found);
    assert_eq!(Exit::of_matrix(&found, &[], false), Exit::Expected);
    assert_eq!(fan_out.exit(&found, &[], false), Exit::Unavailable, "a file is missing");
}

/// What was found so far is there if nothing more is ever written.
#[test]
fn files_are_written_before_the_end_but_not_what_cannot_be_written_again() {
    let place = tempfile::tempdir().expect("a directory");
    let json = place.path().join("matrix.json");
    let pipe = place.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    // Somebody reads from the pipe, so that whoever writes is not kept waiting.
    let reader = std::fs::File::options().read(true).write(true).open(&pipe).expect("opened");
    let files = Files { json: Some(json.clone()), junit: Some(pipe), ..Files::default() };
    let ids = made::quizzes();
    let kernel = made::kernel("6.1.174-1", MachineEnd::Completed, &ids, |_, _| Some(made::pass()));
    let so_far = MatrixDocument { complete: false, ..made::matrix(ids, vec![kernel]) };
    FanOut::new(files).so_far(&so_far);
    let written = std::fs::read(json).expect("written");
    assert_eq!(parse(&written).expect("a document").into_matrix(), so_far);
    let polled =
        nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&reader), nix::poll::PollFlags::POLLIN);
    assert_eq!(nix::poll::poll(&mut [polled], 0u8), Ok(0), "the pipe has got something");
}

#[test]
fn the_document_can_be_read_back() {
    let found = made::everything(&made::quizzes());
    let json = fan_out::json(&found).expect("JSON");
    let again: MatrixDocument = serde_json::from_str(&json).expect("a document");
    assert_eq!(again, found);
}
