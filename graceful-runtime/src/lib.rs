#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!("`graceful` is for Unix systems: elsewhere there are no signals to stop by");

pub mod builder;
#[cfg(doc)]
#[doc = include_str!("../DESIGN.md")]
pub mod design {}
mod driver;
mod epilogue;
mod finalization;
mod finalizer;
mod force;
mod guard;
pub mod init;
mod life;
mod lifecycle;
mod listen;
mod lock;
mod narrator;
mod outcome;
mod parts;
mod program;
mod progress;
mod registry;
mod report;
mod requested;
mod run;
mod settings;
mod shield;
mod shutdown;
mod signal;
mod supervisor;
mod sys;
mod task;
mod tasks;
mod work;

pub use graceful_macros::main;
#[cfg(feature = "testing")]
pub use graceful_macros::test;

pub use crate::{
    builder::Builder,
    finalizer::{Finalize, Finalizer},
    guard::Guard,
    lifecycle::Phase,
    outcome::Outcome,
    report::{
        Cause, ErrorReport, FinalizerEnd, FinalizerReport, Kind, PanicReport, PhaseReport,
        ReceivedSignal, Report, Straggler,
    },
    run::Flavor,
    settings::{Readiness, Restart},
    shield::Shield,
    shutdown::Shutdown,
    signal::{Signal, Signals},
    task::Task,
};
