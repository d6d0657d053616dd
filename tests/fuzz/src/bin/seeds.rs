//! Writes the inputs that fuzzing begins with: `seeds DIRECTORY` makes `DIRECTORY/TARGET/seed-N`.

use libfuzzer_sys as _;

fn main() -> std::io::Result<()> {
    let Some(directory) = std::env::args_os().nth(1).map(std::path::PathBuf::from) else {
        eprintln!("seeds: name the directory to write to");
        std::process::exit(2);
    };
    for (target, _) in sonde_fuzz::TARGETS {
        std::fs::create_dir_all(directory.join(target))?;
        for (number, seed) in sonde_fuzz::seeds(target).iter().enumerate() {
            std::fs::write(directory.join(target).join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
