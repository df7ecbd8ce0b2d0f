//! Detects the protocol of a peer from its first bytes, and finds where the frames of HTTP/2 begin: a pure parser, without I/O.

/// The connection preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's header. Its first three bytes are the length of the payload (RFC 9113, section 4.1).
const HEADER: usize = 9;

/// The answer to the PING that h2 sends with its first GOAWAY. h2 recognizes it by the last eight bytes.
pub(super) const ANSWER: [u8; HEADER + 8] =
    [0, 0, 8, 6, 1, 0, 0, 0, 0, 0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// The state of the parser.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Parser {
    /// This many bytes match the preface of HTTP/2.
    Preface(usize),
    Http1,
    Http2 {
        /// How many bytes of a frame's header have arrived.
        header: usize,
        /// The length of the payload, as far as the header has arrived.
        length: usize,
        /// How many bytes of the payload are missing.
        missing: usize,
    },
}

impl Parser {
    pub(super) fn new() -> Self {
        Self::Preface(0)
    }

    /// Whether the protocol is known.
    pub(super) fn is_known(&self) -> bool {
        !matches!(self, Self::Preface(_))
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// Whether the next byte begins a frame of HTTP/2.
    pub(super) fn is_between_frames(&self) -> bool {
        *self == Self::Http2 { header: 0, length: 0, missing: 0 }
    }

    /// Parses the bytes that were read.
    pub(super) fn parse(&mut self, mut bytes: &[u8]) {
        if let Self::Preface(known) = self {
            let same = bytes.iter().zip(&PREFACE[*known..]).take_while(|(a, b)| a == b).count();
            *known += same;
            bytes = &bytes[same..];
            match (*known == PREFACE.len(), bytes.is_empty()) {
                (true, _) => *self = Self::Http2 { header: 0, length: 0, missing: 0 },
                (false, true) => {}
                (false, false) => *self = Self::Http1,
            }
        }
        let Self::Http2 { header, length, missing } = self else { return };
        while let Some((&byte, rest)) = bytes.split_first() {
            if *missing > 0 {
                let skipped = bytes.len().min(*missing);
                *missing -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            if *header < 3 {
                *length = *length << 8 | usize::from(byte);
            }
            *header += 1;
            bytes = rest;
            if *header == HEADER {
                (*missing, *header, *length) = (*length, 0, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty SETTINGS frame, a DATA frame of 260 bytes, and a PING.
    fn frames() -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0];
        bytes.extend([0, 1, 4, 0, 1, 0, 0, 0, 1]);
        bytes.extend([7; 260]);
        bytes.extend(ANSWER);
        bytes
    }

    /// In pieces of every size.
    #[test]
    fn the_starts_of_frames_are_found() {
        let bytes = [PREFACE, &frames()].concat();
        let starts = [0, 9, 278, 295].map(|start| PREFACE.len() + start);
        for piece in 1..=bytes.len() {
            let (mut parser, mut count) = (Parser::new(), 0);
            for part in bytes.chunks(piece) {
                parser.parse(part);
                count += part.len();
                assert_eq!(parser.is_between_frames(), starts.contains(&count), "{piece} {count}");
                assert_eq!(parser.is_http2(), count >= PREFACE.len());
            }
        }
    }

    #[test]
    fn bytes_that_do_not_match_the_preface_are_http1() {
        for text in [&b"GET / HTTP/1.1\r\n"[..], b"PRI * HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSX"]
        {
            for piece in 1..=text.len() {
                let mut parser = Parser::new();
                text.chunks(piece).for_each(|part| parser.parse(part));
                assert_eq!(parser, Parser::Http1);
                parser.parse(PREFACE);
                assert_eq!(parser, Parser::Http1);
            }
        }
    }
}
