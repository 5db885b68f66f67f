//! Programs that nobody can change between the look at them and their start.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};

/// A program's bytes, copied into memory and sealed there: who has looked at what was copied knows what runs. It has no
/// path, and is gone with its last user.
pub struct Sealed(File);

impl Sealed {
    /// Copies everything that can be read.
    pub fn copy(from: &mut impl Read) -> io::Result<Self> {
        let mut memory = memory()?;
        io::copy(from, &mut memory)?;
        let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
        fcntl(&memory, FcntlArg::F_ADD_SEALS(seals | SealFlag::F_SEAL_SEAL))?;
        Ok(Self(memory))
    }

    /// A command that runs it, under a name. The child must [`Sealed::keep`] it.
    pub(in crate::process) fn command(&self, name: &OsStr) -> process::Command {
        let mut command = process::Command::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        command.arg0(name);
        command
    }

    /// Lets it outlive the exec of this process, which a child does for itself: an interpreter opens it anew, by the
    /// same path. A plain system call.
    pub(super) fn keep(&self) -> io::Result<()> {
        fcntl(&self.0, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(())
    }
}

fn memory() -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Kernels since 6.3 want to be told that it will be executed; older ones do not know the flag.
    let executable = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let made = match memfd_create(c"program", flags | executable) {
        Err(Errno::EINVAL) => memfd_create(c"program", flags),
        made => made,
    };
    Ok(made?.into())
}
