//! Escapes and truncates text from outside before it is shown: request paths, names, reasons, errors, and panic messages.
//!
//! Such text reaches the terminal of an operator, where some characters are commands, and a log, where a line break starts another entry. The rules:
//!
//! * Characters that a terminal or an editor acts upon are escaped, for example as `\u{9b}`, and tabs and line breaks as `\t`, `\n` and `\r`. These are
//!   the control characters of both ranges with U+007F, the line and paragraph separators, and the bidirectional controls.
//! * Invisible characters are escaped too, so that two names that look alike are the same: the soft hyphen, characters without width, annotation marks,
//!   tags, and the byte order mark. A joiner in an emoji or a word is one of these.
//! * All other characters are shown as they are, including a backslash: the text is for people and need not be parsed. Escaping twice changes nothing.
//! * Text that is too long ends with `…`, which counts as one character. It is truncated while it is written, so that endless text takes no more memory
//!   than long text.

use std::fmt::{self, Display, Write};

/// A name, on one line. 256 characters are more than a request needs to be identified.
pub(crate) fn name<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 256, keeps: |_| false }
}

/// A reason, an error or a panic message, on one line.
pub(crate) fn message<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 1024, keeps: |_| false }
}

/// An error or a panic message with its line breaks. It may contain a backtrace.
pub(crate) fn lines<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 16 * 1024, keeps: |c| matches!(c, '\n' | '\t') }
}

/// Truncated but not escaped, for text that is escaped when it is shown. The limit is longer than the longest backtrace.
pub(crate) fn raw<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 64 * 1024, keeps: |_| true }
}

/// Text that is escaped and truncated when it is formatted.
pub(crate) struct Shown<T> {
    text: T,
    /// The largest number of characters.
    room: usize,
    /// Characters that are exempt from escaping.
    keeps: fn(char) -> bool,
}

impl<T: Display> Shown<T> {
    /// Formats the text.
    ///
    /// # Errors
    ///
    /// Returns the error of the text's own `Display`.
    pub(crate) fn spell(&self) -> Result<String, fmt::Error> {
        let Self { text, room, keeps } = self;
        let (room, keeps) = (*room, *keeps);
        let mut output = Output { text: String::new(), length: 0, end: 0, room, keeps };
        match write!(output, "{text}") {
            Err(error) if !output.is_truncated() => Err(error),
            _ => Ok(output.finish()),
        }
    }
}

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spell()?)
    }
}

/// The output of a text, which refuses more when it is full.
struct Output {
    text: String,
    /// The length of the text in characters.
    length: usize,
    /// Where the text ends if it must be truncated, in bytes: one character less than the limit, for the mark.
    end: usize,
    room: usize,
    keeps: fn(char) -> bool,
}

impl Output {
    fn is_truncated(&self) -> bool {
        self.length > self.room
    }

    /// Appends a character, or the escape of one, which is never split.
    fn put(&mut self, part: impl Iterator<Item = char>) {
        for c in part {
            self.text.push(c);
            self.length += 1;
        }
        if self.length < self.room {
            self.end = self.text.len();
        }
    }

    fn finish(mut self) -> String {
        if self.is_truncated() {
            self.text.truncate(self.end);
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Output {
    /// Returns an error once the output is full, so that the writer stops.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.is_truncated() {
                return Err(fmt::Error);
            }
            if is_plain(c) || (self.keeps)(c) {
                self.put([c].into_iter());
            } else {
                self.put(c.escape_default());
            }
        }
        if self.is_truncated() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Whether a character is shown without an escape.
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c,
            '\u{ad}' // soft hyphen
            | '\u{61c}' // Arabic letter mark
            | '\u{180e}' // Mongolian vowel separator
            | '\u{200b}'..='\u{200f}' // zero width, and marks of direction
            | '\u{2028}'..='\u{202e}' // separators of lines and paragraphs, embeddings and overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
            | '\u{feff}' // byte order mark
            | '\u{fff9}'..='\u{fffb}' // annotations
            | '\u{e0000}'..='\u{e007f}' // tags
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The characters that must never be shown, listed independently of the code.
    fn is_harmful(c: char) -> bool {
        let code = u32::from(c);
        let bidirectional = [0x61c, 0x200e, 0x200f];
        code < 0x20
            || (0x7f..=0x9f).contains(&code)
            || bidirectional.contains(&code)
            || (0x2028..=0x202e).contains(&code)
            || (0x2066..=0x2069).contains(&code)
    }

    fn every_char() -> impl Iterator<Item = char> {
        '\0'..=char::MAX
    }

    #[test]
    fn no_character_is_shown_that_a_terminal_acts_upon() {
        for c in every_char() {
            let text = format!("a{c}b");
            let shown = name(&text).to_string();
            assert!(!shown.contains(is_harmful), "{shown:?}");
            if is_harmful(c) {
                assert_eq!(shown, format!("a{}b", c.escape_default()));
            }
            assert!(shown == text || shown == format!("a{}b", c.escape_default()), "{shown:?}");
        }
    }

    #[test]
    fn what_people_write_is_shown_as_it_is() {
        for text in
            ["GET /a%20b?c=\"d\"&e='f' \\n", "Größe, naïve, 日本語, עברית, نص, ❤\u{fe0f}, e\u{301}"]
        {
            assert_eq!(name(text).to_string(), text);
        }
    }

    #[test]
    fn escaping_twice_changes_nothing() {
        let long = ['a', '\u{9b}', '\u{202e}', '…'].map(|c| c.to_string().repeat(257));
        for text in every_char().map(String::from).chain(long) {
            let once = name(text).to_string();
            assert_eq!(name(&once).to_string(), once);
        }
    }

    #[test]
    fn a_long_text_is_truncated_and_says_so() {
        assert_eq!(name("a".repeat(256)).to_string(), "a".repeat(256));
        assert_eq!(name("ä".repeat(257)).to_string(), "ä".repeat(255) + "…");
        // An escape is never split.
        let shown = name("\u{202e}".repeat(60_000)).to_string();
        assert_eq!(shown, r"\u{202e}".repeat(31) + "…");
        assert_eq!(message("a".repeat(60_000)).to_string().chars().count(), 1024);
    }

    #[test]
    fn lines_stay_lines_where_there_are_several() {
        let error = "a\n\tb\r\n\u{1b}[31mc\u{9b}0m";
        assert_eq!(lines(error).to_string(), "a\n\tb\\r\n\\u{1b}[31mc\\u{9b}0m");
        assert_eq!(message(error).to_string(), "a\\n\\tb\\r\\n\\u{1b}[31mc\\u{9b}0m");
        assert_eq!(raw(error).to_string(), error);
    }

    #[test]
    fn a_text_without_an_end_is_truncated_while_it_is_written() {
        struct Endless;

        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("more and ")?;
                }
            }
        }

        assert!(name(Endless).to_string().ends_with(" mor…"));
        assert_eq!(raw(Endless).to_string().chars().count(), 64 * 1024);
    }

    #[test]
    fn an_error_of_the_text_is_one() {
        struct Fails;

        impl Display for Fails {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }

        assert!(name(Fails).spell().is_err());
    }
}
