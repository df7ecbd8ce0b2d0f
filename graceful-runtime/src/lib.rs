#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!("`graceful` is for Unix systems: elsewhere there are no signals to stop by");

pub mod builder;
#[cfg(doc)]
#[doc = include_str!("../DESIGN.md")]
pub mod design {}
mod clock;
mod driver;
mod epilogue;
mod finalization;
mod finalizer;
mod flight;
mod force;
mod guard;
#[cfg(feature = "http")]
pub mod http;
mod in_flight;
pub mod init;
mod label;
mod leaving;
mod life;
mod lifecycle;
mod listen;
mod lock;
mod narrator;
mod outcome;
mod outside;
mod part;
mod part_id;
mod parts;
mod parts_stock;
mod places;
mod program;
mod progress;
mod records;
mod registry;
mod report;
mod requested;
mod roster;
mod run;
mod settings;
mod shield;
mod shown;
mod shutdown;
mod signal;
mod socket_files;
mod stock;
#[cfg(test)]
mod stress;
mod supervisor;
mod sync;
mod sys;
mod task;
mod tasks;
mod thread_id;
mod told;
mod toll;
#[cfg(feature = "tower")]
pub mod tower;
mod work;

/// Of `tokio-util`: what [`Shutdown::token`] gives.
#[doc(no_inline)]
pub use tokio_util::sync::CancellationToken;

pub use graceful_macros::main;
#[cfg(feature = "testing")]
pub use graceful_macros::test;

pub use crate::{
    builder::Builder,
    finalizer::{Finalize, Finalizer},
    flight::{Flight, Flights},
    guard::Guard,
    label::Carrier,
    lifecycle::Phase,
    outcome::Outcome,
    report::{
        Cause, ErrorReport, FinalizerEnd, FinalizerReport, Kind, PanicReport, PhaseReport,
        ReceivedSignal, Report, Straggler,
    },
    requested::Requested,
    run::Flavor,
    settings::{Readiness, Restart},
    shield::Shield,
    shutdown::Shutdown,
    signal::{Signal, Signals},
    task::Task,
};
