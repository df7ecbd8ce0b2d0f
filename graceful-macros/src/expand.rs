//! The expansion: the user's function, and one call of the builder that runs it.

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

/// Expands the attribute `kind` with the arguments `args` on `item`.
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
        (_, errors) => with_errors(&entry, errors.err()),
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
    // `#[should_panic]` is allowed only on functions that return `()`.
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

/// Splits the attributes into those that the test harness reads, which go on the generated function, and the others, which stay on the user's.
fn split_attributes(kind: Kind, attributes: &[Attribute]) -> (Vec<&Attribute>, Vec<&Attribute>) {
    attributes.iter().partition(|attribute| {
        let path = attribute.path();
        kind == Kind::Test && (path.is_ident("should_panic") || path.is_ident("ignore"))
    })
}

/// `.run(…)` with the span of the return type, and in it each argument with the span of its parameter's type. So rustc reports a wrong type at
/// the user's token.
fn run(kind: Kind, args: &Args, entry: &Entry, takes: Takes<'_>) -> TokenStream {
    let span = match &entry.output {
        ReturnType::Default => located_at(entry.name.span()),
        ReturnType::Type(_, ty) => located_at(ty.span()),
    };
    let mut name = entry.name.clone();
    name.set_span(name.span().located_at(span));
    let krate = builder::krate(args);
    // With `init` the closure gets the state, even if `main` does not take it.
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

/// The closure's parameter for the state, and the argument that `main` gets.
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

/// The errors, and a function that contains the user's function but does not run it. So the editor keeps working, and rustc reports no errors that
/// only follow from these.
fn with_errors(entry: &Entry, errors: Option<TokenStream>) -> TokenStream {
    let Entry { attributes, visibility, name, .. } = entry;
    if entry.params.receiver.is_some() {
        // It is a method of an `impl`, and a nested function cannot take `self`.
        let function = entry.function();
        return quote!(#errors #(#attributes)* #visibility #function);
    }
    let function = entry.compilable_function();
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
