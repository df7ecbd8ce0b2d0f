//! Reads the values of arguments, each into its final type.

use proc_macro2::Span;
use syn::{
    Ident, LitBool, LitInt, LitStr, Path, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
    token,
};

use crate::suggest;

/// A value and its span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// A name that the user may write, and the enum variant that it stands for.
pub(crate) type Choice = (&'static str, &'static str);

/// The prefix of the environment variables that override settings.
#[derive(Debug)]
pub(crate) enum Env {
    Off,
    Prefix(String),
}

/// The path of a function.
pub(crate) fn function(input: ParseStream<'_>) -> syn::Result<Path> {
    let path: Path = expect(input, "expected the path of a function, such as `init`")?;
    if input.peek(token::Paren) {
        return Err(input.error("expected the path of the function alone, without a call"));
    }
    Ok(path)
}

/// The path of a crate, bare or, as tokio has it, in quotes.
pub(crate) fn krate(input: ParseStream<'_>) -> syn::Result<Path> {
    let expected = "expected the path of a crate, such as `::graceful`";
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        return text
            .parse_with(Path::parse_mod_style)
            .map_err(|_| syn::Error::new(text.span(), expected));
    }
    input.call(Path::parse_mod_style).map_err(|_| input.error(expected))
}

pub(crate) fn boolean(input: ParseStream<'_>) -> syn::Result<Spanned<bool>> {
    let literal: LitBool = expect(input, "expected `true` or `false`")?;
    Ok(Spanned { value: literal.value(), span: literal.span() })
}

/// A whole number from 1 up.
pub(crate) fn count(input: ParseStream<'_>) -> syn::Result<Spanned<usize>> {
    let expected = "expected a whole number from 1 up";
    let literal: LitInt = expect(input, expected)?;
    match literal.base10_parse() {
        Ok(value) if value > 0 => Ok(Spanned { value, span: literal.span() }),
        _ => Err(syn::Error::new(literal.span(), expected)),
    }
}

pub(crate) fn text(input: ParseStream<'_>) -> syn::Result<Spanned<String>> {
    let literal: LitStr = expect(input, "expected a name in quotes")?;
    Ok(Spanned { value: literal.value(), span: literal.span() })
}

/// `"PREFIX"` or `false`.
pub(crate) fn env(input: ParseStream<'_>) -> syn::Result<Spanned<Env>> {
    let expected = "expected a prefix such as `\"MYAPP\"`, or `false`";
    if input.peek(LitBool) {
        let on = boolean(input)?;
        return if on.value {
            Err(syn::Error::new(on.span, expected))
        } else {
            Ok(Spanned { value: Env::Off, span: on.span })
        };
    }
    let prefix: LitStr = expect(input, expected)?;
    if is_prefix(&prefix.value()) {
        Ok(Spanned { value: Env::Prefix(prefix.value()), span: prefix.span() })
    } else {
        Err(syn::Error::new(
            prefix.span(),
            "expected a prefix of `A` to `Z`, `0` to `9` and `_` that starts with a letter",
        ))
    }
}

/// A name without quotes, such as `auto`: the variant that it stands for.
pub(crate) fn word(
    input: ParseStream<'_>,
    choices: &[Choice],
) -> syn::Result<Spanned<&'static str>> {
    let ident =
        input.call(Ident::parse_any).map_err(|_| input.error(expected_one_of(choices, "")))?;
    choose(&ident.to_string(), ident.span(), choices)
}

/// A name in quotes, such as `"current_thread"`: the variant that it stands for.
pub(crate) fn quoted_word(
    input: ParseStream<'_>,
    choices: &[Choice],
) -> syn::Result<Spanned<&'static str>> {
    let literal: LitStr = expect(input, &expected_one_of(choices, "\""))?;
    choose(&literal.value(), literal.span(), choices)
}

/// Reads a `T`. The error is `expected`, at the first token.
pub(crate) fn expect<T: Parse>(input: ParseStream<'_>, expected: &str) -> syn::Result<T> {
    // `parse` consumes a literal of another kind before it fails, and the error would be at the token after it.
    let start = input.fork();
    input.parse().map_err(|_| start.error(expected))
}

