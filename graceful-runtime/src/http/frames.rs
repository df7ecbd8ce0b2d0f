//! What a peer speaks, told from what is read of it, and where in that the frames of HTTP/2 begin: pure.

/// What HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the head of a frame is; its first three bytes say how much follows it (RFC 9113, section 4.1).
const HEAD: usize = 9;

/// The answer to the PING that h2 sends along with its first GOAWAY, which it knows by these eight bytes.
pub(super) const ANSWER: [u8; HEAD + 8] =
    [0, 0, 8, 6, 1, 0, 0, 0, 0, 0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// How far the reading of a connection has come.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Reading {
    /// So many bytes are what HTTP/2 begins with.
    Preface(usize),
    Http1,
    /// So many bytes of a frame's head have come, or so many are missing after it. `length` is what the head has said of them.
    Http2 {
        head: usize,
        length: usize,
        missing: usize,
    },
}

impl Reading {
    pub(super) fn new() -> Self {
        Self::Preface(0)
    }

    /// Whether what has come says what the peer speaks.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Preface(_))
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// Whether what comes next is a new frame of HTTP/2.
    pub(super) fn is_between_frames(&self) -> bool {
        *self == Self::Http2 { head: 0, length: 0, missing: 0 }
    }

    /// These bytes came.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        if let Self::Preface(known) = self {
            let same = bytes.iter().zip(&PREFACE[*known..]).take_while(|(a, b)| a == b).count();
            *known += same;
            bytes = &bytes[same..];
            match (*known == PREFACE.len(), bytes.is_empty()) {
                (true, _) => *self = Self::Http2 { head: 0, length: 0, missing: 0 },
                (false, true) => {}
                (false, false) => *self = Self::Http1,
            }
        }
        let Self::Http2 { head, length, missing } = self else { return };
        while let Some((&byte, rest)) = bytes.split_first() {
            if *missing > 0 {
                let skipped = bytes.len().min(*missing);
                *missing -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            if *head < 3 {
                *length = *length << 8 | usize::from(byte);
            }
            *head += 1;
            bytes = rest;
            if *head == HEAD {
                (*missing, *head, *length) = (*length, 0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of settings, which is empty, one of data with 260 bytes, and a ping.
    fn frames() -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
        bytes.extend([0, 1, 4, 0, 1, 0, 0, 0, 1]);
        bytes.extend([7; 260]);
        bytes.extend(ANSWER);
        bytes
    }

    /// However it is cut into pieces.
    #[test]
    fn the_begins_of_frames_are_found() {
        let bytes = [PREFACE, &frames()].concat();
        let begins = [0, 9, 278, 295].map(|begin| PREFACE.len() + begin);
        for piece in 1..=bytes.len() {
            let (mut reading, mut count) = (Reading::new(), 0);
            for part in bytes.chunks(piece) {
                reading.read(part);
                count += part.len();
                assert_eq!(reading.is_between_frames(), begins.contains(&count), "{piece} {count}");
                assert_eq!(reading.is_http2(), count >= PREFACE.len());
            }
        }
    }

    #[test]
    fn what_does_not_begin_as_http2_is_http1() {
        for text in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSX"]
        {
            for piece in 1..=text.len() {
                let mut reading = Reading::new();
                text.chunks(piece).for_each(|part| reading.read(part));
                assert_eq!(reading, Reading::Http1);
                reading.read(PREFACE);
                assert_eq!(reading, Reading::Http1);
            }
        }
    }
}
