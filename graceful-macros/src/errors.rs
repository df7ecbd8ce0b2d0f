//! Collects errors, so that one build reports all of them.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

/// The errors so far, each with its span.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// Adds an error at one token.
    pub(crate) fn at(&mut self, span: Span, message: impl Display) {
        self.push(syn::Error::new(span, message));
    }

    /// Adds an error that underlines all of `tokens`.
    pub(crate) fn over(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            none => *none = Some(error),
        }
    }

    /// Returns the value, or adds the error and returns `None`.
    pub(crate) fn take<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// # Errors
    ///
    /// Returns the `compile_error!`s of the collected errors, if there are any.
    pub(crate) fn finish(self) -> Result<(), TokenStream> {
        self.0.map_or(Ok(()), |error| Err(error.into_compile_error()))
    }
}

#[cfg(test)]
impl Errors {
    pub(crate) fn messages(self) -> Vec<String> {
        self.0.map_or_else(Vec::new, |error| error.into_iter().map(|e| e.to_string()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_kept_in_order() {
        let mut errors = Errors::default();
        errors.at(Span::call_site(), "one");
        assert_eq!(errors.take(Ok(1)), Some(1));
        let failed: syn::Result<()> = Err(syn::Error::new(Span::call_site(), "two"));
        assert_eq!(errors.take(failed), None);
        assert_eq!(errors.messages(), ["one", "two"]);
    }

    #[test]
    fn nothing_collected_is_no_error() {
        assert!(Errors::default().finish().is_ok());
    }
}
