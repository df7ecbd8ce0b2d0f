#[graceful::test]
#[test]
async fn drains() {}

fn main() {}
