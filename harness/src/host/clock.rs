//! The time of day, as the machine's users see it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The local time, as in `14:03:22`; in UTC where the time zone is not known.
pub fn time_of_day() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = libc::time_t::try_from(now.as_secs()).unwrap_or_default();
    // SAFETY: integers and a pointer, for which zeros are values.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to values that stay; the function writes the second one.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut broken_down) };
    format!("{:02}:{:02}:{:02}", broken_down.tm_hour, broken_down.tm_min, broken_down.tm_sec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_has_three_numbers() {
        let time = time_of_day();
        let numbers: Vec<u32> = time.split(':').filter_map(|part| part.parse().ok()).collect();
        assert_eq!((time.len(), numbers.len()), (8, 3), "{time}");
        assert!(numbers[0] < 24 && numbers[1] < 60 && numbers[2] <= 60, "{time}");
    }
}
