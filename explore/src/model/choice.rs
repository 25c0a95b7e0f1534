//! Choices, where what is known leaves more than one possibility: which hash a connection has,
//! and whether a timer has fired.

/// Which possibilities were chosen, in the order in which they came up. Who finds that a choice
/// was wrong begins anew with another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choices {
    /// What is to be chosen first; everything after it is the first possibility.
    planned: Vec<usize>,
    /// What was chosen, and of how many.
    made: Vec<(usize, usize)>,
}

impl Choices {
    /// One of `of` possibilities, the likeliest of which is 0.
    pub(super) fn choose(&mut self, of: usize) -> usize {
        let planned = self.planned.get(self.made.len()).copied().unwrap_or(0);
        self.made.push((planned, of));
        planned
    }

    /// The choices to begin anew with: as these, but for the last one that had another
    /// possibility. Nothing if all were tried.
    pub fn next(&self) -> Option<Self> {
        let last = self.made.iter().rposition(|(chosen, of)| chosen + 1 < *of)?;
        let mut planned: Vec<usize> =
            self.made[..=last].iter().map(|(chosen, _)| *chosen).collect();
        planned[last] += 1;
        Some(Self { planned, made: vec![] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_chosen_once() {
        let mut choices = Choices::default();
        let mut all = vec![];
        loop {
            let first = choices.choose(2);
            let second = if first == 0 { choices.choose(3) } else { 7 };
            all.push((first, second));
            match choices.next() {
                Some(next) => choices = next,
                None => break,
            }
        }
        assert_eq!(all, [(0, 0), (0, 1), (0, 2), (1, 7)]);
    }
}
