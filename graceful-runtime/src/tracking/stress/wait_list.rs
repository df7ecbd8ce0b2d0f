//! Waiting for a flag, and being woken.

use std::{
    future::poll_fn,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::Poll,
    thread,
    time::Instant,
};

use super::{Dice, TIME, seed};
use crate::sync::wait_list::WaitList;

/// Tasks on several threads wait and stop waiting while the flag is set again and again. Each is woken.
#[test]
fn every_waiting_task_is_woken() {
    let list = WaitList::new(4);
    let (waiting, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (list, waiting, over) = (&list, &waiting, &over);
            scope.spawn(move || {
                let mut dice = Dice(seed() ^ thread << 32);
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                while !over.load(Ordering::Relaxed) {
                    let mut ticket = None;
                    let gives_up = dice.roll(3) == 0;
                    waiting.fetch_add(1, Ordering::Relaxed);
                    let wait = poll_fn(|cx| {
                        let poll = list.poll(thread as usize, &mut ticket, cx);
                        if gives_up { Poll::Ready(()) } else { poll }
                    });
                    runtime.block_on(wait);
                    waiting.fetch_sub(1, Ordering::Relaxed);
                    ticket.into_iter().for_each(|ticket| list.leave(ticket));
                    dice.spin(100);
                }
            });
        }
        let (begin, mut dice) = (Instant::now(), Dice(seed()));
        while begin.elapsed() < TIME {
            dice.spin(1000);
            list.set();
            list.wake(|waker| waker.wake());
            list.reset();
        }
        over.store(true, Ordering::Relaxed);
        list.set();
        list.wake(|waker| waker.wake());
    });
    assert_eq!(waiting.into_inner(), 0);
}
