//! Reads the name of one signal.

use syn::{Ident, Lit, ext::IdentExt, parse::ParseStream};

use crate::suggest;

/// Reads the name of a signal that a program can wait for. The expansion uses it as a constant of `Signal`.
pub(crate) fn read(input: ParseStream<'_>) -> syn::Result<Ident> {
    if input.peek(Lit) {
        let literal: Lit = input.parse()?;
        return Err(syn::Error::new(literal.span(), refuse_literal(&literal)));
    }
    let name = input.call(Ident::parse_any).map_err(|_| input.error(EXPECTED))?;
    match refuse(&name.to_string()) {
        Some(message) => Err(syn::Error::new(name.span(), message)),
        None => Ok(name),
    }
}

/// Whether this is the name of a signal, with or without `SIG`.
pub(crate) fn is_name(name: &str) -> bool {
    NAMES.contains(&name.strip_prefix("SIG").unwrap_or(name))
}

/// The error for a name that cannot be listed.
fn refuse(name: &str) -> Option<String> {
    let short = name.strip_prefix("SIG").unwrap_or(name);
    match short {
        "KILL" | "STOP" => Some(format!("`{name}` cannot be caught by a process")),
        "SEGV" | "ILL" | "FPE" | "BUS" | "ABRT" | "TRAP" | "SYS" => {
            Some(format!("`{name}` reports a fault of the program itself and cannot be handled"))
        }
        "CHLD" => Some(format!("`{name}` is reserved for tokio's child processes")),
        _ if !NAMES.contains(&short) => Some(suggest::unknown("signal", name, NAMES)),
        _ if short != name => Some(format!("expected the name without `SIG`, write `{short}`")),
        _ => None,
    }
}

fn refuse_literal(literal: &Lit) -> String {
    match literal {
        Lit::Str(text) if is_name(&text.value()) => {
            let name = text.value();
            format!(
                "expected the name without quotes, write `{}`",
                name.strip_prefix("SIG").unwrap_or(&name)
            )
        }
        _ => EXPECTED.to_owned(),
    }
}

/// The constants of `Signal` on all systems, because a macro does not know its target. `PWR` exists only on Linux and Android; elsewhere rustc reports
/// the missing constant at the user's token.
const NAMES: &[&str] = &[
    "HUP", "INT", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "CONT", "TSTP", "TTIN", "TTOU",
    "WINCH", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "IO", "PWR",
];

const EXPECTED: &str = "expected the name of a signal, such as `TERM`";

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse::Parser;

    fn message(text: &str) -> Option<String> {
        read.parse_str(text).err().map(|error| error.to_string())
    }

    #[test]
    fn every_name_is_read() {
        for name in NAMES {
            assert_eq!(message(name), None, "{name}");
        }
    }

    #[test]
    fn likely_mistakes_have_their_message() {
        for (text, expected) in [
            ("KILL", "`KILL` cannot be caught by a process"),
            ("SIGSTOP", "`SIGSTOP` cannot be caught by a process"),
            ("SEGV", "`SEGV` reports a fault of the program itself and cannot be handled"),
            ("CHLD", "`CHLD` is reserved for tokio's child processes"),
            ("SIGTERM", "expected the name without `SIG`, write `TERM`"),
            ("\"TERM\"", "expected the name without quotes, write `TERM`"),
            ("\"SIGINT\"", "expected the name without quotes, write `INT`"),
            ("15", EXPECTED),
            ("+", EXPECTED),
        ] {
            assert_eq!(message(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn the_nearest_signal_is_suggested_for_an_unknown_one() {
        assert!(
            message("USR9").unwrap().starts_with("unknown signal `USR9`, did you mean `USR1`?")
        );
        assert!(
            message("term").unwrap().starts_with("unknown signal `term`, did you mean `TERM`?")
        );
        assert!(message("FOO").unwrap().starts_with("unknown signal `FOO`, expected one of `HUP`"));
    }
}
