//! Tokens out: the user's function, and one call of the builder that runs it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, ReturnType, spanned::Spanned};

use crate::{
    args::Args,
    builder::{self, located_at},
    check,
    entry::{Entry, Kind},
    errors::Errors,
    params::{State, Takes},
};

/// The attribute `kind` with the arguments `args` on `item`.
pub(crate) fn attribute(kind: Kind, args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::read(args, &mut errors);
    check::check(kind, &args, &mut errors);
    let Some(entry) = errors.take(syn::parse2::<Entry>(item.clone())) else {
        let errors = errors.finish().err();
        return quote!(#errors #item);
    };
    entry.check(kind, &mut errors);
    let takes = entry.params.check(&entry.name, args.has("init"), &mut errors);
    match (takes, errors.finish()) {
        (Some(takes), Ok(())) => program(kind, &args, &entry, takes),
        (_, errors) => mended(&entry, errors.err()),
    }
}

fn program(kind: Kind, args: &Args, entry: &Entry, takes: Takes<'_>) -> TokenStream {
    let (of_test, of_function) = split_attributes(kind, &entry.attributes);
    let Entry { visibility, name, .. } = entry;
    let function = entry.function();
    let setters = builder::setters(args, takes);
    let run = run(kind, args, entry, takes);
    let krate = builder::krate(args);
    let call = quote_spanned!(Span::mixed_site()=> #krate::Builder::new() #setters #run);
    let test = (kind == Kind::Test)
        .then(|| quote_spanned!(Span::mixed_site()=> #[::core::prelude::v1::test]));
    // `#[should_panic]` is for functions without a value.
    let (output, call) =
        if of_test.iter().any(|attribute| attribute.path().is_ident("should_panic")) {
            (None, quote_spanned!(Span::mixed_site()=> let _: ::std::process::ExitCode = #call;))
        } else {
            (Some(quote_spanned!(Span::mixed_site()=> -> ::std::process::ExitCode)), call)
        };
    quote! {
        #test
        #(#of_test)*
        #visibility fn #name() #output {
            #(#of_function)*
            #function
            #call
        }
    }
}

/// What the harness reads goes on the function that the harness calls, the rest on the user's.
fn split_attributes(kind: Kind, attributes: &[Attribute]) -> (Vec<&Attribute>, Vec<&Attribute>) {
    attributes.iter().partition(|attribute| {
        let path = attribute.path();
        kind == Kind::Test && (path.is_ident("should_panic") || path.is_ident("ignore"))
    })
}

/// `.run(…)` where the return type stands, and in it each argument where its type stands.
fn run(kind: Kind, args: &Args, entry: &Entry, takes: Takes<'_>) -> TokenStream {
    let span = match &entry.output {
        ReturnType::Default => located_at(entry.name.span()),
        ReturnType::Type(_, ty) => located_at(ty.span()),
    };
    let mut name = entry.name.clone();
    name.set_span(name.span().located_at(span));
    let krate = builder::krate(args);
    // What `init` gave is there, whether `main` takes it or not.
    let ignored = args.has("init").then(|| quote_spanned!(span=> _: &_,));
    let (parameters, arguments) = match takes {
        Takes::Nothing => (quote_spanned!(span=> #ignored _: #krate::Shutdown), None),
        Takes::Shutdown(ty) => {
            let shutdown = Ident::new("shutdown", located_at(ty.span()));
            (quote_spanned!(span=> #ignored #shutdown: #krate::Shutdown), Some(quote!(#shutdown)))
        }
        Takes::State(state, ty) => {
            let shutdown = Ident::new("shutdown", located_at(ty.span()));
            let (parameter, argument) = pass_state(state);
            (
                quote_spanned!(span=> #parameter, #shutdown: #krate::Shutdown),
                Some(quote!(#argument, #shutdown)),
            )
        }
    };
    let method = Ident::new(if kind == Kind::Test { "test" } else { "run" }, span);
    quote_spanned!(span=> .#method(async |#parameters| #name(#arguments).await))
}

/// The closure's parameter for the state, and what `main` is given of it.
fn pass_state(state: State<'_>) -> (TokenStream, TokenStream) {
    let span = located_at(state.ty().span());
    let app = Ident::new("app", span);
    match state {
        State::Borrowed(whole, _) => (quote_spanned!(span=> #app: #whole), quote!(#app)),
        State::Owned(ty) => (
            quote_spanned!(span=> #app: &#ty),
            quote_spanned!(span=> ::core::clone::Clone::clone(#app)),
        ),
    }
}

/// The errors, and a function that has the user's in it but does nothing: the editor works on, and nothing is said twice.
fn mended(entry: &Entry, errors: Option<TokenStream>) -> TokenStream {
    let Entry { attributes, visibility, name, .. } = entry;
    if entry.params.receiver.is_some() {
        // It stands in an `impl`, where a function within a function would not know `self`.
        let function = entry.function();
        return quote!(#errors #(#attributes)* #visibility #function);
    }
    let function = entry.mended_function();
    let attributes = attributes.iter().filter(|attribute| {
        ["test", "should_panic", "ignore"].iter().all(|name| !attribute.path().is_ident(name))
    });
    quote! {
        #errors
        #[allow(dead_code)]
        #visibility fn #name() {
            #(#attributes)*
            #[allow(dead_code)]
            #function
        }
    }
}

#[cfg(test)]
mod tests;
