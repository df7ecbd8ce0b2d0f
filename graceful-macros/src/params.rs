//! The parameters of `main`: none, the `Shutdown`, or the state and the `Shutdown`.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{
    Attribute, Ident, Lifetime, Token, Type,
    parse::{Parse, ParseStream},
};

use crate::errors::Errors;

/// The parameters, as written.
#[derive(Default)]
pub(crate) struct Params {
    /// `self`, which is an error.
    pub(crate) receiver: Option<Token![self]>,
    list: Vec<Param>,
}

struct Param {
    /// Attributes, pattern and colon.
    pattern: TokenStream,
    ty: Type,
}

/// The parameters, after the check.
#[derive(Clone, Copy)]
pub(crate) enum Takes<'a> {
    Nothing,
    Shutdown(&'a Type),
    State(State<'a>, &'a Type),
}

/// How `main` takes the state.
#[derive(Clone, Copy)]
pub(crate) enum State<'a> {
    /// `&S`: the whole type, and `S`.
    Borrowed(&'a Type, &'a Type),
    /// `S`: `main` gets a clone.
    Owned(&'a Type),
}

impl Parse for Params {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut params = Self::default();
        while !input.is_empty() {
            if let Some(receiver) = parse_receiver(&input.fork()) {
                params.receiver = Some(receiver);
                parse_until(input, |input| input.peek(Token![,]))?;
            } else {
                params.list.push(input.parse()?);
            }
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(params)
    }
}

impl Parse for Param {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        // The pattern ends at the first single colon: `::` is a part of a path.
        let mut pattern =
            parse_until(input, |input| input.peek(Token![:]) && !input.peek(Token![::]))?;
        input.parse::<Token![:]>()?.to_tokens(&mut pattern);
        Ok(Self { pattern, ty: input.parse()? })
    }
}

impl ToTokens for Param {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { pattern, ty } = self;
        pattern.to_tokens(tokens);
        ty.to_tokens(tokens);
    }
}

/// `self`, `mut self`, `&self`, `&'a mut self`.
fn parse_receiver(input: ParseStream<'_>) -> Option<Token![self]> {
    input.call(Attribute::parse_outer).ok()?;
    input.parse::<Option<Token![&]>>().ok()?;
    input.parse::<Option<Lifetime>>().ok()?;
    input.parse::<Option<Token![mut]>>().ok()?;
    // The pattern `self::A { .. }` is not a receiver.
    input.parse().ok().filter(|_| !input.peek(Token![::]))
}

fn parse_until(
    input: ParseStream<'_>,
    end: impl Fn(ParseStream<'_>) -> bool,
) -> syn::Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !end(input) {
        // Both colons at once, because `end` would take the second one for a single colon.
        if let Some(colons) = input.parse::<Option<Token![::]>>()? {
            colons.to_tokens(&mut tokens);
        } else {
            input.parse::<TokenTree>()?.to_tokens(&mut tokens);
        }
    }
    Ok(tokens)
}

impl Params {
    /// Checks the parameters of the function `name`. `has_init` says whether there is a state.
    pub(crate) fn check(
        &self,
        name: &Ident,
        has_init: bool,
        errors: &mut Errors,
    ) -> Option<Takes<'_>> {
        match self.list.as_slice() {
            [] => Some(Takes::Nothing),
            [only] => only.check_shutdown(errors).map(Takes::Shutdown),
            [first, second] => check_two(first, second, name, has_init, errors),
            [_, _, rest @ ..] => {
                let message = format!(
                    "expected at most the state and the `Shutdown` as parameters of `{name}`"
                );
                for param in rest.iter().take(1) {
                    errors.over(param, &message);
                }
                None
            }
        }
    }
}

fn check_two<'a>(
    first: &'a Param,
    second: &'a Param,
    name: &Ident,
    has_init: bool,
    errors: &mut Errors,
) -> Option<Takes<'a>> {
    // Judged by the name `Shutdown` alone. Other names may be aliases, which only rustc can resolve.
    let swapped = first.is_shutdown() && !second.is_shutdown();
    if !has_init {
        let state = if swapped { second } else { first };
        errors.over(
            state,
            format!("without `init` there is no state, expected `{name}` to take only `Shutdown`"),
        );
        return None;
    }
    if swapped {
        errors.over(first, "expected the state first, then the `Shutdown`");
        return None;
    }
    // Checks both before it returns, so that the errors of both are reported.
    let (state, shutdown) = (first.check_state(errors), second.check_shutdown(errors));
    Some(Takes::State(state?, shutdown?))
}

