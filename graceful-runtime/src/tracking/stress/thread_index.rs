//! The indices of threads.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::os::thread_index;

#[test]
fn an_index_belongs_to_one_thread_at_a_time() {
    let used: Vec<_> = (0..64).map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let index = thread::scope(|scope| {
                        let index = scope.spawn(|| {
                            let index = thread_index::obtain();
                            let flag = used.get(index);
                            assert!(
                                flag.is_none_or(|used| !used.swap(true, Ordering::AcqRel)),
                                "{index} belongs to two"
                            );
                            thread::yield_now();
                            flag.inspect(|used| used.store(false, Ordering::Release));
                            index
                        });
                        index.join().unwrap()
                    });
                    assert_ne!(index, thread_index::NONE);
                }
            });
        }
    });
}
