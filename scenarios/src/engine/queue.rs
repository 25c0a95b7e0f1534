//! In which order cases are begun, and which of them may wait at the same time.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::case::Selected;
use crate::engine::plan::RunPlan;

/// A case that is to be run once.
pub(crate) struct Task {
    /// Position in the order in which outcomes are reported.
    pub(crate) place: usize,
    /// Position in the selection.
    pub(crate) index: usize,
    /// Which repetition, from 1.
    pub(crate) round: u32,
}

/// What is still to be begun.
pub(crate) struct Queue {
    pub(crate) tasks: Vec<Task>,
    next: AtomicUsize,
    /// Positions of those that were begun, and could not be run at the time.
    put_back: Mutex<Vec<usize>>,
}

/// A task for whoever takes it.
pub(crate) struct Taken<'q> {
    pub(crate) task: &'q Task,
    position: usize,
    /// Whether somebody has begun it before, and put it back.
    pub(crate) again: bool,
}

impl Queue {
    fn new(tasks: Vec<Task>) -> Self {
        Self { tasks, next: AtomicUsize::new(0), put_back: Mutex::default() }
    }

    /// What nobody has, and nobody had before; then what was put back.
    pub(crate) fn next(&self) -> Option<Taken<'_>> {
        let new = self.next.fetch_add(1, Ordering::Relaxed);
        let (position, again) = match self.tasks.get(new) {
            Some(_) => (new, false),
            None => (self.put_back.lock().unwrap_or_else(PoisonError::into_inner).pop()?, true),
        };
        Some(Taken { task: &self.tasks[position], position, again })
    }

    /// Leaves a task to somebody else.
    pub(crate) fn put_back(&self, taken: &Taken<'_>) {
        self.put_back.lock().unwrap_or_else(PoisonError::into_inner).push(taken.position);
    }
}

/// Those who wait for timers of the kernel, and the others, who would be kept waiting by
/// them. Where there are no places besides, all are in one queue.
pub(crate) struct Queues {
    pub(crate) waiting: Queue,
    pub(crate) ready: Queue,
}

impl Queues {
    /// Whoever waits longest is first, so that the others run meanwhile. One at a time, there
    /// are no others.
    pub(crate) fn new(selection: &[Selected], plan: RunPlan) -> Self {
        let task = |round: u32, index: usize| Task {
            place: round as usize * selection.len() + index,
            index,
            round: round + 1,
        };
        let all = (0..plan.rounds)
            .flat_map(|round| (0..selection.len()).map(move |index| task(round, index)));
        let waits = |task: &Task| selection[task.index].case.waits_for;
        let apart = plan.jobs > 1 && plan.waiting > 0;
        let (mut waiting, mut ready): (Vec<Task>, Vec<Task>) =
            all.partition(|task| apart && !waits(task).is_zero());
        if plan.jobs > 1 {
            for queue in [&mut waiting, &mut ready] {
                queue.sort_by_key(|task| (task.round, Reverse(waits(task))));
            }
        }
        Self { waiting: Queue::new(waiting), ready: Queue::new(ready) }
    }

    /// How many there are in all.
    pub(crate) fn len(&self) -> usize {
        self.waiting.tasks.len() + self.ready.tasks.len()
    }

    /// Has nothing more begun.
    pub(crate) fn stop(&self) {
        for queue in [&self.waiting, &self.ready] {
            queue.next.store(queue.tasks.len(), Ordering::Relaxed);
            queue.put_back.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn who_waits_for_timers_is_in_nobodys_way() {
        let selection = catalogue::all();
        let plan = RunPlan { rounds: 2, jobs: 4, ..RunPlan::default() };
        let queues = Queues::new(&selection, plan);
        let waits = |task: &Task| selection[task.index].case.waits_for;
        assert!(queues.ready.tasks.iter().all(|task| waits(task).is_zero()));
        let longest_first =
            |pair: &[Task]| pair[0].round < pair[1].round || waits(&pair[0]) >= waits(&pair[1]);
        assert!(queues.waiting.tasks.windows(2).all(longest_first));
        let all = queues.waiting.tasks.iter().chain(&queues.ready.tasks);
        let mut places: Vec<usize> = all.map(|task| task.place).collect();
        places.sort_unstable();
        assert!(places.into_iter().eq(0..2 * selection.len()));
    }

    #[test]
    fn what_was_put_back_is_taken_by_the_next_who_has_nothing_new_to_begin() {
        let selection = &catalogue::all()[..3];
        let queues = Queues::new(selection, RunPlan { jobs: 1, ..RunPlan::default() });
        let take = || queues.ready.next().map(|taken| (taken.task.index, taken.again));
        let first = queues.ready.next().expect("a task");
        queues.ready.put_back(&first);
        assert_eq!(
            [take(), take(), take(), take()],
            [Some((1, false)), Some((2, false)), Some((0, true)), None]
        );
        queues.ready.put_back(&first);
        queues.stop();
        assert_eq!(take(), None);
    }

    #[test]
    fn without_places_besides_the_longest_are_first() {
        let selection = catalogue::all();
        let queues =
            Queues::new(&selection, RunPlan { jobs: 12, waiting: 0, ..RunPlan::default() });
        assert_eq!(queues.ready.tasks.len(), selection.len());
        let first = &selection[queues.ready.tasks[0].index];
        assert_eq!(Some(first.case.waits_for), selection.iter().map(|s| s.case.waits_for).max());
    }

    #[test]
    fn one_at_a_time_is_in_the_order_of_the_list() {
        let selection = catalogue::all();
        let queues = Queues::new(&selection, RunPlan { jobs: 1, ..RunPlan::default() });
        assert!(queues.waiting.tasks.is_empty());
        assert!(queues.ready.tasks.iter().map(|task| task.index).eq(0..selection.len()));
    }
}