impl Param {
    fn is_shutdown(&self) -> bool {
        let ty = if let Type::Reference(reference) = &self.ty { &reference.elem } else { &self.ty };
        matches!(ty, Type::Path(ty) if ty.path.segments.last().is_some_and(|last| last.ident == "Shutdown"))
    }

    fn check_shutdown(&self, errors: &mut Errors) -> Option<&Type> {
        let Type::Reference(_) = &self.ty else { return Some(&self.ty) };
        if self.is_shutdown() {
            errors.over(self, "expected `Shutdown` without a reference");
        } else {
            errors.over(self, "expected `Shutdown`, alone or after the state");
        }
        None
    }

    fn check_state(&self, errors: &mut Errors) -> Option<State<'_>> {
        match &self.ty {
            Type::Reference(reference) if reference.mutability.is_some() => {
                errors.over(self, "the state is shared, expected `&` without `mut`");
                None
            }
            Type::Reference(reference) => Some(State::Borrowed(&self.ty, &reference.elem)),
            ty => Some(State::Owned(ty)),
        }
    }
}

impl<'a> State<'a> {
    /// `S`
    pub(crate) fn ty(self) -> &'a Type {
        match self {
            Self::Borrowed(_, ty) | Self::Owned(ty) => ty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;
    use quote::quote;

    /// The parameters after the check, or the errors.
    fn read(text: &str, has_init: bool) -> Result<String, Vec<String>> {
        let mut errors = Errors::default();
        let params: Params = syn::parse_str(text).unwrap();
        let name = Ident::new("main", Span::call_site());
        let takes = params.check(&name, has_init, &mut errors).map(|takes| match takes {
            Takes::Nothing => String::new(),
            Takes::Shutdown(ty) => quote!(#ty).to_string(),
            Takes::State(state, shutdown) => {
                let (how, ty) =
                    (if let State::Owned(_) = state { "owned" } else { "borrowed" }, state.ty());
                format!("{how} {}, {}", quote!(#ty), quote!(#shutdown))
            }
        });
        takes.ok_or_else(|| errors.messages())
    }

    #[test]
    fn the_accepted_forms() {
        for (text, has_init, expected) in [
            ("", false, ""),
            ("", true, ""),
            ("shutdown: Shutdown", false, "Shutdown"),
            ("mut s: graceful::Shutdown,", true, "graceful :: Shutdown"),
            ("app: &App, _: Stop", true, "borrowed App, Stop"),
            (
                "app: &'static a::App<'_, u8>, s: Shutdown",
                true,
                "borrowed a :: App < '_ , u8 >, Shutdown",
            ),
            ("app: Arc<App>, s: Shutdown", true, "owned Arc < App >, Shutdown"),
            ("self::App { db: (a, b) }: App, s: Shutdown", true, "owned App, Shutdown"),
            ("#[cfg(all())] (a, b): &(A, B), s: Shutdown", true, "borrowed (A , B), Shutdown"),
        ] {
            assert_eq!(read(text, has_init).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_message() {
        let alone = "expected `Shutdown`, alone or after the state";
        for (text, has_init, message) in [
            (
                "app: &App, s: Shutdown",
                false,
                "without `init` there is no state, expected `main` to take only `Shutdown`",
            ),
            (
                "s: Shutdown, app: &App",
                false,
                "without `init` there is no state, expected `main` to take only `Shutdown`",
            ),
            ("s: Shutdown, app: &App", true, "expected the state first, then the `Shutdown`"),
            ("app: &App", true, alone),
            ("app: App, b: &B", true, alone),
            ("s: &Shutdown", false, "expected `Shutdown` without a reference"),
            ("app: &mut App, s: Shutdown", true, "the state is shared, expected `&` without `mut`"),
            (
                "a: A, b: B, c: C, d: D",
                true,
                "expected at most the state and the `Shutdown` as parameters of `main`",
            ),
        ] {
            assert_eq!(read(text, has_init), Err(vec![message.to_owned()]), "{text}");
        }
    }

    #[test]
    fn self_is_found_in_each_form() {
        for text in [
            "self",
            "mut self",
            "&self",
            "&'a mut self",
            "self: Box<Self>",
            "#[x] &self, s: Shutdown",
        ] {
            assert!(syn::parse_str::<Params>(text).unwrap().receiver.is_some(), "{text}");
        }
        assert!(syn::parse_str::<Params>("self::A: A").unwrap().receiver.is_none());
    }
}
