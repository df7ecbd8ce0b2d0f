//! What one life of the program under test is put through: all of it follows from one number.

use std::{fmt, time::Duration};

use graceful_tests::{HUP, INT, TERM};
use nix::sys::signal::Signal;

/// One life, and the signals that are sent into it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) timeout: Duration,
    /// From the first signal to the force; the rest is for the finalizers.
    pub(crate) drain: Duration,
    pub(crate) init: Duration,
    /// The longest piece of work that ends by itself.
    pub(crate) work: Duration,
    /// What does not: a piece of work of this kind, or what runs at the exit.
    pub(crate) hang: Option<&'static str>,
    /// Whether a finalizer panics.
    pub(crate) panics: bool,
    pub(crate) shots: Vec<Shot>,
    /// What is broken on purpose.
    pub(crate) defect: &'static str,
}

/// A signal, and when it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    /// The line that is waited for, if any.
    pub(crate) line: Option<&'static str>,
    /// The time after that line, or after the shot before.
    pub(crate) pause: Duration,
    pub(crate) signal: Signal,
    /// To the whole group.
    pub(crate) group: bool,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let timeout = dice.pick(&[700, 800, 1000]);
        let init = dice.pick(&[0, 20, 60, 120, 200]);
        let count = dice.pick(&[1, 2, 2, 2, 3, 3]);
        Self {
            seed,
            timeout: Duration::from_millis(timeout),
            drain: Duration::from_millis(timeout - FINALIZE),
            init: Duration::from_millis(init),
            work: Duration::from_millis(dice.pick(&[1, 20, 80, 160, 250])),
            hang: (dice.below(4) == 0).then(|| dice.pick(&["task", "blocking", "guard", "exit"])),
            panics: dice.below(8) == 0,
            shots: (0..count).map(|index| Shot::new(&mut dice, index == 0, init * 1000)).collect(),
            defect: "",
        }
    }

    /// The program's arguments.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("init={}", self.init.as_millis()),
            format!("work={}", self.work.as_millis()),
            format!("defect={}", self.defect),
        ];
        arguments.extend(self.hang.map(|kind| format!("hang={kind}")));
        arguments.extend(self.panics.then(|| "panics=yes".to_owned()));
        arguments
    }

    /// The program's environment.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        let milliseconds = |time: Duration| format!("{}ms", time.as_millis());
        [
            ("GRACEFUL_TIMEOUT", milliseconds(self.timeout)),
            ("GRACEFUL_FINALIZE_TIMEOUT", format!("{FINALIZE}ms")),
        ]
    }
}

impl Shot {
    fn new(dice: &mut Dice, is_first: bool, init: u64) -> Self {
        let (line, pause) = if is_first {
            match dice.below(16) {
                0 => (None, dice.below(15_000)),
                1 => (Some("init.begin"), 0),
                2..=4 => (Some("init.begin"), dice.below(init + 1)),
                5 => (Some("init.end"), 0),
                6 => (Some("run.begin"), 0),
                _ => (Some("run.begin"), dice.below(150_000)),
            }
        } else {
            match dice.below(16) {
                0..=5 => (None, dice.below(150_000)),
                6..=7 => (None, 85_000 + dice.below(30_000)),
                8..=10 => (None, 150_000 + dice.below(150_000)),
                11..=12 => (Some("drain.begin"), 0),
                13 => (Some("drain.begin"), 100_000 + dice.below(100_000)),
                14 => (Some("init.end"), 0),
                _ => (Some("final "), 0),
            }
        };
        let signal = dice.pick(&[TERM, INT, HUP]);
        Self { line, pause: Duration::from_micros(pause), signal, group: dice.below(5) < 2 }
    }

    /// `signal`, `pause` after `line`.
    pub(crate) fn at(line: Option<&'static str>, pause: u64, signal: Signal) -> Self {
        Self { line, pause: Duration::from_millis(pause), signal, group: false }
    }
}

/// The end of the budget, kept free for finalizers: enough for those of the program on a busy machine.
const FINALIZE: u64 = 300;

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeout, drain, init, work, hang, panics, defect, .. } = self;
        write!(f, "timeout {timeout:?}, drain {drain:?}, init {init:?}, work {work:?}, ")?;
        writeln!(f, "hang {hang:?}, panics {panics}, defect {defect:?}")?;
        self.shots.iter().try_for_each(|Shot { line, pause, signal, group }| {
            writeln!(f, "  {signal} {pause:?} after {line:?}, group {group}")
        })
    }
}
