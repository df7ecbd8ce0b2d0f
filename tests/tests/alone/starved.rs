//! A system that has next to nothing left.
//!
//! Alone, because each start is on the edge of what the system allows.

use graceful_tests::Program;

/// P07: wherever the descriptors run out, the program is refused before anything has begun, or what it has begun is given back.
#[test]
fn what_has_begun_is_given_back_however_few_descriptors_there_are() {
    let (mut refused, mut made_do, mut lived) = (0, 0, 0);
    for limit in 6..40 {
        let limit = format!("--nofile={limit}");
        let ended = Program::life("starved").through(&["prlimit", &limit]).start().ends();
        let out = ended.out();
        match out.as_slice() {
            [] => refused += 1,
            ["taken", "given back"] if ended.status == 0 => lived += 1,
            ["taken", "given back"] => {
                assert!(ended.status == 1 && ended.text().contains("cannot start its threads"));
                made_do += 1;
            }
            _ => panic!("with {limit}: {out:?}"),
        }
    }
    assert!(
        refused > 0 && made_do > 0 && lived > 0,
        "{refused} were refused, {made_do} made do, {lived} lived"
    );
}
