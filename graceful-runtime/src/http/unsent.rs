//! The data of one HTTP/2 answer that is not sent yet. h2 accepts as much of a body as it is given, and sends it as the peer makes room.
//! So a request lasts until the last of its data is sent, not until its body has ended.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{connection::Connection, keep_alive::KeepAlive};
use crate::{handle::flight::Flight, os::mutex::Mutex};

/// Counts the pieces of one answer that are not sent. `E` is the exchange, which is dropped when the last piece is sent.
#[derive(Debug)]
pub(super) struct Unsent<E> {
    connection: Arc<Connection>,
    state: Mutex<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    pieces: usize,
    /// A piece was dropped before it was sent: the answer was cut short.
    is_cut: bool,
    /// Set when the body has ended: what the last piece ends.
    on_last: Option<(Flight, E)>,
}

impl<E> Unsent<E> {
    pub(super) fn new(connection: &Arc<Connection>) -> Arc<Self> {
        let state = State { pieces: 0, is_cut: false, on_last: None };
        Arc::new(Self { connection: Arc::clone(connection), state: Mutex::new(state) })
    }

    /// The body has ended. The flight completes when the last piece is sent, or now if none is left.
    pub(super) fn body_ended(&self, flight: Flight, exchange: E) {
        let mut state = self.state.lock();
        let is_cut = state.is_cut;
        if state.pieces > 0 && !is_cut {
            state.on_last = Some((flight, exchange));
            return;
        }
        drop(state);
        if !is_cut {
            flight.complete();
        }
    }

    fn add(&self) {
        let mut state = self.state.lock();
        state.pieces += 1;
        let is_first = state.pieces == 1;
        drop(state);
        if is_first {
            self.connection.update_and_wake(KeepAlive::data_offered);
        }
    }

    /// A piece is dropped.
    fn remove(&self, is_sent: bool) {
        let mut state = self.state.lock();
        state.pieces -= 1;
        state.is_cut |= !is_sent;
        let (is_last, is_cut) = (state.pieces == 0, state.is_cut);
        let on_last = if is_last || is_cut { state.on_last.take() } else { None };
        drop(state);
        let event = if is_last { KeepAlive::offer_ended } else { KeepAlive::data_taken };
        self.connection.update(event);
        if let (false, Some((flight, exchange))) = (is_cut, on_last) {
            drop(exchange);
            flight.complete();
        }
    }
}

/// The data of one frame, as h2 holds it.
#[derive(Debug)]
pub(super) struct Piece<E> {
    data: Bytes,
    unsent: Option<Arc<Unsent<E>>>,
}

impl<E> Piece<E> {
    pub(super) fn new(data: Bytes, unsent: &Arc<Unsent<E>>) -> Self {
        unsent.add();
        Self { data, unsent: Some(Arc::clone(unsent)) }
    }
}

/// A piece that is not counted.
impl<E> From<Bytes> for Piece<E> {
    fn from(data: Bytes) -> Self {
        Self { data, unsent: None }
    }
}

impl<E> Drop for Piece<E> {
    fn drop(&mut self) {
        if let Some(unsent) = &self.unsent {
            unsent.remove(self.data.is_empty());
        }
    }
}

impl<E> Buf for Piece<E> {
    fn remaining(&self) -> usize {
        self.data.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.data.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.data.advance(count);
        if let (Some(unsent), false) = (&self.unsent, self.data.is_empty()) {
            unsent.connection.update(KeepAlive::data_taken);
        }
    }
}
