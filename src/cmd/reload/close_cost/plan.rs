//! Which closes are measured.

use std::time::Duration;

use reload::close_cost::Closing;

use crate::cli::ReloadArguments;

/// How often each close is measured.
const ROUNDS: u32 = 5;

/// How many children there are at most, unless that is asked for.
const MOST: u32 = 50_000;

/// The same of a quick run.
const QUICK_ROUNDS: u32 = 3;
const QUICK_CHILDREN: u32 = 1000;

/// What is measured.
pub struct CloseCostPlan {
    pub sizes: Vec<u32>,
    pub settings: &'static [bool],
    pub rounds: u32,
}

impl CloseCostPlan {
    pub fn new(arguments: &ReloadArguments, migrates: bool) -> Self {
        let usual = if arguments.quick { QUICK_CHILDREN } else { MOST };
        let most = arguments.most.unwrap_or(usual);
        let below = (0..).map(|power| 10_u32.pow(power)).take_while(|size| *size < most);
        Self {
            sizes: below.chain([most]).collect(),
            settings: if migrates { &[false, true] } else { &[false] },
            rounds: if arguments.quick { QUICK_ROUNDS } else { ROUNDS },
        }
    }

    /// Round by round, so that a drift of the machine hits all alike.
    pub fn closings(&self) -> Vec<Closing> {
        let of_size =
            |children: u32| self.settings.iter().map(move |on| Closing { children, on: *on });
        let round = || self.sizes.iter().copied().flat_map(of_size);
        (0..self.rounds).flat_map(|_| round()).collect()
    }

    pub fn takes(&self) -> Duration {
        self.closings().iter().map(Closing::takes).sum()
    }
}
