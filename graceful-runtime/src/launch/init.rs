//! The forms that `init` and `reload` may have.
//!
//! The attribute sees a path and not the function behind it, so the traits of this module let the compiler tell the forms apart.
//! The last type parameter of each trait names the form. It is always inferred, so user code need not name these types.

use std::{
    convert::Infallible,
    fmt::{Debug, Formatter},
    pin::Pin,
};

use crate::{
    handle::shutdown::Shutdown,
    model::outcome::{Outcome, error_of},
};

/// A future that stays on its thread.
pub(crate) type Local<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Return types of `init`: the state `S`, or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "`init` returns `{Self}`, which does not give the state `{S}`",
    note = "`init` returns the state that `main` and `finalize` take, or `Result<_, E>` of it with `E: Debug`"
)]
pub trait IntoState<S, Form> {
    /// The error of `init`. It is printed and reported with its `Debug` text.
    type Error: Debug;

    /// Converts the returned value into the state.
    ///
    /// # Errors
    ///
    /// Returns the error if `init` returned one.
    fn into_state(self) -> Result<S, Self::Error>;
}

/// The form of an `init` that returns the state itself.
///
/// ```
/// # struct Store;
/// async fn init() -> Store {
///     Store
/// }
/// # graceful::Builder::new().init(init);
/// ```
pub struct Plain(());
/// The form of an `init` that returns a `Result` of the state. An error makes the exit status 1.
///
/// ```
/// # struct Store;
/// async fn init() -> std::io::Result<Store> {
///     Ok(Store)
/// }
/// # graceful::Builder::new().init::<Store, _, _>(init);
/// ```
pub struct Fallible(());
/// The form of an `init` whose state neither `main` nor `finalize` takes: it returns `()` or a `Result`.
///
/// ```
/// async fn init() -> std::io::Result<()> {
///     std::fs::create_dir_all("/tmp/spool")
/// }
/// # graceful::Builder::new().init_unit(init);
/// ```
pub struct Unused(());

impl<S> IntoState<S, Plain> for S {
    type Error = Infallible;

    fn into_state(self) -> Result<S, Infallible> {
        Ok(self)
    }
}

impl<S, E: Debug> IntoState<S, Fallible> for Result<S, E> {
    type Error = E;

    fn into_state(self) -> Self {
        self
    }
}

impl IntoState<Kept<()>, Unused> for () {
    type Error = Infallible;

    fn into_state(self) -> Result<Kept<()>, Infallible> {
        Ok(Kept(()))
    }
}

impl<S, E: Debug> IntoState<Kept<S>, Unused> for Result<S, E> {
    type Error = E;

    fn into_state(self) -> Result<Kept<S>, E> {
        self.map(Kept)
    }
}

/// A state that neither `main` nor `finalize` takes. It is dropped after the finalizers have run.
#[derive(Debug)]
pub struct Kept<S>(S);

/// The forms of `init`: `async fn()` or `async fn(Shutdown)`, returning the state `S` or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "this is not a form that `init` may have",
    label = "expected `async fn()` or `async fn(Shutdown)`, returning the state or a `Result` of it",
    note = "the state is what `main` and `finalize` take"
)]
pub trait Init<S, Form> {
    /// Calls the function. Its error is returned as text.
    #[doc(hidden)]
    fn begin(self, shutdown: Shutdown) -> Local<'static, Result<S, String>>;
}

/// The form of a function without parameters. `Form` is the form of its return type.
pub struct Bare<Form>(Form);
/// The form of a function that takes the [`Shutdown`] handle. `Form` is the form of its return type.
pub struct WithShutdown<Form>(Form);

impl<F, Fut, S, Form> Init<S, Bare<Form>> for F
where
    F: FnOnce() -> Fut + 'static,
    Fut: Future<Output: IntoState<S, Form>> + 'static,
{
    fn begin(self, _: Shutdown) -> Local<'static, Result<S, String>> {
        Box::pin(async move { self().await.into_state().map_err(|error| format!("{error:?}")) })
    }
}

impl<F, Fut, S, Form> Init<S, WithShutdown<Form>> for F
where
    F: FnOnce(Shutdown) -> Fut + 'static,
    Fut: Future<Output: IntoState<S, Form>> + 'static,
{
    fn begin(self, shutdown: Shutdown) -> Local<'static, Result<S, String>> {
        Box::pin(
            async move { self(shutdown).await.into_state().map_err(|error| format!("{error:?}")) },
        )
    }
}

/// The forms of `reload`: `async fn()` or `async fn(&S)`, returning `()` or `Result<(), E>`.
#[diagnostic::on_unimplemented(
    message = "this is not a form that `reload` may have",
    label = "expected `async fn()` or `async fn(&{S})`, returning `()` or `Result<(), E>`"
)]
pub trait Reload<S, Form> {
    /// Calls the function. Its error is returned as text.
    #[doc(hidden)]
    fn begin<'a>(&'a self, state: &'a S) -> Local<'a, Result<(), String>>;
}

/// The form of a `reload` that takes a reference to the state.
pub struct WithState(());

impl<F, S, O> Reload<S, Bare<O>> for F
where
    F: AsyncFn() -> O,
    O: Outcome,
{
    fn begin<'a>(&'a self, _: &'a S) -> Local<'a, Result<(), String>> {
        Box::pin(async move { error_of(&self().await).map_or(Ok(()), Err) })
    }
}

impl<F, S, O> Reload<S, (WithState, O)> for F
where
    F: AsyncFn(&S) -> O,
    O: Outcome,
{
    fn begin<'a>(&'a self, state: &'a S) -> Local<'a, Result<(), String>> {
        Box::pin(async move { error_of(&self(state).await).map_or(Ok(()), Err) })
    }
}

macro_rules! opaque_debug {
    ($($form:ident $(<$of:ident>)?)*) => {
        $(impl$(<$of>)? Debug for $form$(<$of>)? {
            fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($form))
            }
        })*
    };
}

opaque_debug!(Plain Fallible Unused Bare<F> WithShutdown<F> WithState);
