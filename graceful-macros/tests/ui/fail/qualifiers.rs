#[graceful::main]
pub const unsafe extern "C" fn main() {}
