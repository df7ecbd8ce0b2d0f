//! Makes broken copies of the concurrent core, each with one mistake, for the model checker to find: a check that finds none of them says
//! nothing about the original either.

use std::{env, fs, path::Path};

/// The name of the copy, the file, and the one place in it that is changed.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    (
        "exit_is_not_released",
        "in_flight",
        "add_one(&shard.exits, Ordering::Release)",
        "add_one(&shard.exits, Ordering::Relaxed)",
    ),
    (
        "set_does_not_fence",
        "in_flight",
        "self.mark(bits);\n        heavy_fence();",
        "self.mark(bits);",
    ),
    (
        "awaiting_does_not_fence",
        "in_flight",
        "heavy_fence();\n            self.set_hint();",
        "self.set_hint();",
    ),
    (
        "enter_does_not_fence",
        "in_flight",
        "light_fence();\n        // Acquire: pairs with the AcqRel of `set`",
        "// Acquire: pairs with the AcqRel of `set`",
    ),
    (
        "exit_does_not_fence",
        "in_flight",
        "light_fence();\n        self.is_awaited() && self.was_last()",
        "self.is_awaited() && self.was_last()",
    ),
    (
        "enters_are_summed_first",
        "in_flight",
        "let exits = all.clone().fold(0, |sum: usize, one| sum.wrapping_add(one.exits()));\n    let enters = all.fold(0, |sum: usize, one| sum.wrapping_add(one.enters()));",
        "let enters = all.clone().fold(0, |sum: usize, one| sum.wrapping_add(one.enters()));\n    let exits = all.fold(0, |sum: usize, one| sum.wrapping_add(one.exits()));",
    ),
    (
        "the_last_but_one_looks",
        "in_flight",
        "self.hint.0.fetch_sub(1, Ordering::AcqRel) > 1",
        "self.hint.0.fetch_sub(1, Ordering::AcqRel) != 2",
    ),
    (
        "both_of_the_last_tell",
        "in_flight",
        "is_empty([self])\n            && self.mode.fetch_and(!mode::AWAITED, Ordering::AcqRel) & mode::AWAITED != 0",
        "is_empty([self])",
    ),
    (
        "the_hint_is_added_without_a_reset",
        "in_flight",
        "self.hint.0.swap(0, Ordering::AcqRel);",
        "",
    ),
    (
        "the_refused_do_not_look",
        "in_flight",
        "Refused { was_last: self.is_awaited() && self.was_last() }",
        "Refused { was_last: false }",
    ),
    (
        "the_refused_stay_counted",
        "in_flight",
        "Some(shard) => take_one(&shard.enters, Ordering::Relaxed),",
        "Some(_) => {}",
    ),
    (
        "waiters_do_not_look_again",
        "wait_list",
        "let mut waiters = self.lists[index].0.lock();\n        if self.is_set() {\n            *ticket = None;\n            return Poll::Ready(());\n        }",
        "let mut waiters = self.lists[index].0.lock();",
    ),
    (
        "a_telling_is_not_a_turn",
        "wait_list",
        "let generation = waiters.generation.wrapping_add(1);",
        "let generation = waiters.generation;",
    ),
    (
        "a_ticket_is_good_for_ever",
        "wait_list",
        ".filter(|_| ticket.generation == self.generation)",
        "",
    ),
    (
        "all_threads_use_the_magazine_of_one",
        "pool",
        "self.own.get(thread)?.load(Ordering::Relaxed)",
        "self.own.first()?.load(Ordering::Relaxed)",
    ),
    (
        "those_that_share_take_no_turns",
        "pool",
        "let _turn = own.is_none().then(|| turn.lock());",
        "",
    ),
    (
        "what_finds_no_room_is_lost",
        "pool",
        "take(N / 2));\n        magazine.push(item);",
        "take(N / 2));",
    ),
    (
        "what_is_taken_stays_in_the_depot",
        "pool",
        "for item in depot.drain(rest..) {",
        "for &item in &depot[rest..] {",
    ),
    ("what_is_made_is_not_listed", "pool", "self.made.lock().push(items);", ""),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let core = Path::new("../graceful-runtime/src/sync");
    let out = env::var("OUT_DIR")?;
    for &(name, file, right, wrong) in MISTAKES {
        let path = core.join(file).with_extension("rs");
        println!("cargo::rerun-if-changed={}", path.display());
        let text = fs::read_to_string(&path)?;
        let found = text.matches(right).count();
        if found != 1 {
            return Err(format!("`{name}`: its place is {found} times in {file}.rs").into());
        }
        // The comments of a module have no place in the middle of a file.
        let lines = text.lines().filter(|line| !line.starts_with("//!"));
        let text = lines.collect::<Vec<_>>().join("\n").replace(right, wrong);
        fs::write(Path::new(&out).join(name).with_extension("rs"), text)?;
    }
    Ok(())
}
