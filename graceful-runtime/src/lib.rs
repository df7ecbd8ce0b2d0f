#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!("`graceful` supports only Unix systems, because it is built on Unix signals");

#[cfg(doc)]
#[doc = include_str!("../DESIGN.md")]
pub mod design {}

mod driver;
mod handle;
#[cfg(feature = "http")]
pub mod http;
mod launch;
mod model;
mod os;
mod program;
mod sync;
#[cfg(feature = "tower")]
pub mod tower;
mod tracking;

/// The token of `tokio-util` that [`Shutdown::token`] returns.
#[doc(no_inline)]
pub use tokio_util::sync::CancellationToken;

pub use graceful_macros::main;
#[cfg(feature = "testing")]
pub use graceful_macros::test;

pub use crate::{
    handle::{
        finalizer::{Finalize, Finalizer},
        flight::{Flight, Flights},
        guard::Guard,
        requested::Requested,
        shield::Shield,
        shutdown::Shutdown,
        task::Task,
    },
    launch::{
        builder::{self, Builder},
        init,
        runtime_settings::Flavor,
    },
    model::{
        lifecycle::Phase,
        outcome::Outcome,
        report::{
            Cause, ErrorReport, FinalizerEnd, FinalizerReport, Kind, PanicReport, PhaseReport,
            ReceivedSignal, Report, Straggler,
        },
        settings::{Readiness, Restart},
        signal::{Signal, Signals},
    },
    tracking::label::Carrier,
};
