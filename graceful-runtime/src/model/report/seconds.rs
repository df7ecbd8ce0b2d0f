//! Durations for people.

use std::{fmt, time::Duration};

/// Shows a duration in milliseconds if it is below a second, otherwise in tenths of a second.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            d if d < Duration::from_secs(1) => write!(f, "{}ms", d.as_millis()),
            d => write!(f, "{:.1}s", d.as_secs_f64()),
        }
    }
}
