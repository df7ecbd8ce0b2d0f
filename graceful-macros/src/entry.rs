//! The annotated function. Its body is not parsed, so that the editor's completion works in a body that is half written.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Abi, Attribute, Generics, Ident, LitStr, ReturnType, Token, Visibility, WhereClause,
    parenthesized,
    parse::{Parse, ParseBuffer, ParseStream},
    token,
};

use crate::{errors::Errors, params::Params};

/// Which attribute is expanded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Main,
    Test,
}

pub(crate) struct Entry {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    qualifiers: Qualifiers,
    pub(crate) name: Ident,
    generics: Generics,
    pub(crate) params: Params,
    pub(crate) output: ReturnType,
    where_clause: Option<WhereClause>,
    /// The tokens from `fn` to the end of the body.
    rest: TokenStream,
}

/// The qualifiers between the visibility and `fn`.
struct Qualifiers {
    constness: Option<Token![const]>,
    asyncness: Option<Token![async]>,
    unsafety: Option<Token![unsafe]>,
    abi: Option<Abi>,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let qualifiers = input.parse()?;
        let rest = input.fork().parse()?;
        input.parse::<Token![fn]>().map_err(|_| input.error("expected an `async fn`"))?;
        let name = input.parse()?;
        let generics = input.parse()?;
        let content: ParseBuffer<'_>;
        parenthesized!(content in input);
        let params = content.parse()?;
        let output = input.parse()?;
        let where_clause = input.parse()?;
        if !input.peek(token::Brace) {
            return Err(input.error("expected a body in braces"));
        }
        // The body is in `rest`.
        input.parse::<TokenStream>()?;
        Ok(Self {
            attributes,
            visibility,
            qualifiers,
            name,
            generics,
            params,
            output,
            where_clause,
            rest,
        })
    }
}

impl Parse for Qualifiers {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            constness: input.parse()?,
            asyncness: input.parse()?,
            unsafety: input.parse()?,
            abi: if input.peek(Token![extern]) {
                Some(Abi { extern_token: input.parse()?, name: input.parse::<Option<LitStr>>()? })
            } else {
                None
            },
        })
    }
}

impl Entry {
    /// Checks everything except the parameters, whose check depends on the arguments.
    pub(crate) fn check(&self, kind: Kind, errors: &mut Errors) {
        let name = &self.name;
        if kind == Kind::Main && name != "main" {
            errors.at(name.span(), format!("expected the name `main`, found `{name}`"));
        }
        let Qualifiers { constness, asyncness, unsafety, abi } = &self.qualifiers;
        if asyncness.is_none() {
            errors.over(name, format!("`{name}` must be `async`"));
        }
        let mut refuse = |tokens: &dyn ToTokens, what: &str| {
            if !tokens.to_token_stream().is_empty() {
                errors.over(tokens, format!("`{name}` cannot {what}"));
            }
        };
        refuse(constness, "be `const`");
        refuse(unsafety, "be `unsafe`");
        refuse(abi, "be `extern`");
        refuse(&self.generics, "be generic");
        refuse(&self.where_clause, "have a `where` clause");
        refuse(&self.params.receiver, "take `self`");
        for attribute in
            self.attributes.iter().filter(|attribute| attribute.path().is_ident("test"))
        {
            errors.over(attribute, "a test has one test attribute: remove `#[test]`");
        }
    }

    /// The user's function as written, without attributes and visibility.
    pub(crate) fn function(&self) -> TokenStream {
        let Qualifiers { constness, asyncness, unsafety, abi } = &self.qualifiers;
        let rest = &self.rest;
        quote!(#constness #asyncness #unsafety #abi #rest)
    }

    /// The user's function in a form that compiles, so that no error follows from those that [`check`](Self::check) has reported: `async`, because its
    /// body may await, and without `const` and `extern`.
    pub(crate) fn compilable_function(&self) -> TokenStream {
        let Qualifiers { unsafety, .. } = &self.qualifiers;
        let rest = &self.rest;
        quote!(async #unsafety #rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(kind: Kind, text: &str) -> Vec<String> {
        let mut errors = Errors::default();
        if let Some(entry) = errors.take(syn::parse_str::<Entry>(text)) {
            entry.check(kind, &mut errors);
        }
        errors.messages()
    }

    #[test]
    fn the_body_is_not_parsed() {
        let text = "#[doc = \"x\"] pub(crate) async fn main() -> Result<(), E> { let = app. }";
        assert_eq!(messages(Kind::Main, text), [""; 0]);
        let entry: Entry = syn::parse_str(text).unwrap();
        assert_eq!(
            entry.function().to_string(),
            "async fn main () -> Result < () , E > { let = app . }"
        );
    }

    #[test]
    fn each_mistake_has_its_message() {
        for (text, message) in [
            ("fn main() {}", "`main` must be `async`"),
            ("async fn start() {}", "expected the name `main`, found `start`"),
            ("async unsafe fn main() {}", "`main` cannot be `unsafe`"),
            ("async extern \"C\" fn main() {}", "`main` cannot be `extern`"),
            ("async fn main<T>() {}", "`main` cannot be generic"),
            ("async fn main() where u8: Copy {}", "`main` cannot have a `where` clause"),
            ("async fn main(&mut self) {}", "`main` cannot take `self`"),
            ("#[test] async fn main() {}", "a test has one test attribute: remove `#[test]`"),
            ("async fn main();", "expected a body in braces"),
            ("struct Main;", "expected an `async fn`"),
        ] {
            assert_eq!(messages(Kind::Main, text), [message], "{text}");
        }
        assert_eq!(messages(Kind::Main, "const fn start<T>(self) where T: Copy {}").len(), 6);
    }

    #[test]
    fn a_test_may_have_any_name() {
        assert_eq!(messages(Kind::Test, "async fn drains() {}"), [""; 0]);
    }

    #[test]
    fn a_compilable_function_is_async() {
        for (text, compilable) in [
            ("fn main() {}", "async fn main () { }"),
            ("const fn main() {}", "async fn main () { }"),
            ("unsafe extern \"C\" fn main() {}", "async unsafe fn main () { }"),
        ] {
            let entry: Entry = syn::parse_str(text).unwrap();
            assert_eq!(entry.compilable_function().to_string(), compilable);
        }
    }
}
