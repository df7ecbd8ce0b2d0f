async fn reload() {}

async fn finalize() -> Result<(), String> {
    Ok(())
}

#[graceful::main(reload = reload, finalize = finalize)]
async fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
