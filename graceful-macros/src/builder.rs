//! The calls of the builder's setters: one for each argument that is written, with the span of its value.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Path, spanned::Spanned as _};

use crate::{
    args::Args,
    params::Takes,
    signals::Signals,
    value::{Env, Spanned},
};

/// The path of the runtime.
pub(crate) fn krate(args: &Args) -> TokenStream {
    match &args.krate {
        Some(path) => quote!(#path),
        None => quote_spanned!(Span::mixed_site()=> ::graceful),
    }
}

/// Whether `main` or a hook takes the state that `init` returns. Otherwise `init` may return `()`.
fn is_state_taken(args: &Args, takes: Takes<'_>) -> bool {
    matches!(takes, Takes::State(..)) || args.finalize.is_some() || args.reload.is_some()
}

pub(crate) fn setters(args: &Args, takes: Takes<'_>) -> TokenStream {
    [durations(args), signals(args), policies(args), runtime(args), hooks(args, takes)]
        .into_iter()
        .collect()
}

fn durations(args: &Args) -> TokenStream {
    let setter = |name: &str, duration: Option<Spanned<Duration>>| {
        duration.map(|Spanned { value, span }| {
            let span = located_at(span);
            let name = Ident::new(name, span);
            let (seconds, nanos) = (value.as_secs(), value.subsec_nanos());
            quote_spanned!(span=> .#name(::core::time::Duration::new(#seconds, #nanos)))
        })
    };
    [
        setter("timeout", args.timeout),
        setter("finalize_timeout", args.finalize_timeout),
        setter("lame_duck", args.lame_duck),
        setter("init_timeout", args.init_timeout),
        setter("restart_timeout", args.restart_timeout),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn signals(args: &Args) -> TokenStream {
    let krate = krate(args);
    let list = |signals: &[Ident]| {
        let signals = signals.iter().map(|signal| {
            let span = located_at(signal.span());
            quote_spanned!(span=> #krate::Signal::#signal)
        });
        quote!([#(#signals),*])
    };
    let signals = match &args.signals {
        None => return TokenStream::new(),
        Some(Signals::Convention(name)) => quote!(#krate::Signals::#name()),
        Some(Signals::Roles(lists)) => {
            let roles = lists.iter().map(|roles| {
                let (role, list) = (&roles.role, list(&roles.signals));
                quote!(.#role(#list))
            });
            quote!(#krate::Signals::new() #(#roles)*)
        }
        Some(Signals::Stop(signals)) => list(signals),
    };
    quote_spanned!(Span::mixed_site()=> .signals(#signals))
}

/// `restart`, `readiness`, `progress` and `env`.
fn policies(args: &Args) -> TokenStream {
    let krate = krate(args);
    let restart = args.restart.map(|Spanned { value, span }| {
        let (span, variant) = (located_at(span), Ident::new(value, located_at(span)));
        quote_spanned!(span=> .restart(#krate::Restart::#variant))
    });
    let readiness = args.readiness.map(|Spanned { value, span }| {
        let (span, variant) = (located_at(span), Ident::new(value, located_at(span)));
        quote_spanned!(span=> .readiness(#krate::Readiness::#variant))
    });
    let progress = args
        .progress
        .map(|Spanned { value, span }| quote_spanned!(located_at(span)=> .progress(#value)));
    let env = args.env.as_ref().map(|Spanned { value, span }| {
        let span = located_at(*span);
        match value {
            Env::Off => quote_spanned!(span=> .without_env()),
            Env::Prefix(prefix) => quote_spanned!(span=> .env(#prefix)),
        }
    });
    quote!(#restart #readiness #progress #env)
}

fn runtime(args: &Args) -> TokenStream {
    let krate = krate(args);
    let flavor = args.flavor.map(|Spanned { value, span }| {
        let (span, variant) = (located_at(span), Ident::new(value, located_at(span)));
        quote_spanned!(span=> .flavor(#krate::Flavor::#variant))
    });
    let worker_threads = args
        .worker_threads
        .map(|Spanned { value, span }| quote_spanned!(located_at(span)=> .worker_threads(#value)));
    let max_blocking_threads = args.max_blocking_threads.map(
        |Spanned { value, span }| quote_spanned!(located_at(span)=> .max_blocking_threads(#value)),
    );
    let thread_name = args
        .thread_name
        .as_ref()
        .map(|Spanned { value, span }| quote_spanned!(located_at(*span)=> .thread_name(#value)));
    let start_paused = args
        .start_paused
        .map(|Spanned { value, span }| quote_spanned!(located_at(span)=> .start_paused(#value)));
    let runtime =
        args.builder.as_ref().map(|path| quote_spanned!(located_at(path.span())=> .runtime(#path)));
    quote!(#flavor #worker_threads #max_blocking_threads #thread_name #start_paused #runtime)
}

fn hooks(args: &Args, takes: Takes<'_>) -> TokenStream {
    let init = args.init.as_ref().map(|init| {
        let span = located_at(init.span());
        match takes {
            // Names the state's type, so that a hook with another return type is the error, and not `main`.
            Takes::State(state, _) => {
                let ty = state.ty();
                quote_spanned!(span=> .init::<#ty, _, _>(#init))
            }
            _ if is_state_taken(args, takes) => quote_spanned!(span=> .init(#init)),
            _ => quote_spanned!(span=> .init_unit(#init)),
        }
    });
    let setter = |name: &str, path: &Option<Path>| {
        path.as_ref().map(|path| {
            let span = located_at(path.span());
            let name = Ident::new(name, span);
            quote_spanned!(span=> .#name(#path))
        })
    };
    let (reload, finalize) = (setter("reload", &args.reload), setter("finalize", &args.finalize));
    quote!(#init #reload #finalize)
}

/// The location of a user's token, with the macro's hygiene: generated locals cannot collide with the user's names, and lints ignore the code.
pub(crate) fn located_at(span: Span) -> Span {
    Span::mixed_site().located_at(span)
}