/// Reads the `=` before a value.
pub(crate) fn equals(input: ParseStream<'_>, name: &Ident) -> syn::Result<()> {
    if input.parse::<Token![=]>().is_err() || input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(name.span(), format!("expected `{name} = …`")));
    }
    Ok(())
}

fn is_prefix(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn choose(written: &str, span: Span, choices: &[Choice]) -> syn::Result<Spanned<&'static str>> {
    match choices.iter().find(|(name, _)| *name == written) {
        Some(&(_, value)) => Ok(Spanned { value, span }),
        None => {
            let names: Vec<_> = choices.iter().map(|&(name, _)| name).collect();
            Err(syn::Error::new(span, suggest::unknown("value", written, &names)))
        }
    }
}

fn expected_one_of(choices: &[Choice], quote: &str) -> String {
    let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{quote}{name}{quote}`")).collect();
    format!("expected one of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse::Parser;

    fn message<T>(
        read: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
        tokens: &str,
    ) -> Option<String> {
        read.parse_str(tokens).err().map(|error| error.to_string())
    }

    #[test]
    fn a_function_is_named_by_its_path() {
        for tokens in ["init", "crate::init", "self::a::b", "init::<A, B>"] {
            assert_eq!(message(function, tokens), None, "{tokens}");
        }
        assert_eq!(
            message(function, "init()").unwrap(),
            "expected the path of the function alone, without a call"
        );
        assert_eq!(
            message(function, "\"init\"").unwrap(),
            "expected the path of a function, such as `init`"
        );
        assert_eq!(
            message(function, "async || ()").unwrap(),
            "expected the path of a function, such as `init`"
        );
    }

    #[test]
    fn a_crate_may_stand_in_quotes() {
        for tokens in ["graceful", "::graceful", "\"my::graceful\"", "crate", "\"crate\""] {
            assert_eq!(message(krate, tokens), None, "{tokens}");
        }
        for tokens in ["\"\"", "\"a b\"", "5"] {
            assert_eq!(
                message(krate, tokens).unwrap(),
                "expected the path of a crate, such as `::graceful`"
            );
        }
    }

    #[test]
    fn counts_begin_with_one() {
        assert_eq!(message(count, "1"), None);
        for tokens in ["0", "-1", "\"4\"", "99999999999999999999", "num_cpus()"] {
            assert_eq!(
                message(count, tokens).unwrap(),
                "expected a whole number from 1 up",
                "{tokens}"
            );
        }
    }

    #[test]
    fn a_prefix_is_upper_case() {
        for tokens in ["false", "\"A\"", "\"MY_APP2\""] {
            assert_eq!(message(env, tokens), None, "{tokens}");
        }
        for tokens in ["true", "MYAPP", "1"] {
            assert_eq!(
                message(env, tokens).unwrap(),
                "expected a prefix such as `\"MYAPP\"`, or `false`"
            );
        }
        for tokens in ["\"\"", "\"myapp\"", "\"1A\"", "\"_A\"", "\"MY-APP\""] {
            assert!(message(env, tokens).unwrap().starts_with("expected a prefix of"), "{tokens}");
        }
    }

    #[test]
    fn a_choice_is_one_of_its_names() {
        let choices: &[Choice] = &[("auto", "Auto"), ("exec", "Exec")];
        let read = |input: ParseStream<'_>| word(input, choices);
        assert_eq!(read.parse_str("exec").unwrap().value, "Exec");
        assert_eq!(message(read, "\"exec\"").unwrap(), "expected one of `auto`, `exec`");
        assert_eq!(
            message(read, "fork").unwrap(),
            "unknown value `fork`, expected one of `auto`, `exec`"
        );
        let read = |input: ParseStream<'_>| quoted_word(input, choices);
        assert_eq!(message(read, "auto").unwrap(), "expected one of `\"auto\"`, `\"exec\"`");
    }
}
