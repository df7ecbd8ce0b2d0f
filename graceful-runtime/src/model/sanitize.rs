//! Text that the program did not write itself, as it is shown: a path of a request, a name, a reason, an error, a message of a panic.
//!
//! Such text reaches the terminal of an operator, where some characters are commands, and a log, where a line break begins another
//! entry. So it is escaped and cut before it is shown:
//!
//! * Characters that a terminal or an editor may act upon are shown as `\u{9b}`, and tab and line breaks as `\t`, `\n` and `\r`: the
//!   control characters of both ranges with U+007F, the separators of lines and paragraphs, and the controls of bidirectional text.
//! * The same goes for characters that nobody sees, so that two names that look alike are the same: the soft hyphen, what has no
//!   width, marks of annotations, tags, and the byte order mark. A joiner in an emoji or a word is one of these.
//! * Everything else is shown as it is, a backslash too: what is shown is for people, and need not be read back. Escaping twice
//!   changes nothing.
//! * What is longer than there is room for ends with `…`, which counts. It is cut while it is written, so that a text without an end
//!   takes no more memory than a long one.

use std::fmt::{self, Display, Write};

/// A name: one line, with room for more than what identifies a request.
pub(crate) fn name<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 256, keeps: |_| false }
}

/// A reason, an error or a panic on one line among others.
pub(crate) fn message<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 1024, keeps: |_| false }
}

/// An error or a panic with its lines: a backtrace may be one of their number.
pub(crate) fn lines<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 16 * 1024, keeps: |c| matches!(c, '\n' | '\t') }
}

/// What is not shown yet, only cut: more than the longest backtrace.
pub(crate) fn raw<T: Display>(text: T) -> Shown<T> {
    Shown { text, room: 64 * 1024, keeps: |_| true }
}

/// Text that is escaped and cut when it is written.
pub(crate) struct Shown<T> {
    text: T,
    /// How many characters there may be.
    room: usize,
    /// What is not escaped all the same.
    keeps: fn(char) -> bool,
}

impl<T: Display> Shown<T> {
    /// The text as it is shown.
    ///
    /// # Errors
    ///
    /// What the text's own `Display` gives.
    pub(crate) fn spell(&self) -> Result<String, fmt::Error> {
        let Self { text, room, keeps } = self;
        let (room, keeps) = (*room, *keeps);
        let mut page = Page { text: String::new(), length: 0, end: 0, room, keeps };
        match write!(page, "{text}") {
            Err(error) if !page.is_cut() => Err(error),
            _ => Ok(page.finish()),
        }
    }
}

impl<T: Display> Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spell()?)
    }
}

/// What a text is written on.
struct Page {
    text: String,
    /// Of the text, in characters.
    length: usize,
    /// Where the text ends if it has to be cut: one character of the room is then the mark's.
    end: usize,
    room: usize,
    keeps: fn(char) -> bool,
}

impl Page {
    fn is_cut(&self) -> bool {
        self.length > self.room
    }

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
        if self.is_cut() {
            self.text.truncate(self.end);
            self.text.push('…');
        }
        self.text
    }
}

impl Write for Page {
    /// An error says that there is no more room, so that what writes stops.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.is_cut() {
                return Err(fmt::Error);
            }
            if is_plain(c) || (self.keeps)(c) {
                self.put([c].into_iter());
            } else {
                self.put(c.escape_default());
            }
        }
        if self.is_cut() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Whether a character is shown as it is.
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

    /// Those that must not be shown in any form, one by one, not as the code has them.
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
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(name("a".repeat(256)).to_string(), "a".repeat(256));
        assert_eq!(name("ä".repeat(257)).to_string(), "ä".repeat(255) + "…");
        // Never in the middle of what stands for one character.
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
    fn a_text_without_an_end_is_cut_while_it_is_written() {
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
