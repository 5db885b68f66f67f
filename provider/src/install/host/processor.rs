//! For which processor a program was built.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Numbers of processors in an ELF file, with the names that `uname -m` has for them.
const PROCESSORS: &[(u16, &[&str])] = &[
    (3, &["i386", "i486", "i586", "i686"]),
    (21, &["ppc64le", "ppc64"]),
    (22, &["s390x"]),
    (40, &["armv6l", "armv7l", "armv8l"]),
    (62, &["x86_64"]),
    (183, &["aarch64", "arm64"]),
    (243, &["riscv64"]),
    (258, &["loongarch64"]),
];

/// The names of the processor that runs a program; nothing when the file does not say, or says one we do not know: then
/// the machine has to try.
pub(super) fn of_program(path: &Path) -> std::io::Result<Option<&'static [&'static str]>> {
    /// Up to and including the number of the processor.
    const HEAD: usize = 20;
    let mut head = [0; HEAD];
    let mut file = File::open(path)?;
    if file.read_exact(&mut head).is_err() || !head.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let number = [head[18], head[19]];
    let number = if head[5] == 2 {
        u16::from_be_bytes(number)
    } else {
        u16::from_le_bytes(number)
    };
    Ok(PROCESSORS
        .iter()
        .find(|(known, _)| *known == number)
        .map(|(_, names)| *names))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_for_this_machine_and_a_text_for_any() {
        let own = of_program(&std::env::current_exe().unwrap()).unwrap().unwrap();
        assert!(own.contains(&std::env::consts::ARCH), "{own:?}");
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "#!/bin/sh\n").unwrap();
        assert_eq!(of_program(&text).unwrap(), None);
        let mut foreign = *b"\x7fELF\x02\x01\x01_________\x02\x00\xb7\x00";
        std::fs::write(&text, foreign).unwrap();
        assert_eq!(of_program(&text).unwrap(), Some(&["aarch64", "arm64"][..]));
        foreign[5] = 2;
        foreign[18..].copy_from_slice(&[0, 22]);
        std::fs::write(&text, foreign).unwrap();
        assert_eq!(of_program(&text).unwrap(), Some(&["s390x"][..]));
        assert!(of_program(&folder.path().join("none")).is_err());
    }
}
