struct Kept;

async fn init() -> Result<Kept, std::io::Error> {
    Ok(Kept)
}

#[graceful::main(init = init)]
async fn main() {}
