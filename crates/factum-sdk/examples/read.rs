//! Prints a topic of a data directory, one event a line: `cargo run -p factum-sdk --example read
//! -- DIRECTORY TOPIC`. No server may have the directory open.

use factum_sdk::{Factum, Place};

#[expect(clippy::print_stdout, reason = "it is what this program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(directory), Some(topic)) = (arguments.next(), arguments.next()) else {
        return Err("usage: read DIRECTORY TOPIC".into());
    };
    let factum = Factum::open(directory)?;
    pollster::block_on(async {
        let mut events = factum.read(&topic, Place::Start).await?;
        while let Some(stored) = events.next().await? {
            println!("{}", stored.to_line());
        }
        Ok(())
    })
}
