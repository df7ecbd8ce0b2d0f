//! The messages to the supervisor and the driver: records of a fixed size, which a signal handler can encode without an allocation.

use std::time::Duration;

/// A message on a socket of the supervisor or the driver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Record {
    /// A signal arrived.
    Signal {
        number: u8,
        /// The process that sent it, or 0.
        sender: u32,
        /// On the clock of [`sys::now`](crate::os::sys::now).
        at: Duration,
    },
    /// A stop was requested: take the last exit at this time on the clock of [`sys::now`](crate::os::sys::now).
    LastExit(Duration),
}

/// The length of a record. A record is written whole or not at all, so a read always returns whole records. Linux treats each write so; other systems write
/// as much as there is room for, which is a multiple of this power of two.
pub(crate) const LENGTH: usize = 32;

impl Record {
    pub(super) fn to_bytes(self) -> [u8; LENGTH] {
        let (kind, number, sender, time) = match self {
            Self::Signal { number, sender, at } => (0, number, sender, at),
            Self::LastExit(at) => (1, 0, 0, at),
        };
        let mut bytes = [0; LENGTH];
        bytes[0] = kind;
        bytes[1] = number;
        bytes[4..8].copy_from_slice(&sender.to_ne_bytes());
        bytes[8..16].copy_from_slice(&time.as_secs().to_ne_bytes());
        bytes[16..20].copy_from_slice(&time.subsec_nanos().to_ne_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let number = |from| bytes[from..].first_chunk().map_or(0, |&b| u32::from_ne_bytes(b));
        let seconds = bytes[8..].first_chunk().map_or(0, |&b| u64::from_ne_bytes(b));
        let at = Duration::new(seconds, number(16));
        match bytes[0] {
            0 => Self::Signal { number: bytes[1], sender: number(4), at },
            _ => Self::LastExit(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_decoded_as_it_was_encoded() {
        let at = Duration::new(1 << 40, 999_999_999);
        for record in [Record::Signal { number: 31, sender: u32::MAX, at }, Record::LastExit(at)] {
            assert_eq!(Record::from_bytes(&record.to_bytes()), record);
        }
    }
}
