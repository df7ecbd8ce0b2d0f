//! Comma-separated lists in which one error does not hide the next.

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Token,
    parse::{ParseStream, Parser},
};

use crate::errors::Errors;

/// Reads elements until the end of the input. After an error it continues after the next comma.
pub(crate) fn separated(
    input: ParseStream<'_>,
    errors: &mut Errors,
    mut element: impl FnMut(ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) {
    while !input.is_empty() {
        if let Err(error) = element(input, errors).and_then(|()| end_of_element(input)) {
            errors.push(error);
        }
        skip_to_comma(input);
        skip_token(input);
    }
}

fn end_of_element(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        Ok(())
    } else {
        Err(input.error("expected `,`"))
    }
}

/// Skips to the next comma that is not within parentheses, brackets or braces.
fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        skip_token(input);
    }
}

fn skip_token(input: ParseStream<'_>) {
    // Fails only at the end of the input, where nothing is left to skip.
    let _: syn::Result<TokenTree> = input.parse();
}

/// Like [`separated`], for tokens that are not in a group.
pub(crate) fn separated_tokens(
    tokens: TokenStream,
    errors: &mut Errors,
    element: impl FnMut(ParseStream<'_>, &mut Errors) -> syn::Result<()>,
) {
    let list = |input: ParseStream<'_>| {
        separated(input, errors, element);
        Ok(())
    };
    let result = list.parse2(tokens);
    errors.take(result);
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::LitInt;

    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let (mut errors, mut numbers) = (Errors::default(), Vec::new());
        separated_tokens(text.parse().unwrap(), &mut errors, |input, _| {
            numbers.push(input.parse::<LitInt>()?.to_string());
            Ok(())
        });
        (numbers, errors.messages())
    }

    #[test]
    fn a_comma_may_trail() {
        assert_eq!(read("").0, [""; 0]);
        assert_eq!(read("1").0, ["1"]);
        assert_eq!(read("1, 2,"), (vec!["1".into(), "2".into()], vec![]));
    }

    #[test]
    fn one_mistake_does_not_hide_the_next() {
        let (numbers, messages) = read("1, x(2, 3), 4 5, , 6");
        assert_eq!(numbers, ["1", "4", "6"]);
        assert_eq!(
            messages,
            ["expected integer literal", "expected `,`", "expected integer literal"]
        );
    }
}
