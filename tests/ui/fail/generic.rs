#[graceful::main]
async fn main<T>()
where
    T: Copy,
{
}
