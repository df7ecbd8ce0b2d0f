//! What a connection of HTTP/2 has of an answer and has not sent: it takes as much as it is given, and sends that as the peer makes room.
//! So the request lasts until the last of it is sent, not until its body has ended.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::{connection::Connection, keep_alive::KeepAlive};
use crate::{handle::flight::Flight, os::mutex::Mutex};

/// What is not sent of one answer; `E` is what the answer belongs to, and is dropped when the last of it is sent.
#[derive(Debug)]
pub(super) struct Unsent<E> {
    connection: Arc<Connection>,
    state: Mutex<State<E>>,
}

#[derive(Debug)]
struct State<E> {
    pieces: usize,
    /// A piece was thrown away.
    is_cut: bool,
    /// What ends with the last piece, once the body has ended.
    ends: Option<(Flight, E)>,
}

impl<E> Unsent<E> {
    pub(super) fn new(connection: &Arc<Connection>) -> Arc<Self> {
        let state = State { pieces: 0, is_cut: false, ends: None };
        Arc::new(Self { connection: Arc::clone(connection), state: Mutex::new(state) })
    }

    /// The body has ended.
    pub(super) fn end(&self, flight: Flight, exchange: E) {
        let mut state = self.state.lock();
        let is_cut = state.is_cut;
        if state.pieces > 0 && !is_cut {
            state.ends = Some((flight, exchange));
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
            self.connection.keep_from_afar(KeepAlive::handed);
        }
    }

    /// A piece is gone.
    fn remove(&self, is_sent: bool) {
        let mut state = self.state.lock();
        state.pieces -= 1;
        state.is_cut |= !is_sent;
        let (is_last, is_cut) = (state.pieces == 0, state.is_cut);
        let ends = if is_last || is_cut { state.ends.take() } else { None };
        drop(state);
        self.connection.keep(if is_last { KeepAlive::taken } else { KeepAlive::progress });
        if let (false, Some((flight, exchange))) = (is_cut, ends) {
            drop(exchange);
            flight.complete();
        }
    }
}

/// A frame's data, as the connection has it.
#[derive(Debug)]
pub(super) struct Piece<E> {
    data: Bytes,
    of: Option<Arc<Unsent<E>>>,
}

impl<E> Piece<E> {
    pub(super) fn new(data: Bytes, of: &Arc<Unsent<E>>) -> Self {
        of.add();
        Self { data, of: Some(Arc::clone(of)) }
    }
}

/// It is waited for by nobody.
impl<E> From<Bytes> for Piece<E> {
    fn from(data: Bytes) -> Self {
        Self { data, of: None }
    }
}

impl<E> Drop for Piece<E> {
    fn drop(&mut self) {
        if let Some(unsent) = &self.of {
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
        if let (Some(unsent), false) = (&self.of, self.data.is_empty()) {
            unsent.connection.keep(KeepAlive::progress);
        }
    }
}
