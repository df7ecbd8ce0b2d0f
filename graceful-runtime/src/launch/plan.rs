//! The user's functions, as the builder collects them and the main thread runs them.

use std::marker::PhantomData;

use crate::{
    driver::finalizers::LocalFinalizer,
    handle::shutdown::Shutdown,
    launch::init::{Local, Reload},
};

/// The user's functions around `main`, with their errors as text.
pub(crate) struct Plan<S> {
    pub(crate) init: Box<dyn FnOnce(Shutdown) -> Local<'static, Result<S, String>>>,
    pub(crate) reload: Option<Box<dyn ErasedReload<S>>>,
    pub(crate) finalize: Option<Finalize<S>>,
}

/// `Builder::finalize`, which takes the state.
pub(crate) type Finalize<S> = Box<dyn FnOnce(S) -> LocalFinalizer>;

/// [`Reload`] without the type parameter that names its form.
pub(crate) trait ErasedReload<S> {
    fn begin<'a>(&'a self, state: &'a S) -> Local<'a, Result<(), String>>;
}

/// A [`Reload`] of the form `Form`.
pub(crate) struct Erased<R, Form>(pub(crate) R, pub(crate) PhantomData<Form>);

impl<S, R: Reload<S, Form>, Form> ErasedReload<S> for Erased<R, Form> {
    fn begin<'a>(&'a self, state: &'a S) -> Local<'a, Result<(), String>> {
        self.0.begin(state)
    }
}
